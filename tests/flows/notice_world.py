"""Builders for deliveries: a partner with an endpoint, told things, and a worker that sends."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from backend import notices, partners
from backend.flows.deliver_notices import Deliverer
from backend.kit.clock import FixedClock
from backend.kit.db import Database
from backend.kit.vault import Vault
from backend.notices import Caller, Policy

LOOPBACK = Policy(loopback=True)


@dataclass
class Office:
    """The notices of one installation: `secrets` has what each PUT gave, newest last."""

    db: Database
    vault: Vault
    clock: FixedClock
    secrets: dict[str, list[str]] = field(default_factory=dict)

    async def endpoint(
        self,
        url: str,
        partner_id: str = "metro",
        types: tuple[str, ...] = notices.TYPES,
        *,
        rotate: bool = True,
        ping: bool = False,
    ) -> str:
        """Enter an endpoint; returns the newest secret. The ping is left out unless wanted."""
        async with self.db.transaction() as tx:
            known = await tx.fetchval("SELECT 1 FROM partner WHERE partner_id = $1", partner_id)
            if known is None:
                await partners.register_partner(
                    tx, partner_id, partner_id, required_scheme="v1", scenarios=[],
                    now=self.clock.now(),
                )  # fmt: skip
            entered = await notices.put_endpoint(
                tx, self.vault, partner_id, url=url, types=types, rotate=rotate,
                now=self.clock.now(),
            )  # fmt: skip
            if not ping:
                await tx.execute(
                    "UPDATE delivery SET state = 'delivered' WHERE delivery_id = $1",
                    entered.ping_id,
                )
        kept = self.secrets.setdefault(partner_id, [])
        if entered.secret is not None:
            kept.append(entered.secret)
        return kept[-1]

    async def tell(self, count: int = 1, partner_id: str = "metro", **data: Any) -> None:
        """Tell a partner of `count` withdrawals."""
        async with self.db.transaction() as tx:
            for n in range(count):
                await notices.tell(tx, partner_id, "consent.withdrawn", {"n": n, **data})

    async def rows(self, sql: str, *args: Any) -> list[dict[str, Any]]:
        async with self.db.transaction(readonly=True) as tx:
            return [dict(row) for row in await tx.fetch(sql, *args)]

    async def told(self) -> list[dict[str, Any]]:
        """Every delivery but pings, oldest first."""
        return await self.rows(
            "SELECT * FROM delivery WHERE type <> $1 ORDER BY delivery_id", notices.PING
        )

    async def send(self, deliverer: Deliverer) -> int:
        """Send what is due, to the end."""
        done = 0
        while started := await deliverer.deliver():
            done += started
            await deliverer.drain()
        return done

    def wait(self, seconds: int) -> None:
        """Let time pass."""
        self.clock.advance(seconds=seconds)


@asynccontextmanager
async def a_deliverer(
    office: Office, policy: Policy = LOOPBACK, made: type[Deliverer] = Deliverer, **caller: Any
) -> AsyncGenerator[Deliverer]:
    """A worker's part that sends; its calls are ended with it."""
    deliverer = made(office.db, office.vault, office.clock, Caller(policy, **caller))
    try:
        yield deliverer
    finally:
        await deliverer.finish()


def an_office(db: Database, vault: Vault) -> Office:
    """An installation whose clock stands at the present: the library checks against its own."""
    return Office(db, vault, FixedClock(datetime.now(UTC) + timedelta(seconds=2)))
