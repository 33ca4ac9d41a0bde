"""an operator's or a rail's file of a day → match, ours only, theirs only, differs: a work list."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal
from uuid import UUID

from backend.kit.clock import day_bounds
from backend.kit.db import Database, Row, Tx
from backend.kit.ids import new_id
from backend.kit.logs import log
from backend.kit.problems import Problem
from backend.kit.sm import sm3
from backend.payments import comparing


@dataclass(frozen=True, slots=True)
class Comparison:
    """What came of a file: how many orders and fen of each outcome, and the rows that are none."""

    file_id: UUID
    good_rows: int
    bad: tuple[comparing.BadRow, ...]
    counts: Mapping[str, int]
    ours_fen: int
    theirs_fen: int


async def compare_file(
    db: Database,
    source: Literal["operator", "rail"],
    source_id: str,
    day: date,
    data: bytes,
    *,
    city_tz: str,
    now: datetime,
) -> Comparison:
    """Hold a file against what was paid; the same file again gives the first answer.

    An operator's is about stays at its lots that ended on the day, a rail's about payments of the
    day. Raises Problem 422 `bad-file`.
    """
    theirs = comparing.read_file(data)
    async with db.transaction() as tx:
        file_id = await _enter(tx, source, source_id, day, data, theirs, now)
        if file_id is not None:
            ours = await _ours(tx, source, source_id, day, city_tz)
            await tx.copy(
                "compared_row",
                ("file_id", "n", "outcome", "order_ref", "ours_fen", "theirs_fen"),
                [
                    (file_id, n, each.outcome, each.order_ref, each.ours_fen, each.theirs_fen)
                    for n, each in enumerate(comparing.compare(ours, theirs.amounts))
                ],
            )
        known = file_id or await _known(tx, source, source_id, day, data)
        made = await _comparison(tx, known, len(theirs.amounts), theirs.bad)
    log("file_compared", source=source, source_id=source_id, day=day, **made.counts)
    return made


async def _enter(
    tx: Tx,
    source: str,
    source_id: str,
    day: date,
    data: bytes,
    theirs: comparing.TheirFile,
    now: datetime,
) -> UUID | None:
    return await tx.fetchval(
        """INSERT INTO compared_file (file_id, source, source_id, day, digest, good_rows, bad_rows,
                                      compared_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7::jsonb, $8)
           ON CONFLICT (source, source_id, day, digest) DO NOTHING RETURNING file_id""",
        new_id(),
        source,
        source_id,
        day,
        sm3(data),
        len(theirs.amounts),
        json.dumps([each._asdict() for each in theirs.bad]),
        now,
    )


async def _known(tx: Tx, source: str, source_id: str, day: date, data: bytes) -> UUID:
    return await tx.fetchval(
        """SELECT file_id FROM compared_file
           WHERE source = $1 AND source_id = $2 AND day = $3 AND digest = $4""",
        source,
        source_id,
        day,
        sm3(data),
    )


async def _ours(tx: Tx, source: str, source_id: str, day: date, city_tz: str) -> dict[str, int]:
    if source == "rail":
        start, end = day_bounds(day, city_tz)
        rows = await tx.fetch(
            """SELECT order_id, amount_fen FROM payment_order
               WHERE rail_id = $1 AND state = 'paid' AND paid_at >= $2 AND paid_at < $3""",
            source_id,
            start,
            end,
        )
    else:
        rows = await tx.fetch(
            """SELECT o.order_id, o.amount_fen FROM payment_order AS o
               JOIN parking_lot AS l USING (lot_no)
               WHERE l.operator_id = $1 AND o.state = 'paid' AND o.book_day = $2""",
            source_id,
            day,
        )
    return {str(row["order_id"]): row["amount_fen"] for row in rows}


async def _comparison(
    tx: Tx, file_id: UUID, good_rows: int, bad: tuple[comparing.BadRow, ...]
) -> Comparison:
    rows = await tx.fetch(
        """SELECT outcome, count(*) AS n, coalesce(sum(ours_fen), 0)::bigint AS ours_fen,
                  coalesce(sum(theirs_fen), 0)::bigint AS theirs_fen
           FROM compared_row WHERE file_id = $1 GROUP BY outcome""",
        file_id,
    )
    counts: dict[str, int] = dict.fromkeys(comparing.OUTCOMES, 0)
    counts |= {row["outcome"]: row["n"] for row in rows}
    return Comparison(
        file_id=file_id,
        good_rows=good_rows,
        bad=bad,
        counts=counts,
        ours_fen=sum(row["ours_fen"] for row in rows),
        theirs_fen=sum(row["theirs_fen"] for row in rows),
    )


async def work_list(tx: Tx, now: datetime, limit: int = 200) -> list[Row]:
    """What differs and nobody settled, oldest first, with its age in days."""
    return await tx.fetch(
        """SELECT f.source, f.source_id, f.day, r.file_id, r.n, r.outcome, r.order_ref, r.ours_fen,
                  r.theirs_fen, ($1::timestamptz::date - f.day) AS age_days
           FROM compared_row AS r JOIN compared_file AS f USING (file_id)
           WHERE r.outcome <> 'match' AND r.resolved_at IS NULL
           ORDER BY f.day, f.file_id, r.n LIMIT $2""",
        now,
        limit,
    )


async def settle_row(db: Database, file_id: UUID, n: int, resolution: str, now: datetime) -> None:
    """A person settled a difference. Raises Problem 404 `unknown-difference`."""
    async with db.transaction() as tx:
        tag = await tx.execute(
            """UPDATE compared_row SET resolved_at = $3, resolution = $4
               WHERE file_id = $1 AND n = $2 AND outcome <> 'match' AND resolved_at IS NULL""",
            file_id,
            n,
            now,
            resolution,
        )
        if tag != "UPDATE 1":
            raise Problem(404, "unknown-difference", "没有这项未处理的差异。")
