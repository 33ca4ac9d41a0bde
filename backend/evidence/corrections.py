"""Events that take the place of earlier ones: chains of corrections, and what lost its standing.

A chain is an event with every event that corrects or retracts it, or one of those. Of a chain the
event recorded last stands, whatever order its events are decided in.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Literal, NamedTuple
from uuid import UUID

import asyncpg  # pyright: ignore[reportMissingTypeStubs]

from backend.evidence.service import IdentityTaken
from backend.kit.db import Tx

Kind = Literal["corrects", "retracts"]
Reason = Literal["corrected", "retracted", "double-claim"]

_CORRECTION = ("evidence_id", "kind", "of_evidence_id", "root_id", "n")


class Correction(NamedTuple):
    """An event in the place of an earlier one: the `n`th recorded after the first of its chain."""

    evidence_id: UUID
    kind: Kind
    of_evidence_id: UUID
    root_id: UUID
    n: int


class Superseded(NamedTuple):
    """An event that lost its standing, and the event that stands instead."""

    evidence_id: UUID
    reason: Reason
    by_evidence_id: UUID


class Chains:
    """The chains that some events belong to: who comes after and before each."""

    def __init__(self, corrections: Iterable[Correction]) -> None:
        self.by_id = {each.evidence_id: each for each in corrections}
        self._members: dict[UUID, list[UUID]] = {}
        for each in sorted(self.by_id.values(), key=lambda correction: correction.n):
            self._members.setdefault(each.root_id, [each.root_id]).append(each.evidence_id)

    def __bool__(self) -> bool:
        return bool(self.by_id)

    def is_retraction(self, evidence_id: UUID) -> bool:
        """Whether the event only takes an earlier one back."""
        correction = self.by_id.get(evidence_id)
        return correction is not None and correction.kind == "retracts"

    def superseding(self, evidence_id: UUID) -> Superseded | None:
        """What stands instead of an event; None if it is the last of its chain."""
        last = self._of(evidence_id)[-1]
        if last == evidence_id:
            return None
        reason: Reason = "retracted" if self.is_retraction(last) else "corrected"
        return Superseded(evidence_id, reason, last)

    def before(self, evidence_id: UUID) -> Sequence[UUID]:
        """The events that an event takes the place of: all earlier ones of its chain."""
        members = self._of(evidence_id)
        return members[: members.index(evidence_id)]

    def _of(self, evidence_id: UUID) -> list[UUID]:
        own = self.by_id.get(evidence_id)
        root_id = evidence_id if own is None else own.root_id
        return self._members.get(root_id, [evidence_id])


def outdated(alias: str) -> str:
    """SQL: whether a later event of its chain was recorded for the row's `evidence_id`."""
    return f"""(EXISTS (SELECT FROM correction AS later
                   WHERE later.root_id = {alias}.evidence_id)
          OR EXISTS (SELECT FROM correction AS own JOIN correction AS later USING (root_id)
                     WHERE own.evidence_id = {alias}.evidence_id AND later.n > own.n))"""  # noqa: S608 - constants only


async def store_corrections(tx: Tx, corrections: Iterable[Correction]) -> None:
    """Write which events correct or retract which, in the commit that records them.

    Raises `IdentityTaken` if another upload adds to one of the chains at this moment.
    """
    try:
        await tx.copy("correction", _CORRECTION, corrections)
    except (asyncpg.UniqueViolationError, asyncpg.DeadlockDetectedError) as error:
        raise IdentityTaken from error


async def ends_of(tx: Tx, evidence_ids: Iterable[UUID]) -> dict[UUID, tuple[UUID, int]]:
    """(root, highest n) of the chain of each of these events; (itself, 0) where it has none."""
    rows = await tx.fetch(
        """SELECT e.evidence_id, coalesce(own.root_id, e.evidence_id) AS root_id,
                  coalesce((SELECT max(c.n) FROM correction AS c
                            WHERE c.root_id = coalesce(own.root_id, e.evidence_id)), 0) AS n
           FROM unnest($1::uuid[]) AS e (evidence_id)
           LEFT JOIN correction AS own USING (evidence_id)""",
        list(evidence_ids),
    )
    return {row["evidence_id"]: (row["root_id"], row["n"]) for row in rows}


async def chains_of(tx: Tx, evidence_ids: Sequence[UUID]) -> Chains:
    """Every chain that one of these events belongs to, as recorded by now."""
    rows = await tx.fetch(
        """SELECT evidence_id, kind, of_evidence_id, root_id, n
           FROM correction WHERE root_id = ANY($1::uuid[])
           UNION
           SELECT c.evidence_id, c.kind, c.of_evidence_id, c.root_id, c.n
           FROM correction AS c
           WHERE c.root_id IN (SELECT own.root_id FROM correction AS own
                               WHERE own.evidence_id = ANY($1::uuid[]))""",
        evidence_ids,
    )
    return Chains(Correction._make(row.values()) for row in rows)


async def people_of(tx: Tx, evidence_ids: Iterable[UUID]) -> set[UUID]:
    """The citizens these events are about."""
    rows = await tx.fetch(
        "SELECT DISTINCT citizen_id FROM evidence WHERE evidence_id = ANY($1::uuid[])",
        list(evidence_ids),
    )
    return {row["citizen_id"] for row in rows}


async def supersede(tx: Tx, superseded: Mapping[UUID, Superseded], at: datetime) -> None:
    """Note what lost its standing; the first reason noted for an event stays."""
    await tx.execute(
        """INSERT INTO supersession (evidence_id, reason, by_evidence_id, superseded_at)
           SELECT s.evidence_id, s.reason, s.by_evidence_id, $4
           FROM unnest($1::uuid[], $2::text[], $3::uuid[])
                AS s (evidence_id, reason, by_evidence_id)
           ON CONFLICT (evidence_id) DO NOTHING""",
        list(superseded),
        [each.reason for each in superseded.values()],
        [each.by_evidence_id for each in superseded.values()],
        at,
    )
