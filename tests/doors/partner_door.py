"""The partners' door under test: an ASGI client that signs as the partner `metro`."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from fastapi import FastAPI

from backend import partner_api
from backend.kit.services import Services
from tests.evidence.builders import Town, a_town, as_json, signed_headers

BATCH = "application/cloudevents-batch+json"


@dataclass
class Door:
    """What a test holds: the client, the open tools behind the door, and the town it serves."""

    client: httpx.AsyncClient
    services: Services
    town: Town

    async def post(
        self,
        events: Any = None,
        *,
        body: bytes | None = None,
        path: str = "/events",
        **options: Any,
    ) -> httpx.Response:
        """Sign and send `events`, or the bytes of `body`; `options` go to `signed_headers`."""
        body = as_json(events) if body is None else body
        headers = {"content-type": BATCH} | signed_headers(
            body, self.services.clock.now(), **options
        )
        return await self.send(body, headers, path=path)

    async def send(
        self, body: bytes, headers: dict[str, str], *, path: str = "/events"
    ) -> httpx.Response:
        """Send bytes with exactly these headers."""
        return await self.client.post(
            f"/partner/v1/{self.town.partner_id}{path}", content=body, headers=headers
        )

    async def get(self, path: str, **options: Any) -> httpx.Response:
        """A signed question."""
        headers = signed_headers(b"", self.services.clock.now(), **options)
        return await self.client.get(f"/partner/v1/{self.town.partner_id}{path}", headers=headers)

    async def count(self, table: str) -> int:
        """Rows of a table."""
        async with self.services.db.transaction(readonly=True) as tx:
            return await tx.fetchval(f"SELECT count(*) FROM {table}")


@asynccontextmanager
async def open_door(
    services: Services, *, gate: partner_api.Gate | None = None, **town: Any
) -> AsyncGenerator[Door]:
    """Populate a town and open the door for it."""
    async with services.db.transaction() as tx:
        made = await a_town(tx, services.vault, services.clock, **town)
    app = FastAPI()
    app.include_router(partner_api.router(services, gate=gate))
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://door") as client:
        yield Door(client, services, made)


def problem_of(answer: httpx.Response) -> tuple[int, str]:
    """(status, name) of a problem document, after checking that it is one."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    document = answer.json()
    assert document["status"] == answer.status_code
    assert document["title"].isascii()
    assert not document["detail"].isascii()
    return answer.status_code, document["type"].rsplit("/", 1)[1]


def reasons_of(answer: httpx.Response) -> dict[int, str]:
    """Problems of the rejected events of a 202, by index."""
    assert answer.status_code == 202, answer.text
    return {one["index"]: one["problem"] for one in answer.json()["rejected"]}
