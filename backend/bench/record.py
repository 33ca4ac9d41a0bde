"""Recording against two yardsticks: a raw COPY of the same rows, and a per-row ORM version.

    tanhui bench record

The ratio to COPY says how much of the database's own speed is left after signature, canonical
JSON, digests, identity, consent, encryption and the stored answer. COPY in text format, one for
each of the two tables in one commit, is the yardstick; the driver's binary COPY is shown beside it.
Passes alternate (A-B-C-A-B-C) on tables that are emptied before each, and medians are compared, so
that a busy machine slows all of them. Recording is measured in one process and in two, as `tanhui
serve --workers 2` runs it: Python takes more of an event's time than the database does.
"""

import asyncio
import base64
import hashlib
import hmac
import io
import json
import os
import secrets
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any, cast

import asyncpg  # pyright: ignore[reportMissingTypeStubs]
import uvloop

from backend import citizens, evidence, partners
from backend.bench import record_orm
from backend.bench.record_workers import Crew, crew
from backend.bench.scratch import Scratch, scratch
from backend.bench.stopwatch import Stage, quiet, stopwatches
from backend.flows.record_events import Terms, record_events
from backend.kit.clock import SystemClock
from backend.kit.db import Database
from backend.kit.ids import new_ids
from backend.kit.sm import sm3
from backend.kit.vault import Vault
from backend.methodology import scenarios

PARTNER = "metro"
SCENARIO = "transit.metro.trip"
KEY = bytes(range(32))
RUNNING_MAX = 4
"""Uploads recorded at once: as many as the door admits."""
UPLOAD_SIZES = (1_000, 2_000)
"""Events of an upload: a usual one, and the largest the door takes."""

_STAGES: tuple[Stage, ...] = (
    (partners, "load_partner", "partner"),
    (partners, "verify_request", "signature"),
    (evidence, "read_upload", "decode_digest_shape"),
    (evidence, "stored_answer", "webhook_id"),
    (evidence, "recorded_identities", "identity"),
    (citizens, "reporters_of", "subject_and_consent"),
    (evidence, "store_events", "encrypt_and_copy"),
    (evidence, "store_upload", "answer_stored"),
)


@dataclass(frozen=True, slots=True)
class _Request:
    headers: dict[str, str]
    body: bytes
    count: int


def run(
    n: int = 10_000, *, rounds: int = 5, orm_rows: int = 300, citizen_count: int = 2_000
) -> dict[str, Any]:
    """Record `n` events in uploads of 1,000 and of 2,000; figures and ratios as a document.

    `ratio_to_copy` is events per second recorded over rows per second copied (one text COPY of all
    `n` rows into each of the same indexed tables, one commit); `ratio_to_orm` is over the per-row
    ORM. The stages come
    from a pass of its own with one upload at a time, since they overlap otherwise.
    """
    with quiet():
        return uvloop.run(_run(n, rounds, orm_rows, citizen_count))


async def _run(n: int, rounds: int, orm_rows: int, citizen_count: int) -> dict[str, Any]:
    async with scratch() as ground:
        tokens = await _populate(ground, citizen_count)
        figures: dict[str, Any] = {"events": n, "load_average": os.getloadavg()[0]}
        with crew(2, ground.server.url("app"), ground.keys_dir, _record_share) as two:
            for size in UPLOAD_SIZES:
                figures[f"uploads_of_{size}"] = await _compare(ground, two, tokens, n, size, rounds)
        await _empty(ground)
        requests = _requests(tokens, orm_rows, orm_rows)
        orm_s = await record_orm.record_per_row(ground, PARTNER, SCENARIO, requests[0].body)
        figures["orm_events_per_s"] = round(orm_rows / orm_s)
        for size in UPLOAD_SIZES:
            ours = figures[f"uploads_of_{size}"]
            ours["ratio_to_orm"] = round(ours["events_per_s"] * orm_s / orm_rows, 1)
        return figures


