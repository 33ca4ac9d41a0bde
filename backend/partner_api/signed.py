"""A signed request: who is asking, and with which body. Every route of this door begins here."""

import asyncio
import functools
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import ParamSpec

import asyncpg  # pyright: ignore[reportMissingTypeStubs]
from starlette.requests import Request
from starlette.responses import Response

from backend import partners
from backend.kit.db import DATABASE_AWAY
from backend.kit.logs import log
from backend.kit.problems import Problem, problem_response
from backend.kit.services import Services
from backend.partner_api.bodies import check_headers, read_body
from backend.partner_api.gate import Held

ANSWER_TIMEOUT_S = 60
"""Beyond the time for reading a body: what waits longer for the database is better sent again."""

_PARTNER_ID = re.compile(r"[a-z][a-z0-9.-]{0,31}")
_AWAY = (
    *DATABASE_AWAY,
    asyncpg.QueryCanceledError,
    asyncpg.LockNotAvailableError,
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.ReadOnlySQLTransactionError,
)

P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class Signed:
    """A request whose signature holds. `sent` is the body as sent, `gzipped` says in which form."""

    partner: partners.Partner
    request: partners.SignedRequest
    sent: bytes
    gzipped: bool


async def signed_request(
    services: Services,
    request: Request,
    partner_id: str,
    held: Held,
    *,
    bytes_max: int = 0,
    gzip_allowed: bool = False,
) -> Signed:
    """Read and check a request. `bytes_max` 0 means that it carries no body.

    Raises `Problem` 401 (unknown partner, any flaw of the signature), 408, 413, 415, 429.
    """
    partner = None
    if _PARTNER_ID.fullmatch(partner_id):
        async with services.db.transaction(readonly=True) as tx:
            partner = await partners.load_partner(tx, services.vault, partner_id)
    if partner is None:
        raise Problem(
            401,
            "unknown-partner",
            "没有登记此合作平台",
            headers={"WWW-Authenticate": "StandardWebhooks"},
            partner_id=partner_id[:64],
        )
    gzipped = bytes_max > 0 and check_headers(request, gzip_allowed=gzip_allowed)
    sent = await read_body(request, held, bytes_max)
    verified = partners.verify_request(partner, request.headers, sent, services.clock.now())
    return Signed(partner, verified, sent, gzipped)


def answering_problems(
    route: Callable[P, Awaitable[Response]],
) -> Callable[P, Awaitable[Response]]:
    """Turn refusals, and a database that is away, full or too slow, into problem documents."""

    @functools.wraps(route)
    async def answer(*args: P.args, **kwargs: P.kwargs) -> Response:
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                return await route(*args, **kwargs)
        except Problem as problem:
            return problem_response(problem)
        except _AWAY as error:
            log("database_away", error=repr(error)[:200])
            return problem_response(
                Problem(
                    503,
                    "database-away",
                    "数据库暂时不可用,请稍后以同一 webhook-id 重试",
                    headers={"Retry-After": "5"},
                )
            )

    return answer
