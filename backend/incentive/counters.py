"""Counters per person and programme: how much already happened in some period of city days.

`periods.py` says which counters there are and what they are called. Caps read the `points`
counters, so that a new
version of a rule with other names for its caps does not start from zero. A reversal by hand gives
nothing back; an award is released from its counters when another event takes the place of its own
(a correction, a retraction, a stronger claim). Counters equal the sum over all awards that were not
released.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from uuid import UUID

from backend.incentive.periods import COUNTED_SQL, PERIOD_SQL, counter_name, period_text
from backend.kit.db import Tx

CounterKey = tuple[UUID, str, str, str]
"""(citizen_id, programme_id, name, period)"""


@lru_cache(maxsize=4096)
def period_of(name: str, city_day: date) -> str:
    """The present period of a counter without a scope: `2026-11-22`, `2026-11`, `2026`, …"""
    return period_text(name.rpartition("_")[2], city_day)


@dataclass(slots=True)
class CounterBook:
    """The counters of a batch in memory, read under the person's lock and written back once."""

    values: dict[CounterKey, int]
    changed: set[CounterKey]

    def read(self, key: CounterKey) -> int:
        """The present value; 0 before the first award."""
        return self.values.get(key, 0)

    def add(self, key: CounterKey, by: int) -> None:
        """Count on."""
        self.values[key] = self.values.get(key, 0) + by
        self.changed.add(key)


async def read_counters(tx: Tx, keys: Iterable[CounterKey]) -> CounterBook:
    """The counters of these keys; the caller holds the locks of the persons concerned."""
    wanted = set(keys)
    # Every wanted person with every wanted period: a few rows more than asked for, and one short
    # list instead of a long one for each column.
    rows = await tx.fetch(
        """SELECT citizen_id, programme_id, name, period, value FROM counter
           WHERE citizen_id = ANY($1::uuid[]) AND programme_id = ANY($2::text[])
             AND name = ANY($3::text[]) AND period = ANY($4::text[])""",
        *[list({key[at] for key in wanted}) for at in range(4)],
    )
    values = {
        (r["citizen_id"], r["programme_id"], r["name"], r["period"]): int(r["value"]) for r in rows
    }
    return CounterBook(values, set())


async def write_counters(tx: Tx, book: CounterBook) -> None:
    """Store what changed, in the commit of the awards that changed it."""
    people: dict[tuple[str, str, str], list[UUID]] = {}
    for citizen_id, programme_id, name, period in book.changed:
        people.setdefault((programme_id, name, period), []).append(citizen_id)
    for counter, citizen_ids in sorted(people.items()):
        await tx.execute(
            """INSERT INTO counter (citizen_id, programme_id, name, period, value)
               SELECT c.citizen_id, $1, $2, $3, c.value
               FROM unnest($4::uuid[], $5::bigint[]) AS c (citizen_id, value)
               ON CONFLICT (citizen_id, programme_id, name, period)
               DO UPDATE SET value = excluded.value""",
            *counter,
            citizen_ids,
            [book.values[citizen_id, *counter] for citizen_id in citizen_ids],
        )


async def backfill_counters(tx: Tx, programme_id: str, names: Sequence[str]) -> None:
    """Count from the stored awards, for counters that no earlier rule version kept."""
    counters = [counter for counter in map(counter_name, names) if counter is not None]
    if not counters:
        return
    await tx.execute(
        _BACKFILL,
        programme_id,
        [counter.stored for counter in counters],
        [counter.what for counter in counters],
        [counter.scope for counter in counters],
        [counter.window for counter in counters],
    )


async def clear_counters(
    tx: Tx, programme_id: str, names: Sequence[str], kept: Iterable[str]
) -> None:
    """Set counters back to nothing that a withdrawn draft kept and no rule in `kept` does."""
    left = {counter.stored for counter in map(counter_name, kept) if counter is not None}
    gone = {counter.stored for counter in map(counter_name, names) if counter is not None} - left
    await tx.execute(
        "UPDATE counter SET value = 0 WHERE programme_id = $1 AND name = ANY($2::text[])",
        programme_id,
        sorted(gone),
    )


_BACKFILL = f"""
    INSERT INTO counter (citizen_id, programme_id, name, period, value)
    SELECT citizen_id, programme_id, name, period, sum(value) FROM (
        SELECT a.citizen_id, a.programme_id, k.name, {PERIOD_SQL} AS period,
               {COUNTED_SQL} AS value
        FROM award AS a
        CROSS JOIN unnest($2::text[], $3::text[], $4::text[], $5::text[])
                   AS k (name, what, scope, window_name)
        WHERE a.programme_id = $1
          AND NOT EXISTS (SELECT FROM award_release AS r WHERE r.award_id = a.award_id)) AS each
    WHERE period IS NOT NULL
    GROUP BY citizen_id, programme_id, name, period
    ON CONFLICT (citizen_id, programme_id, name, period) DO UPDATE SET value = excluded.value
"""  # noqa: S608 - constants only
