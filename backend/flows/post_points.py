"""Leaves → accounts on chain: sums per account go to `CarbonPoints`, cut by cut.

A cut is a range of leaves and all batches over it. The next cut is made only when the one before
is settled, so per account all earlier leaves are final before later ones are sent; inside a cut
the order is issue, redeem, retire. Lanes share a cut by ranges of accounts, so each keeps that
order for its accounts and none waits for another. While the contract is paused nothing is cut.
What the chain refuses stays visible with its reason. Class, rule and budget were made known to
the chain when a programme was funded and its rule enacted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from backend import proof
from backend.chain import (
    POST_LANES_MAX,
    ChainAccess,
    ChainClient,
    ChainTx,
    Driver,
    Purpose,
    Receipt,
    Signer,
    Terms,
    batches,
    chain_terms,
    contracts,
    keys,
    paused,
    prepare,
)
from backend.kit.clock import day_number
from backend.kit.db import Database, Row, Tx
from backend.kit.logs import log

POST_LOCK = 0x706F_7374
"""Advisory lock ("post" in ASCII): two processes never make a cut at once."""

LEAVES_PER_CUT_MAX = 20_000

PURPOSE = "post"


@dataclass(frozen=True, slots=True)
class PostSettings:
    """How cuts are made.

    `interval_s` lies between two cuts (what is under way settles as soon as it is final);
    `lanes` bounds how many of the admitted lanes share a cut; `accounts_max` bounds a batch,
    None = as many as the engine's profile allows.
    """

    interval_s: int = 0
    lanes: int = POST_LANES_MAX
    accounts_max: int | None = None


POST_AT_ONCE = PostSettings()


@dataclass(frozen=True, slots=True)
class _Cut:
    leaf_from: int
    leaf_to: int
    batches: Sequence[batches.PlannedBatch]
    lanes: Sequence[Signer]


async def post_points(
    db: Database, access: ChainAccess, now: datetime, settings: PostSettings = POST_AT_ONCE
) -> int:
    """Settle the cut under way; when none is, cut the sealed leaves and send their batches.

    Returns how many batches were sent or settled. Raises NodeAway: call again later, nothing is
    lost.
    """
    driver = _driver(db, access)
    done = await driver.drive(now)
    cut = await _plan_cut(db, access, settings, now)
    if cut is None or await _paused(access, cut):
        return done
    if await _store_cut(db, access, cut, now):
        done += len(cut.batches) + await driver.drive(now)
    return done


async def settle_posts(db: Database, access: ChainAccess, now: datetime) -> int:
    """Send and settle what is open, without a new cut; how many were settled. Raises NodeAway."""
    return await _driver(db, access).drive(now)


def _driver(db: Database, access: ChainAccess) -> Driver:
    # Also the lanes that no cut uses any more: what they have open must settle.
    signers = {signer.address: signer for signer in access.keys.posts}
    purpose = Purpose(
        on_settled=_settled(access), on_resigned=_resigned, landed_at=_landed_at(access)
    )
    return Driver(db, access.client, signers, {PURPOSE: purpose})


async def _plan_cut(
    db: Database, access: ChainAccess, settings: PostSettings, now: datetime
) -> _Cut | None:
    async with db.transaction(readonly=True) as tx:
        leaf_from = await posted_size(tx)
        if await _under_way(tx):
            return None
        newest = await proof.latest_checkpoint(tx)
        if newest is None or newest.size <= leaf_from:
            return None
        if newest.size < leaf_from + LEAVES_PER_CUT_MAX and await _too_soon(tx, settings, now):
            return None
        leaf_to = min(newest.size, leaf_from + LEAVES_PER_CUT_MAX)
        leaves = await transfer_leaves(tx, leaf_from, leaf_to)
    count = batches.fitting(leaves)
    if count < len(leaves):
        leaf_to, leaves = leaves[count].index, leaves[:count]
    limit = settings.accounts_max or access.client.profile.accounts_per_batch_max
    lanes = access.lanes[: settings.lanes]
    planned = batches.plan_batches(leaves, leaf_from, leaf_to, limit, lanes=len(lanes))
    return _Cut(leaf_from, leaf_to, planned, lanes)


async def _too_soon(tx: Tx, settings: PostSettings, now: datetime) -> bool:
    """Whether the interval since the last cut is not over; a full cut never waits for it."""
    last = await tx.fetchval("SELECT max(cut_at) FROM post_cut")
    return last is not None and now < last + timedelta(seconds=settings.interval_s)


async def _paused(access: ChainAccess, cut: _Cut) -> bool:
    """Whether the auditor stopped the contract: it would refuse every batch of the cut."""
    if not cut.batches or not await paused(access.client, access.points):
        return False
    log("points.paused", contract=access.points, leaf_from=cut.leaf_from, leaf_to=cut.leaf_to)
    return True


async def posted_size(tx: Tx) -> int:
    """Leaves below this index lie in settled cuts."""
    return int(
        await tx.fetchval(
            "SELECT coalesce(max(leaf_to), 0) FROM post_cut WHERE settled_at IS NOT NULL"
        )
    )


async def _under_way(tx: Tx) -> bool:
    return bool(
        await tx.fetchval("SELECT EXISTS (SELECT 1 FROM post_cut WHERE settled_at IS NULL)")
    )


async def transfer_leaves(tx: Tx, leaf_from: int, leaf_to: int) -> list[batches.PostLeaf]:
    """The transfers among the leaves of [leaf_from, leaf_to), as batches need them."""
    found: list[batches.PostLeaf] = []
    for leaf in await proof.leaves_between(tx, leaf_from, leaf_to):
        if (
            leaf.act is None
            or leaf.points_class is None
            or leaf.account is None
            or leaf.amount is None
            or leaf.city_day is None
        ):
            continue
        found.append(
            batches.PostLeaf(
                index=leaf.index,
                act=leaf.act,
                class_=leaf.points_class,
                programme=leaf.programme,
                rule=leaf.rule,
                rule_version=leaf.rule_version,
                reason=leaf.reason or 0,
                account=leaf.account,
                amount=leaf.amount,
                day=day_number(leaf.city_day),
            )
        )
    return found


async def _store_cut(db: Database, access: ChainAccess, cut: _Cut, now: datetime) -> bool:
    """One commit: the cut, its batches, and each batch's signed transaction."""
    terms = await chain_terms(access.client)
    async with db.transaction() as tx:
        await tx.lock(POST_LOCK)
        if await _under_way(tx) or await posted_size(tx) != cut.leaf_from:
            return False
        await tx.execute(
            "INSERT INTO post_cut (leaf_from, leaf_to, cut_at, settled_at) VALUES ($1, $2, $3, $4)",
            cut.leaf_from,
            cut.leaf_to,
            now,
            None if cut.batches else now,
        )
        for batch in cut.batches:
            await prepare_batch(tx, access, cut.lanes[batch.lane], terms, batch, now)
    log("points.cut", leaf_from=cut.leaf_from, leaf_to=cut.leaf_to, batch_count=len(cut.batches))
    return True


