"""How far the log has come: sealed, confirmed by an anchor, posted to accounts."""

from dataclasses import dataclass

from backend.kit.db import Tx


@dataclass(frozen=True, slots=True)
class Edges:
    """Leaves [0, sealed) exist; [0, confirmed) lie under a final anchor; [0, posted) are posted."""

    sealed: int
    confirmed: int
    posted: int


async def edges(tx: Tx) -> Edges:
    """The three edges as `tx` sees them. Posted ends at the first cut that is not settled."""
    row = await tx.fetchrow(
        """SELECT coalesce((SELECT max(index) + 1 FROM leaf), 0) AS sealed,
                  coalesce((SELECT max(size) FROM anchor WHERE final_at IS NOT NULL), 0)
                      AS confirmed,
                  coalesce((SELECT min(leaf_from) FROM post_cut WHERE settled_at IS NULL),
                           (SELECT max(leaf_to) FROM post_cut), 0) AS posted"""
    )
    if row is None:
        raise LookupError("a query without FROM has one row")
    return Edges(row["sealed"], row["confirmed"], row["posted"])
