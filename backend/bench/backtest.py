"""Backtesting a method over stored evidence: seconds for a million events."""

import asyncio
import json
import resource
import time
from datetime import UTC, date, datetime, timedelta
from typing import Any

from backend import evidence, methodology
from backend.bench.scratch import Scratch, scratch
from backend.evidence import Accepted, Decision, Upload
from backend.flows.backtest_method import backtest
from backend.kit.ids import new_id, new_ids

UPLOAD_EVENTS = 2_000
SCENARIO = "transit.metro.trip"
FIRST_DAY = datetime(2026, 10, 1, tzinfo=UTC)
DAYS = 30
CANDIDATE = (SCENARIO, 2)
DECIDED_BY = (SCENARIO, 1)


def run(events: int = 100_000) -> dict[str, Any]:
    """Store and decide `events` metro trips, then backtest another method version over all.

    `seconds_per_million` is of the whole backtest, `own_cpu_share` how much of it was this
    process; the rest is the database.
    """
    return asyncio.run(_run(events))


async def _run(events: int) -> dict[str, Any]:
    method = methodology.read_method(methodology.shipped_methods()[CANDIDATE])
    async with scratch() as ground:
        for first in range(0, events, UPLOAD_EVENTS):
            await _store(ground, first, min(UPLOAD_EVENTS, events - first))
        async with ground.owner.transaction() as tx:
            await tx.execute("ANALYZE evidence, evidence_body, decision")
        began, cpu = time.perf_counter(), _cpu_s()
        found = await backtest(
            ground.db, ground.vault, method, day_from=date(2026, 1, 1), day_to=date(2026, 12, 31)
        )
        took = time.perf_counter() - began
        tally = found.by_scenario[SCENARIO]
        if (found.events, tally.changed) != (events, events):
            raise RuntimeError(f"{found.events} of {events} events were compared")
        return {
            "events": events,
            "events_per_s": round(events / took),
            "seconds_per_million": round(took / events * 1e6, 1),
            "own_cpu_share": round((_cpu_s() - cpu) / took, 2),
        }


async def _store(ground: Scratch, first: int, count: int) -> None:
    method = methodology.read_method(methodology.shipped_methods()[DECIDED_BY])
    read = evidence.read_upload(
        "metro", _body(first, count), {}, city_tz="Asia/Shanghai", replay_allowed=False
    )
    now = datetime.now(UTC)
    upload = Upload(
        upload_id=new_id(),
        partner_id="metro",
        webhook_id=str(new_id()),
        request_digest=bytes(32),
        scheme="v1s2",
        key_id="k",
        origin="signed-upload",
        received_at=now,
        event_count=count,
    )
    person = new_id()
    accepted = [
        Accepted(evidence_id, event, person, "L3")
        for evidence_id, event in zip(new_ids(count), read.events, strict=True)
    ]
    decisions: list[Decision] = []
    for one in accepted:
        quantity = methodology.quantify(method, json.loads(one.event.canonical)["data"])
        if isinstance(quantity, methodology.Refused):
            raise TypeError(quantity.reason)
        decisions.append(
            Decision(one.evidence_id, "awarded", None, *DECIDED_BY, quantity.reduction_mg, now)
        )
    async with ground.db.transaction() as tx:
        await evidence.store_events(tx, ground.vault, upload, accepted)
        await evidence.store_upload(tx, upload, accepted, [], b"{}")
        await evidence.decide(tx, decisions)


def _body(first: int, count: int) -> bytes:
    events = [
        {
            "specversion": "1.0",
            "id": f"trip-{n:08d}",
            "source": f"/gate/{n % 97}",
            "type": SCENARIO,
            "time": (FIRST_DAY + timedelta(seconds=n % (DAYS * 86_400))).isoformat(),
            "subject": "b",
            "data": {"distance_m": 2_000 + n % 30_000, "duration_s": 600 + n % 3_000},
        }
        for n in range(first, first + count)
    ]
    return json.dumps(events).encode()


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
