"""What every page of the panel works with: the services, and who is at the other end."""

# pyright: standard

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from nicegui import background_tasks, ui

from backend import officials
from backend.chain import ChainClient, open_keys, profile_of
from backend.flows.government_lane import Government
from backend.kit.clock import SystemClock
from backend.kit.db import DATABASE_AWAY, Database
from backend.kit.problems import Problem
from backend.kit.services import Services
from backend.kit.settings import Settings
from backend.kit.vault import Vault
from backend.officials import Session

COOKIE = "tanhui_panel"
"""The session's token: HttpOnly and SameSite=Strict, and nowhere else in the browser."""

Again = Callable[[], None]
"""Makes a part of the page anew: see `renewal`."""

SIGNED_OUT = Problem(401, "not-signed-in", "登录已失效,请重新登录。")


class Desk:
    """The open tools of the panel's process."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._services: Services | None = None
        self._client: ChainClient | None = None

    @asynccontextmanager
    async def opened(self, url: str) -> AsyncGenerator[None]:
        """Open the database and the node's client for as long as the process serves."""
        settings = self.settings
        db = await Database.open(url, size=6)
        self._client = ChainClient(settings.chain_rpc_url, profile_of(settings.chain_profile))
        self._services = Services(db, Vault(settings.keys_dir), SystemClock(), settings)
        try:
            yield
        finally:
            await self._client.close()
            await db.close()

    @property
    def services(self) -> Services:
        """The services. Raises LookupError before the process is open."""
        if self._services is None:
            raise LookupError("the panel is not open yet")
        return self._services

    @property
    def client(self) -> ChainClient:
        """The node's client. Raises LookupError before the process is open."""
        if self._client is None:
            raise LookupError("the panel is not open yet")
        return self._client

    @property
    def government(self) -> Government:
        """The tools of the government's flows."""
        services = self.services
        signer = open_keys(self.settings.keys_dir).government
        return Government(services.db, services.clock, self.client, signer)

    async def visit(self, request: Request) -> "Visit | None":
        """Whoever holds the cookie's session, or None."""
        token = request.cookies.get(COOKIE, "")
        session = await self._session(token)
        return None if session is None else Visit(self, token, session, request.path_params)

    async def _session(self, token: str) -> Session | None:
        services = self.services
        async with services.db.transaction() as tx:
            return await officials.access.session_of(tx, token, services.clock.now())

    async def still(self, token: str, act: str | None) -> Session:
        """The session as it stands now, if it may do the act; None is one's own account.

        An open page outlives a sign-out, so every act asks again. Raises Problem 401, 403.
        """
        session = await self._session(token)
        if session is None:
            raise SIGNED_OUT
        if act is not None:
            officials.refuse_unless_may(session.official.roles, act)
        return session


@dataclass(frozen=True, slots=True)
class Visit:
    """One opened page: who opened it and with which parts of the address."""

    desk: Desk
    token: str
    session: Session
    params: Mapping[str, Any]

    @property
    def services(self) -> Services:
        """The desk's services."""
        return self.desk.services

    def may(self, act: str) -> bool:
        """Whether this official may do the act: what they may not do is not shown."""
        return officials.may(self.session.official.roles, act)

    def doing(
        self, act: str | None, work: Callable[[Session], Awaitable[str | None]]
    ) -> Callable[[], Awaitable[None]]:
        """A handler that does `work` if the session may, and tells how it ended.

        `work` answers with the sentence to show, or None to show nothing.
        """

        async def handle() -> None:
            # The work may renew the part of the page that the handler's button lies in.
            client = ui.context.client
            try:
                said = await work(await self.desk.still(self.token, act))
            except Problem as problem:
                if problem.status == 401:
                    ui.navigate.to("/login")
                else:
                    tell(problem)
            except DATABASE_AWAY:
                ui.notify("数据库暂时连接不上,请稍后再试。", type="negative")
            else:
                if said:
                    with client:
                        ui.notify(said, type="positive", position="top")

        return handle


def renewal(refresh: Callable[[], Awaitable[None]]) -> Again:
    """A way to make a part of the page anew that outlives the buttons and timers in that part."""
    client = ui.context.client

    async def renewed() -> None:
        with client:
            await refresh()

    def again() -> None:
        background_tasks.create(renewed(), name="renewal of a page")

    return again


def tell(problem: Problem) -> None:
    """Show a refusal as the API words it."""
    ui.notify(f"{problem.detail}({problem.name})", type="negative", position="top", timeout=8000)
