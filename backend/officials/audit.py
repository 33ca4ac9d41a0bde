"""The audit log: every act in office, written once, closed by city day.

The entries of a day in the order of (at, entry_id) are the leaves of one Merkle tree; its root is
the day's head, which `flows.close_audit_day` puts into the public log. Nothing can enter a day
that is closed: an entry's instant is never before the end of the last one.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, cast
from uuid import UUID

from backend.kit import canonical
from backend.kit.clock import to_text
from backend.kit.db import Row, Tx
from backend.kit.ids import new_id

AUDIT_LOCK = 0x61756469_74
"""Held shared by who notes, alone by who closes a day ("audit")."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One act: `actor` an official's id (or `system`), `about` the id of what it was done to."""

    entry_id: UUID
    at: datetime
    actor: str
    act: str
    about: str
    detail: dict[str, Any]

    def canonical(self) -> bytes:
        """What its leaf in the day's tree covers."""
        return canonical.dumps(
            {
                "entry_id": str(self.entry_id),
                "at": f"{self.at.isoformat(timespec='microseconds')}",
                "actor": self.actor,
                "act": self.act,
                "about": self.about,
                "detail": self.detail,
            }
        )


@dataclass(frozen=True, slots=True)
class ClosedDay:
    """A day's head: `head` is the root over its `count` entries."""

    day: date
    head_id: UUID
    opens_at: datetime
    closes_at: datetime
    count: int
    head: bytes


async def note(
    tx: Tx,
    *,
    actor: str,
    act: str,
    about: str,
    detail: Mapping[str, Any],
    at: datetime | None = None,
) -> None:
    """Append an act to the audit log, in the commit of what was done.

    `detail` holds strings, whole numbers, booleans, None, and lists and objects of them; days,
    instants, ids and bytes are written as text. Never a password, a code or a citizen's name.
    """
    await tx.execute("SELECT pg_advisory_xact_lock_shared($1)", AUDIT_LOCK)
    plain = canonical.dumps(_plain(dict(detail))).decode()
    await tx.execute(
        """INSERT INTO audit_entry (entry_id, at, actor, act, about, detail)
           SELECT $1, greatest(coalesce($2::timestamptz, clock_timestamp()), max(closes_at)),
                  $3::text, $4::text, $5::text, $6::jsonb
           FROM audit_day""",
        new_id(),
        at,
        actor,
        act,
        about[:200],
        plain,
    )


async def entries(
    tx: Tx,
    *,
    before: UUID | None = None,
    limit: int = 100,
    actor: str | None = None,
    act: str | None = None,
    about: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[Entry]:
    """Entries, newest first, that match every given filter; `act` also matches its beginning."""
    rows = await tx.fetch(
        """SELECT entry_id, at, actor, act, about, detail FROM audit_entry
           WHERE ($1::uuid IS NULL OR entry_id < $1) AND ($3::text IS NULL OR actor = $3)
             AND ($4::text IS NULL OR starts_with(act, $4))
             AND ($5::text IS NULL OR about = $5)
             AND ($6::timestamptz IS NULL OR at >= $6) AND ($7::timestamptz IS NULL OR at < $7)
           ORDER BY entry_id DESC LIMIT $2""",
        before,
        limit,
        actor,
        act,
        about,
        since,
        until,
    )
    return [_entry(row) for row in rows]


async def entries_between(tx: Tx, opens_at: datetime, closes_at: datetime) -> list[Entry]:
    """The entries of a window in the order of the day's tree."""
    rows = await tx.fetch(
        """SELECT entry_id, at, actor, act, about, detail FROM audit_entry
           WHERE at >= $1 AND at < $2 ORDER BY at, entry_id""",
        opens_at,
        closes_at,
    )
    return [_entry(row) for row in rows]


async def first_entry_at(tx: Tx) -> datetime | None:
    """When the first act was noted."""
    return await tx.fetchval("SELECT min(at) FROM audit_entry")


async def closed_days(tx: Tx, day: date | None = None) -> list[ClosedDay]:
    """Every closed day, or one of them, ascending."""
    rows = await tx.fetch(
        """SELECT city_day AS day, head_id, opens_at, closes_at, entry_count AS count, head
           FROM audit_day WHERE $1::date IS NULL OR city_day = $1 ORDER BY city_day""",
        day,
    )
    return [ClosedDay(**row) for row in rows]


async def close_day(tx: Tx, closed: ClosedDay, at: datetime) -> None:
    """Store a day's head; the caller holds AUDIT_LOCK and counted the entries under it."""
    await tx.execute(
        """INSERT INTO audit_day (city_day, head_id, opens_at, closes_at, entry_count, head,
               closed_at) VALUES ($1, $2, $3, $4, $5, $6, $7)""",
        closed.day,
        closed.head_id,
        closed.opens_at,
        closed.closes_at,
        closed.count,
        closed.head,
        at,
    )


def _entry(row: Row) -> Entry:
    return Entry(
        row["entry_id"],
        row["at"],
        row["actor"],
        row["act"],
        row["about"],
        json.loads(row["detail"]),
    )


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return to_text(value)
    if isinstance(value, date | UUID):
        return str(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        members = cast("Mapping[Any, Any]", value)
        return {str(name): _plain(each) for name, each in members.items()}
    if isinstance(value, list | tuple | set | frozenset):
        several = cast("list[Any]", list(value))  # pyright: ignore[reportUnknownArgumentType]
        return [_plain(each) for each in several]
    return value
