"""How the reports of one partner end: by outcome, by reason, at the door and after it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

from backend.kit.db import Tx


@dataclass(frozen=True, slots=True)
class PartnerBoard:
    """How a partner's reports of a span ended: events by outcome, rejections at the door by reason.

    `last_at` is the instant of the last upload.
    """

    outcomes: Mapping[str, int]
    refused: Mapping[str, int]
    rejected: Mapping[str, int]
    last_at: datetime | None


async def partner_board(tx: Tx, partner_id: str, since: date) -> PartnerBoard:
    """Counts of the events of a partner whose city day is `since` or later."""
    states = await tx.fetch(
        """SELECT coalesce(d.state, 'recorded') AS state, d.reason, count(*) AS events
           FROM evidence AS e LEFT JOIN decision AS d USING (evidence_id)
           WHERE e.partner_id = $1 AND e.city_day >= $2 GROUP BY 1, 2 ORDER BY 3 DESC""",
        partner_id,
        since,
    )
    outcomes: dict[str, int] = {}
    for row in states:
        outcomes[row["state"]] = outcomes.get(row["state"], 0) + row["events"]
    rejected = await tx.fetch(
        """SELECT reason, count(*) AS events FROM rejection
           WHERE partner_id = $1 AND rejected_at >= $2::date GROUP BY 1 ORDER BY 2 DESC""",
        partner_id,
        since,
    )
    return PartnerBoard(
        outcomes=outcomes,
        refused={row["reason"]: row["events"] for row in states if row["reason"] is not None},
        rejected={row["reason"]: row["events"] for row in rejected},
        last_at=await tx.fetchval(
            "SELECT max(received_at) FROM upload WHERE partner_id = $1", partner_id
        ),
    )
