"""What breadth costs: awarding a mix of all seven scenarios against metro trips alone.

    tanhui bench scenarios

Both passes run in one process on the same database with everything in force, alternating; the
months that home energy is compared with are recorded and decided beforehand, outside of the time.
"""

import json
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from statistics import median
from typing import Any
from zoneinfo import ZoneInfo

import uvloop

from backend import incentive, methodology
from backend.bench import pipeline
from backend.bench.scratch import Scratch, scratch
from backend.bench.stopwatch import quiet
from backend.demo.scenes import charge, stay

ZONE = ZoneInfo("Asia/Shanghai")
METRO, ENERGY = "transit.metro.trip", "energy.home.month"
UPLOAD_EVENTS = 1_000
APART = timedelta(hours=7)
"""Between two events of a person, so that no claim contradicts another."""

DataOf = Callable[[datetime], Mapping[str, Any]]


def run(n: int = 10_000, *, rounds: int = 5, citizen_count: int = 10_000) -> dict[str, Any]:
    """Award `n` events both ways; `ratio_seven_to_one` is time over time, at most 1.2 wanted."""
    with quiet():
        return uvloop.run(_run(n, rounds, citizen_count))


async def _run(n: int, rounds: int, citizen_count: int) -> dict[str, Any]:
    async with scratch() as ground:
        tokens = await pipeline.populate(ground, citizen_count)
        await _widen(ground)
        took: dict[str, list[float]] = {"one": [], "seven": []}
        for turn in range(rounds + 1):
            for name, kinds in (("one", [METRO]), ("seven", sorted(_DATA))):
                seconds = await _pass(ground, tokens, n, kinds)
                if turn > 0:  # the first round only warms caches
                    took[name].append(seconds)
    us = {name: median(each) / n * 1e6 for name, each in took.items()}
    return {
        "events": n,
        "load_average": os.getloadavg()[0],
        "us_per_event_one": round(us["one"], 1),
        "us_per_event_seven": round(us["seven"], 1),
        "ratio_seven_to_one": round(us["seven"] / us["one"], 3),
    }


async def _widen(ground: Scratch) -> None:
    """Every method and rule in force, everybody's consent to everything."""
    now = datetime.now(UTC)
    async with ground.db.transaction() as tx:
        for rule_id, version in incentive.shipped_rules():
            if rule_id != "metro-points" and version == 1:
                await pipeline.enact_rule(tx, now, rule_id)
        for (method_id, version), document in methodology.shipped_methods().items():
            if (method_id, version) != (METRO, 1):
                await pipeline.enact_method(tx, now, document)
    async with ground.owner.transaction() as tx:
        await tx.execute(
            "UPDATE consent SET given_at = date_trunc('second', now()) - interval '3 years'"
        )
        await tx.execute(
            """INSERT INTO consent (consent_id, citizen_id, partner_id, scenario, given_at)
               SELECT gen_random_uuid(), citizen_id, partner_id, kind, given_at
               FROM consent, unnest($1::text[]) AS kind""",
            sorted(_DATA.keys() - {METRO}),
        )
        await tx.execute("ANALYZE consent")


async def _pass(ground: Scratch, tokens: Sequence[str], n: int, kinds: Sequence[str]) -> float:
    """Record and award `n` events of these scenarios in turn; the seconds of awarding."""
    await pipeline.empty(ground)
    stem = secrets.token_hex(4)
    start = datetime.now(ZONE).replace(microsecond=0) - timedelta(days=3)
    events: list[dict[str, Any]] = []
    before: list[dict[str, Any]] = []
    for i in range(n):
        kind, token = kinds[i % len(kinds)], tokens[i % len(tokens)]
        ended = start + i // len(tokens) * APART + timedelta(seconds=i % 97)
        data = dict(_DATA[kind](ended))
        if kind == ENERGY:
            data["meter_ref"] = f"m-{stem}-{i}"
            last_year, ended = _month_ends(ended)
            old = {**data, **_month(last_year), "energy_wh": 260_000}
            before.append(_event(f"base-{stem}-{i}", kind, token, last_year, old))
            data |= _month(ended)
        events.append(_event(f"e-{stem}-{i}", kind, token, ended, data))
    if before:
        await pipeline.record(ground, _bodies(before))
        await pipeline.award(ground, len(before))
    await pipeline.record(ground, _bodies(events))
    seconds = await pipeline.award(ground, n)
    await _must_earn(ground, n)
    return seconds


async def _must_earn(ground: Scratch, n: int) -> None:
    async with ground.db.transaction(readonly=True) as tx:
        earned = await tx.fetchval("SELECT count(*) FROM decision WHERE state = 'awarded'")
    if earned != n:
        raise RuntimeError(f"{earned} of {n} events were awarded: the two passes do other work")


def _bodies(events: Sequence[dict[str, Any]]) -> list[bytes]:
    return [
        json.dumps(events[first : first + UPLOAD_EVENTS]).encode()
        for first in range(0, len(events), UPLOAD_EVENTS)
    ]


def _event(
    event_id: str, kind: str, token: str, ended: datetime, data: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": event_id,
        "source": "/bench",
        "type": kind,
        "time": ended.isoformat(),
        "subject": token,
        "data": dict(data),
    }


def _month_ends(at: datetime) -> tuple[datetime, datetime]:
    """The last seconds of last month, and of the same month a year before."""
    ended = datetime(at.year, at.month, 1, tzinfo=ZONE) - timedelta(seconds=1)
    after = date(ended.year - 1, ended.month, 28) + timedelta(days=4)
    return datetime(after.year, after.month, 1, tzinfo=ZONE) - timedelta(seconds=1), ended


def _month(ended: datetime) -> dict[str, Any]:
    return {"month": ended.strftime("%Y-%m"), "days": ended.day}


_DATA: dict[str, DataOf] = {
    METRO: lambda _: {"distance_m": 9_000},
    "transit.bus.trip": lambda _: {"trips": 1},
    "bike.shared.ride": lambda _: {"distance_m": 2_400, "duration_s": 720},
    "bike.electric.ride": lambda _: {"distance_m": 4_200, "duration_s": 840},
    "ev.charge.session": charge,
    "parking.shared.stay": stay,
    ENERGY: lambda _: {"energy_wh": 214_000, "estimated": False},
}
