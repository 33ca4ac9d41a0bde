"""A citizen's account over time: what they had on a day, what a month's activities came to."""

from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from backend.kit.db import Tx


@dataclass(frozen=True, slots=True)
class MonthSum:
    """What a person did in one scenario in one month (its first day), as it stands now."""

    month: date
    scenario: str
    activities: int
    reduction_mg: int
    points: int


async def balances_before(tx: Tx, citizen_id: UUID, instant: datetime) -> dict[str, int]:
    """Points by class as all movements before an instant left them; below 0 is a debt."""
    rows = await tx.fetch(
        """SELECT class, sum(CASE WHEN act IN ('award', 'refund') THEN amount ELSE -amount END)
                             ::bigint AS points
           FROM transfer WHERE citizen_id = $1 AND created_at < $2 GROUP BY class ORDER BY class""",
        citizen_id,
        instant,
    )
    return {row["class"]: row["points"] for row in rows}


# What was corrected, retracted, contradicted or taken back no longer counts.
_MONTHS = """
    SELECT date_trunc('month', e.city_day)::date AS month, e.scenario, count(*) AS activities,
           sum(d.reduction_mg)::bigint AS reduction_mg,
           coalesce(sum(p.points), 0)::bigint AS points
    FROM evidence AS e JOIN decision AS d USING (evidence_id)
    LEFT JOIN LATERAL (
        SELECT sum(a.amount) FILTER (WHERE r.transfer_id IS NULL) AS points,
               count(r.transfer_id) AS reversed
        FROM award AS a
        LEFT JOIN transfer AS r ON r.of_transfer = a.transfer_id AND r.act = 'reverse'
        WHERE a.evidence_id = e.evidence_id) AS p ON true
    WHERE e.citizen_id = $1 AND e.city_day >= $2 AND e.city_day < $3 AND d.state = 'awarded'
      AND p.reversed = 0
      AND NOT EXISTS (SELECT FROM supersession AS s WHERE s.evidence_id = e.evidence_id)
    GROUP BY 1, 2 ORDER BY 1, 2"""


async def month_sums(tx: Tx, citizen_id: UUID, day_from: date, day_to: date) -> list[MonthSum]:
    """A person's months in [day_from, day_to), by scenario."""
    return [MonthSum(**row) for row in await tx.fetch(_MONTHS, citizen_id, day_from, day_to)]


async def ranking(tx: Tx, day_from: date, day_to: date) -> list[tuple[UUID, int]]:
    """Those who chose to be ranked and did something in [day_from, day_to), most mg first."""
    rows = await tx.fetch(
        """SELECT s.citizen_id, sum(d.reduction_mg)::bigint AS reduction_mg
           FROM citizen_setting AS s
           JOIN evidence AS e ON e.citizen_id = s.citizen_id
                AND e.city_day >= $1 AND e.city_day < $2
           JOIN decision AS d ON d.evidence_id = e.evidence_id AND d.state = 'awarded'
           WHERE s.ranking
             AND NOT EXISTS (SELECT FROM supersession AS x WHERE x.evidence_id = e.evidence_id)
           GROUP BY s.citizen_id ORDER BY 2 DESC, 1""",
        day_from,
        day_to,
    )
    return [(row["citizen_id"], row["reduction_mg"]) for row in rows]
