"""Deliveries: claimed for a while, called outside any transaction, settled by what came of it.

A claim is a due time in the near future: a worker that dies takes nothing with it, and its
deliveries are due again when the claim lapses, under the same message id. Endpoints are locked
before deliveries, always.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from backend.kit.db import Row, Tx
from backend.kit.problems import Problem
from backend.notices.schedule import Next, Outcome, after
from backend.notices.telling import PING

CLAIM = timedelta(seconds=60)
"""Longer than a call may take, with room for settling it."""

PER_ENDPOINT_MAX = 4
"""Calls of one endpoint at a time in one worker: its slowness costs others nothing."""

DeliveryState = Literal["waiting", "delivered", "dead"]

_SHOWN = """delivery_id, type, state, told_at, due_at, tries, last_status, last_error, settled_at"""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery that this process is to send now. `tries` were made before."""

    delivery_id: UUID
    partner_id: str
    type: str
    body: bytes
    url: str
    tries: int
    step: int


async def claim(tx: Tx, now: datetime, *, busy: Mapping[str, int], limit: int) -> list[Claimed]:
    """Claim up to `limit` deliveries that are due; `busy` counts the calls under way by partner.

    Each endpoint gets at most `PER_ENDPOINT_MAX`, whatever waits for the others.
    """
    rows = await tx.fetch(
        """WITH due AS (
               SELECT d.delivery_id, e.url
               FROM webhook_endpoint AS e
               LEFT JOIN unnest($2::text[], $3::int[]) AS b (partner_id, calls) USING (partner_id)
               CROSS JOIN LATERAL (
                   SELECT w.delivery_id, w.due_at FROM delivery AS w
                   WHERE w.partner_id = e.partner_id AND w.state = 'waiting' AND w.due_at <= $1
                   ORDER BY w.due_at LIMIT greatest(0, $4 - coalesce(b.calls, 0))
                   FOR UPDATE SKIP LOCKED
               ) AS d
               WHERE e.state = 'active' AND (e.quiet_until IS NULL OR e.quiet_until <= $1)
               ORDER BY d.due_at LIMIT $5
           )
           UPDATE delivery AS d SET due_at = $6 FROM due WHERE d.delivery_id = due.delivery_id
           RETURNING d.delivery_id, d.partner_id, d.type, d.body, due.url, d.tries, d.step""",
        now,
        list(busy),
        list(busy.values()),
        PER_ENDPOINT_MAX,
        limit,
        now + CLAIM,
    )
    return [Claimed(**dict(row)) for row in rows]


async def settle(
    tx: Tx, claimed: Claimed, outcome: Outcome, *, started_at: datetime, now: datetime
) -> Next | None:
    """Write down an attempt and what follows; None if another process settled this one before."""
    following = after(claimed.step, outcome, now)
    await _settle_endpoint(tx, claimed, following, now)
    settled = await tx.fetchval(
        """UPDATE delivery SET state = $3, due_at = coalesce($4, due_at), tries = tries + 1,
               step = step + 1, last_status = $5, last_error = $6,
               settled_at = CASE WHEN $3 = 'waiting' THEN NULL ELSE $7::timestamptz END
           WHERE delivery_id = $1 AND tries = $2 AND state = 'waiting' RETURNING 1""",
        claimed.delivery_id,
        claimed.tries,
        following.state,
        following.due_at,
        outcome.status,
        outcome.error,
        now,
    )
    if settled is None:
        return None
    await tx.execute(
        """INSERT INTO delivery_attempt (delivery_id, n, started_at, duration_ms, status, error)
           VALUES ($1, $2, $3, $4, $5, $6)""",
        claimed.delivery_id,
        claimed.tries + 1,
        started_at,
        outcome.duration_ms,
        outcome.status,
        outcome.error,
    )
    if following.stops_endpoint:
        await _give_up_waiting(tx, claimed, now)
    return following


async def release(tx: Tx, broken: Sequence[Claimed], now: datetime) -> None:
    """Give claims back that were not settled: another worker may have them now."""
    await tx.execute(
        """UPDATE delivery AS d SET due_at = $3
           FROM unnest($1::uuid[], $2::int[]) AS b (delivery_id, tries)
           WHERE d.delivery_id = b.delivery_id AND d.tries = b.tries AND d.state = 'waiting'""",
        [claimed.delivery_id for claimed in broken],
        [claimed.tries for claimed in broken],
        now,
    )