async def _compare(
    ground: Scratch, two: Crew, tokens: list[str], n: int, size: int, rounds: int
) -> dict[str, Any]:
    terms = _terms()
    seconds: defaultdict[str, list[float]] = defaultdict(list)
    stage_s: defaultdict[str, list[float]] = defaultdict(list)
    for turn in range(rounds + 1):
        await _empty(ground)
        took: dict[str, float] = {}
        cpu = time.process_time()
        took["one"] = await _record_all(
            ground.db, ground.vault, terms, _requests(tokens, n, size), RUNNING_MAX
        )
        took["cpu"] = time.process_time() - cpu
        rows, texts = await _rows(ground, n), await _texts(ground)
        await _empty(ground)
        took["text"] = await _copy_texts(ground, texts)
        await _empty(ground)
        took["two"] = await two.record(_requests(tokens, n, size))
        await _rows(ground, n)
        await _empty(ground)
        took["binary"] = await _copy_all(ground, rows)
        await _empty(ground)
        stages: defaultdict[str, float] = defaultdict(float)
        with stopwatches(_STAGES, stages):
            alone = await _record_all(ground.db, ground.vault, terms, _requests(tokens, n, size), 1)
            stages["rest"] = alone - sum(stages.values())
        if turn > 0:  # the first round only warms caches
            for name, value in took.items():
                seconds[name].append(value)
            for name, value in stages.items():
                stage_s[name].append(value)
    took = {name: median(values) for name, values in seconds.items()}
    return {
        "events_per_s": round(n / took["one"]),
        "events_per_s_two_processes": round(n / took["two"]),
        "copy_rows_per_s": round(n / took["text"]),
        "ratio_to_copy": round(took["text"] / took["one"], 3),
        "ratio_to_copy_two_processes": round(took["text"] / took["two"], 3),
        "ratio_to_binary_copy": round(took["binary"] / took["one"], 3),
        "python_cpu_us_per_event": round(took["cpu"] / n * 1e6, 1),
        "us_per_event": round(took["one"] / n * 1e6, 1),
        "us_per_event_by_stage_one_upload_at_a_time": {
            name: round(median(values) / n * 1e6, 2) for name, values in stage_s.items()
        },
    }


def _terms() -> Terms:
    return Terms.of(scenarios(), city_tz="Asia/Shanghai", production=False)


async def _record_share(db: Database, vault: Vault, requests: Sequence[_Request]) -> None:
    """What each of two processes does; together they admit as many uploads as one process does."""
    await _record_all(db, vault, _terms(), requests, RUNNING_MAX // 2)


async def _record_all(
    db: Database, vault: Vault, terms: Terms, requests: Sequence[_Request], running: int
) -> float:
    """Seconds from the first request to the last answer, `running` uploads at a time."""
    waiting = list(reversed(requests))

    async def one_after_another() -> None:
        while waiting:
            await _record(db, vault, terms, waiting.pop())

    start = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(running):
            group.create_task(one_after_another())
    return time.perf_counter() - start


async def _record(db: Database, vault: Vault, terms: Terms, request: _Request) -> None:
    clock = SystemClock()
    async with db.transaction(readonly=True) as tx:
        partner = await partners.load_partner(tx, vault, PARTNER)
    if partner is None:
        raise RuntimeError("the partner of the benchmark is not registered")
    signed = partners.verify_request(partner, request.headers, request.body, clock.now())
    await record_events(
        db,
        vault,
        clock,
        terms,
        partner,
        signed,
        sent=request.body,
        data=request.body,
    )


Rows = tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]


async def _rows(ground: Scratch, n: int) -> Rows:
    """Every evidence row and every body row, as COPY takes them: `n` of each."""
    async with ground.db.transaction(readonly=True) as tx:
        main = await tx.fetch(f"SELECT {', '.join(evidence.EVIDENCE_COLUMNS)} FROM evidence")  # noqa: S608
        bodies = await tx.fetch(f"SELECT {', '.join(evidence.BODY_COLUMNS)} FROM evidence_body")  # noqa: S608
    if len(main) != n or len(bodies) != n:
        raise RuntimeError(f"{len(main)} of {n} events were recorded")
    return [tuple(row.values()) for row in main], [tuple(row.values()) for row in bodies]


