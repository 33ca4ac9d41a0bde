"""Orders: what is owed for a stay. A rail's notice pays one; nothing else does."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from backend.kit.db import Row, Tx
from backend.kit.problems import Problem


class OrderDraft(NamedTuple):
    """An order to be opened, or its new amount while nobody has paid."""

    order_id: UUID
    stay_id: UUID
    lot_no: int
    citizen_id: UUID | None
    owner_id: str | None
    rail_id: str
    amount_fen: int
    book_day: date


@dataclass(frozen=True, slots=True)
class Order:
    """What is owed for a stay that ended on `book_day`, the day of its statement.

    `settled_part` is set once it stands there.
    """

    order_id: UUID
    stay_id: UUID
    lot_no: int
    citizen_id: UUID | None
    owner_id: str | None
    rail_id: str
    amount_fen: int
    state: str
    rail_ref: str | None
    created_at: datetime
    paid_at: datetime | None
    book_day: date
    settled_part: int | None
    refunded_fen: int


class Payment(NamedTuple):
    """A rail's word that an order was paid."""

    order_id: UUID
    rail_ref: str
    paid_at: datetime


async def put_orders(tx: Tx, drafts: Sequence[OrderDraft], now: datetime) -> None:
    """Open orders; one that is not paid takes the new amount, a paid one stays as it is."""
    if drafts:
        await tx.execute(
            """INSERT INTO payment_order (order_id, stay_id, lot_no, citizen_id, owner_id, rail_id,
                                          amount_fen, book_day, state, created_at)
               SELECT *, 'open', $9::timestamptz FROM unnest($1::uuid[], $2::uuid[], $3::bigint[],
                   $4::uuid[], $5::text[], $6::text[], $7::bigint[], $8::date[])
               ON CONFLICT (order_id) DO UPDATE
               SET amount_fen = excluded.amount_fen, owner_id = excluded.owner_id,
                   book_day = excluded.book_day, state = 'open'
               WHERE payment_order.state <> 'paid'""",
            [d.order_id for d in drafts],
            [d.stay_id for d in drafts],
            [d.lot_no for d in drafts],
            [d.citizen_id for d in drafts],
            [d.owner_id for d in drafts],
            [d.rail_id for d in drafts],
            [d.amount_fen for d in drafts],
            [d.book_day for d in drafts],
            now,
        )


async def close_orders(tx: Tx, order_ids: Sequence[UUID]) -> None:
    """Nothing is owed any more for what was not paid yet."""
    if order_ids:
        await tx.execute(
            """UPDATE payment_order SET state = 'closed'
               WHERE order_id = ANY($1::uuid[]) AND state = 'open'""",
            list(order_ids),
        )


async def paid_among(tx: Tx, order_ids: Iterable[UUID]) -> set[UUID]:
    """Those of these orders that were paid. Locks them all, so that no notice comes in between."""
    rows = await tx.fetch(
        """SELECT order_id, state FROM payment_order WHERE order_id = ANY($1::uuid[])
           ORDER BY order_id FOR UPDATE""",
        sorted(order_ids),
    )
    return {row["order_id"] for row in rows if row["state"] == "paid"}


async def find_order(tx: Tx, order_id: UUID, *, lock: bool = False) -> Order:
    """An order. Raises Problem 404 `unknown-order`."""
    found = await orders_by_id(tx, [order_id], lock=lock)
    if order_id not in found:
        raise Problem(404, "unknown-order", "没有这笔停车费。", order_id=str(order_id))
    return found[order_id]


async def orders_by_id(
    tx: Tx, order_ids: Iterable[UUID], *, lock: bool = False
) -> dict[UUID, Order]:
    """Orders by id; unknown ones are absent."""
    sql = "SELECT * FROM payment_order WHERE order_id = ANY($1::uuid[]) ORDER BY order_id"
    rows = await tx.fetch(f"{sql} FOR UPDATE" if lock else sql, list(order_ids))
    return {row["order_id"]: Order(**dict(row)) for row in rows}


