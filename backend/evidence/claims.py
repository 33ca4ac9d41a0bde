"""Claims: the stretch of a person's time an event stands for, and which of two claims is stronger.

Two claims of one person contradict each other when both need the person (the same exclusive
`mode`) at the same time, or when they are the same activity reported twice. The order of strength
uses only what the partner signed, never when it arrived, so that any order of arrival ends alike.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from backend.evidence.corrections import outdated
from backend.kit.db import Tx

TOLERANCE = timedelta(seconds=60)
"""Clocks of different systems differ: a shorter overlap is none."""
TWIN_WITHIN = timedelta(seconds=60)
"""The same activity reported twice ends within less than this."""
SPAN_MAX = timedelta(hours=24)
"""The longest stretch that one event can claim; a longer one is cut at its start."""

_COLUMNS = (
    "citizen_id",
    "ends_at",
    "evidence_id",
    "starts_at",
    "scenario",
    "quantity",
    "place",
)


class Claim(NamedTuple):
    """One event's claim. `quantity` and `place` tell twins where no exclusive mode does.

    `place` is a digest; `quantity` is in the scenario's own unit.
    """

    citizen_id: UUID
    ends_at: datetime
    evidence_id: UUID
    starts_at: datetime
    scenario: str
    quantity: int | None
    place: bytes | None


class Strength(NamedTuple):
    """What decides between two claims: the smaller one is the stronger.

    A higher level of evidence, then an earlier start, then the smaller digest of the event.
    """

    weakness: int
    starts_at: datetime
    digest: bytes

    @classmethod
    def of(cls, claim: Claim, evidence_level: str, digest: bytes) -> "Strength":
        """The strength of a claim whose event has this level (`L0` to `L4`) and digest."""
        return cls(-int(evidence_level[1:]), claim.starts_at, digest)


def claim_of(
    citizen_id: UUID,
    evidence_id: UUID,
    scenario: str,
    starts_at: datetime,
    ends_at: datetime,
    *,
    quantity: int | None,
    place: bytes | None = None,
) -> Claim:
    """A claim with its stretch made regular: never backwards, never beyond `SPAN_MAX`."""
    starts_at = min(max(starts_at, ends_at - SPAN_MAX), ends_at)
    return Claim(citizen_id, ends_at, evidence_id, starts_at, scenario, quantity, place)


def contradict(a: Claim, b: Claim, modes: Mapping[str, str | None]) -> bool:
    """Whether two claims of one person cannot both be true. Symmetric.

    `modes` gives each scenario's exclusive mode, None where it needs no person all the time.
    """
    mode = modes.get(a.scenario)
    exclusive = mode is not None and mode == modes.get(b.scenario)
    if exclusive and a.starts_at + TOLERANCE < b.ends_at and b.starts_at + TOLERANCE < a.ends_at:
        return True
    if a.scenario != b.scenario or abs(a.ends_at - b.ends_at) >= TWIN_WITHIN:
        return False
    if exclusive:
        return True  # nobody ends two rides of a kind at once, whatever their lengths
    if a.place is not None and b.place is not None:
        return a.place == b.place
    if a.quantity is None or b.quantity is None:
        return a.quantity is b.quantity
    return abs(a.quantity - b.quantity) * 100 <= max(abs(a.quantity), abs(b.quantity))


def contradictions(
    claims: Sequence[Claim], modes: Mapping[str, str | None]
) -> Iterator[tuple[Claim, Claim]]:
    """Every pair of one person's claims that contradict each other."""
    ordered = sorted(claims, key=lambda claim: (claim.starts_at, claim.ends_at))
    open_claims: list[Claim] = []
    for claim in ordered:
        reach = claim.starts_at - TWIN_WITHIN
        open_claims = [other for other in open_claims if other.ends_at > reach]
        for other in open_claims:
            if contradict(claim, other, modes):
                yield other, claim
        open_claims.append(claim)


def losers_among(
    claims: Iterable[Claim], strengths: Mapping[UUID, Strength], modes: Mapping[str, str | None]
) -> dict[UUID, UUID]:
    """{loser: a stronger event that contradicts it} among one person's claims.

    What lost already is looked at only by what has not lost yet, so that thousands of claims on
    the same minutes cost little more than as many that keep apart.
    """
    losers: dict[UUID, UUID] = {}
    standing: list[Claim] = []
    lost: list[Claim] = []
    for claim in sorted(claims, key=lambda c: (c.starts_at, c.ends_at, strengths[c.evidence_id])):
        reach = claim.starts_at - TWIN_WITHIN
        standing = [other for other in standing if other.ends_at > reach]
        for other in standing:
            if contradict(claim, other, modes):
                pair = sorted((claim, other), key=lambda c: strengths[c.evidence_id])
                losers.setdefault(pair[1].evidence_id, pair[0].evidence_id)
        if claim.evidence_id not in losers:
            lost = [other for other in lost if other.ends_at > reach]
            for other in lost:
                stronger = strengths[other.evidence_id] < strengths[claim.evidence_id]
                if stronger and contradict(claim, other, modes):
                    losers[claim.evidence_id] = other.evidence_id
                    break
        lost += [other for other in standing if other.evidence_id in losers]
        standing = [other for other in standing if other.evidence_id not in losers]
        (lost if claim.evidence_id in losers else standing).append(claim)
    return losers


async def store_claims(tx: Tx, claims: Iterable[Claim]) -> None:
    """Keep claims, those that lost too: a weaker one must not win by coming later."""
    await tx.copy("claim", _COLUMNS, claims)


async def claims_near(tx: Tx, claims: Iterable[Claim]) -> list[Claim]:
    """What is kept of the same people and could contradict one of these claims.

    One question for each stretch of days, so that one late event does not make the search read
    years of everybody.
    """
    ordered = sorted(claims, key=lambda claim: claim.ends_at)
    found: list[Claim] = []
    first = 0
    for i in range(1, len(ordered) + 1):
        if i == len(ordered) or ordered[i].ends_at - ordered[i - 1].ends_at > SPAN_MAX:
            found += await _claims_in(tx, ordered[first:i])
            first = i
    return found


async def _claims_in(tx: Tx, claims: Sequence[Claim]) -> list[Claim]:
    rows = await tx.fetch(
        """SELECT citizen_id, ends_at, evidence_id, starts_at, scenario, quantity, place
           FROM claim
           WHERE citizen_id = ANY($1::uuid[]) AND ends_at > $2 AND ends_at < $3
             AND starts_at < $4""",
        list({claim.citizen_id for claim in claims}),
        min(claim.starts_at for claim in claims) - TWIN_WITHIN,
        claims[-1].ends_at + SPAN_MAX + TWIN_WITHIN,
        claims[-1].ends_at + TWIN_WITHIN,
    )
    return [Claim._make(row.values()) for row in rows]


async def strengths_of(tx: Tx, claims: Iterable[Claim]) -> dict[UUID, Strength]:
    """The strength of kept claims by evidence; those of corrected or retracted events are absent.

    A claim that lost to a stronger one still counts: what contradicts it is no truer for that.
    """
    by_id = {claim.evidence_id: claim for claim in claims}
    if not by_id:
        return {}
    rows = await tx.fetch(
        f"""SELECT e.evidence_id, e.evidence_level, e.event_digest FROM evidence AS e
            WHERE e.evidence_id = ANY($1::uuid[]) AND NOT {outdated("e")}""",  # noqa: S608 - constants only
        list(by_id),
    )
    return {
        row["evidence_id"]: Strength.of(
            by_id[row["evidence_id"]], row["evidence_level"], row["event_digest"]
        )
        for row in rows
    }
