"""A citizen as the platform knows them, and the partners they may consent to."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from backend.kit.db import Tx


@dataclass(frozen=True, slots=True)
class Person:
    """A citizen; `accounts` maps a points class to the 20-byte account on chain."""

    citizen_id: UUID
    provider: str
    created_at: datetime
    accounts: dict[str, bytes]


@dataclass(frozen=True, slots=True)
class PartnerCard:
    """What everyone may know of a partner."""

    partner_id: str
    name: str
    scenarios: tuple[str, ...]


async def person_of(tx: Tx, citizen_id: UUID) -> Person | None:
    """A citizen with the accounts made so far, or None."""
    row = await tx.fetchrow(
        "SELECT citizen_id, provider, created_at FROM citizen WHERE citizen_id = $1", citizen_id
    )
    if row is None:
        return None
    accounts = await tx.fetch(
        "SELECT class, account FROM citizen_account WHERE citizen_id = $1 ORDER BY class",
        citizen_id,
    )
    return Person(
        row["citizen_id"],
        row["provider"],
        row["created_at"],
        {each["class"]: each["account"] for each in accounts},
    )


async def partner_cards(tx: Tx) -> dict[str, PartnerCard]:
    """Every partner by id."""
    rows = await tx.fetch("SELECT partner_id, name, scenarios FROM partner ORDER BY partner_id")
    return {
        row["partner_id"]: PartnerCard(row["partner_id"], row["name"], tuple(row["scenarios"]))
        for row in rows
    }


async def transfer_of_activity(tx: Tx, activity_id: UUID, programme_id: str | None) -> UUID | None:
    """The award's transfer of an event: of the named programme, else of the first that pays."""
    return await tx.fetchval(
        """SELECT transfer_id FROM award
           WHERE evidence_id = $1 AND transfer_id IS NOT NULL
             AND ($2::text IS NULL OR programme_id = $2)
           ORDER BY programme_id LIMIT 1""",
        activity_id,
        programme_id,
    )