async def mark_paid(tx: Tx, payments: Sequence[Payment]) -> None:
    """Note that orders were paid; the caller holds them and knows that they are open."""
    await tx.execute(
        """UPDATE payment_order AS o
           SET state = 'paid', rail_ref = p.rail_ref, paid_at = p.paid_at
           FROM unnest($1::uuid[], $2::text[], $3::timestamptz[])
                AS p (order_id, rail_ref, paid_at)
           WHERE o.order_id = p.order_id AND o.state <> 'paid'""",
        [p.order_id for p in payments],
        [p.rail_ref for p in payments],
        [p.paid_at for p in payments],
    )


async def open_since(tx: Tx, rail_id: str, before: datetime, limit: int) -> list[UUID]:
    """Orders of a rail opened before an instant and not paid, newest first."""
    rows = await tx.fetch(
        """SELECT order_id FROM payment_order
           WHERE rail_id = $1 AND state = 'open' AND created_at < $2
           ORDER BY created_at DESC LIMIT $3""",
        rail_id,
        before,
        limit,
    )
    return [row["order_id"] for row in rows]


async def arrears_of(tx: Tx, citizen_id: UUID, before: datetime) -> list[Row]:
    """What a person has owed since before an instant: order_id, stay_id, amount, created_at."""
    return await tx.fetch(
        """SELECT order_id, stay_id, amount_fen, created_at FROM payment_order
           WHERE citizen_id = $1 AND state = 'open' AND created_at < $2 ORDER BY created_at""",
        citizen_id,
        before,
    )


class Refund(NamedTuple):
    """Money given back: from what was `frozen`, `returned` by parties, and a `debt` of theirs."""

    refund_id: UUID
    amount_fen: int
    frozen_fen: int
    returned_fen: int
    debt_fen: int


async def find_refund(tx: Tx, refund_id: UUID) -> Row | None:
    """A refund by id, or None."""
    return await tx.fetchrow("SELECT * FROM refund WHERE refund_id = $1", refund_id)


async def enter_refund(
    tx: Tx,
    order_id: UUID,
    refund: Refund,
    parts: Mapping[str, int],
    *,
    reason: str,
    day: date,
    now: datetime,
) -> None:
    """Write a refund, what each party gives back of it, and the order's sum of refunds."""
    await tx.execute(
        """INSERT INTO refund (refund_id, order_id, amount_fen, frozen_fen, returned_fen, debt_fen,
                               reason, city_day, made_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)""",
        refund.refund_id,
        order_id,
        refund.amount_fen,
        refund.frozen_fen,
        refund.returned_fen,
        refund.debt_fen,
        reason,
        day,
        now,
    )
    await tx.copy(
        "refund_part",
        ("refund_id", "party_id", "amount_fen"),
        [(refund.refund_id, party_id, part_fen) for party_id, part_fen in sorted(parts.items())],
    )
    await tx.execute(
        "UPDATE payment_order SET refunded_fen = refunded_fen + $2 WHERE order_id = $1",
        order_id,
        refund.amount_fen,
    )


async def paid_in_time(tx: Tx, citizen_id: UUID, since: datetime, within: timedelta) -> int:
    """How many of a person's stays were paid soon enough since an instant."""
    return await tx.fetchval(
        """SELECT count(*) FROM payment_order
           WHERE citizen_id = $1 AND state = 'paid' AND created_at > $2
             AND paid_at <= created_at + $3::interval""",
        citizen_id,
        since,
        within,
    )


async def ageing(tx: Tx, now: datetime) -> list[Row]:
    """Money still frozen at the rail on day 20 and 27 after payment, before it is let go at 30.

    Rows of (age_days 20 or 27, count, amount_fen); a party's share must be sent before.
    """
    return await tx.fetch(
        """SELECT CASE WHEN paid_at <= $1::timestamptz - interval '27 days' THEN 27 ELSE 20 END
                      AS age_days,
                  count(*) AS count, sum(amount_fen)::bigint AS amount_fen
           FROM payment_order
           WHERE state = 'paid' AND settled_part IS NULL
             AND paid_at <= $1::timestamptz - interval '20 days'
           GROUP BY 1 ORDER BY 1""",
        now,
    )
