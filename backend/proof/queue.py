"""The rows that wait for a leaf: put there in the commit that made them, taken by the sealer."""

from collections.abc import Sequence
from uuid import UUID

from backend.kit.db import Tx

SEALER_LOCK = 0x7365616C  # "seal"
"""The advisory lock whose holder alone may append to the log."""


async def queue(tx: Tx, kind: int, refs: Sequence[UUID]) -> None:
    """Have rows sealed that become visible when `tx` commits."""
    await tx.execute(
        "INSERT INTO unsealed (kind, ref) SELECT $1, unnest($2::uuid[])", kind, list(refs)
    )


async def become_sealer(tx: Tx) -> bool:
    """Take the sealer's lock until `tx` ends; False when another process holds it."""
    return await tx.try_lock(SEALER_LOCK)


async def forget(tx: Tx, sealed: Sequence[tuple[int, UUID]]) -> None:
    """Take sealed rows, as (kind, ref), off the queue."""
    await tx.execute(
        """DELETE FROM unsealed AS u USING unnest($1::smallint[], $2::uuid[]) AS s (kind, ref)
           WHERE u.kind = s.kind AND u.ref = s.ref""",
        [kind for kind, _ in sealed],
        [ref for _, ref in sealed],
    )


async def set_aside(tx: Tx, kind: int, ref: UUID, reason: str) -> None:
    """Keep a row that cannot become a leaf, with the reason, out of the others' way."""
    await tx.execute(
        "UPDATE unsealed SET refused = $3 WHERE kind = $1 AND ref = $2", kind, ref, reason[:500]
    )


async def count_waiting(tx: Tx) -> tuple[int, int]:
    """How many rows wait for a leaf, and how many were set aside."""
    row = await tx.fetchrow(
        """SELECT count(*) FILTER (WHERE refused IS NULL) AS open, count(refused) AS aside
           FROM unsealed"""
    )
    return (0, 0) if row is None else (row["open"], row["aside"])
