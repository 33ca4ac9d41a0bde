"""Checkpoint → chain: the newest signed head of the log goes to `EvidenceAnchor`.

One lane, one anchor under way at a time, each naming the root before it. When it is final, the
leaves below its size are confirmed. While the contract is paused nothing is sent.
"""

from datetime import datetime

from backend import proof
from backend.chain import (
    ChainAccess,
    ChainClient,
    ChainTx,
    Driver,
    NodeAway,
    Purpose,
    Receipt,
    chain_terms,
    contracts,
    paused,
    prepare,
)
from backend.kit.db import Database, Tx
from backend.kit.logs import log

ANCHOR_LOCK = 0x616E_6368_6F72
"""Advisory lock ("anchor" in ASCII): two processes never prepare an anchor at once."""

ANCHOR_GAS = 250_000
"""Measured 83,000 with a new size; the rest is returned."""

PURPOSE = "anchor"


class LogForked(Exception):
    """The chain holds another root for a size than our log: stop and investigate."""


async def anchor_log(db: Database, access: ChainAccess, now: datetime) -> int:
    """Settle the anchor under way, then send the newest checkpoint if there is news.

    Returns how many anchors were prepared or settled. Raises NodeAway (call again later) and
    LogForked.
    """
    driver = _driver(db, access)
    done = await driver.drive(now)
    if await _prepare_anchor(db, access, now):
        done += 1 + await driver.drive(now)
    return done


def _driver(db: Database, access: ChainAccess) -> Driver:
    signer = access.keys.anchor
    return Driver(
        db,
        access.client,
        {signer.address: signer},
        {
            PURPOSE: Purpose(
                on_settled=_settled, on_resigned=_resigned, landed_at=_landed_at(db, access)
            )
        },
    )


async def _prepare_anchor(db: Database, access: ChainAccess, now: datetime) -> bool:
    async with db.transaction(readonly=True) as tx:
        newest = await proof.latest_checkpoint(tx)
        known = await tx.fetchval("SELECT max(size) FROM anchor WHERE final_at IS NOT NULL")
    if newest is None or newest.size <= (known or 0):
        return False
    if await paused(access.client, access.anchor):
        log("anchor.paused", contract=access.anchor, size=newest.size)
        return False
    terms = await chain_terms(access.client)
    anchored, prev_root = contracts.read_latest(
        await access.client.call(access.anchor, contracts.latest_call())
    )
    async with db.transaction() as tx:
        await tx.lock(ANCHOR_LOCK)
        if await _under_way(tx):
            return False
        newest = await proof.latest_checkpoint(tx)
        await _refuse_fork(tx, anchored, prev_root)
        if newest is None or newest.size <= anchored:
            return False
        stored = await prepare(
            tx,
            access.keys.anchor,
            terms,
            to=access.anchor,
            data=contracts.anchor_input(newest.size, newest.root, prev_root),
            gas=ANCHOR_GAS,
            purpose=PURPOSE,
            ref=str(newest.size),
            now=now,
        )
        await tx.execute(
            # The row is there already when an earlier transaction for this size failed.
            """INSERT INTO anchor (size, root, tx_id, created_at) VALUES ($1, $2, $3, $4)
               ON CONFLICT (size) DO UPDATE SET tx_id = excluded.tx_id""",
            newest.size,
            newest.root,
            stored.tx_id,
            now,
        )
    return True


async def _under_way(tx: Tx) -> bool:
    return bool(
        await tx.fetchval(
            "SELECT EXISTS (SELECT 1 FROM chain_tx WHERE purpose = $1 AND settled_at IS NULL)",
            PURPOSE,
        )
    )


async def _refuse_fork(tx: Tx, size: int, root: bytes) -> None:
    """The root to build upon must be our own log's root at that size."""
    if size == 0:
        return
    if size > await proof.size(tx) or await proof.root_at(tx, size) != root:
        log("anchor.log_forked", size=size, root_on_chain=root.hex())
        raise LogForked(f"the chain has root {root.hex()} at size {size}, our log has another")


async def _settled(tx: Tx, done: ChainTx, _receipt: Receipt | None) -> None:
    if done.state != "final":
        # Prepared afresh at the next call, upon the root that the chain then has.
        log("anchor.refused_by_chain", size=int(done.ref), reason=done.reason)
        return
    await tx.execute(
        """UPDATE anchor SET tx_hash = $2, block = $3, block_hash = $4,
               final_at = (SELECT settled_at FROM chain_tx WHERE tx_id = $5)
           WHERE size = $1 AND final_at IS NULL""",
        int(done.ref),
        done.tx_hash,
        done.block,
        done.block_hash,
        done.tx_id,
    )


async def _resigned(tx: Tx, old: ChainTx, new: ChainTx) -> None:
    await tx.execute("UPDATE anchor SET tx_id = $2 WHERE size = $1", int(old.ref), new.tx_id)


def _landed_at(db: Database, access: ChainAccess):
    async def landed_at(client: ChainClient, row: ChainTx) -> int | None:
        """Never sign a second anchor where the chain has the first: wait for its receipt."""
        found = await client.call(access.anchor, contracts.root_of_call(int(row.ref)))
        async with db.transaction(readonly=True) as tx:
            ours = await tx.fetchval("SELECT root FROM anchor WHERE size = $1", int(row.ref))
        if found != ours:
            return None
        receipt = await client.receipt(f"0x{row.tx_hash.hex()}")
        if receipt is None:
            raise NodeAway(f"{client.url} has the root of size {row.ref} and not yet its receipt")
        return receipt.block

    return landed_at
