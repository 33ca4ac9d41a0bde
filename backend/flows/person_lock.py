"""One lock per person: whoever changes a person's counters, points or lots holds it first."""

from collections.abc import Iterable
from uuid import UUID

from backend.kit.db import Tx


async def lock_people(tx: Tx, citizen_ids: Iterable[UUID]) -> None:
    """Wait for and hold these people until `tx` ends, in one order, so that nobody deadlocks.

    What is read about them afterwards stands still. New consents and logins are not held up.
    """
    await tx.execute(
        """SELECT 1 FROM citizen WHERE citizen_id = ANY($1::uuid[])
           ORDER BY citizen_id FOR NO KEY UPDATE""",
        list(set(citizen_ids)),
    )
