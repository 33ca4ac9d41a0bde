"""Work to do later, written in the same commit as the reason for it.

Rows are taken with FOR UPDATE SKIP LOCKED inside the transaction that does the work, so a
killed worker gives its rows back by dying.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from backend.kit.db import Tx


@dataclass(frozen=True, slots=True)
class Item:
    """One piece of work: topic and key say what it is, the payload what it needs."""

    id: int
    key: str
    payload: dict[str, Any]
    attempts: int


async def put(tx: Tx, topic: str, key: str, payload: dict[str, Any], *, in_s: float = 0) -> None:
    """Add work that becomes visible when `tx` commits, and due `in_s` seconds from now."""
    await tx.execute(
        """INSERT INTO outbox (topic, key, payload, available_at)
           VALUES ($1, $2, $3, now() + make_interval(secs => $4))""",
        topic,
        key,
        json.dumps(payload),
        in_s,
    )


async def put_all(tx: Tx, topic: str, items: Sequence[tuple[str, dict[str, Any]]]) -> None:
    """Add several pieces of work (key, payload) at once, in the order given."""
    if items:
        await tx.execute(
            """INSERT INTO outbox (topic, key, payload)
               SELECT $1, key, payload::jsonb FROM unnest($2::text[], $3::text[])
                   WITH ORDINALITY AS work (key, payload, n) ORDER BY n""",
            topic,
            [key for key, _ in items],
            [json.dumps(payload) for _, payload in items],
        )


async def take(tx: Tx, topic: str, limit: int) -> list[Item]:
    """Lock up to `limit` due items of a topic, oldest first, passing over those already taken."""
    rows = await tx.fetch(
        """SELECT id, key, payload, attempts FROM outbox
           WHERE topic = $1 AND available_at <= now()
           ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED""",
        topic,
        limit,
    )
    return [Item(r["id"], r["key"], json.loads(r["payload"]), r["attempts"]) for r in rows]


async def done(tx: Tx, ids: Sequence[int]) -> None:
    """Remove finished items."""
    await tx.execute("DELETE FROM outbox WHERE id = ANY($1::bigint[])", list(ids))


async def fail(tx: Tx, item_id: int, error: str, retry_in_s: int) -> None:
    """Put an item back for later and remember why."""
    await tx.execute(
        """UPDATE outbox SET attempts = attempts + 1, last_error = $2,
               available_at = now() + make_interval(secs => $3)
           WHERE id = $1""",
        item_id,
        error[:2000],
        retry_in_s,
    )


async def backlog(tx: Tx, topic: str) -> int:
    """How many items of a topic wait."""
    return int(await tx.fetchval("SELECT count(*) FROM outbox WHERE topic = $1", topic))
