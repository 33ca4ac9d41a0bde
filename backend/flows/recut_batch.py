"""A batch that the chain refuses as a whole is cut again by its leaves: what would pass is sent.

One leaf outside a rule's window, or one too many for a budget, refuses everything beside it. The
leaves are halved until each part would pass or is a single one; parts side by side that would not
pass are one batch again, refused for the same reason. Nothing is left out and nothing freed: every
leaf of the old batch lies in exactly one new one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from backend.chain import (
    ChainAccess,
    RpcError,
    Signer,
    Terms,
    batches,
    chain_terms,
    contracts,
)
from backend.flows.post_points import (
    header_of,
    insert_batch,
    prepare_batch,
    settle_posts,
    transfer_leaves,
)
from backend.flows.repost_batch import NotRefused, lane_of, repost_batch
from backend.kit.db import Database, Tx
from backend.kit.logs import log

QUESTIONS_MAX = 2_000
"""Most parts that the chain is asked about; what is not asked about stays refused."""


class NothingPasses(Exception):
    """No part of the batch would pass: its cause concerns every leaf."""


@dataclass(frozen=True, slots=True)
class Recut:
    """How many batches were sent in its place, and how many stay refused."""

    sent_count: int
    refused_count: int


@dataclass(frozen=True, slots=True)
class _Part:
    batch: batches.PlannedBatch
    passes: bool


@dataclass(frozen=True, slots=True)
class _Refused:
    """The old batch: its header and leaves, its failed transaction and the lane it took."""

    header: contracts.BatchHeader
    leaves: Sequence[batches.PostLeaf]
    tx_id: UUID
    reason: str
    signer: Signer


async def recut_batch(db: Database, access: ChainAccess, identity: bytes, now: datetime) -> Recut:
    """Cut a refused batch again and send what would pass.

    Raises NotRefused for an unknown id or another state, NothingPasses, NodeAway.
    """
    async with db.transaction(readonly=True) as tx:
        old = await _refused(tx, access, identity)
    parts = await _parts(access, old)
    if not any(part.passes for part in parts):
        raise NothingPasses(f"no part of batch {identity.hex()} would pass: {old.reason}")
    if len(parts) == 1:  # Its cause is gone: the same batch passes as it is.
        await repost_batch(db, access, identity, now)
        return Recut(1, 0)
    terms = await chain_terms(access.client)
    async with db.transaction() as tx:
        tag = await tx.execute(
            "UPDATE chain_batch SET state = 'recut' WHERE batch_id = $1 AND state = 'refused'",
            identity,
        )
        if tag != "UPDATE 1":
            raise NotRefused(f"batch {identity.hex()} is refused no more")
        for part in parts:
            await _store(tx, access, terms, old, part, now)
    sent = sum(part.passes for part in parts)
    log("points.recut", batch_id=identity.hex(), sent=sent, refused=len(parts) - sent)
    await settle_posts(db, access, now)
    return Recut(sent, len(parts) - sent)


async def _refused(tx: Tx, access: ChainAccess, identity: bytes) -> _Refused:
    row = await tx.fetchrow(
        """SELECT b.*, t.lane FROM chain_batch b JOIN chain_tx t USING (tx_id)
           WHERE b.batch_id = $1 AND b.state = 'refused'""",
        identity,
    )
    if row is None:
        raise NotRefused(f"batch {identity.hex()} is unknown or not refused")
    header = header_of(row)
    leaves = await transfer_leaves(tx, header.leaf_from, header.leaf_to)
    return _Refused(
        header,
        [leaf for leaf in leaves if batches.covers(header, leaf)],
        row["tx_id"],
        row["refused_reason"],
        lane_of(access, row["lane"]),
    )


async def _parts(access: ChainAccess, old: _Refused) -> list[_Part]:
    """The old batch in parts without gap; neighbours that would not pass are joined."""
    questions = 0

    async def halve(leaf_from: int, leaf_to: int) -> list[tuple[int, int, bool]]:
        nonlocal questions
        mine = [leaf.index for leaf in old.leaves if leaf_from <= leaf.index < leaf_to]
        questions += 1
        asked = questions <= QUESTIONS_MAX
        if asked and await _would_pass(access, old, _planned(old, leaf_from, leaf_to)):
            return [(leaf_from, leaf_to, True)]
        if len(mine) == 1 or not asked:
            return [(leaf_from, leaf_to, False)]
        middle = mine[len(mine) // 2]
        return await halve(leaf_from, middle) + await halve(middle, leaf_to)

    joined: list[tuple[int, int, bool]] = []
    for leaf_from, leaf_to, passes in await halve(old.header.leaf_from, old.header.leaf_to):
        if joined and not passes and not joined[-1][2]:
            joined[-1] = (joined[-1][0], leaf_to, False)
        else:
            joined.append((leaf_from, leaf_to, passes))
    return [_Part(_planned(old, start, end), passes) for start, end, passes in joined]


def _planned(old: _Refused, leaf_from: int, leaf_to: int) -> batches.PlannedBatch:
    header = replace(old.header, leaf_from=leaf_from, leaf_to=leaf_to)
    content = batches.content_of(header, old.leaves)
    sums = contracts.read_records(content.records)
    return batches.PlannedBatch(header, content, len(sums), sum(amount for _, amount in sums))


async def _would_pass(access: ChainAccess, old: _Refused, part: batches.PlannedBatch) -> bool:
    data = contracts.post_input(part.header, part.content)
    try:
        await access.client.call(access.points, data, sender=old.signer.address)
    except RpcError:
        return False
    return True


async def _store(
    tx: Tx, access: ChainAccess, terms: Terms, old: _Refused, part: _Part, now: datetime
) -> None:
    if part.passes:
        await prepare_batch(tx, access, old.signer, terms, part.batch, now)
    else:
        await insert_batch(tx, access, part.batch, old.tx_id, now, refused=old.reason)
