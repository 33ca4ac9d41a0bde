"""The events route over a real socket, as a partner meets it: uvicorn and plain HTTP clients."""

import asyncio
import gzip
import json
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from standardwebhooks.webhooks import Webhook

from backend import partner_api
from backend.kit.clock import SystemClock
from backend.kit.services import Services
from tests.doors.partner_door import BATCH, problem_of
from tests.evidence.builders import SECRET, Town, a_town, as_json, signed_headers

pytestmark = pytest.mark.sockets
MIB = 1024 * 1024


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[str]:
    """The app behind uvicorn on a free loopback port; its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
        running = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.should_exit = True
            await running


@pytest.fixture
async def services(db, vault, settings) -> Services:
    return Services(db=db, clock=SystemClock(), settings=settings, vault=vault)


@pytest.fixture
async def town(services: Services) -> Town:
    async with services.db.transaction() as tx:
        return await a_town(tx, services.vault, services.clock)


@pytest.fixture
async def address(services: Services, town: Town) -> AsyncIterator[str]:
    app = FastAPI()
    app.include_router(partner_api.router(services))
    async with serving(app) as base:
        yield f"{base}/partner/v1/metro"


async def test_library_and_plain_client(address: str, town: Town, services: Services) -> None:
    now = services.clock.now()
    body = json.dumps([town.event(time=now.isoformat(timespec="seconds"))])
    headers = {
        "content-type": "application/json",
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(SECRET).sign("msg_1", now.replace(tzinfo=None), body),
    }
    async with httpx.AsyncClient() as client:
        answer = await client.post(f"{address}/events", content=body, headers=headers)
    assert answer.status_code == 202, answer.text
    assert answer.json()["accepted"] == 1


async def test_body_of_100_mb_is_answered(address: str, services: Services) -> None:
    sent = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(100):
            sent += MIB
            yield bytes(MIB)

    headers = signed_headers(b"", services.clock.now(), content_type=BATCH)
    async with httpx.AsyncClient(timeout=60) as client:
        declared = headers | {"content-length": str(100 * MIB)}
        answer = await client.post(f"{address}/events", content=chunks(), headers=declared)
        assert problem_of(answer) == (413, "body-too-large")
        # In chunks the size is not known beforehand.
        answer = await client.post(f"{address}/events", content=chunks(), headers=headers)
        assert problem_of(answer) == (413, "body-too-large")
        # The connection, or a new one, goes on working.
        answer = await client.post(f"{address}/events", content=b"[", headers=headers)
        assert problem_of(answer) == (401, "bad-signature")


async def test_bomb_costs_little_time(address: str, services: Services) -> None:
    bomb = gzip.compress(bytes(500 * MIB), 9)
    headers = signed_headers(
        bomb, services.clock.now(), content_type=BATCH, content_encoding="gzip"
    )
    async with httpx.AsyncClient(timeout=60) as client:
        started = time.perf_counter()
        answer = await client.post(f"{address}/events", content=bomb, headers=headers)
        elapsed_s = time.perf_counter() - started
    assert problem_of(answer) == (413, "body-too-large")
    assert elapsed_s < 2


async def test_body_that_never_ends(
    address: str, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.partner_api.bodies.READ_TIMEOUT_S", 0.3)

    async def chunks() -> AsyncIterator[bytes]:
        yield b"["
        await asyncio.sleep(1)
        yield b"]"

    headers = signed_headers(b"[]", services.clock.now(), content_type=BATCH)
    async with httpx.AsyncClient() as client:
        answer = await client.post(f"{address}/events", content=chunks(), headers=headers)
    assert problem_of(answer) == (408, "body-too-slow")


async def test_escaped_slash_in_an_event_id(address: str, town: Town, services: Services) -> None:
    now = services.clock.now()
    body = as_json([town.event(id="a/b c", time=now.isoformat(timespec="seconds"))])
    async with httpx.AsyncClient() as client:
        headers = signed_headers(body, now, content_type=BATCH)
        recorded = await client.post(f"{address}/events", content=body, headers=headers)
        assert recorded.json()["accepted"] == 1, recorded.text
        headers = signed_headers(b"", now)
        answer = await client.get(f"{address}/events/a%2Fb%20c", headers=headers)
    assert answer.json()["event_id"] == "a/b c"
