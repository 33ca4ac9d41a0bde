"""What an event costs to record and award when more and more events are recorded already.

    tanhui bench growth

Batches of 10,000 trips are recorded and awarded one after another. The cost of an event after the
first batch is compared with that at the end: history, claims and counters of a person must be found
by index, however much there is.
"""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import uvloop

from backend.bench.pipeline import award, populate, quiet, record
from backend.bench.scratch import Scratch, scratch
from backend.kit.collector import settle_collector

BATCH_EVENTS = 10_000
UPLOAD_EVENTS = 1_000
DAYS = timedelta(days=28)
"""The people consented 30 days ago; what is reported lies within."""
COMPARED = 3
"""Batches at either end; the fastest of each counts, since a busy machine only slows."""


def run(n_max: int = 100_000, *, citizen_count: int = 5_000) -> dict[str, Any]:
    """Record and award `n_max` trips (at least 40,000); microseconds per event by number recorded.

    `ratio` is the last batches' cost per event over the first ones'.
    """
    batches = max(n_max // BATCH_EVENTS, COMPARED + 1)
    with quiet():
        costs = uvloop.run(_grow(batches, citizen_count))
    first, last = min(costs[1 : COMPARED + 1]), min(costs[-COMPARED:])
    return {
        "events": batches * BATCH_EVENTS,
        "people": citizen_count,
        "us_per_event": {
            str((i + 1) * BATCH_EVENTS): round(cost, 1)
            for i, cost in enumerate(costs)
            if i < COMPARED + 1 or i >= batches - COMPARED
        },
        "us_per_event_first": round(first, 1),
        "us_per_event_last": round(last, 1),
        "ratio": round(last / first, 2),
    }


async def _grow(batches: int, citizen_count: int) -> list[float]:
    settle_collector()  # as the worker does at its start
    start = datetime.now(UTC) - DAYS
    trips_each = -(-batches * BATCH_EVENTS // citizen_count)
    between = DAYS / (trips_each + 1)
    async with scratch() as ground:
        tokens = await populate(ground, citizen_count)
        return [await _batch(ground, tokens, batch, start, between) for batch in range(batches)]


async def _batch(
    ground: Scratch, tokens: list[str], batch: int, start: datetime, between: timedelta
) -> float:
    """Microseconds per event of one batch."""
    first = batch * BATCH_EVENTS
    bodies = [
        _body(tokens, at, at + UPLOAD_EVENTS, start, between)
        for at in range(first, first + BATCH_EVENTS, UPLOAD_EVENTS)
    ]
    seconds = await record(ground, bodies) + await award(ground, BATCH_EVENTS)
    return seconds / BATCH_EVENTS * 1e6


def _body(tokens: list[str], first: int, end: int, start: datetime, between: timedelta) -> bytes:
    """Trips as people make them: one after the other, none while another lasts."""
    events: list[dict[str, Any]] = []
    for i in range(first, end):
        trip, person = divmod(i, len(tokens))
        at = start + between * (trip + 1) + timedelta(seconds=person % 600)
        events.append(
            {
                "specversion": "1.0",
                "id": f"trip-{i:08d}",
                "source": f"/gate/{i % 97}",
                "type": "transit.metro.trip",
                "time": at.isoformat(timespec="seconds"),
                "subject": tokens[person],
                "data": {"distance_m": 2_000 + i % 30_000, "duration_s": 600 + i % 3_000},
            }
        )
    return json.dumps(events).encode()
