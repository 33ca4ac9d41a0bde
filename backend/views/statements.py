"""What a partner's events of one day came to, and on which day an awarded event was received."""

from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from backend.kit.db import Tx


@dataclass(frozen=True, slots=True)
class DaySum:
    """The events of one scenario in one state; `points` by class, as awarded.

    `state` is `recorded`, `refused`, `awarded` (and whatever follows), `applied` (a retraction) or
    `reversed`.
    """

    scenario: str
    state: str
    count: int
    reduction_mg: int
    points: dict[str, int]


@dataclass(frozen=True, slots=True)
class ReceivedEvent:
    """The event behind a transfer, and when it was received."""

    partner_id: str
    digest: bytes
    received_at: datetime


# Each upload's stretch of ids is walked by itself (OFFSET 0), see evidence/receiving.py.
_SUMS = """
WITH event AS MATERIALIZED (
    SELECT e.evidence_id, e.scenario
    FROM upload AS u CROSS JOIN LATERAL (
        SELECT evidence_id, scenario FROM evidence
        WHERE evidence_id BETWEEN u.evidence_from AND u.evidence_to
          AND upload_id = u.upload_id OFFSET 0) AS e
    WHERE u.partner_id = $1 AND u.received_at >= $2 AND u.received_at < $3
), paid AS MATERIALIZED (
    SELECT a.evidence_id, a.class, a.amount, r.transfer_id IS NOT NULL AS reversed
    FROM event JOIN award AS a USING (evidence_id)
    LEFT JOIN transfer AS r ON r.of_transfer = a.transfer_id AND r.act = 'reverse'
), fate AS MATERIALIZED (
    SELECT e.evidence_id, e.scenario, d.reduction_mg,
           CASE WHEN d.state IS NULL THEN 'recorded' WHEN d.state <> 'awarded' THEN d.state
                WHEN p.reversed THEN 'reversed' ELSE 'awarded' END AS state
    FROM event AS e LEFT JOIN decision AS d USING (evidence_id)
    LEFT JOIN (SELECT evidence_id, bool_or(reversed) AS reversed FROM paid GROUP BY evidence_id)
        AS p USING (evidence_id)
)
SELECT scenario, state, NULL AS class, count(*) AS n, coalesce(sum(reduction_mg), 0)::bigint AS sum
FROM fate GROUP BY scenario, state
UNION ALL
SELECT f.scenario, f.state, p.class, 0, sum(p.amount)::bigint
FROM fate AS f JOIN paid AS p USING (evidence_id) GROUP BY f.scenario, f.state, p.class
ORDER BY scenario, state, class NULLS FIRST
"""


async def day_sums(tx: Tx, partner_id: str, start: datetime, end: datetime) -> list[DaySum]:
    """What the events a partner had recorded in [start, end) came to, as of now."""
    sums: list[DaySum] = []
    for row in await tx.fetch(_SUMS, partner_id, start, end):
        if row["class"] is None:
            sums.append(DaySum(row["scenario"], row["state"], row["n"], row["sum"], {}))
        else:
            # The row of its scenario and state stands before it.
            sums[-1].points[row["class"]] = row["sum"]
    return sums


async def partners_to_close(tx: Tx, day: date, start: datetime, end: datetime) -> list[str]:
    """Partners with uploads received in [start, end) whose statement of `day` is not closed."""
    rows = await tx.fetch(
        """SELECT partner_id FROM partner AS p
           WHERE EXISTS (SELECT FROM upload AS u WHERE u.partner_id = p.partner_id
                         AND u.received_at >= $1 AND u.received_at < $2)
             AND NOT EXISTS (SELECT FROM statement AS s
                             WHERE s.partner_id = p.partner_id AND s.day = $3)
           ORDER BY partner_id""",
        start,
        end,
        day,
    )
    return [row["partner_id"] for row in rows]


async def received_event(tx: Tx, transfer_id: UUID) -> ReceivedEvent | None:
    """The event that an award's transfer pays for; None where there is none."""
    row = await tx.fetchrow(
        """SELECT e.partner_id, e.event_digest AS digest, e.recorded_at AS received_at
           FROM award AS a JOIN evidence AS e USING (evidence_id) WHERE a.transfer_id = $1""",
        transfer_id,
    )
    return None if row is None else ReceivedEvent(**row)
