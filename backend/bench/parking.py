"""Parking: dividing a day set-based against stay by stay, and the search over HTTP.

Both divisions write the same lines, postings and statements; the one by row does for every stay
what a handler of single payments would: its own transaction.
"""

import asyncio
import statistics
import time
from datetime import timedelta
from typing import Any

import httpx
from fastapi import FastAPI

import miniapp_api
from backend import citizens
from backend.bench.parking_month import CITY_TZ, FIRST_DAY, Month, Size, prepare_day, prepare_month
from backend.bench.scratch import Scratch, scratch
from backend.bench.stopwatch import quiet
from backend.flows.check_parking import check_parking
from backend.flows.settle_parking import settle_day
from backend.kit.db import Database
from backend.kit.services import Services
from backend.kit.settings import Settings

LOTS, SPACES = 40, 100
BY_ROW = 300
SEARCHES = 600
SEARCHES_AT_ONCE = 8


def run() -> dict[str, Any]:
    """The figures: stays a second both ways and their ratio, the search's percentiles."""
    with quiet():
        return asyncio.run(_run())


async def _run() -> dict[str, Any]:
    async with scratch() as bed:
        month = await prepare_month(bed, 1, Size(LOTS, SPACES, 1))
        await prepare_day(month, FIRST_DAY)
        by_row = await _by_row(bed.db, month)
        set_based = await _set_based(bed.db, month)
        async with bed.db.transaction(isolation="repeatable_read", readonly=True) as tx:
            differences = len(await check_parking(tx))
        return {
            "set_based_stays_per_s": round(set_based),
            "by_row_stays_per_s": round(by_row, 1),
            "ratio": round(set_based / by_row, 1),
            "differences": differences,
            "search": await _search(bed, month),
        }


async def _by_row(db: Database, month: Month) -> float:
    """Stays a second when each is divided in a transaction of its own: one statement each."""
    async with db.transaction() as tx:
        waiting = await tx.fetch(
            """SELECT order_id, lot_no, book_day FROM payment_order
               WHERE state = 'paid' AND settled_part IS NULL ORDER BY order_id"""
        )
        # Set aside, so that each call finds exactly one.
        await tx.execute(
            "UPDATE payment_order SET settled_part = -1 WHERE order_id = ANY($1::uuid[])",
            [row["order_id"] for row in waiting],
        )
    begun_s = time.perf_counter()
    for row in waiting[:BY_ROW]:
        async with db.transaction() as tx:
            await tx.execute(
                "UPDATE payment_order SET settled_part = NULL WHERE order_id = $1", row["order_id"]
            )
        await settle_day(db, row["lot_no"], row["book_day"], month.clock.now())
    spent_s = time.perf_counter() - begun_s
    async with db.transaction() as tx:
        await tx.execute("UPDATE payment_order SET settled_part = NULL WHERE settled_part = -1")
    return BY_ROW / spent_s


async def _set_based(db: Database, month: Month) -> float:
    async with db.transaction(readonly=True) as tx:
        waiting = await tx.fetch(
            """SELECT lot_no, book_day, count(*) AS n FROM payment_order
               WHERE state = 'paid' AND settled_part IS NULL GROUP BY 1, 2 ORDER BY 1, 2"""
        )
    begun_s = time.perf_counter()
    lots = list(waiting)

    async def work() -> None:
        while lots:
            row = lots.pop()
            await settle_day(db, row["lot_no"], row["book_day"], month.clock.now())

    await asyncio.gather(work(), work())
    return sum(row["n"] for row in waiting) / (time.perf_counter() - begun_s)


async def _search(bed: Scratch, month: Month) -> dict[str, Any]:
    """The citizens' search through the application, several at once."""
    settings = Settings(profile="test", var=bed.keys_dir.parent)
    app = FastAPI()
    app.include_router(miniapp_api.router(Services(bed.db, month.vault, month.clock, settings)))
    async with bed.db.transaction() as tx:
        person = await citizens.create_or_get(tx, month.vault, "sandbox", "s", month.clock)
        tokens = await citizens.logins.open_login(tx, person, month.clock)
    headers = {"authorization": f"Bearer {tokens.access_token}"}
    starts_at = month.clock.now() + timedelta(hours=10)
    query = {
        "near": "22.501,114.005",
        "from": starts_at.isoformat(),
        "to": (starts_at + timedelta(hours=2)).isoformat(),
        "radius_m": "1000",
    }
    taken_s: list[float] = []
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://bench") as http:

        async def work(count: int) -> None:
            for _ in range(count):
                begun_s = time.perf_counter()
                answer = await http.get("/miniapp/v1/parking/lots", params=query, headers=headers)
                taken_s.append(time.perf_counter() - begun_s)
                if answer.status_code != 200 or not answer.json()["items"]:
                    raise RuntimeError(f"the search answered {answer.status_code}: {answer.text}")

        await work(20)
        taken_s.clear()
        begun_s, begun_cpu_s = time.perf_counter(), time.process_time()
        await asyncio.gather(*(work(SEARCHES // SEARCHES_AT_ONCE) for _ in range(SEARCHES_AT_ONCE)))
        spent_s, spent_cpu_s = (
            time.perf_counter() - begun_s,
            time.process_time() - begun_cpu_s,
        )
    marks = statistics.quantiles(taken_s, n=100)
    return {
        "spaces": LOTS * SPACES,
        "at_once": SEARCHES_AT_ONCE,
        "per_s": round(len(taken_s) / spent_s),
        "cpu_ms_each": round(spent_cpu_s * 1_000 / len(taken_s), 2),
        "p50_ms": round(marks[49] * 1_000, 1),
        "p99_ms": round(marks[98] * 1_000, 1),
        "city": CITY_TZ,
    }
