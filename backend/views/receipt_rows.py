"""The rows a receipt is made of beside its leaf: the anchor over it and the batch it falls in."""

from dataclasses import dataclass

from backend.kit.db import Tx


@dataclass(frozen=True, slots=True)
class AnchorRow:
    """A final anchor: the checkpoint's size, where it was written (hashes of 32 bytes)."""

    size: int
    contract: str
    tx_hash: bytes
    block: int
    block_hash: bytes


@dataclass(frozen=True, slots=True)
class PostedRow:
    """A final batch that carries a leaf."""

    contract: str
    batch_id: bytes
    tx_hash: bytes
    block: int


async def anchor_over(tx: Tx, index: int) -> AnchorRow | None:
    """The first final anchor that covers a leaf, so that a receipt stays the same ever after."""
    row = await tx.fetchrow(
        """SELECT a.size, c.to_address AS contract, a.tx_hash, a.block, a.block_hash
           FROM anchor AS a JOIN chain_tx AS c USING (tx_id)
           WHERE a.size > $1 AND a.final_at IS NOT NULL
           ORDER BY a.size LIMIT 1""",
        index,
    )
    return None if row is None else AnchorRow(**row)


async def batch_over(tx: Tx, index: int, kind: int) -> PostedRow | None:
    """The final batch that a transfer's leaf falls in; `kind` is the batch kind of its act."""
    row = await tx.fetchrow(
        """SELECT c.to_address AS contract, b.batch_id, c.tx_hash, c.block
           FROM leaf AS l
           JOIN chain_batch AS b ON l.index >= b.leaf_from AND l.index < b.leaf_to
                AND b.kind = $2 AND b.class = l.class AND b.reason = l.reason
                AND b.programme = coalesce(l.programme, '') AND b.rule = coalesce(l.rule, '')
                AND b.rule_version = coalesce(l.rule_version, 0)
                AND l.account BETWEEN b.account_from AND b.account_to
           JOIN chain_tx AS c USING (tx_id)
           WHERE l.index = $1 AND b.state = 'final'""",
        index,
        kind,
    )
    return None if row is None else PostedRow(**row)
