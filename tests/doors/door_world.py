"""The whole application over ASGI on a real database, with a chain client that is away or real."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
from fastapi import FastAPI

from backend import partners
from backend.app import create_app
from backend.chain import ChainClient
from backend.flows.award_points import award_once
from backend.flows.seal_log import seal_once
from backend.kit.db import Database, Tx
from backend.kit.ids import new_id
from backend.kit.services import Services
from tests.flows.award_world import SCENARIO, World, trip

AWAY = "http://127.0.0.1:9"
"""An address where nothing answers (the discard port)."""


@dataclass
class City:
    """The application, its services, and people who can sign in."""

    app: FastAPI
    http: httpx.AsyncClient
    services: Services
    world: World

    @property
    def db(self) -> Database:
        return self.services.db

    async def sign_in(self, name: str) -> "Phone":
        """A citizen's phone, signed in through the door."""
        code = f"{name}-{secrets.token_hex(4)}"
        answer = await self.http.post(
            "/miniapp/v1/login", json={"provider": "sandbox", "code": code}
        )
        assert answer.status_code == 200, answer.text
        return Phone(self.http, answer.json())

    async def person(self, number: int) -> "Phone":
        """The phone of one of the world's people (named p0, p1, …)."""
        return await self.sign_in(f"p{number}")

    async def trips(self, *trips: dict[str, Any]) -> list[UUID]:
        """Record these trips, then award whatever waits."""
        ids = await self.world.record(*trips) if trips else []
        await award_once(self.db, self.services.vault, self.services.clock)
        return ids

    async def seal(self) -> int:
        """Seal what waits."""
        services = self.services
        return await seal_once(self.db, services.vault, services.settings, services.clock)

    async def anchored(self, size: int) -> None:
        """Plant a final anchor over `size` leaves."""
        async with self.db.transaction() as tx:
            tx_id = await _planted_tx(tx, "anchor", str(size))
            await tx.execute(
                """INSERT INTO anchor (size, root, tx_id, tx_hash, block, block_hash, created_at,
                                       final_at)
                   SELECT $1, root, $2, $3, 7, $3, now(), now() FROM checkpoint WHERE size = $1""",
                size,
                tx_id,
                bytes(32),
            )

    async def posted(self, leaf_from: int, leaf_to: int) -> None:
        """Plant a settled cut over [leaf_from, leaf_to)."""
        async with self.db.transaction() as tx:
            await tx.execute(
                "INSERT INTO post_cut (leaf_from, leaf_to, cut_at, settled_at)"
                " VALUES ($1, $2, now(), now())",
                leaf_from,
                leaf_to,
            )


class Phone:
    """Requests with a citizen's token."""

    def __init__(self, http: httpx.AsyncClient, tokens: dict[str, str]) -> None:
        self._http = http
        self.tokens = tokens

    async def call(
        self, method: str, path: str, *, key: str | None = None, **options: Any
    ) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.tokens['access_token']}"}
        if key is not None:
            headers["idempotency-key"] = key
        return await self._http.request(method, f"/miniapp/v1{path}", headers=headers, **options)

    async def get(self, path: str) -> Any:
        answer = await self.call("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def consent(self, **options: Any) -> httpx.Response:
        body = {"partner_id": "metro", "scenario": SCENARIO}
        return await self.call("POST", "/consents", json=body, **options)


async def _planted_tx(tx: Tx, purpose: str, ref: str) -> UUID:
    lane, tx_id = "0x" + "aa" * 20, new_id()
    await tx.execute(
        "INSERT INTO chain_lane (lane, next_nonce) VALUES ($1, 0) ON CONFLICT DO NOTHING", lane
    )
    await tx.execute(
        """INSERT INTO chain_tx (tx_id, lane, nonce, purpose, ref, to_address, raw, tx_hash, state,
                                 block, created_at, settled_at)
           SELECT $1, $2, count(*), $3, $4, $5, '', $6, 'final', 7, now(), now() FROM chain_tx""",
        tx_id,
        lane,
        purpose,
        ref,
        "0x" + "bb" * 20,
        tx_id.bytes * 2,
    )
    return tx_id


@asynccontextmanager
async def open_city(
    services: Services, *, rpc_url: str = AWAY, enacted: bool = True
) -> AsyncIterator[City]:
    """The application with a partner, a programme in force and two people."""
    world = World(services.db, services.vault, services.clock)  # type: ignore[arg-type]
    async with services.db.transaction() as tx:
        await partners.register_partner(
            tx,
            "metro",
            "示范地铁",
            required_scheme="v1",
            scenarios=[SCENARIO],
            now=services.clock.now(),
        )
    if enacted:
        await world.enact()
    async with ChainClient(rpc_url, timeout_s=5) as client:
        app = create_app(services=services, client=client)
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://city") as http:
            yield City(app, http, services, world)


__all__ = ["City", "Phone", "open_city", "trip"]
