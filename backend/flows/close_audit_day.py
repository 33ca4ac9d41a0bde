"""A day's acts in office → its head → a leaf: what was noted can no longer change unseen.

The head is the root of a Merkle tree (formats.md §4) over the day's entries as canonical JSON, in
the order of (at, entry_id). Days without an act are closed too, so that a missing one shows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from backend import proof, views
from backend.kit.clock import Clock, city_day, day_bounds
from backend.kit.db import Database, Tx
from backend.kit.ids import new_id
from backend.kit.logs import log
from backend.kit.problems import Problem
from backend.kit.settings import Settings
from backend.officials import audit
from backend.proof import leaves, merkle

DAYS_MAX = 400
"""How many days one round closes at most."""


@dataclass(frozen=True, slots=True)
class AuditedDay:
    """A day recomputed: `head` from the rows now, `closed` as it was sealed, `index` of its leaf.

    `differences` are sentences; empty when rows, closed day and leaf agree.
    """

    day: date
    count: int
    head: bytes
    closed: audit.ClosedDay | None
    index: int | None
    differences: tuple[str, ...]


async def close_audit_days(db: Database, clock: Clock, city_tz: str) -> int:
    """Close every day that is over, oldest first, each in its own commit; how many were closed."""
    today = city_day(clock.now(), city_tz)
    async with db.transaction(readonly=True) as tx:
        day = await _next_day(tx, city_tz)
    done = 0
    while day is not None and day < today and done < DAYS_MAX:
        await _close(db, clock, city_tz, day)
        day += timedelta(days=1)
        done += 1
    return done


async def audit_log_day(tx: Tx, settings: Settings, day: date) -> AuditedDay:
    """Recompute a day's head from its rows, and compare with what was closed and sealed."""
    opens_at, closes_at = day_bounds(day, settings.city_tz)
    entries = await audit.entries_between(tx, opens_at, closes_at)
    head = head_of(entries)
    closed = next(iter(await audit.closed_days(tx, day)), None)
    differences: list[str] = []
    index = None
    if closed is not None:
        if (closed.count, closed.head) != (len(entries), head):
            differences.append(
                f"the day was closed with {closed.count} entries and head {closed.head.hex()}"
            )
        leaf = await proof.leaf_of(tx, closed.head_id)
        if leaf is not None:
            index = leaf.index
            seed = await proof.seed_of(tx, leaf.index)
            fields = (await views.audit_fields(tx, [closed.head_id]))[closed.head_id]
            rebuilt = (
                None
                if seed is None
                else leaves.build(leaves.AUDIT_HEAD, fields, seed, settings.city_tz)
            )
            if rebuilt is None or rebuilt.leaf_hash != leaf.leaf_hash:
                differences.append(f"the leaf {index} of the log is not of this head")
    return AuditedDay(day, len(entries), head, closed, index, tuple(differences))


async def head_id_of(tx: Tx, day: date) -> audit.ClosedDay:
    """The closed day of a date. Raises Problem 404 `day-not-closed`."""
    closed = next(iter(await audit.closed_days(tx, day)), None)
    if closed is None:
        raise Problem(404, "day-not-closed", "这一天的审计日志还没有结账。", day=str(day))
    return closed


def head_of(entries: Sequence[audit.Entry]) -> bytes:
    """The root over a day's entries; H("") of none."""
    return merkle.append(0, {}, [merkle.leaf_hash(each.canonical()) for each in entries]).root


async def _next_day(tx: Tx, city_tz: str) -> date | None:
    last = await tx.fetchval("SELECT max(city_day) FROM audit_day")
    if last is not None:
        return last + timedelta(days=1)
    first = await audit.first_entry_at(tx)
    return None if first is None else city_day(first, city_tz)


async def _close(db: Database, clock: Clock, city_tz: str, day: date) -> None:
    opens_at, closes_at = day_bounds(day, city_tz)
    async with db.transaction() as tx:
        # Whoever notes holds this lock shared: all acts of the day are committed once we have it.
        await tx.lock(audit.AUDIT_LOCK)
        if await audit.closed_days(tx, day):
            return
        entries = await audit.entries_between(tx, opens_at, closes_at)
        closed = audit.ClosedDay(day, new_id(), opens_at, closes_at, len(entries), head_of(entries))
        await audit.close_day(tx, closed, clock.now())
        await proof.queue(tx, leaves.AUDIT_HEAD, [closed.head_id])
    log("audit_day_closed", day=day, entries=closed.count, head=closed.head.hex())
