"""What a citizen waits: wallet, first page of activities, redemption, while the books grow.

    tanhui bench miniapp

People and movements are written by the product's own path (recorded, awarded). Then requests arrive
at a fixed rate, whether or not earlier ones are answered; the time from arrival to answer is what
counts. One process is client and application at once, so it carries less than one that only serves.
`ratio` is the CPU time of a request with all movements over that with the first: flat is about 1.
"""

import asyncio
import json
import secrets
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any

import httpx
import uvloop

from backend import citizens
from backend.app import create_app
from backend.bench.pipeline import award, populate, record
from backend.bench.scratch import Scratch, scratch
from backend.bench.stopwatch import quiet
from backend.chain import ChainClient
from backend.kit.clock import SystemClock, city_day
from backend.kit.services import Services
from backend.kit.settings import Settings
from backend.rewards import Reward, catalogue

UPLOAD_EVENTS = 1_000
READS_PER_S = 200
REDEMPTIONS_PER_S = 50
PHONES = 200
DAYS = timedelta(days=28)

Ask = Callable[[int], Awaitable[httpx.Response]]


def run(n_max: int = 100_000, *, n_first: int = 10_000, seconds: int = 5) -> dict[str, Any]:
    """Milliseconds from arrival to answer with `n_first` movements and with `n_max`."""
    with quiet():
        return uvloop.run(_run(n_max, n_first, seconds))


async def _run(n_max: int, n_first: int, seconds: int) -> dict[str, Any]:
    async with scratch() as ground:
        tokens = await populate(ground, n_max // 10)
        await _grow(ground, tokens, 0, n_first)
        bed = await _bed(ground)
        try:
            first = await _measure(bed, seconds)
            await _grow(ground, tokens, n_first, n_max)
            last = await _measure(bed, seconds)
            redeemed = await _arrive(bed.redeem, REDEMPTIONS_PER_S, seconds)
        finally:
            await bed.close()
    return {
        "people": n_max // 10,
        "movements": {"first": n_first, "last": n_max},
        "reads_per_s": READS_PER_S,
        "first": first,
        "last": last,
        "ratio": {name: round(last[name]["cpu_ms"] / first[name]["cpu_ms"], 2) for name in first},
        "redemptions_per_s": REDEMPTIONS_PER_S,
        "redemption": redeemed,
    }


async def _grow(ground: Scratch, tokens: list[str], first: int, end: int) -> None:
    """Trips as people make them, recorded and awarded."""
    start = datetime.now(UTC) - DAYS
    between = DAYS / (end // len(tokens) + 2)
    for at in range(first, end, 10 * UPLOAD_EVENTS):
        stop = min(at + 10 * UPLOAD_EVENTS, end)
        bodies = [
            _body(tokens, low, min(low + UPLOAD_EVENTS, stop), start, between)
            for low in range(at, stop, UPLOAD_EVENTS)
        ]
        await record(ground, bodies)
        await award(ground, stop - at)


def _body(tokens: list[str], first: int, end: int, start: datetime, between: timedelta) -> bytes:
    events: list[dict[str, Any]] = []
    for i in range(first, end):
        trip, person = divmod(i, len(tokens))
        at = start + between * (trip + 1) + timedelta(seconds=person % 600)
        events.append(
            {
                "specversion": "1.0",
                "id": f"ride-{i:08d}",
                "source": f"/gate/{i % 97}",
                "type": "transit.metro.trip",
                "time": at.isoformat(timespec="seconds"),
                "subject": tokens[person],
                "data": {"distance_m": 9_000 + i % 20_000, "duration_s": 600 + i % 3_000},
            }
        )
    return json.dumps(events).encode()


class _Bed:
    """The application over the scratch database, and people who are signed in."""

    def __init__(self, http: httpx.AsyncClient, client: ChainClient, bearers: list[str]) -> None:
        self._http, self._client, self._bearers = http, client, bearers

    async def close(self) -> None:
        await self._http.aclose()
        await self._client.close()

    async def wallet(self, n: int) -> httpx.Response:
        return await self._http.get("/points", headers=self._as(n))

    async def activities(self, n: int) -> httpx.Response:
        return await self._http.get("/activities?limit=20", headers=self._as(n))

    async def redeem(self, n: int) -> httpx.Response:
        headers = self._as(n) | {"idempotency-key": secrets.token_hex(8)}
        return await self._http.post("/redemptions", json={"reward_id": "ticket"}, headers=headers)

    def _as(self, n: int) -> dict[str, str]:
        return {"authorization": f"Bearer {self._bearers[n % len(self._bearers)]}"}


async def _bed(ground: Scratch) -> _Bed:
    settings = Settings(profile="test", var=ground.keys_dir.parent, calls_per_person_min=1_000_000)
    clock = SystemClock()
    services = Services(ground.db, ground.vault, clock, settings)
    async with ground.db.transaction() as tx:
        ticket = Reward(
            reward_id="ticket",
            name="票",
            kind="transit",
            supplier="sandbox",
            points_class="carbon",
            price_points=1,
            face_fen=None,
            stock=1_000_000,
            per_person=None,
            valid_days=None,
            terms="",
            day_from=city_day(clock.now(), settings.city_tz),
            day_to=None,
            refundable=False,
        )
        await catalogue.offer(tx, ticket, clock.now())
        people = await tx.fetch(
            "SELECT citizen_id FROM citizen ORDER BY citizen_id LIMIT $1", PHONES
        )
        bearers = [
            (await citizens.logins.open_login(tx, row["citizen_id"], clock)).access_token
            for row in people
        ]
    client = ChainClient("http://127.0.0.1:9")
    transport = httpx.ASGITransport(app=create_app(services=services, client=client))
    http = httpx.AsyncClient(transport=transport, base_url="http://city/miniapp/v1", timeout=60)
    return _Bed(http, client, bearers)


async def _measure(bed: _Bed, seconds: int) -> dict[str, dict[str, float]]:
    return {
        "wallet": await _arrive(bed.wallet, READS_PER_S, seconds),
        "activities": await _arrive(bed.activities, READS_PER_S, seconds),
    }


async def _arrive(ask: Ask, per_s: int, seconds: int) -> dict[str, float]:
    """Requests at a fixed rate: latencies in ms, and this process's CPU time for each."""
    for n in range(20):
        (await ask(n)).raise_for_status()
    waits_s: list[float] = []
    started_s, cpu_s = time.perf_counter(), time.process_time()

    async def one(n: int, due_s: float) -> None:
        (await ask(n)).raise_for_status()
        waits_s.append(time.perf_counter() - due_s)

    async with asyncio.TaskGroup() as group:
        for n in range(per_s * seconds):
            due_s = started_s + n / per_s
            await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
            group.create_task(one(n, due_s))
    spent_s = time.process_time() - cpu_s
    ordered = sorted(waits_s)
    return {
        "p50_ms": round(median(ordered) * 1e3, 2),
        "p99_ms": round(ordered[len(ordered) * 99 // 100] * 1e3, 2),
        "cpu_ms": round(spent_s / len(ordered) * 1e3, 3),
    }
