"""Who takes part in a programme: attested facts, numbers in line, violations and blacklistings.

A fact is the least a programme needs to know (`age_at_least` 14, not a date of birth) and can be
erased. Whoever is blacklisted earns nothing on the days concerned; what was earned before stays.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID

from backend.incentive.terms import Watch
from backend.kit.db import Tx
from backend.kit.ids import new_id

FACTS = ("real_name", "age_at_least", "district", "vehicle_class")
NO_FACTS: Mapping[str, str] = {}


async def attest(tx: Tx, citizen_id: UUID, fact: str, value: str, by: str, at: datetime) -> None:
    """Store or replace a fact about a person. Raises ValueError for one that is not known."""
    if fact not in FACTS or not value or (fact == "age_at_least" and not value.isdecimal()):
        raise ValueError(f"no such fact: {fact} = {value!r}")
    await tx.execute(
        """INSERT INTO eligibility_fact (citizen_id, fact, value, attested_by, attested_at)
           VALUES ($1, $2, $3, $4, $5)
           ON CONFLICT (citizen_id, fact) DO UPDATE SET value = excluded.value,
               attested_by = excluded.attested_by, attested_at = excluded.attested_at""",
        citizen_id,
        fact,
        value,
        by,
        at,
    )


async def facts_of(tx: Tx, citizen_ids: Iterable[UUID]) -> dict[UUID, dict[str, str]]:
    """The facts of some people; who has none is absent."""
    found: dict[UUID, dict[str, str]] = {}
    for row in await tx.fetch(
        "SELECT citizen_id, fact, value FROM eligibility_fact WHERE citizen_id = ANY($1::uuid[])",
        list(citizen_ids),
    ):
        found.setdefault(row["citizen_id"], {})[row["fact"]] = row["value"]
    return found


@dataclass(frozen=True, slots=True)
class Blacklisted:
    """City days on which a person earns nothing in a programme."""

    blacklisting_id: UUID
    programme_id: str
    citizen_id: UUID
    day_from: date
    day_to: date | None
    reason: str

    def covers(self, day: date) -> bool:
        """Whether the day is one of them."""
        return self.day_from <= day and (self.day_to is None or day < self.day_to)


async def blacklisted(
    tx: Tx, programme_ids: Iterable[str], citizen_ids: Iterable[UUID]
) -> dict[tuple[str, UUID], list[Blacklisted]]:
    """The blacklistings that stand, by programme and person."""
    found: dict[tuple[str, UUID], list[Blacklisted]] = {}
    for row in await tx.fetch(
        """SELECT blacklisting_id, programme_id, citizen_id, day_from, day_to, reason
           FROM blacklisting
           WHERE lifted_at IS NULL AND programme_id = ANY($1::text[])
             AND citizen_id = ANY($2::uuid[]) ORDER BY blacklisting_id""",
        list(programme_ids),
        list(citizen_ids),
    ):
        entry = Blacklisted(**row)
        found.setdefault((entry.programme_id, entry.citizen_id), []).append(entry)
    return found


async def blacklist(
    tx: Tx,
    programme_id: str,
    citizen_id: UUID,
    reason: str,
    day_from: date,
    days: int | None,
    by: str,
    at: datetime,
) -> UUID:
    """Put a person on the blacklist from a city day, for so many days or until it is lifted."""
    blacklisting_id = new_id()
    await tx.execute(
        """INSERT INTO blacklisting (blacklisting_id, programme_id, citizen_id, reason, day_from,
               day_to, noted_by, noted_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)""",
        blacklisting_id,
        programme_id,
        citizen_id,
        reason,
        day_from,
        None if days is None else day_from + timedelta(days=days),
        by,
        at,
    )
    return blacklisting_id


async def lift(tx: Tx, blacklisting_id: UUID, reason: str, by: str, at: datetime) -> bool:
    """End a blacklisting, as an appeal decides; False if none stands under this id."""
    done = await tx.execute(
        """UPDATE blacklisting SET lifted_at = $2, lifted_by = $3, lifted_reason = $4
           WHERE blacklisting_id = $1 AND lifted_at IS NULL""",
        blacklisting_id,
        at,
        by,
        reason,
    )
    return done == "UPDATE 1"


async def note_violation(
    tx: Tx,
    programme_id: str,
    citizen_id: UUID,
    kind: str,
    city_day: date,
    watch: Watch,
    by: str,
    at: datetime,
    evidence_id: UUID | None = None,
) -> tuple[UUID, UUID | None]:
    """Note a violation; (its id, the id of the blacklisting it led to or None).

    The one that makes `violations_max` blacklists the person from the next city day, unless the
    person is blacklisted already.
    """
    # One officer after another: two last violations at once must count as two.
    await tx.execute("SELECT 1 FROM programme WHERE programme_id = $1 FOR UPDATE", programme_id)
    violation_id = new_id()
    await tx.execute(
        """INSERT INTO violation (violation_id, programme_id, citizen_id, kind, evidence_id,
               noted_by, noted_at) VALUES ($1, $2, $3, $4, $5, $6, $7)""",
        violation_id,
        programme_id,
        citizen_id,
        kind,
        evidence_id,
        by,
        at,
    )
    if watch.violations_max is None:
        return violation_id, None
    count = await violations(tx, programme_id, citizen_id)
    tomorrow = city_day + timedelta(days=1)
    standing = (await blacklisted(tx, [programme_id], [citizen_id])).values()
    if count < watch.violations_max or any(b.covers(tomorrow) for each in standing for b in each):
        return violation_id, None
    reason = f"违规 {count} 次"
    days = watch.blacklist_days
    entry = await blacklist(tx, programme_id, citizen_id, reason, tomorrow, days, by, at)
    return violation_id, entry


async def violations(tx: Tx, programme_id: str, citizen_id: UUID) -> int:
    """How many violations of a person stand."""
    return await tx.fetchval(
        """SELECT count(*) FROM violation
           WHERE programme_id = $1 AND citizen_id = $2 AND withdrawn_at IS NULL""",
        programme_id,
        citizen_id,
    )


async def withdraw_violation(
    tx: Tx, violation_id: UUID, reason: str, by: str, at: datetime
) -> bool:
    """Take a violation back, as an appeal decides; False if none stands under this id.

    A blacklisting that it led to is lifted by itself (`lift`): an officer decides that too.
    """
    done = await tx.execute(
        """UPDATE violation SET withdrawn_at = $2, withdrawn_by = $3, withdrawn_reason = $4
           WHERE violation_id = $1 AND withdrawn_at IS NULL""",
        violation_id,
        at,
        by,
        reason,
    )
    return done == "UPDATE 1"


@dataclass(slots=True)
class Line:
    """The numbers of a programme's people; new ones come last, in the order of first awards."""

    programme_id: str
    numbers: dict[UUID, int]
    last: int
    fresh: dict[UUID, int]

    def number_of(self, citizen_id: UUID) -> int:
        """The person's number, or the one that would be next."""
        return self.numbers.get(citizen_id, self.last + 1)

    def join(self, citizen_id: UUID) -> None:
        """Give the person a number for good, with the award that is being made."""
        if citizen_id not in self.numbers:
            self.last += 1
            self.numbers[citizen_id] = self.fresh[citizen_id] = self.last


async def open_line(tx: Tx, programme_id: str, citizen_ids: Iterable[UUID]) -> Line:
    """The line of a programme, held alone until `tx` ends: first come, first served."""
    await tx.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended('line ' || $1, 0))", programme_id
    )
    last = await tx.fetchval(
        "SELECT coalesce(max(number), 0) FROM programme_person WHERE programme_id = $1",
        programme_id,
    )
    rows = await tx.fetch(
        """SELECT citizen_id, number FROM programme_person
           WHERE programme_id = $1 AND citizen_id = ANY($2::uuid[])""",
        programme_id,
        list(citizen_ids),
    )
    return Line(programme_id, {row["citizen_id"]: row["number"] for row in rows}, last, {})


async def close_line(tx: Tx, line: Line) -> None:
    """Store the new numbers, in the commit of the awards."""
    await tx.copy(
        "programme_person",
        ("programme_id", "citizen_id", "number"),
        [(line.programme_id, citizen_id, number) for citizen_id, number in line.fresh.items()],
    )
