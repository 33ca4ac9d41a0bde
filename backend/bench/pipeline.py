"""evidence → award → posting, against a raw COPY of the same rows and a per-row ORM version.

    tanhui bench pipeline

Measured in alternating passes on emptied tables, medians compared: the awards; one COPY of the
evidence rows they start from; one COPY of the rows they write. Then the same awards made one row at
a time by an ORM.
"""

import json
import os
import secrets
import time
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from statistics import median
from typing import Any

import uvloop

from backend import citizens, evidence, incentive, ledger, methodology
from backend.bench import pipeline_orm
from backend.bench.scratch import Scratch, scratch
from backend.bench.stopwatch import Stage, quiet, stopwatches
from backend.flows import award_points
from backend.flows.record_events import Terms, record_events
from backend.kit.clock import SystemClock
from backend.kit.db import Tx
from backend.kit.ids import new_ids
from backend.kit.sm import sm3
from backend.partners import Partner, SignedRequest

PARTNER = "metro"
SCENARIO = "transit.metro.trip"
UPLOAD_EVENTS = 1_000

TABLES = (
    "evidence",
    "evidence_body",
    "decision",
    "claim",
    "award",
    "counter",
    "unsealed",
    "transfer",
    "posting",
    "lot",
    "balance",
)
"""Every table with a row for each event or person, in the order in which they are written."""

_EMPTIED = ", ".join(
    (
        *(*TABLES, "upload", "rejection", "outbox", "reading"),
        *("correction", "supersession", "award_release"),
    )
)

_STAGES: tuple[Stage, ...] = (
    (evidence, "load_upload", "load_and_decrypt"),
    (methodology, "quantify", "quantify"),
    (incentive, "apply_rule", "rule"),
    (award_points, "lock_people", "lock_people"),
    (citizens, "standing_since", "consent"),
    (evidence, "states_of", "states"),
    (incentive, "read_counters", "read_counters"),
    (award_points, "settle_claims", "settle_claims"),
    (evidence, "chains_of", "chains"),
    (evidence, "decide", "write_decisions"),
    (evidence, "store_claims", "write_claims"),
    (incentive, "store_awards", "write_awards"),
    (incentive, "write_counters", "write_counters"),
    (citizens, "accounts_of", "accounts"),
    (ledger, "award_points", "write_ledger"),
)


def run(
    n: int = 10_000, *, rounds: int = 5, orm_rows: int = 200, citizen_count: int = 5_000
) -> dict[str, Any]:
    """Record and award `n` trips; figures and ratios as a document.

    `ratio_to_copy` is the time of a COPY of the rows that awarding writes (decision, award,
    counter, transfer, posting, lot, balance, unsealed) over the time from recorded evidence to the
    commit of those rows. The stricter yardsticks: `ratio_to_copy_of_events` takes a COPY of
    nothing but the evidence and body rows that the awards start from;
    `ratio_to_copy_with_recording` is a COPY of every row over recording and awarding together.
    `ratio_to_orm` is awarding over the per-row ORM version of it.
    """
    with quiet():
        return uvloop.run(_run(n, rounds, orm_rows, citizen_count))


async def _run(n: int, rounds: int, orm_rows: int, citizen_count: int) -> dict[str, Any]:
    async with scratch() as ground:
        tokens = await populate(ground, citizen_count)
        figures = await _compare(ground, tokens, n, rounds)
        await empty(ground)
        await _record(ground, tokens, orm_rows)
        orm_s = await pipeline_orm.award_per_row(ground)
        orm_us = orm_s / orm_rows * 1e6
        figures["orm_us_per_event"] = round(orm_us)
        figures["ratio_to_orm"] = round(orm_us / figures["us_per_event"], 1)
        return figures


