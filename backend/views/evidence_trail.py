"""One event from its record to its block, without its citizen; and the search for it."""

from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from backend.kit.db import Tx


@dataclass(frozen=True, slots=True)
class EvidenceFound:
    """An event as the search lists it; no person is named."""

    evidence_id: UUID
    partner_id: str
    source: str
    event_id: str
    scenario: str
    city_day: date
    recorded_at: datetime
    state: str
    reason: str | None
    reduction_mg: int | None
    points: int | None


@dataclass(frozen=True, slots=True)
class AwardRow:
    """One award of an event, with the transfers that gave and took it back."""

    award_id: UUID
    programme_id: str
    points_class: str
    amount: int
    points_before_caps: int
    cut_by: str | None
    method_id: str
    method_version: int
    method_digest: bytes
    rule_id: str
    rule_version: int
    rule_digest: bytes
    rule_rows: list[str]
    inputs: str
    stated: str
    transfer_id: UUID | None
    reversal_id: UUID | None


async def search_evidence(
    tx: Tx,
    *,
    partner_id: str | None = None,
    event_id: str | None = None,
    evidence_id: UUID | None = None,
    scenario: str | None = None,
    city_day: date | None = None,
    before: UUID | None = None,
    limit: int = 50,
) -> list[EvidenceFound]:
    """Events that match every given filter, last recorded first."""
    rows = await tx.fetch(
        """SELECT e.evidence_id, e.partner_id, e.source, e.event_id, e.scenario, e.city_day,
                  e.recorded_at, coalesce(d.state, 'recorded') AS state,
                  coalesce(d.reason, s.reason) AS reason, d.reduction_mg,
                  (SELECT sum(a.amount)::bigint FROM award AS a
                   WHERE a.evidence_id = e.evidence_id) AS points
           FROM evidence AS e LEFT JOIN decision AS d USING (evidence_id)
           LEFT JOIN supersession AS s ON s.evidence_id = e.evidence_id
           WHERE ($1::text IS NULL OR e.partner_id = $1) AND ($2::text IS NULL OR e.event_id = $2)
             AND ($3::uuid IS NULL OR e.evidence_id = $3)
             AND ($4::text IS NULL OR e.scenario = $4)
             AND ($5::date IS NULL OR e.city_day = $5)
             AND ($6::uuid IS NULL OR e.evidence_id < $6)
           ORDER BY e.evidence_id DESC LIMIT $7""",
        partner_id,
        event_id,
        evidence_id,
        scenario,
        city_day,
        before,
        limit,
    )
    return [EvidenceFound(**row) for row in rows]


async def corrections(
    tx: Tx, *, before: UUID | None = None, limit: int = 50
) -> list[dict[str, object]]:
    """Events that another event took the place of, latest first: which, by which, and why."""
    rows = await tx.fetch(
        """SELECT s.evidence_id, s.by_evidence_id, s.reason, e.partner_id, e.event_id, e.scenario,
                  e.city_day, b.partner_id AS by_partner, b.event_id AS by_event
           FROM supersession AS s JOIN evidence AS e USING (evidence_id)
           LEFT JOIN evidence AS b ON b.evidence_id = s.by_evidence_id
           WHERE $1::uuid IS NULL OR s.evidence_id < $1
           ORDER BY s.evidence_id DESC LIMIT $2""",
        before,
        limit,
    )
    return [dict(row) for row in rows]


async def awards_on(tx: Tx, evidence_id: UUID) -> list[AwardRow]:
    """The awards of an event, in order of programme."""
    rows = await tx.fetch(
        """SELECT a.award_id, a.programme_id, a.class AS points_class, a.amount,
                  a.points_before_caps, a.cut_by, a.method_id, a.method_version, a.method_digest,
                  a.rule_id, a.rule_version, a.rule_digest, a.rule_rows, a.inputs, a.stated,
                  a.transfer_id,
                  (SELECT r.transfer_id FROM transfer AS r
                   WHERE r.of_transfer = a.transfer_id AND r.act = 'reverse') AS reversal_id
           FROM award AS a WHERE a.evidence_id = $1 ORDER BY a.programme_id""",
        evidence_id,
    )
    return [AwardRow(**row) for row in rows]
