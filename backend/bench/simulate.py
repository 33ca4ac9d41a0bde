"""Simulating a draft over awarded events, and how many decisions a table makes in a second.

tanhui bench simulate
"""

import asyncio
import json
import resource
import secrets
import time
from datetime import UTC, date, datetime, timedelta
from typing import Any

from backend import incentive
from backend.bench.pipeline import SCENARIO, award, populate, record
from backend.bench.scratch import Scratch, scratch
from backend.bench.stopwatch import quiet
from backend.flows.simulate_rule import simulate
from backend.kit import canonical

UPLOAD_EVENTS = 1_000


def run(events: int = 100_000, people: int = 10_000) -> dict[str, Any]:
    """Record and award `events` metro trips, then simulate another table over all of them.

    The draft reads a value that awards state, a counter, and has three caps; it runs beside the
    version in force. `seconds_per_million` is of the whole simulation, `own_cpu_share` how much of
    it was this process; the rest is the database.
    """
    with quiet():
        return asyncio.run(_run(events, people))


async def _run(events: int, people: int) -> dict[str, Any]:
    async with scratch() as ground:
        tokens = await populate(ground, people)
        bodies = [
            _body(tokens, first, min(first + UPLOAD_EVENTS, events))
            for first in range(0, events, UPLOAD_EVENTS)
        ]
        await record(ground, bodies)
        await award(ground, events)
        async with ground.owner.transaction() as tx:
            await tx.execute("ANALYZE evidence, evidence_body, decision, award")
        return await _simulated(ground, events)


async def _simulated(ground: Scratch, events: int) -> dict[str, Any]:
    today = datetime.now(UTC).date()
    began, cpu = time.perf_counter(), _cpu_s()
    found = await simulate(
        ground.db,
        ground.vault,
        incentive.read_rule(draft()),
        day_from=today - timedelta(days=3),
        day_to=today + timedelta(days=1),
    )
    took = time.perf_counter() - began
    if found.events + found.set_aside != events:
        raise RuntimeError(f"{found.events} of {events} events were simulated")
    return {
        "events": events,
        "people": len(found.draft.by_person),
        "events_per_s": round(events / took),
        "seconds_per_million": round(took / events * 1e6, 1),
        "own_cpu_share": round((_cpu_s() - cpu) / took, 2),
    }


def draft() -> bytes:
    """The shipped metro rule as a draft with other tiers, a counter and a week's cap."""
    document = json.loads(incentive.shipped_rules()["metro-points", 1])
    document |= {
        "format": "tanhui-rule-v2",
        "version": 2,
        "day_from": date(2026, 1, 1).isoformat(),
        "rows": [
            {"id": "first-of-day", "when": "awards_day == 0", "points": "5"},
            {"id": "far", "when": "distance_m >= 10000", "points": "reduction_mg / mg_per_point"},
            {"id": "near", "when": "true", "points": "1"},
        ],
        "caps": [
            {"name": "每日", "window": "day", "limit": 60, "of": None},
            {"name": "每周", "window": "week", "limit": 200, "of": None},
            {"name": "地铁每年", "window": "year", "limit": 9000, "of": {"scenario": [SCENARIO]}},
        ],
    }
    document["needs"]["counters"] = {"awards_day": "int"}
    return canonical.dumps(document)


def _body(tokens: list[str], first: int, end: int) -> bytes:
    start = datetime.now(UTC) - timedelta(hours=20)
    stem = secrets.token_hex(4)
    events = [
        {
            "specversion": "1.0",
            "id": f"trip-{stem}-{n:07d}",
            "source": f"/gate/{n % 97}",
            "type": SCENARIO,
            "time": (start + timedelta(seconds=n % 70_000)).isoformat(timespec="seconds"),
            "subject": tokens[n % len(tokens)],
            "data": {"distance_m": 2_000 + n % 30_000, "duration_s": 600 + n % 3_000},
        }
        for n in range(first, end)
    ]
    return json.dumps(events).encode()


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