async def _compare(ground: Scratch, tokens: list[str], n: int, rounds: int) -> dict[str, Any]:
    seconds: defaultdict[str, list[float]] = defaultdict(list)
    for turn in range(rounds + 1):
        await empty(ground)
        record_s = await _record(ground, tokens, n)
        award_s = await award(ground, n)
        written = await _rows(ground)
        await empty(ground)
        copy_events_s = await _copy(ground, {name: written[name] for name in TABLES[:2]})
        copy_awards_s = await _copy(ground, {name: written[name] for name in TABLES[2:]})
        if turn > 0:  # the first round only warms caches
            seconds["record"].append(record_s)
            seconds["award"].append(award_s)
            seconds["copy_events"].append(copy_events_s)
            seconds["copy_awards"].append(copy_awards_s)
    # The watches themselves cost a few microseconds an event: stages have passes of their own.
    watched_s: list[float] = []
    stage_s: defaultdict[str, list[float]] = defaultdict(list)
    for _ in range(3):
        await empty(ground)
        await _record(ground, tokens, n)
        stages: defaultdict[str, float] = defaultdict(float)
        with stopwatches(_STAGES, stages):
            watched_s.append(await award(ground, n))
        for name, elapsed in stages.items():
            stage_s[name].append(elapsed)
    took = {name: median(each) for name, each in seconds.items()}
    us = {name: round(median(each) / n * 1e6, 2) for name, each in stage_s.items()}
    us["rest_and_commit"] = round(median(watched_s) / n * 1e6 - sum(us.values()), 2)
    both = took["record"] + took["award"]
    return {
        "events": n,
        "people": len(tokens),
        "load_average": os.getloadavg()[0],
        "events_per_s": round(n / took["award"]),
        "copy_of_awards_events_per_s": round(n / took["copy_awards"]),
        "copy_of_events_events_per_s": round(n / took["copy_events"]),
        "ratio_to_copy": round(took["copy_awards"] / took["award"], 3),
        "ratio_to_copy_of_events": round(took["copy_events"] / took["award"], 3),
        "ratio_to_copy_with_recording": round(
            (took["copy_events"] + took["copy_awards"]) / both, 3
        ),
        "us_per_event": round(took["award"] / n * 1e6, 1),
        "us_per_event_recording": round(took["record"] / n * 1e6, 1),
        "us_per_event_by_stage": us,
    }


async def award(ground: Scratch, n: int) -> float:
    """Award `n` recorded trips; the seconds it took."""
    clock = SystemClock()
    awarded = 0
    start = time.perf_counter()
    while awarded < n:
        counts = await award_points.award_once(ground.db, ground.vault, clock)
        if counts.items == 0:
            raise RuntimeError(f"{awarded} of {n} events were decided")
        awarded += counts.events
    return time.perf_counter() - start


async def _record(ground: Scratch, tokens: list[str], n: int) -> float:
    return await record(
        ground,
        [
            _body(tokens, first, min(first + UPLOAD_EVENTS, n))
            for first in range(0, n, UPLOAD_EVENTS)
        ],
    )


async def record(ground: Scratch, bodies: list[bytes]) -> float:
    """Record uploads one after another; the seconds it took."""
    known = methodology.scenarios()
    terms = Terms.of(known, city_tz="Asia/Shanghai", production=False)
    partner = Partner(PARTNER, PARTNER, "v1s2", frozenset(known), replay=False, keys=())
    clock = SystemClock()
    start = time.perf_counter()
    for body in bodies:
        request = SignedRequest(PARTNER, secrets.token_hex(8), "v1s2", "key-1")
        await record_events(
            ground.db, ground.vault, clock, terms, partner, request, sent=body, data=body
        )
    return time.perf_counter() - start


def _body(tokens: list[str], first: int, end: int) -> bytes:
    start = datetime.now(UTC) - timedelta(hours=20)
    stem = secrets.token_hex(4)
    events = [
        {
            "specversion": "1.0",
            "id": f"trip-{stem}-{i:07d}",
            "source": f"/gate/{i % 97}",
            "type": SCENARIO,
            "time": (start + timedelta(seconds=i % 70_000)).isoformat(timespec="seconds"),
            "subject": tokens[i % len(tokens)],
            "data": {"distance_m": 2_000 + i % 30_000, "duration_s": 600 + i % 3_000},
        }
        for i in range(first, end)
    ]
    return json.dumps(events).encode()


