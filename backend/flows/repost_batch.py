"""A batch that the chain refused is sent once more, after its cause was removed.

Its failed transaction is final and left nothing behind, so the same batch id is free. The caps,
rules and windows that refused it decide again.
"""

from datetime import datetime

from backend.chain import ChainAccess, chain_terms, contracts, keys, prepare
from backend.flows.post_points import PURPOSE, post_points
from backend.kit.db import Database
from backend.kit.logs import log


class NotRefused(Exception):
    """Only a batch whose refusal is final can be sent again."""


async def repost_batch(
    db: Database, access: ChainAccess, identity: bytes, now: datetime
) -> tuple[str, str | None]:
    """Prepare and send the batch again; returns its new state and the chain's reason if any.

    Raises NotRefused for an unknown id or another state, NodeAway (the worker goes on then).
    """
    terms = await chain_terms(access.client)
    async with db.transaction() as tx:
        row = await tx.fetchrow(
            """SELECT b.account_count, b.state, t.raw FROM chain_batch b JOIN chain_tx t
               USING (tx_id) WHERE b.batch_id = $1 FOR UPDATE OF b""",
            identity,
        )
        if row is None or row["state"] != "refused":
            found = "unknown" if row is None else row["state"]
            raise NotRefused(f"batch {identity.hex()} is {found}, not refused")
        stored = await prepare(
            tx,
            access.keys.post,
            terms,
            to=access.points,
            data=keys.read_transaction(row["raw"]).data,
            gas=contracts.post_gas(row["account_count"]),
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
    await post_points(db, access, now)
    async with db.transaction(readonly=True) as tx:
        row = await tx.fetchrow(
            "SELECT state, refused_reason FROM chain_batch WHERE batch_id = $1", identity
        )
    if row is None:
        raise LookupError(f"batch {identity.hex()} was reposted and is gone")
    return row["state"], row["refused_reason"]
