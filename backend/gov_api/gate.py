"""Who is at the officials' door, and whether they may: every route asks here and nowhere else.

A route names its act; `backend.officials.roles.ACTS` says which roles may do it.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from backend import officials
from backend.kit.openapi import Refusal
from backend.kit.problems import Problem
from backend.kit.services import Services
from backend.officials import Session

BEARER = HTTPBearer(auto_error=False, description="The token of POST /gov/v1/login")
SIGNED_OUT: Refusal = (401, "not-signed-in", "登录已失效,请重新登录。")
NOT_YOURS: Refusal = (403, "not-your-role", "您的角色不能做这件事。")
GATED: tuple[Refusal, ...] = (SIGNED_OUT, NOT_YOURS)
"""What every route behind the gate can answer: put it into the route's `refusals(…)`."""

Who = Callable[..., Awaitable[Session]]


class Gate:
    """Makes the dependencies that let an official in."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def signed_in(self) -> Who:
        """A dependency: any official who is signed in. Raises Problem 401 `not-signed-in`."""
        services = self._services

        async def who(
            bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)],
        ) -> Session:
            session = None
            if bearer is not None:
                async with services.db.transaction() as tx:
                    session = await officials.access.session_of(
                        tx, bearer.credentials, services.clock.now()
                    )
            if session is None:
                raise Problem(*SIGNED_OUT, headers={"WWW-Authenticate": "Bearer"})
            return session

        return who

    def require(self, act: str) -> Who:
        """A dependency: an official who may do this act. Raises Problem 401, 403 `not-your-role`.

        `act` is a name of `officials.roles.ACTS`; an unknown one raises KeyError at start.
        """
        _ = officials.roles.ACTS[act]
        inner = self.signed_in()

        async def who(session: Annotated[Session, Depends(inner)]) -> Session:
            officials.refuse_unless_may(session.official.roles, act)
            return session

        return who