async def _rows(ground: Scratch) -> dict[str, tuple[list[str], list[tuple[Any, ...]]]]:
    """Columns and rows of every table, as COPY takes them."""
    found: dict[str, tuple[list[str], list[tuple[Any, ...]]]] = {}
    async with ground.db.transaction(readonly=True) as tx:
        for name in TABLES:
            rows = await tx.fetch(f"SELECT * FROM {name}")  # noqa: S608 - constants only
            columns = list(rows[0].keys())
            found[name] = columns, [tuple(row.values()) for row in rows]
    return found


async def _copy(
    ground: Scratch, written: dict[str, tuple[list[str], list[tuple[Any, ...]]]]
) -> float:
    start = time.perf_counter()
    async with ground.db.transaction() as tx:
        for name, (columns, rows) in written.items():
            await tx.copy(name, columns, rows)
    return time.perf_counter() - start


async def empty(ground: Scratch) -> None:
    """Remove what recording and awarding wrote; people, consents and rules stay."""
    async with ground.owner.transaction() as tx:
        await tx.execute(f"TRUNCATE {_EMPTIED}")


async def populate(ground: Scratch, citizen_count: int) -> list[str]:
    """People who consented and are bound, and a programme in force; their binding tokens."""
    now = datetime.now(UTC)
    ids = new_ids(citizen_count)
    tokens = [secrets.token_urlsafe(32) for _ in ids]
    given_at = now.replace(microsecond=0) - timedelta(days=30)
    async with ground.db.transaction() as tx:
        await tx.copy(
            "citizen",
            ["citizen_id", "provider", "provider_ref_hash", "created_at"],
            [(i, "bench", sm3(i.bytes), now) for i in ids],
        )
        await tx.copy(
            "citizen_account",
            ["citizen_id", "class", "account"],
            [(i, "carbon", sm3(i.bytes)[:20]) for i in ids],
        )
        await tx.copy(
            "binding",
            ["binding_id", "partner_id", "citizen_id", "token_hash", "user_ref_hash", "created_at"],
            [
                (i, PARTNER, i, sm3(token.encode()), sm3(b"ref" + token.encode()), now)
                for i, token in zip(ids, tokens, strict=True)
            ],
        )
        await tx.copy(
            "consent",
            ["consent_id", "citizen_id", "partner_id", "scenario", "given_at"],
            [(i, i, PARTNER, SCENARIO, given_at) for i in ids],
        )
        await enact_method(tx, now, methodology.shipped_methods()[SCENARIO, 1])
        await enact_rule(tx, now, "metro-points")
    async with ground.owner.transaction() as tx:
        await tx.execute("ANALYZE citizen, citizen_account, binding, consent")
    return tokens


async def enact_method(tx: Tx, now: datetime, document: bytes) -> None:
    """Put a method in force without officials."""
    published = await methodology.publish(tx, document, now)
    await methodology.enact(tx, published.id, published.version, now)


async def enact_rule(tx: Tx, now: datetime, rule_id: str) -> None:
    """Put a shipped rule in force, with its programme and a budget beyond need."""
    document = incentive.shipped_rules()[rule_id, 1]
    rule = incentive.read_rule(document)
    await incentive.create_programme(
        tx,
        incentive.Programme(
            programme_id=rule.programme,
            name="bench",
            points_class=rule.points_class,
            day_from=date(2026, 1, 1),
            day_to=None,
            budget_period="total",
            expiry_months=24,
        ),
        now,
    )
    await incentive.publish(tx, document, now)
    await incentive.set_status(tx, rule.id, rule.version, "enacted", now)
    await incentive.set_envelope(tx, (rule.programme, "total"), 10**12)
