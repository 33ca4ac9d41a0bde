"""correction → chain → counter-entry: an event takes the place of its partner's earlier one.

A correction names an event of the same partner and source that is recorded already, or comes in the
same upload. Of a chain the event recorded last stands; whatever the others had earned is taken back
by counter-entries, never edited. What lost a double claim is taken back in the same way.
"""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from backend import evidence, incentive, ledger
from backend.evidence import Accepted, Chains, Correction, Decision, Superseded
from backend.flows.notice_awards import tell_reversals
from backend.incentive import CounterBook, CounterKey, StandingAward
from backend.kit import canonical
from backend.kit.clock import city_day
from backend.kit.db import Tx
from backend.kit.sm import sm3

_NOTES = {
    "corrected": "合作平台更正了原上报",
    "retracted": "合作平台撤回了原上报",
    "double-claim": "同一行为有更可靠的上报",
}
"""Why points were taken back, as the counter-entry says it."""


@dataclass(slots=True)
class Placed:
    """Corrections with their place in a chain, and a problem for each that has none."""

    corrections: list[Correction] = field(default_factory=list[Correction])
    problems: dict[UUID, str] = field(default_factory=dict[UUID, str])


async def place_in_chains(tx: Tx, partner_id: str, accepted: Sequence[Accepted]) -> Placed:
    """Find the event that each correction of an upload names, recorded or in the same upload.

    Problems: `unknown-event` where this partner has no such event of that source, and
    `correction-cycle` where corrections of one upload name each other in a circle.
    """
    amending = {one.evidence_id: one for one in accepted if one.event.amends is not None}
    here = {(one.event.source, one.event.event_id): one.evidence_id for one in accepted}
    targets = {
        evidence_id: (one.event.source, one.event.amends.event_id)
        for evidence_id, one in amending.items()
        if one.event.amends is not None
    }
    recorded = await evidence.recorded_identities(tx, partner_id, [*targets.values()])
    of = {
        evidence_id: here[target] if target in here else recorded[target].evidence_id
        for evidence_id, target in targets.items()
        if target in here or target in recorded
    }
    placed = Placed()
    ends = await evidence.ends_of(tx, {*of.values()} - {one.evidence_id for one in accepted})
    last_n = dict(ends.values())
    roots = {evidence_id: root for evidence_id, (root, _) in ends.items()}
    for evidence_id in amending:
        for each in _trail(evidence_id, of, roots, placed.problems, amending):
            root = roots.setdefault(of[each], of[each])
            n = last_n[root] = last_n.get(root, 0) + 1
            roots[each] = root
            amends = amending[each].event.amends
            if amends is not None:
                placed.corrections.append(Correction(each, amends.kind, of[each], root, n))
    return placed


def _trail(
    evidence_id: UUID,
    of: Mapping[UUID, UUID],
    roots: Mapping[UUID, UUID],
    problems: dict[UUID, str],
    amending: Mapping[UUID, Accepted],
) -> list[UUID]:
    """What has to be placed for this event, what it names first; nothing if there is a problem.

    The problem is noted for every event on the way, so that each is walked over once.
    """
    trail: dict[UUID, None] = {}
    at = evidence_id
    while at in amending and at not in roots:
        if at in trail:
            circle = list(trail)[list(trail).index(at) :]
            problems |= dict.fromkeys(trail, "unknown-event")
            problems |= dict.fromkeys(circle, "correction-cycle")
            return []
        if at not in of or at in problems:
            problems |= dict.fromkeys([*trail, at], "unknown-event") | {
                at: problems.get(at, "unknown-event")
            }
            return []
        trail[at] = None
        at = of[at]
    return list(trail)[::-1]


def settle_chains(
    event_ids: Iterable[UUID], pending: AbstractSet[UUID], chains: Chains, now: datetime
) -> tuple[dict[UUID, Decision], dict[UUID, Superseded]]:
    """What chains decide about undecided events, and which events lose their standing by it.

    What was corrected or retracted is refused, a retraction is applied. Whatever becomes of a
    correction itself, what it names no longer stands.
    """
    decisions: dict[UUID, Decision] = {}
    superseded: dict[UUID, Superseded] = {}
    for event_id in event_ids if chains else ():
        if event_id not in pending:
            continue
        fall = chains.superseding(event_id)
        if fall is not None:
            superseded[event_id] = fall
            decisions[event_id] = Decision(event_id, "refused", fall.reason, None, None, None, now)
            continue
        if chains.is_retraction(event_id):
            decisions[event_id] = Decision(event_id, "applied", None, None, None, None, now)
        for earlier in chains.before(event_id):
            fall = chains.superseding(earlier)
            if fall is not None:
                superseded[earlier] = fall
    return decisions, superseded


class Overturned:
    """The standing awards of events that lost their standing, to be taken back."""

    def __init__(self, awards: Sequence[StandingAward], kept: Mapping[str, Iterable[str]]) -> None:
        self.awards = awards
        self._keys = {
            award.award_id: incentive.counter_keys(award, kept.get(award.programme_id, ()))
            for award in awards
        }

    @property
    def evidence_ids(self) -> set[UUID]:
        """The events whose awards are taken back."""
        return {award.evidence_id for award in self.awards}

    @property
    def counter_keys(self) -> list[CounterKey]:
        """Every counter that gives something back."""
        return [key for keys in self._keys.values() for key in keys]

    async def release(
        self, tx: Tx, book: CounterBook, release_ids: Sequence[UUID], now: datetime
    ) -> None:
        """Let the caps forget the awards, before new ones are made in their place."""
        released = [
            (release_id, award, self._keys[award.award_id])
            for release_id, award in zip(release_ids, self.awards, strict=True)
        ]
        await incentive.release(tx, released, book, now)

    async def reverse(
        self,
        tx: Tx,
        superseded: Mapping[UUID, Superseded],
        transfer_ids: Sequence[UUID],
        now: datetime,
        city_tz: str,
    ) -> None:
        """Write the counter-entries and ask for their leaves."""
        paid = {award.transfer_id: award for award in self.awards if award.transfer_id}
        before = await ledger.reversed_among(tx, paid)
        made: list[tuple[int, UUID, datetime]] = []
        told: dict[str, list[UUID]] = {}
        for transfer_id, (of_transfer, award) in zip(transfer_ids, paid.items(), strict=False):
            if of_transfer in before:
                continue
            fall = superseded[award.evidence_id]
            note = f"{_NOTES[fall.reason]}({fall.reason})"
            body = {"act": "reverse", "by": str(fall.by_evidence_id), "of": str(of_transfer)}
            await ledger.reverse_award(
                tx,
                transfer_id=transfer_id,
                of_transfer=of_transfer,
                city_day=city_day(now, city_tz),
                idempotency_key=f"reverse:{of_transfer}",
                body_digest=sm3(canonical.dumps(body)),
                note=note,
                at=now,
            )
            made.append((1, transfer_id, now))
            told.setdefault(fall.reason, []).append(of_transfer)
        if made:
            await tx.copy("unsealed", ("kind", "ref", "queued_at"), made)
        for reason, of_transfers in told.items():
            await tell_reversals(tx, of_transfers, reason)
