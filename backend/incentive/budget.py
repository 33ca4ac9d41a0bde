"""The money side of a programme: an envelope per period, leased to purses the workers spend from.

A purse is points taken out of the envelope ahead of time. Whoever holds its row lock spends
from it, so workers do not queue at the envelope's row, and a killed worker's purse is free
again the moment its transaction dies. What a purse still holds goes back when it is folded.

    issued(period) = budget.issued + Σ purse.spent ≤ budget.issued + budget.leased ≤ envelope
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from uuid import UUID

from backend.kit.db import Tx
from backend.kit.ids import new_id

LEASE_POINTS = 1_000_000
"""Points taken out of the envelope at a time, if it still has them."""

BudgetKey = tuple[str, str]
"""(programme_id, period), the period being `total` or a year."""


@lru_cache(maxsize=4096)
def budget_period(kind: str, city_day: date) -> str:
    """The budget an activity is charged to: that of its own city day, however late it comes."""
    return "total" if kind == "total" else f"{city_day.year}"


class LeaseShort(Exception):
    """The purse at hand does not cover the batch: lease `points` more and try again."""

    def __init__(self, shortfalls: dict[BudgetKey, int]) -> None:
        super().__init__(f"purses fall short: {shortfalls}")
        self.shortfalls = shortfalls


@dataclass(slots=True)
class Purse:
    """Points at hand for one budget during one transaction. `purse_id` None: the budget itself."""

    key: BudgetKey
    purse_id: UUID | None
    left: int
    closed: bool
    exists: bool = True
    spent: int = 0


@dataclass(slots=True)
class Purses:
    """The purses of a batch. Exact ones know the whole rest of their budget and may say no."""

    by_key: dict[BudgetKey, Purse]
    exact: bool

    def spend(self, key: BudgetKey, points: int) -> str | None:
        """Charge one award, all of it; or nothing, and the reason why."""
        purse = self.by_key[key]
        if not purse.exists or purse.closed:
            return "budget-period-closed"
        if self.exact and points > purse.left - purse.spent:
            return "budget-exhausted"
        purse.spent += points
        return None

    def check(self) -> None:
        """Raise LeaseShort if more was charged than is at hand."""
        short = {k: p.spent - p.left for k, p in self.by_key.items() if p.spent > p.left}
        if short:
            raise LeaseShort(short)


async def open_purses(tx: Tx, keys: Iterable[BudgetKey], *, exact: bool) -> Purses:
    """Lock one free purse for each budget, or, if `exact`, the budgets themselves.

    The exact form folds every purse of the budget first and waits for those in use, so it
    knows what is left to the point; it is for the end of a budget.
    """
    by_key: dict[BudgetKey, Purse] = {}
    for key in sorted(set(keys)):
        by_key[key] = await (_whole_budget(tx, key) if exact else _free_purse(tx, key))
    return Purses(by_key, exact)


async def close_purses(tx: Tx, purses: Purses) -> None:
    """Write what was spent, in the commit of the awards it paid."""
    for purse in purses.by_key.values():
        if purse.spent == 0:
            continue
        if purse.purse_id is None:
            await tx.execute(
                "UPDATE budget SET issued = issued + $3 WHERE programme_id = $1 AND period = $2",
                *purse.key,
                purse.spent,
            )
        else:
            await tx.execute(
                "UPDATE budget_purse SET spent = spent + $2 WHERE purse_id = $1",
                purse.purse_id,
                purse.spent,
            )


async def lease(tx: Tx, key: BudgetKey, points: int) -> int:
    """Take at least `points` out of the envelope into a free purse; give what could be had.

    0 when the budget has nothing left outside its purses, is closed or does not exist.
    """
    budget = await tx.fetchrow(
        """SELECT envelope - issued - leased AS free FROM budget
           WHERE programme_id = $1 AND period = $2 AND closed_at IS NULL FOR UPDATE""",
        *key,
    )
    granted = 0 if budget is None else min(max(points, LEASE_POINTS), budget["free"])
    if granted <= 0:
        return 0
    await tx.execute(
        "UPDATE budget SET leased = leased + $3 WHERE programme_id = $1 AND period = $2",
        *key,
        granted,
    )
    free = await tx.fetchval(
        """SELECT purse_id FROM budget_purse WHERE programme_id = $1 AND period = $2
           ORDER BY leased - spent DESC, purse_id LIMIT 1 FOR UPDATE SKIP LOCKED""",
        *key,
    )
    if free is None:
        await tx.execute(
            """INSERT INTO budget_purse (purse_id, programme_id, period, leased)
               VALUES ($1, $2, $3, $4)""",
            new_id(),
            *key,
            granted,
        )
    else:
        await tx.execute(
            "UPDATE budget_purse SET leased = leased + $2 WHERE purse_id = $1", free, granted
        )
    return granted


async def fold_purses(tx: Tx, key: BudgetKey) -> None:
    """Give back what all purses of a budget still hold; waits for those in use."""
    await tx.execute(
        "SELECT 1 FROM budget WHERE programme_id = $1 AND period = $2 FOR UPDATE", *key
    )
    await tx.execute(
        """SELECT 1 FROM budget_purse WHERE programme_id = $1 AND period = $2
           ORDER BY purse_id FOR UPDATE""",
        *key,
    )
    await tx.execute(
        """WITH folded AS (
               DELETE FROM budget_purse WHERE programme_id = $1 AND period = $2
               RETURNING spent, leased)
           UPDATE budget SET issued = issued + (SELECT coalesce(sum(spent), 0) FROM folded),
                             leased = leased - (SELECT coalesce(sum(leased), 0) FROM folded)
           WHERE programme_id = $1 AND period = $2""",
        *key,
    )


async def close_period(tx: Tx, key: BudgetKey) -> None:
    """End a budget's period: what comes late is refused `budget-period-closed`."""
    await fold_purses(tx, key)
    await tx.execute(
        """UPDATE budget SET closed_at = coalesce(closed_at, now())
           WHERE programme_id = $1 AND period = $2""",
        *key,
    )


