"""Writes at the officials' door: Idempotency-Key on each, compulsory where points or money move."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import Header, Request, Response
from pydantic import BaseModel, ConfigDict

from backend.citizens import answers
from backend.kit.openapi import BAD_SHAPE, Refusal
from backend.kit.problems import Problem
from backend.kit.services import Services
from backend.kit.sm import hmac_sm3

Answer = answers.Answer

IdempotencyKey = Annotated[
    str | None,
    Header(description="Same key and body: the first answer again; other body: 409"),
]

KEY_REUSED: Refusal = (
    409,
    "idempotency-key-reused",
    "同一个 Idempotency-Key 已用于另一个请求。",
)
KEY_NEEDED: Refusal = (428, "idempotency-key-needed", "这个操作必须带 Idempotency-Key。")
BAD_KEY: Refusal = (422, "bad-idempotency-key", "Idempotency-Key 须为 1 至 255 个字符。")
TOO_LARGE: Refusal = (413, "body-too-large", "请求体过大。")
CHAIN_AWAY: Refusal = (503, "chain-away", "区块链节点暂时没有确认,稍后会自动继续。")
CHAIN_REFUSED: Refusal = (502, "chain-refused", "链上未接受这次操作。")
NOT_DEPLOYED: Refusal = (409, "not-deployed", "合约尚未部署。")

WRITE: tuple[Refusal, ...] = (BAD_SHAPE, KEY_REUSED, BAD_KEY, TOO_LARGE)
"""What every write can answer beside its own refusals."""

ON_CHAIN: tuple[Refusal, ...] = (CHAIN_AWAY, CHAIN_REFUSED, NOT_DEPLOYED)


class In(BaseModel):
    """A request body: no member that is not declared."""

    model_config = ConfigDict(extra="forbid")


def example(members: dict[str, Any]) -> ConfigDict:
    """The `model_config` of a request body with one example."""
    return ConfigDict(extra="forbid", json_schema_extra={"examples": [members]})


class Once:
    """Runs a write once for each Idempotency-Key of a person and route."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._key = services.vault.secret("idempotency")

    async def __call__(
        self,
        request: Request,
        person: str,
        key: str | None,
        write: Callable[[], Awaitable[BaseModel]],
        *,
        status: int = 200,
        compulsory: bool = False,
    ) -> Response:
        """The first answer to this key, else what `write` answers, kept sealed.

        `write` opens its own transactions, so it must be one that can be tried again after a kill.
        """
        if compulsory and key is None:
            raise Problem(*KEY_NEEDED)
        services = self._services
        asked = answers.Request(
            scope=f"official:{person} {request.method} {request.url.path}",
            key=key,
            # A body may hold a password: what is kept of it must not help to guess one.
            body=hmac_sm3(self._key, await request.body()),
        )

        async def make() -> Answer:
            made = await write()
            return Answer(status, made.model_dump_json().encode())

        if key is None:
            answer = await make()
        else:
            async with services.db.transaction() as tx:
                answer = await answers.once(tx, services.vault, services.clock, asked, make)
        return Response(answer.body, answer.status, media_type="application/json")
