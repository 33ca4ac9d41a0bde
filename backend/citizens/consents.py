"""Consents: a person lets one partner report one scenario, until they withdraw it.

Whoever awards holds the consent's row shared, whoever withdraws holds it exclusively, so an
award either precedes a withdrawal or sees it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from backend.kit.clock import whole_second
from backend.kit.db import Tx
from backend.kit.ids import new_id

Key = tuple[UUID, str, str]
"""(citizen_id, partner_id, scenario)"""


@dataclass(frozen=True, slots=True)
class Consent:
    """One consent; it covers activities from `given_at` on and stands while not withdrawn."""

    consent_id: UUID
    partner_id: str
    scenario: str
    given_at: datetime
    withdrawn_at: datetime | None


async def give_consent(
    tx: Tx, citizen_id: UUID, partner_id: str, scenario: str, given_at: datetime
) -> Consent:
    """The standing consent for this partner and scenario, given at `given_at` if there is none.

    The instant is cut to its whole second. Giving again what already stands changes nothing.
    """
    await tx.execute(
        """INSERT INTO consent (consent_id, citizen_id, partner_id, scenario, given_at)
           VALUES ($1, $2, $3, $4, $5)
           ON CONFLICT (citizen_id, partner_id, scenario) WHERE withdrawn_at IS NULL
           DO NOTHING""",
        new_id(),
        citizen_id,
        partner_id,
        scenario,
        whole_second(given_at),
    )
    row = await tx.fetchrow(
        """SELECT consent_id, given_at FROM consent
           WHERE citizen_id = $1 AND partner_id = $2 AND scenario = $3
             AND withdrawn_at IS NULL""",
        citizen_id,
        partner_id,
        scenario,
    )
    if row is None:
        raise LookupError(f"the consent for {partner_id} {scenario} was withdrawn meanwhile")
    return Consent(row["consent_id"], partner_id, scenario, row["given_at"], None)


async def withdraw_consent(
    tx: Tx, citizen_id: UUID, consent_id: UUID, withdrawn_at: datetime
) -> Consent | None:
    """End a consent of this citizen; None if they have no such consent.

    Waits for awards that hold the row. Withdrawing twice keeps the first instant.
    """
    row = await tx.fetchrow(
        """UPDATE consent SET withdrawn_at = coalesce(withdrawn_at, $3)
           WHERE consent_id = $1 AND citizen_id = $2
           RETURNING consent_id, partner_id, scenario, given_at, withdrawn_at""",
        consent_id,
        citizen_id,
        withdrawn_at,
    )
    return None if row is None else Consent(**row)


async def standing_since(tx: Tx, keys: Iterable[Key]) -> dict[Key, datetime]:
    """Since when each consent stands; those withdrawn are absent. Locks what it finds, shared.

    A withdrawal that is under way is waited for; one that comes later waits for `tx`.
    """
    wanted = sorted(set(keys))
    rows = await tx.fetch(
        """SELECT c.citizen_id, c.partner_id, c.scenario, c.given_at
           FROM unnest($1::uuid[], $2::text[], $3::text[])
                AS k (citizen_id, partner_id, scenario)
           JOIN consent AS c USING (citizen_id, partner_id, scenario)
           WHERE c.withdrawn_at IS NULL
           FOR SHARE OF c""",
        [key[0] for key in wanted],
        [key[1] for key in wanted],
        [key[2] for key in wanted],
    )
    return {(r["citizen_id"], r["partner_id"], r["scenario"]): r["given_at"] for r in rows}


async def lock_consents(tx: Tx, keys: Iterable[Key]) -> set[Key]:
    """Hold the standing consents shared until `tx` ends; answer those keys that stand no more."""
    wanted = set(keys)
    return wanted - (await standing_since(tx, wanted)).keys()


async def consents_of_citizen(
    tx: Tx, citizen_id: UUID, *, before: UUID | None, limit: int
) -> list[Consent]:
    """A citizen's consents, newest first, older than the consent `before`."""
    rows = await tx.fetch(
        """SELECT consent_id, partner_id, scenario, given_at, withdrawn_at FROM consent
           WHERE citizen_id = $1 AND ($2::uuid IS NULL OR consent_id < $2)
           ORDER BY consent_id DESC LIMIT $3""",
        citizen_id,
        before,
        limit,
    )
    return [Consent(**row) for row in rows]


async def standing_consents(tx: Tx, citizen_id: UUID) -> list[UUID]:
    """The consents of a citizen that are not withdrawn."""
    rows = await tx.fetch(
        """SELECT consent_id FROM consent WHERE citizen_id = $1 AND withdrawn_at IS NULL
           ORDER BY consent_id""",
        citizen_id,
    )
    return [row["consent_id"] for row in rows]
