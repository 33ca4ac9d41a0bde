"""A batch that the chain refused is sent once more, after its cause was removed.

Its failed transaction is final and left nothing behind, so the same batch id is free. The caps,
rules and windows that refused it decide again. The worker asks for each refused batch whether the
chain would take it now; until it would, the batch stays refused, visible and counted.
"""

from contextlib import suppress
from datetime import datetime

from backend.chain import (
    ChainAccess,
    RpcError,
    Signer,
    chain_terms,
    contracts,
    prepare,
)
from backend.flows.post_points import PURPOSE, header_of, settle_posts
from backend.kit.db import Database, Row
from backend.kit.logs import log

ASKED_PER_ROUND = 50
"""Most refused batches that one round asks the chain about, the oldest first."""


class NotRefused(Exception):
    """Only a batch whose refusal is final can be sent again."""


async def repost_refused(db: Database, access: ChainAccess, now: datetime) -> int:
    """Send those refused batches again that the chain would take now; how many.

    One after the other in the order of their leaves. Raises NodeAway.
    """
    async with db.transaction(readonly=True) as tx:
        refused = await tx.fetch(
            """SELECT b.*, t.lane FROM chain_batch b JOIN chain_tx t USING (tx_id)
               WHERE b.state = 'refused' ORDER BY b.leaf_from, b.kind, b.account_from LIMIT $1""",
            ASKED_PER_ROUND,
        )
    done = 0
    for row in refused:
        if not await _would_pass(access, row):
            continue
        with suppress(NotRefused):  # Another process was first.
            await repost_batch(db, access, row["batch_id"], now)
        done += 1
    if len(refused) > done:
        log("points.still_refused", batch_count=len(refused) - done)
    return done


async def _would_pass(access: ChainAccess, row: Row) -> bool:
    sender = lane_of(access, row["lane"]).address
    try:
        await access.client.call(access.points, _input(row), sender=sender)
    except RpcError:
        return False
    return True


async def repost_batch(
    db: Database, access: ChainAccess, identity: bytes, now: datetime
) -> tuple[str, str | None]:
    """Prepare and send the batch again; returns its new state and the chain's reason if any.

    Raises NotRefused for an unknown id or another state, NodeAway (the worker goes on then).
    """
    terms = await chain_terms(access.client)
    async with db.transaction() as tx:
        row = await tx.fetchrow(
            """SELECT b.*, t.lane FROM chain_batch b JOIN chain_tx t USING (tx_id)
               WHERE b.batch_id = $1 FOR UPDATE OF b""",
            identity,
        )
        if row is None or row["state"] != "refused":
            found = "unknown" if row is None else row["state"]
            raise NotRefused(f"batch {identity.hex()} is {found}, not refused")
        stored = await prepare(
            tx,
            lane_of(access, row["lane"]),
            terms,
            to=access.points,
            data=_input(row),
            gas=contracts.post_gas(row["account_count"], access.client.profile.input_byte_gas),
            purpose=PURPOSE,
            ref=identity.hex(),
            now=now,
        )
        await tx.execute(
            """UPDATE chain_batch SET state = 'prepared', tx_id = $2, refused_reason = NULL,
                   settled_at = NULL WHERE batch_id = $1""",
            identity,
            stored.tx_id,
        )
    log("points.reposted", batch_id=identity.hex())
    await settle_posts(db, access, now)
    async with db.transaction(readonly=True) as tx:
        row = await tx.fetchrow(
            "SELECT state, refused_reason FROM chain_batch WHERE batch_id = $1", identity
        )
    if row is None:
        raise LookupError(f"batch {identity.hex()} was reposted and is gone")
    return row["state"], row["refused_reason"]


def lane_of(access: ChainAccess, address: str) -> Signer:
    """The lane that has the batch's accounts, else the first: its key may have been retired."""
    by_address = {signer.address: signer for signer in access.lanes}
    return by_address.get(address, access.lanes[0])


def _input(row: Row) -> bytes:
    content = contracts.BatchContent(row["day_from"], row["day_to"], row["records"])
    return contracts.post_input(header_of(row), content)