async def list_deliveries(
    tx: Tx, partner_id: str, *, state: DeliveryState | None, before: UUID | None, limit: int
) -> list[Row]:
    """A partner's deliveries, newest first, older than the delivery `before`."""
    return await tx.fetch(
        f"""SELECT {_SHOWN} FROM delivery
            WHERE partner_id = $1 AND ($2::text IS NULL OR state = $2)
              AND ($3::uuid IS NULL OR delivery_id < $3)
            ORDER BY delivery_id DESC LIMIT $4""",  # noqa: S608 — a constant list of columns
        partner_id,
        state,
        before,
        limit,
    )


async def read_delivery(tx: Tx, partner_id: str, delivery_id: UUID) -> tuple[Row, list[Row]] | None:
    """One delivery with its body, and its attempts from the first, or None."""
    row = await tx.fetchrow(
        f"""SELECT {_SHOWN}, body FROM delivery
            WHERE partner_id = $1 AND delivery_id = $2""",  # noqa: S608 — as above
        partner_id,
        delivery_id,
    )
    if row is None:
        return None
    attempts = await tx.fetch(
        """SELECT n, started_at, duration_ms, status, error FROM delivery_attempt
           WHERE delivery_id = $1 ORDER BY n""",
        delivery_id,
    )
    return row, attempts


async def replay(tx: Tx, partner_id: str, delivery_id: UUID, now: datetime) -> dict[str, Any]:
    """Send a settled delivery again, from the start of the schedule, under the same message id.

    Raises `Problem`: 404 `unknown-delivery`, 409 `delivery-waiting` or `endpoint-stopped`.
    """
    active = await tx.fetchval(
        "SELECT state = 'active' FROM webhook_endpoint WHERE partner_id = $1 FOR SHARE", partner_id
    )
    named = str(delivery_id)
    state = await tx.fetchval(
        "SELECT state FROM delivery WHERE partner_id = $1 AND delivery_id = $2 FOR UPDATE",
        partner_id,
        delivery_id,
    )
    if state is None:
        raise Problem(404, "unknown-delivery", "没有这次通知", delivery_id=named)
    if state == "waiting":
        raise Problem(409, "delivery-waiting", "这次通知仍在按计划投递,无须重放", delivery_id=named)
    if not active:
        raise Problem(
            409,
            "endpoint-stopped",
            "通知地址已停用;请先以 PUT …/webhook 重新登记",
            delivery_id=named,
        )
    row = await tx.fetchrow(
        f"""UPDATE delivery SET state = 'waiting', step = 0, due_at = $2, settled_at = NULL
            WHERE delivery_id = $1 RETURNING {_SHOWN}""",  # noqa: S608 — as above
        delivery_id,
        now,
    )
    return dict(row or {})


async def _settle_endpoint(tx: Tx, claimed: Claimed, following: Next, now: datetime) -> None:
    """What an attempt says about the endpoint, unless it has been changed meanwhile."""
    if following.stops_endpoint:
        await tx.execute(
            """UPDATE webhook_endpoint SET state = 'stopped', stopped_at = $3
               WHERE partner_id = $1 AND url = $2 AND state = 'active'""",
            claimed.partner_id,
            claimed.url,
            now,
        )
    elif following.quiet_until is not None:
        await tx.execute(
            """UPDATE webhook_endpoint SET quiet_until = greatest(quiet_until, $3)
               WHERE partner_id = $1 AND url = $2""",
            claimed.partner_id,
            claimed.url,
            following.quiet_until,
        )
    elif following.state == "delivered" and claimed.type == PING:
        await tx.execute(
            "UPDATE webhook_endpoint SET verified_at = $3 WHERE partner_id = $1 AND url = $2",
            claimed.partner_id,
            claimed.url,
            now,
        )


async def _give_up_waiting(tx: Tx, claimed: Claimed, now: datetime) -> None:
    """Everything else that waits for a stopped endpoint becomes a dead letter, with the reason."""
    await tx.execute(
        """UPDATE delivery SET state = 'dead', last_error = 'endpoint-stopped', settled_at = $2
           WHERE partner_id = $1 AND state = 'waiting' AND EXISTS (
               SELECT 1 FROM webhook_endpoint AS e
               WHERE e.partner_id = $1 AND e.state = 'stopped')""",
        claimed.partner_id,
        now,
    )
