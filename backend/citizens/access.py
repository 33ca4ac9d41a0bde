"""Who of the platform looked at a person's data: kept for good, and shown to the person."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from backend.kit.db import Tx
from backend.kit.ids import new_id


@dataclass(frozen=True, slots=True)
class Access:
    """One look: `who` is an office, not a name; `what` was seen, and `why`."""

    access_id: UUID
    who: str
    what: str
    why: str
    at: datetime


async def note_access(
    tx: Tx, citizen_id: UUID, who: str, what: str, why: str, at: datetime
) -> None:
    """Keep that somebody looked, in the commit (or the transaction) of the look itself."""
    await tx.execute(
        """INSERT INTO citizen_access (access_id, citizen_id, who, what, why, at)
           VALUES ($1, $2, $3, $4, $5, $6)""",
        new_id(),
        citizen_id,
        who,
        what,
        why,
        at,
    )


async def accesses_of(tx: Tx, citizen_id: UUID, *, before: UUID | None, limit: int) -> list[Access]:
    """Who looked at a person's data, newest first, before the access `before`."""
    rows = await tx.fetch(
        """SELECT access_id, who, what, why, at FROM citizen_access
           WHERE citizen_id = $1 AND ($2::uuid IS NULL OR access_id < $2)
           ORDER BY access_id DESC LIMIT $3""",
        citizen_id,
        before,
        limit,
    )
    return [Access(**row) for row in rows]
