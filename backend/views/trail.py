"""One event from its upload to the block: every row that came of it, in the order of the sentence.

Also what officials search by, and how a partner's reports ended.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from backend.kit.db import Row, Tx

FOUND_MAX = 200


@dataclass(frozen=True, slots=True)
class Trail:
    """Rows by table, None or empty where the event has not come so far."""

    event: Row
    decision: Row | None
    superseded: Row | None
    awards: tuple[Row, ...]
    transfers: tuple[Row, ...]
    leaves: tuple[Row, ...]
    anchor: Row | None
    batches: tuple[Row, ...]


async def find_evidence(
    tx: Tx,
    *,
    text: str = "",
    partner_id: str | None = None,
    scenario: str | None = None,
    reason: str | None = None,
    day: date | None = None,
) -> list[Row]:
    """Events that match every given part, newest first, at most FOUND_MAX.

    `text` is an event id, an evidence id or the beginning of an event digest in hex.
    """
    return await tx.fetch(
        """SELECT e.evidence_id, e.partner_id, e.event_id, e.scenario, e.city_day, e.recorded_at,
                  e.evidence_level, d.state, coalesce(s.reason, d.reason) AS reason, d.reduction_mg,
                  (SELECT sum(a.amount)::bigint FROM award AS a
                   WHERE a.evidence_id = e.evidence_id) AS points
           FROM evidence AS e LEFT JOIN decision AS d USING (evidence_id)
           LEFT JOIN supersession AS s ON s.evidence_id = e.evidence_id
           WHERE ($1 = '' OR e.event_id = $1 OR e.evidence_id::text = $1
                  OR (length($1) >= 8 AND starts_with(encode(e.event_digest, 'hex'), $1)))
             AND ($2::text IS NULL OR e.partner_id = $2)
             AND ($3::text IS NULL OR e.scenario = $3)
             AND ($4::text IS NULL OR coalesce(s.reason, d.reason) = $4)
             AND ($5::date IS NULL OR e.city_day = $5)
           ORDER BY e.evidence_id DESC LIMIT $6""",
        text,
        partner_id,
        scenario,
        reason,
        day,
        FOUND_MAX,
    )


async def trail_of(tx: Tx, evidence_id: UUID) -> Trail | None:
    """Everything that came of an event; None if there is none with this id."""
    event = await tx.fetchrow(
        """SELECT e.evidence_id, e.partner_id, e.source, e.event_id, e.event_digest, e.scenario,
                  e.occurred_text, e.city_day, e.origin, e.evidence_level, e.recorded_at,
                  u.upload_id, u.webhook_id, u.scheme, u.key_id, u.event_count
           FROM evidence AS e JOIN upload AS u USING (upload_id) WHERE e.evidence_id = $1""",
        evidence_id,
    )
    if event is None:
        return None
    awards = await tx.fetch(
        "SELECT * FROM award WHERE evidence_id = $1 ORDER BY programme_id", evidence_id
    )
    ids = [row["transfer_id"] for row in awards if row["transfer_id"] is not None]
    transfers = await tx.fetch(
        """SELECT transfer_id, act, reason, of_transfer, class, amount, created_at FROM transfer
           WHERE transfer_id = ANY($1::uuid[]) OR of_transfer = ANY($1::uuid[])
           ORDER BY transfer_id""",
        ids,
    )
    leaves = await tx.fetch(
        """SELECT index, ref, leaf_hash, act, amount, sealed_at FROM leaf
           WHERE ref = ANY($1::uuid[]) ORDER BY index""",
        [row["transfer_id"] for row in transfers],
    )
    first = leaves[0]["index"] if leaves else None
    return Trail(
        event=event,
        decision=await tx.fetchrow("SELECT * FROM decision WHERE evidence_id = $1", evidence_id),
        superseded=await tx.fetchrow(
            "SELECT * FROM supersession WHERE evidence_id = $1", evidence_id
        ),
        awards=tuple(awards),
        transfers=tuple(transfers),
        leaves=tuple(leaves),
        anchor=await tx.fetchrow(
            """SELECT size, root, tx_hash, block, final_at FROM anchor
               WHERE size > $1 AND final_at IS NOT NULL ORDER BY size LIMIT 1""",
            first,
        ),
        batches=tuple(
            await tx.fetch(
                """SELECT DISTINCT b.batch_id, b.kind, b.state, b.leaf_from, b.leaf_to,
                          b.account_count, b.total, t.tx_hash, t.block
                   FROM leaf AS l JOIN chain_batch AS b
                     ON l.index >= b.leaf_from AND l.index < b.leaf_to AND b.class = l.class
                    AND b.reason = l.reason AND b.programme = coalesce(l.programme, '')
                    AND b.rule = coalesce(l.rule, '')
                    AND b.rule_version = coalesce(l.rule_version, 0)
                    AND l.account BETWEEN b.account_from AND b.account_to
                    AND b.kind = CASE WHEN l.act IN ('award', 'refund') THEN 1
                                      WHEN l.act = 'redeem' THEN 2 ELSE 3 END
                   LEFT JOIN chain_tx AS t USING (tx_id)
                   WHERE l.ref = ANY($1::uuid[])""",
                [row["transfer_id"] for row in transfers],
            )
        ),
    )


@dataclass(frozen=True, slots=True)
class PartnerBoard:
    """How a partner's reports of a span ended: events by outcome, rejections at the door by reason.

    `silent_since` is the instant of the last upload, None if there never was one.
    """

    outcomes: Mapping[str, int]
    refused: Mapping[str, int]
    rejected: Mapping[str, int]
    silent_since: Any


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
        silent_since=await tx.fetchval(
            "SELECT max(received_at) FROM upload WHERE partner_id = $1", partner_id
        ),
    )
