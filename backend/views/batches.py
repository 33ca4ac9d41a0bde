"""A batch as anyone may see it: what was posted, for which leaves, in which transaction."""

from dataclasses import dataclass

from backend.kit.db import Tx


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch (formats.md §7); hashes and accounts are bytes, days are days since 1970-01-01."""

    batch_id: bytes
    kind: int
    points_class: str
    programme: str
    rule: str
    rule_version: int
    reason: int
    leaf_from: int
    leaf_to: int
    account_from: bytes
    account_to: bytes
    day_from: int
    day_to: int
    records: bytes
    account_count: int
    total: int
    state: str
    refused_reason: str | None
    contract: str
    tx_hash: bytes
    block: int | None


async def batch_of(tx: Tx, batch_id: bytes) -> Batch | None:
    """A batch by its id, or None."""
    row = await tx.fetchrow(
        """SELECT b.batch_id, b.kind, b.class AS points_class, b.programme, b.rule,
                  b.rule_version, b.reason, b.leaf_from, b.leaf_to, b.account_from, b.account_to,
                  b.day_from, b.day_to, b.records, b.account_count, b.total,
                  CASE b.state WHEN 'recut' THEN 'refused' ELSE b.state END AS state,
                  b.refused_reason, c.to_address AS contract, c.tx_hash, c.block
           FROM chain_batch AS b JOIN chain_tx AS c USING (tx_id) WHERE b.batch_id = $1""",
        batch_id,
    )
    return None if row is None else Batch(**row)
