"""One batch, redone from its leaves and held against what the chain carries (formats.md §7)."""

from dataclasses import dataclass, field

from backend.chain import ChainAccess, batches, contracts
from backend.flows.post_points import header_of, transfer_leaves
from backend.kit.db import Database


class UnknownBatch(LookupError):
    """No batch of that id was cut here."""


@dataclass(slots=True)
class Audit:
    """What was found: the batch's figures and every difference as a sentence."""

    batch_id: str
    state: str
    leaf_from: int
    leaf_to: int
    leaf_count: int = 0
    account_count: int = 0
    total: int = 0
    tx_hash: str | None = None
    block: int | None = None
    differences: list[str] = field(default_factory=list[str])

    @property
    def holds(self) -> bool:
        """Whether leaves, stored batch and chain agree."""
        return not self.differences


async def audit_batch(db: Database, access: ChainAccess, identity: bytes) -> Audit:
    """Recompute a batch's records from its leaves and compare with the transaction's input.

    Raises UnknownBatch, NodeAway.
    """
    async with db.transaction(isolation="repeatable_read", readonly=True) as tx:
        row = await tx.fetchrow(
            """SELECT b.*, t.tx_hash, t.block FROM chain_batch b JOIN chain_tx t USING (tx_id)
               WHERE batch_id = $1""",
            identity,
        )
        if row is None:
            raise UnknownBatch(f"no batch {identity.hex()} was cut here")
        leaves = await transfer_leaves(tx, row["leaf_from"], row["leaf_to"])
    header = header_of(row)
    stored = contracts.BatchContent(row["day_from"], row["day_to"], row["records"])
    content = batches.content_of(header, leaves)
    sums = contracts.read_records(content.records)
    audit = Audit(
        batch_id=identity.hex(),
        state=row["state"],
        leaf_from=header.leaf_from,
        leaf_to=header.leaf_to,
        leaf_count=len(leaves),
        account_count=len(sums),
        total=sum(amount for _, amount in sums),
        tx_hash=f"0x{row['tx_hash'].hex()}",
        block=row["block"],
    )
    if contracts.batch_id(access.chain_id, access.points, header) != identity:
        audit.differences.append("the stored header has another batch id")
    _compare(audit, "the stored batch", content, stored)
    await _compare_chain(audit, access, header, content)
    return audit


def _compare(
    audit: Audit, name: str, content: contracts.BatchContent, other: contracts.BatchContent
) -> None:
    """Name every account whose sum differs from what the leaves give."""
    if (content.day_from, content.day_to) != (other.day_from, other.day_to):
        audit.differences.append(
            f"the leaves give days [{content.day_from}, {content.day_to}), "
            f"{name} has [{other.day_from}, {other.day_to})"
        )
    mine = dict(contracts.read_records(content.records))
    theirs = dict(contracts.read_records(other.records))
    for account in sorted({*mine, *theirs}):
        if mine.get(account) != theirs.get(account):
            audit.differences.append(
                f"account {account.hex()}: the leaves sum to {mine.get(account, 0)}, "
                f"{name} has {theirs.get(account, 0)}"
            )
    if mine == theirs and content.records != other.records:
        audit.differences.append(f"{name} carries the same sums in another order")


async def _compare_chain(
    audit: Audit,
    access: ChainAccess,
    header: contracts.BatchHeader,
    content: contracts.BatchContent,
) -> None:
    if audit.state != "final":
        audit.differences.append(f"the batch is {audit.state}, not final on the chain")
        return
    found = await access.client.transaction(audit.tx_hash or "")
    if found is None or (found.get("to") or "").lower() != access.points:
        audit.differences.append(f"the chain shows no transaction {audit.tx_hash} to CarbonPoints")
        return
    try:
        sent_header, sent = contracts.read_post_input(bytes.fromhex(found["input"][2:]))
    except ValueError as error:
        audit.differences.append(f"transaction {audit.tx_hash}: {error}")
        return
    if sent_header != header:
        audit.differences.append(f"transaction {audit.tx_hash} has another header")
    _compare(audit, "the transaction", content, sent)
    posted = contracts.read_batch(
        await access.client.call(access.points, contracts.batch_call(bytes.fromhex(audit.batch_id)))
    )
    if posted is None:
        audit.differences.append("the contract does not know this batch id")
    elif (posted.content, posted.account_count, posted.total) != (
        contracts.content_hash(content)[:20],
        audit.account_count,
        audit.total,
    ):
        audit.differences.append(
            f"the contract counts {posted.account_count} accounts and {posted.total} points, "
            f"the leaves give {audit.account_count} and {audit.total}"
        )