async def _copy_all(ground: Scratch, rows: Rows) -> float:
    start = time.perf_counter()
    async with ground.db.transaction() as tx:
        await tx.copy("evidence", evidence.EVIDENCE_COLUMNS, rows[0])
        await tx.copy("evidence_body", evidence.BODY_COLUMNS, rows[1])
    return time.perf_counter() - start


_TABLES = (("evidence", evidence.EVIDENCE_COLUMNS), ("evidence_body", evidence.BODY_COLUMNS))


async def _texts(ground: Scratch) -> list[io.BytesIO]:
    """The same rows as COPY writes them in text format, a table each."""
    connection = await cast(Any, asyncpg).connect(ground.server.url("app"))
    texts: list[io.BytesIO] = []
    for table, columns in _TABLES:
        text = io.BytesIO()
        query = f"SELECT {', '.join(columns)} FROM {table}"  # noqa: S608
        await connection.copy_from_query(query, output=text)
        texts.append(text)
    await connection.close()
    return texts


async def _copy_texts(ground: Scratch, texts: list[io.BytesIO]) -> float:
    connection = await cast(Any, asyncpg).connect(ground.server.url("app"))
    start = time.perf_counter()
    async with connection.transaction():
        for (table, columns), text in zip(_TABLES, texts, strict=True):
            text.seek(0)
            await connection.copy_to_table(table, source=text, columns=columns)
    elapsed = time.perf_counter() - start
    await connection.close()
    return elapsed


async def _empty(ground: Scratch) -> None:
    async with ground.owner.transaction() as tx:
        await tx.execute("TRUNCATE evidence, evidence_body, upload, rejection, outbox")
    async with ground.owner.transaction() as tx:
        await tx.execute("SELECT pg_stat_force_next_flush()")


async def _populate(ground: Scratch, citizen_count: int) -> list[str]:
    """A partner, and citizens who are bound to it and consented; their binding tokens."""
    now = datetime.now(UTC)
    ids = new_ids(citizen_count)
    tokens = [secrets.token_urlsafe(32) for _ in ids]
    async with ground.db.transaction() as tx:
        await partners.register_partner(
            tx, PARTNER, PARTNER, required_scheme="v1", scenarios=[SCENARIO], now=now
        )
        await partners.add_key(
            tx,
            ground.vault,
            PARTNER,
            "key-1",
            scheme="v1",
            valid_from=now,
            secret="whsec_" + base64.b64encode(KEY).decode(),
        )
        await tx.copy(
            "binding",
            ["binding_id", "partner_id", "citizen_id", "token_hash", "user_ref_hash", "created_at"],
            [
                (i, PARTNER, i, sm3(token.encode()), sm3(b"ref" + token.encode()), now)
                for i, token in zip(ids, tokens, strict=True)
            ],
        )
        given_at = now.replace(microsecond=0) - timedelta(days=30)
        await tx.copy(
            "consent",
            ["consent_id", "citizen_id", "partner_id", "scenario", "given_at"],
            [(i, i, PARTNER, SCENARIO, given_at) for i in ids],
        )
    async with ground.owner.transaction() as tx:
        await tx.execute("ANALYZE binding, consent")
    return tokens


def _requests(tokens: list[str], n: int, size: int) -> list[_Request]:
    """Signed uploads of `n` new events in all, spelled as a plain JSON library spells them."""
    start = datetime.now(UTC) - timedelta(hours=20)
    stem = secrets.token_hex(4)
    requests: list[_Request] = []
    for first in range(0, n, size):
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
            for i in range(first, min(first + size, n))
        ]
        body = json.dumps(events, ensure_ascii=False).encode()
        webhook_id, timestamp = f"msg-{stem}-{first}", int(time.time())
        content = f"{webhook_id}.{timestamp}.".encode() + body
        signature = base64.b64encode(hmac.new(KEY, content, hashlib.sha256).digest()).decode()
        headers = {
            "webhook-id": webhook_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": f"v1,{signature}",
        }
        requests.append(_Request(headers, body, len(events)))
    return requests
