"""What became of an event: its state, reduction, awards and the reason, as its citizen sees it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from backend.kit.db import Row, Tx
from backend.views.edges import Edges, edges

ORDER = ("recorded", "awarded", "logged", "confirmed", "posted")
"""States in the order an event passes through; `refused`, `refused_by_chain`, `reversed` end it."""


@dataclass(frozen=True, slots=True)
class Award:
    """One award of an event: points of one programme, and how far they have come.

    `leaf_index` is None until sealed; `cut_by` names the cap that cut the points; `method_status`
    is approved or provisional.
    """

    award_id: UUID
    programme_id: str
    points_class: str
    points: int
    cut_by: str | None
    state: str
    leaf_index: int | None
    method_status: str


@dataclass(frozen=True, slots=True)
class Standing:
    """The event that stands instead of one that was corrected, retracted or contradicted."""

    activity_id: UUID
    partner_id: str
    event_id: str


@dataclass(frozen=True, slots=True)
class Activity:
    """One event of a citizen. `points` is the sum of its awards; None until decided.

    `stands_instead` is set where another event of the same person took its place.
    """

    activity_id: UUID
    partner_id: str
    event_id: str
    scenario: str
    city_day: date
    occurred_text: str
    recorded_at: datetime
    state: str
    reason: str | None
    reduction_mg: int | None
    points: int | None
    awards: tuple[Award, ...]
    stands_instead: Standing | None


_EVENTS = """
SELECT e.evidence_id, e.partner_id, e.event_id, e.scenario, e.city_day, e.occurred_text,
       e.recorded_at, d.state, coalesce(d.reason, s.reason) AS reason, d.reduction_mg,
       o.evidence_id AS instead_id, o.partner_id AS instead_partner, o.event_id AS instead_event
FROM evidence AS e LEFT JOIN decision AS d USING (evidence_id)
LEFT JOIN supersession AS s ON s.evidence_id = e.evidence_id
     AND (d.reason IS NULL OR d.reason = s.reason)
LEFT JOIN evidence AS o ON o.evidence_id = s.by_evidence_id AND o.citizen_id = e.citizen_id
"""

# A retraction is no activity of anybody: what it took back is.
_ACTIVE = """
NOT EXISTS (SELECT FROM correction AS c
            WHERE c.evidence_id = e.evidence_id AND c.kind = 'retracts')
"""

# A refused batch counts until its leaves were cut again into a batch that is not refused. Refused
# ones are few and have an index of their own, so the exact question is hardly ever asked.
_AWARDS = """
SELECT a.award_id, a.evidence_id, a.programme_id, a.class, a.amount, a.cut_by, a.transfer_id,
       a.method_status, l.index AS leaf_index,
       EXISTS (SELECT FROM transfer AS r
               WHERE r.of_transfer = a.transfer_id AND r.act = 'reverse') AS reversed,
       EXISTS (SELECT FROM chain_batch AS b
               WHERE b.state = 'refused' AND b.leaf_from <= l.index AND b.leaf_to > l.index)
       AND coalesce((SELECT bool_and(b.state = 'refused') FROM chain_batch AS b
                     WHERE b.state <> 'recut' AND b.leaf_from <= l.index AND b.leaf_to > l.index
                       AND b.kind = 1 AND b.class = l.class AND b.programme = l.programme
                       AND b.rule = l.rule AND b.rule_version = l.rule_version
                       AND b.reason = l.reason
                       AND l.account BETWEEN b.account_from AND b.account_to), false)
           AS refused_by_chain
FROM award AS a LEFT JOIN leaf AS l ON l.ref = a.transfer_id
WHERE a.evidence_id = ANY($1::uuid[])
ORDER BY a.evidence_id, a.programme_id
"""


async def activities_of(
    tx: Tx, citizen_id: UUID, *, before: UUID | None, limit: int
) -> list[Activity]:
    """A citizen's events, last recorded first, recorded before the event `before`."""
    rows = await tx.fetch(
        _EVENTS
        + f"""WHERE e.citizen_id = $1 AND ($2::uuid IS NULL OR e.evidence_id < $2) AND {_ACTIVE}
             ORDER BY e.evidence_id DESC LIMIT $3""",
        citizen_id,
        before,
        limit,
    )
    return await _with_awards(tx, rows)


async def activity_of(tx: Tx, citizen_id: UUID, activity_id: UUID) -> Activity | None:
    """One event of this citizen; None when it does not exist or is another's."""
    rows = await tx.fetch(
        _EVENTS + f"WHERE e.citizen_id = $1 AND e.evidence_id = $2 AND {_ACTIVE}",
        citizen_id,
        activity_id,
    )
    found = await _with_awards(tx, rows)
    return found[0] if found else None


async def states_of(tx: Tx, evidence_ids: Iterable[UUID]) -> dict[UUID, str]:
    """The present state of each event."""
    rows = await tx.fetch(_EVENTS + "WHERE e.evidence_id = ANY($1::uuid[])", list(evidence_ids))
    return {each.activity_id: each.state for each in await _with_awards(tx, rows)}


def state_of_award(row: Row, at: Edges) -> str:
    """The state of one award: the first that applies, from the end of its life backwards."""
    if row["reversed"]:
        return "reversed"
    if row["refused_by_chain"]:
        return "refused_by_chain"
    index = row["leaf_index"]
    if index is None:
        return "awarded"
    if index >= at.confirmed:
        return "logged"
    return "posted" if index < at.posted else "confirmed"


def state_of_event(decided: str | None, award_states: list[str]) -> str:
    """The state of an event with its awards: what ended badly first, else the least advanced."""
    if decided is None:
        return "recorded"
    if decided in ("refused", "applied"):
        return decided
    for end in ("refused_by_chain", "reversed"):
        if end in award_states:
            return end
    return min(award_states, key=ORDER.index, default="awarded")


async def _with_awards(tx: Tx, rows: list[Row]) -> list[Activity]:
    at = await edges(tx)
    awards: dict[UUID, list[Award]] = {}
    for row in await tx.fetch(_AWARDS, [row["evidence_id"] for row in rows]):
        awards.setdefault(row["evidence_id"], []).append(
            Award(
                award_id=row["award_id"],
                programme_id=row["programme_id"],
                points_class=row["class"],
                points=row["amount"],
                cut_by=row["cut_by"],
                state=state_of_award(row, at),
                leaf_index=row["leaf_index"],
                method_status=row["method_status"],
            )
        )
    return [_activity(row, tuple(awards.get(row["evidence_id"], ()))) for row in rows]


def _activity(row: Row, awards: tuple[Award, ...]) -> Activity:
    # An award of 0 points has no transfer: it does not hold back those that pay.
    paid = [each.state for each in awards if each.points > 0]
    state = state_of_event(row["state"], paid)
    if row["state"] == "awarded" and row["reason"] is not None and state in ORDER:
        state = "reversed"  # of 0 points: there was nothing to take back
    instead = None
    if row["instead_id"] is not None:
        instead = Standing(row["instead_id"], row["instead_partner"], row["instead_event"])
    return Activity(
        activity_id=row["evidence_id"],
        partner_id=row["partner_id"],
        event_id=row["event_id"],
        scenario=row["scenario"],
        city_day=row["city_day"],
        occurred_text=row["occurred_text"],
        recorded_at=row["recorded_at"],
        state=state,
        reason=row["reason"],
        reduction_mg=row["reduction_mg"],
        points=None if row["state"] is None else sum(each.points for each in awards),
        awards=awards,
        stands_instead=instead,
    )