async def prepare_batch(
    tx: Tx,
    access: ChainAccess,
    signer: Signer,
    terms: Terms,
    batch: batches.PlannedBatch,
    now: datetime,
) -> None:
    """Store a batch with its signed transaction; the driver sends it."""
    stored = await prepare(
        tx,
        signer,
        terms,
        to=access.points,
        data=contracts.post_input(batch.header, batch.content),
        gas=contracts.post_gas(batch.account_count, access.client.profile.input_byte_gas),
        purpose=PURPOSE,
        ref=contracts.batch_id(access.chain_id, access.points, batch.header).hex(),
        now=now,
    )
    await insert_batch(tx, access, batch, stored.tx_id, now)


async def insert_batch(
    tx: Tx,
    access: ChainAccess,
    batch: batches.PlannedBatch,
    tx_id: UUID,
    now: datetime,
    *,
    refused: str | None = None,
) -> None:
    """Store a batch of that transaction, refused for a reason if one is given."""
    header, content = batch.header, batch.content
    await tx.execute(
        """INSERT INTO chain_batch (batch_id, leaf_from, leaf_to, kind, class, programme, rule,
               rule_version, reason, account_from, account_to, day_from, day_to, records,
               account_count, total, state, tx_id, refused_reason, created_at, settled_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16,
                   $17, $18, $19, $20, $21)""",
        contracts.batch_id(access.chain_id, access.points, header),
        header.leaf_from,
        header.leaf_to,
        header.kind,
        header.class_,
        header.programme,
        header.rule,
        header.rule_version,
        header.reason,
        header.account_from,
        header.account_to,
        content.day_from,
        content.day_to,
        content.records,
        batch.account_count,
        batch.total,
        "prepared" if refused is None else "refused",
        tx_id,
        refused,
        now,
        None if refused is None else now,
    )


