"""How much waits at each step: what operators watch and `/ready` looks at."""

from backend.kit.db import Tx


async def workload(tx: Tx) -> dict[str, int]:
    """Counts by step: outbox by topic, rows without a leaf, leaves not confirmed or posted."""
    waiting = {
        f"outbox_{row['topic']}": row["waiting"]
        for row in await tx.fetch("SELECT topic, count(*) AS waiting FROM outbox GROUP BY topic")
    }
    row = await tx.fetchrow(
        """SELECT (SELECT count(*) FROM unsealed WHERE refused IS NULL) AS unsealed,
                  (SELECT count(*) FROM unsealed WHERE refused IS NOT NULL) AS leaves_refused,
                  (SELECT count(*) FROM chain_tx WHERE settled_at IS NULL) AS chain_tx_open,
                  (SELECT count(*) FROM chain_batch WHERE state = 'refused') AS batches_refused,
                  (SELECT count(*) FROM delivery WHERE state = 'waiting') AS deliveries_waiting,
                  (SELECT count(*) FROM delivery WHERE state = 'dead') AS deliveries_dead"""
    )
    return {"outbox_award": 0, **waiting, **(dict(row) if row is not None else {})}