async def set_envelope(tx: Tx, key: BudgetKey, envelope: int) -> None:
    """Set a period's envelope, creating the period's budget if needed.

    The chain's own limit is raised before this and lowered after it. Raises ValueError when
    more than `envelope` was issued already.
    """
    if envelope < 0:
        raise ValueError("an envelope is not negative")
    await tx.execute(
        """INSERT INTO budget (programme_id, period, envelope) VALUES ($1, $2, $3)
           ON CONFLICT (programme_id, period) DO NOTHING""",
        *key,
        envelope,
    )
    await fold_purses(tx, key)
    issued = await tx.fetchval(
        "SELECT issued FROM budget WHERE programme_id = $1 AND period = $2", *key
    )
    if issued > envelope:
        raise ValueError(f"{key[0]} {key[1]} has issued {issued} points already")
    await tx.execute(
        "UPDATE budget SET envelope = $3 WHERE programme_id = $1 AND period = $2", *key, envelope
    )


@dataclass(frozen=True, slots=True)
class BudgetState:
    """How far a programme's budget is used, in whole points."""

    programme_id: str
    period: str
    envelope: int
    issued: int
    closed: bool


async def budgets(tx: Tx) -> list[BudgetState]:
    """Every budget with what was issued from it, spent purses included."""
    rows = await tx.fetch(
        """SELECT b.programme_id, b.period, b.envelope,
                  (b.issued + coalesce(sum(p.spent), 0))::bigint AS issued,
                  b.closed_at IS NOT NULL AS closed
           FROM budget AS b LEFT JOIN budget_purse AS p USING (programme_id, period)
           GROUP BY b.programme_id, b.period ORDER BY b.programme_id, b.period"""
    )
    return [BudgetState(**row) for row in rows]


async def _free_purse(tx: Tx, key: BudgetKey) -> Purse:
    budget = await tx.fetchrow(
        "SELECT closed_at FROM budget WHERE programme_id = $1 AND period = $2", *key
    )
    if budget is None:
        return Purse(key, None, 0, closed=False, exists=False)
    row = await tx.fetchrow(
        """SELECT purse_id, leased - spent AS left_over FROM budget_purse
           WHERE programme_id = $1 AND period = $2
           ORDER BY leased - spent DESC, purse_id LIMIT 1 FOR UPDATE SKIP LOCKED""",
        *key,
    )
    closed = budget["closed_at"] is not None
    if row is None:
        return Purse(key, None, 0, closed=closed)
    return Purse(key, row["purse_id"], row["left_over"], closed=closed)


async def _whole_budget(tx: Tx, key: BudgetKey) -> Purse:
    await fold_purses(tx, key)
    row = await tx.fetchrow(
        """SELECT envelope - issued AS left_over, closed_at FROM budget
           WHERE programme_id = $1 AND period = $2""",
        *key,
    )
    if row is None:
        return Purse(key, None, 0, closed=False, exists=False)
    return Purse(key, None, row["left_over"], closed=row["closed_at"] is not None)