def header_of(row: Row) -> contracts.BatchHeader:
    """The header in a row of `chain_batch`."""
    return contracts.BatchHeader(
        row["kind"],
        row["class"],
        row["programme"],
        row["rule"],
        row["rule_version"],
        row["reason"],
        row["leaf_from"],
        row["leaf_to"],
        row["account_from"],
        row["account_to"],
    )


def _settled(access: ChainAccess):
    async def on_settled(tx: Tx, done: ChainTx, receipt: Receipt | None) -> None:
        reason = done.reason
        if done.state == "final" and receipt is not None and not _confirms(receipt, access, done):
            # Executed without its event: the contract had this id with this content already
            # (it reverts on any other content), so the points stand once.
            log("points.posted_before", batch_id=done.ref, tx=done.tx_hash.hex())
        row = await tx.fetchrow(
            """UPDATE chain_batch b
               SET state = $2, refused_reason = $3, settled_at = t.settled_at
               FROM chain_tx t WHERE b.batch_id = $1 AND t.tx_id = $4
               RETURNING b.leaf_from, b.leaf_to, b.total""",
            bytes.fromhex(done.ref),
            "final" if done.state == "final" else "refused",
            None if done.state == "final" else reason,
            done.tx_id,
        )
        if row is None:
            raise LookupError(f"no batch {done.ref} stands behind transaction {done.tx_id}")
        if done.state != "final":
            log("points.refused_by_chain", batch_id=done.ref, total=row["total"], reason=reason)
        await _settle_cut(tx, row["leaf_from"])

    return on_settled


def _confirms(receipt: Receipt, access: ChainAccess, done: ChainTx) -> bool:
    """Whether the contract's own event names the id that we computed."""
    return any(
        entry["address"].lower() == access.points
        and entry["topics"][:2] == [contracts.BATCH_POSTED_TOPIC, f"0x{done.ref}"]
        for entry in receipt.logs
    )


async def _settle_cut(tx: Tx, leaf_from: int) -> None:
    # Lanes settle at once: without the lock the last two could each see the other as prepared.
    await tx.execute("SELECT 1 FROM post_cut WHERE leaf_from = $1 FOR UPDATE", leaf_from)
    await tx.execute(
        """UPDATE post_cut c SET settled_at = (
               SELECT max(settled_at) FROM chain_batch b
               WHERE b.leaf_from = c.leaf_from AND b.leaf_to = c.leaf_to)
           WHERE c.leaf_from = $1 AND c.settled_at IS NULL AND NOT EXISTS (
               SELECT 1 FROM chain_batch b
               WHERE b.leaf_from = c.leaf_from AND b.leaf_to = c.leaf_to
                 AND b.state = 'prepared')""",
        leaf_from,
    )


async def _resigned(tx: Tx, old: ChainTx, new: ChainTx) -> None:
    await tx.execute(
        "UPDATE chain_batch SET tx_id = $2 WHERE batch_id = $1",
        bytes.fromhex(old.ref),
        new.tx_id,
    )


def _landed_at(access: ChainAccess):
    async def landed_at(client: ChainClient, row: ChainTx) -> int | None:
        """The contract is asked before anything is signed again: the batch may stand already."""
        posted = contracts.read_batch(
            await client.call(access.points, contracts.batch_call(bytes.fromhex(row.ref)))
        )
        if posted is None:
            return None
        _, content = contracts.read_post_input(keys.read_transaction(row.raw).data)
        # Other points under our id: our log has forked from the one that was posted, as after
        # restoring an old database. Sent again, it is refused for all to see.
        return posted.block if posted.content == contracts.content_hash(content)[:20] else None

    return landed_at
