"""Idempotency-Key: a write runs once for each key of a person and route."""

from collections.abc import Awaitable, Callable
from typing import Annotated
from uuid import UUID

from fastapi import Header, Request, Response
from fastapi.security import HTTPBearer

from backend.citizens import answers
from backend.kit.db import Tx
from backend.kit.openapi import BAD_SHAPE, Refusal
from backend.kit.problems import Problem
from backend.kit.services import Services

Answer = answers.Answer
Who = Callable[..., Awaitable[UUID]]

IdempotencyKey = Annotated[
    str | None,
    Header(description="Same key and body: the first answer again; other body: 409"),
]
NeededKey = Annotated[
    str | None,
    Header(description="Compulsory (428). Same key and body: the first answer again"),
]

BEARER = HTTPBearer(auto_error=False, description="The access token of POST /login")
SIGNED_OUT: Refusal = (401, "not-signed-in", "登录已失效,请重新登录。")
KEY_REUSED: Refusal = (
    409,
    "idempotency-key-reused",
    "同一个 Idempotency-Key 已用于另一个请求。",
)
BAD_KEY: Refusal = (422, "bad-idempotency-key", "Idempotency-Key 须为 1 至 255 个字符。")
KEY_NEEDED: Refusal = (428, "idempotency-key-needed", "涉及积分或资金的操作须带 Idempotency-Key。")
TOO_LARGE: Refusal = (413, "body-too-large", "请求体过大。")

WRITE_REFUSALS = (BAD_SHAPE, KEY_REUSED, BAD_KEY, TOO_LARGE)


class Once:
    """Runs a write once for each Idempotency-Key of a person and route."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def __call__(
        self,
        request: Request,
        person: UUID | str,
        key: str | None,
        write: Callable[[Tx], Awaitable[Answer]],
        *,
        needed: bool = False,
    ) -> Response:
        """The answer of `write`, or the stored one. `needed`: without a key, Problem 428."""
        if needed and key is None:
            raise Problem(*KEY_NEEDED)
        services = self._services
        asked = await _asked(request, person, key)
        async with services.db.transaction() as tx:

            async def make() -> Answer:
                return await write(tx)

            answer = await answers.once(tx, services.vault, services.clock, asked, make)
        return Response(answer.body, answer.status, media_type="application/json")

    async def answered(
        self, request: Request, person: UUID | str, key: str | None
    ) -> Response | None:
        """The stored answer if there is one: for writes that must ask somebody outside first."""
        services = self._services
        asked = await _asked(request, person, key)
        async with services.db.transaction(readonly=True) as tx:
            known = await answers.recall(tx, services.vault, asked)
        if known is None:
            return None
        return Response(known.body, known.status, media_type="application/json")


async def _asked(request: Request, person: UUID | str, key: str | None) -> answers.Request:
    return answers.Request(
        scope=f"{person} {request.method} {request.url.path}",
        key=key,
        body=await request.body(),
    )
