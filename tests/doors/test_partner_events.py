"""The events route over HTTP: what a partner's client sees."""

import json
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from standardwebhooks.webhooks import Webhook

from backend import partner_api
from backend.kit.services import Services
from tests.evidence.builders import SECRET, Town, a_town, an_event, as_json, signed_headers

JSON = "application/cloudevents-batch+json"


class Door:
    """The door under test, with a signing client of the partner `metro`."""

    def __init__(self, client: httpx.AsyncClient, services: Services, town: Town) -> None:
        self.client = client
        self.services = services
        self.town = town

    async def post(self, events: Any, *, body: bytes | None = None, **options: Any) -> httpx.Response:
        """Sign and send; `events` is what the body holds unless `body` gives its bytes."""
        body = as_json(events) if body is None else body
        headers = signed_headers(body, self.services.clock.now(), **options)
        headers = {"content-type": JSON} | headers
        return await self.client.post(
            f"/partner/v1/{self.town.partner_id}/events", content=body, headers=headers
        )

    async def get(self, path: str, **options: Any) -> httpx.Response:
        """A signed question."""
        headers = signed_headers(b"", self.services.clock.now(), **options)
        return await self.client.get(f"/partner/v1/{self.town.partner_id}{path}", headers=headers)


@pytest.fixture
async def door(db, vault, clock, settings) -> AsyncIterator[Door]:
    services = Services(db=db, clock=clock, settings=settings, vault=vault)
    async with db.transaction() as tx:
        town = await a_town(tx, vault, clock)
    app = FastAPI()
    app.include_router(partner_api.router(services))
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://door") as client:
        yield Door(client, services, town)


async def test_first_event_is_recorded(door: Door) -> None:
    answer = await door.post([door.town.event()])
    assert answer.status_code == 202, answer.text
    document = answer.json()
    assert document["accepted"] == 1
    assert document["duplicates"] == 0
    assert document["rejected"] == []
    assert document["events"][0]["event_id"] == "t-1"
    assert document["events"][0]["state"] == "recorded"
