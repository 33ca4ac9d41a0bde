"""What every route of the door keeps: an ETag on what is read, a limit to how often one asks."""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from backend.kit.openapi import Refusal, refusals
from backend.kit.problems import Problem

TOO_MANY: Refusal = (429, "too-many-calls", "操作太频繁,请稍后重试。")
CALLERS_MAX = 100_000
"""Callers remembered at once; whoever is silent longest is forgotten, which only helps them."""

_UNCHANGED = {304: {"description": "Not changed since the ETag of If-None-Match"}}


class Route(APIRoute):
    """A route whose GET answers carry an ETag and may be 304, and whose answers may be 429."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        reads = "GET" in (options.get("methods") or ())
        said: dict[int | str, dict[str, Any]] = options.get("responses") or {}
        options["responses"] = {
            **(_UNCHANGED if reads else {}),
            **refusals(TOO_MANY),
            **said,
        }
        super().__init__(path, endpoint, **options)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, with the ETag put on and compared."""
        handle = super().get_route_handler()

        async def tagged(request: Request) -> Response:
            answer = await handle(request)
            if request.method != "GET" or answer.status_code != 200 or not answer.body:
                return answer
            tag = f'"{hashlib.sha256(bytes(answer.body)).hexdigest()[:32]}"'
            headers = {"etag": tag, "cache-control": "private, no-cache", "vary": "authorization"}
            known = request.headers.get("if-none-match", "")
            if tag in (each.strip().removeprefix("W/") for each in known.split(",")):
                return Response(status_code=304, headers=headers)
            answer.headers.update(headers)
            return answer

        return tagged


@dataclass(slots=True)
class Limit:
    """So many calls a minute for each caller, all at once or spread; counted by each process."""

    per_minute: int
    now_s: Callable[[], float] = time.monotonic
    _left: OrderedDict[str, tuple[float, float]] = field(
        default_factory=OrderedDict[str, tuple[float, float]]
    )

    def take(self, caller: str) -> None:
        """Count a call. Raises Problem 429 with `Retry-After` beyond the limit."""
        now_s = self.now_s()
        left, seen_s = self._left.pop(caller, (float(self.per_minute), now_s))
        rate_s = self.per_minute / 60
        left = min(float(self.per_minute), left + (now_s - seen_s) * rate_s)
        refused = left < 1
        self._left[caller] = (left if refused else left - 1, now_s)
        if len(self._left) > CALLERS_MAX:
            self._left.popitem(last=False)
        if refused:
            wait_s = int((1 - left) / rate_s) + 1
            raise Problem(*TOO_MANY, headers={"Retry-After": str(wait_s)})


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one process: for a person, for an address, and for signing in from one."""

    person: Limit
    address: Limit
    sign_in: Limit

    def arrive(self, request: Request) -> None:
        """Count a call by its address; a sign-in more strictly. Raises Problem 429."""
        caller = "" if request.client is None else request.client.host
        self.address.take(caller)
        if request.url.path.endswith(("/login", "/token/refresh")):
            self.sign_in.take(caller)
