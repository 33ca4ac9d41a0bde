"""Awards that another event took the place of: found, and released from what they counted in."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import NamedTuple
from uuid import UUID

from backend.incentive.counters import CounterBook, CounterKey
from backend.incentive.periods import Occasion, counted, rule_ref
from backend.incentive.usage import kept_keys
from backend.kit.db import Tx


class StandingAward(NamedTuple):
    """An award that was not released. `transfer_id` is None where it is of 0 points."""

    award_id: UUID
    evidence_id: UUID
    citizen_id: UUID
    programme_id: str
    city_day: date
    amount: int
    transfer_id: UUID | None
    scenario: str
    evidence_level: str
    rule_id: str
    rule_version: int
    rule_rows: Sequence[str]


async def standing_awards(tx: Tx, evidence_ids: Iterable[UUID]) -> list[StandingAward]:
    """The awards of these events that were not released, in the order in which they were made."""
    rows = await tx.fetch(
        """SELECT award_id, evidence_id, citizen_id, programme_id, city_day, amount, transfer_id,
                  scenario, evidence_level, rule_id, rule_version, rule_rows
           FROM award AS a
           WHERE evidence_id = ANY($1::uuid[])
             AND NOT EXISTS (SELECT FROM award_release AS r WHERE r.award_id = a.award_id)
           ORDER BY award_id""",
        list(evidence_ids),
    )
    return [StandingAward._make(row.values()) for row in rows]


def counter_keys(award: StandingAward, names: Iterable[str]) -> list[CounterKey]:
    """The counters that an award counted in; `names` are those its programme keeps."""
    rows = award.rule_rows
    on = Occasion(
        award.city_day,
        award.scenario,
        award.evidence_level,
        rule_ref(award.rule_id, award.rule_version),
        rows[0] if len(rows) == 1 else None,
    )
    return [(award.citizen_id, award.programme_id, *key) for key in kept_keys(names, on)]


async def release(
    tx: Tx,
    released: Sequence[tuple[UUID, StandingAward, Sequence[CounterKey]]],
    book: CounterBook,
    at: datetime,
) -> None:
    """Take awards off their counters in `book` and note each under its release id.

    The budget keeps what it counted, as its total on the chain does.
    """
    for _, award, keys in released:
        for key in keys:
            book.add(key, -counted(key[2], award.amount))
    await tx.copy(
        "award_release",
        ("award_id", "release_id", "released_at"),
        [(award.award_id, release_id, at) for release_id, award, _ in released],
    )
