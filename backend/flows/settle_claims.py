"""claims → one activity: what contradicts a stronger report of the same person does not count.

The order of strength is declared in `evidence.Strength` and looks only at what was reported. An
event loses as soon as a stronger one contradicts it, whether that one stands itself or not; so
nothing ever wins back, and any order of arrival ends with the same events standing.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from backend import evidence, methodology
from backend.evidence import Claim, EvidenceRow, Strength
from backend.kit.clock import instant_of
from backend.kit.db import Tx
from backend.kit.sm import sm3

_PLACES = ("meter_ref", "reservation_ref")
"""The fields that name one thing which only one activity can use."""

CLAIMS_COMPARED_MAX = 64
"""Up to so many claims of a person near a batch are compared each with each."""


async def settle_claims(
    tx: Tx, rows: Iterable[EvidenceRow], modes: Mapping[str, str | None]
) -> tuple[list[Claim], dict[UUID, UUID]]:
    """The claims of these events, and who loses to whom: (claims, {loser: a stronger event}).

    Losers are among these events and among those kept before.
    """
    by_person: dict[UUID, list[Claim]] = {}
    strengths: dict[UUID, Strength] = {}
    for row in rows:
        claim = claim_of(row)
        by_person.setdefault(row.citizen_id, []).append(claim)
        strengths[row.evidence_id] = Strength.of(claim, row.evidence_level, row.digest)
    fresh = [claim for claims in by_person.values() for claim in claims]
    if not fresh:
        return [], {}
    for claim in await evidence.claims_near(tx, fresh):
        by_person[claim.citizen_id].append(claim)
    contested = [
        claims
        for claims in (_contested(claims, strengths, modes) for claims in by_person.values())
        if claims
    ]
    kept = [claim for claims in contested for claim in claims if claim.evidence_id not in strengths]
    strengths |= await evidence.strengths_of(tx, kept)
    losers: dict[UUID, UUID] = {}
    for claims in contested:
        # A kept claim without strength was corrected or retracted since.
        counting = [claim for claim in claims if claim.evidence_id in strengths]
        losers |= evidence.losers_among(counting, strengths, modes)
    return fresh, losers


def _contested(
    claims: Sequence[Claim], fresh: Container[UUID], modes: Mapping[str, str | None]
) -> Sequence[Claim]:
    """Those of a person's claims that a decision may need; none where all keep apart."""
    if len(claims) < 2:
        return ()
    if len(claims) > CLAIMS_COMPARED_MAX:
        return claims
    found = {
        claim.evidence_id: claim
        for a, b in evidence.contradictions(claims, modes)
        if a.evidence_id in fresh or b.evidence_id in fresh
        for claim in (a, b)
    }
    return list(found.values())


def claim_of(row: EvidenceRow) -> Claim:
    """The stretch of time an event claims, by how its scenario tells when it began."""
    data = row.data or {}
    spec = methodology.scenarios().get(row.scenario)
    starts = None if spec is None else spec.starts
    place = next((data[name] for name in _PLACES if type(data.get(name)) is str), None)
    quantity = data.get("energy_wh", data.get("distance_m"))
    starts_at = ends_at = row.occurred_at
    if starts is not None:
        starts_at = _start(data.get(starts), ends_at)
    elif spec is not None and spec.history:
        # A month is one point of its own, however the partner spells its last second.
        starts_at = ends_at = datetime(row.city_day.year, row.city_day.month, 1, tzinfo=UTC)
    return evidence.claim_of(
        row.citizen_id,
        row.evidence_id,
        row.scenario,
        starts_at,
        ends_at,
        quantity=quantity if type(quantity) is int else None,
        place=None if place is None else sm3(place.encode()),
    )


def _start(value: object, ends_at: datetime) -> datetime:
    """When the activity began: seconds before its end, or an instant; else the end itself."""
    if type(value) is int:
        return ends_at - timedelta(seconds=min(max(value, 0), 86_400))
    if isinstance(value, str):
        try:
            return instant_of(value)
        except ValueError:
            return ends_at
    return ends_at


def exclusive_modes() -> dict[str, str | None]:
    """Each scenario's exclusive mode: what one person cannot do at once."""
    return {name: spec.mode for name, spec in methodology.scenarios().items()}
