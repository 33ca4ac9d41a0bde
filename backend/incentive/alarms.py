"""What an official should look at: budgets near their end, people too fast, points too few people.

An alarm decides nothing. It is raised once for a programme, kind and city day.
"""

import json
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from backend.incentive.budget import BudgetState, budget_period
from backend.incentive.forecast import SERIES_DAYS_MIN, exhaustion
from backend.incentive.terms import Watch
from backend.kit.db import Tx
from backend.kit.ids import new_id

BASIS_DAYS = 90
SPREAD_DAYS = 30
PEOPLE_MIN = 10
"""Below this many people a large share says nothing."""

SHOWN_MAX = 10


@dataclass(frozen=True, slots=True)
class Alarm:
    """One alarm; `detail` holds counts, days and record ids, never who a person is."""

    alarm_id: UUID
    programme_id: str
    kind: str
    city_day: date
    detail: dict[str, Any]
    raised_at: datetime


async def raise_alarms(
    tx: Tx,
    programme_id: str,
    budget_kind: str,
    states: list[BudgetState],
    watch: Watch,
    day: date,
    at: datetime,
) -> list[str]:
    """Look at a city day that has ended; the kinds of the alarms that are new."""
    found: dict[str, dict[str, Any] | None] = {
        "budget": await _budget(tx, programme_id, budget_kind, states, watch, day),
        "velocity": await _velocity(tx, programme_id, watch, day),
        "concentration": await _concentration(tx, programme_id, watch, day),
    }
    raised: list[str] = []
    for kind, detail in found.items():
        if detail is None:
            continue
        done = await tx.execute(
            """INSERT INTO programme_alarm (alarm_id, programme_id, kind, city_day, detail,
                   raised_at) VALUES ($1, $2, $3, $4, $5, $6)
               ON CONFLICT (programme_id, kind, city_day) DO NOTHING""",
            new_id(),
            programme_id,
            kind,
            day,
            json.dumps(detail),
            at,
        )
        if done == "INSERT 0 1":
            raised.append(kind)
    return raised


async def alarms(tx: Tx, day_from: date) -> list[Alarm]:
    """The alarms of city days from `day_from`, latest first."""
    rows = await tx.fetch(
        """SELECT alarm_id, programme_id, kind, city_day, detail, raised_at FROM programme_alarm
           WHERE city_day >= $1 ORDER BY city_day DESC, alarm_id DESC LIMIT 1000""",
        day_from,
    )
    return [Alarm(**{**row, "detail": json.loads(row["detail"])}) for row in rows]


async def _budget(
    tx: Tx,
    programme_id: str,
    budget_kind: str,
    states: list[BudgetState],
    watch: Watch,
    day: date,
) -> dict[str, Any] | None:
    """The budget of the day's period, if it may end within `budget_days`."""
    period = budget_period(budget_kind, day)
    state = next((s for s in states if (s.programme_id, s.period) == (programme_id, period)), None)
    if state is None or state.closed:
        return None
    left = state.envelope - state.issued
    first = day - timedelta(days=BASIS_DAYS - 1)
    rows = await tx.fetch(
        """SELECT city_day, sum(amount)::bigint AS points FROM award
           WHERE programme_id = $1 AND city_day BETWEEN $2 AND $3 GROUP BY 1""",
        programme_id,
        first,
        day,
    )
    by_day = {row["city_day"]: row["points"] for row in rows}
    if not by_day:
        return None
    begun = max(min(by_day), first)
    series = [by_day.get(begun + timedelta(days=n), 0) for n in range((day - begun).days + 1)]
    series = [0] * (SERIES_DAYS_MIN - len(series)) + series
    ends = exhaustion(series, left, day)
    if ends.early is None or ends.early > day + timedelta(days=watch.budget_days):
        return None
    return {
        "period": period,
        "left": left,
        "early": ends.early.isoformat(),
        "expected": None if ends.expected is None else ends.expected.isoformat(),
        "late": None if ends.late is None else ends.late.isoformat(),
    }


async def _velocity(tx: Tx, programme_id: str, watch: Watch, day: date) -> dict[str, Any] | None:
    """People with more awards on the day than `awards_per_day`, shown by their last records."""
    if watch.awards_per_day is None:
        return None
    rows = await tx.fetch(
        """SELECT count(*) AS awards, max(evidence_id::text) AS record FROM award
           WHERE programme_id = $1 AND city_day = $2
           GROUP BY citizen_id HAVING count(*) > $3 ORDER BY 1 DESC""",
        programme_id,
        day,
        watch.awards_per_day,
    )
    if not rows:
        return None
    records = [{"record": row["record"], "awards": row["awards"]} for row in rows[:SHOWN_MAX]]
    return {"people": len(rows), "limit": watch.awards_per_day, "records": records}


async def _concentration(
    tx: Tx, programme_id: str, watch: Watch, day: date
) -> dict[str, Any] | None:
    """The person with the largest share of the last 30 days' points, if it is `top_percent`."""
    if watch.top_percent is None:
        return None
    row = await tx.fetchrow(
        """SELECT count(*) AS people, sum(points)::bigint AS points, max(points) AS top,
                  (array_agg(record ORDER BY points DESC))[1] AS record
           FROM (SELECT sum(amount)::bigint AS points, max(evidence_id::text) AS record FROM award
                 WHERE programme_id = $1 AND city_day > $2 AND city_day <= $3
                 GROUP BY citizen_id) AS person""",
        programme_id,
        day - timedelta(days=SPREAD_DAYS),
        day,
    )
    if row is None or row["people"] < PEOPLE_MIN or not row["points"]:
        return None
    if row["top"] * 100 < watch.top_percent * row["points"]:
        return None
    return {
        "people": row["people"],
        "points": row["points"],
        "top": row["top"],
        "limit_percent": watch.top_percent,
        "record": row["record"],
    }
