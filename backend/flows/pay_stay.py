"""order → the rail → its notice → paid: money is booked on a rail's signed word only."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from backend.kit import outbox
from backend.kit.clock import to_text
from backend.kit.db import Database, Tx
from backend.kit.logs import log
from backend.kit.problems import Problem
from backend.ledger import chart, money
from backend.parking import stays
from backend.payments import Order, notices, orders, sandbox

POINTS_TOPIC = "parking-stay"
"""Outbox topic of stays that were paid and may earn points."""

LOST_AFTER = timedelta(minutes=10)
"""How long an order may stay unpaid before the rail is asked what became of it."""


async def receive_notices(
    tx: Tx, rail_id: str, told: Sequence[notices.Notice], now: datetime
) -> list[notices.Received]:
    """Judge a rail's notices, book what they pay, and name what needs a person."""
    received = await notices.receive_notices(tx, rail_id, told, now)
    paid = await orders.orders_by_id(
        tx, [each.notice.order_id for each in received if each.outcome == "paid"]
    )
    await money.move(tx, [_charged(order) for order in paid.values()], now)
    await outbox.put_all(
        tx,
        POINTS_TOPIC,
        [
            (str(order.stay_id), {"order": str(order.order_id)})
            for order in paid.values()
            if order.citizen_id is not None
        ],
    )
    odd = [each for each in received if each.outcome in notices.NEEDS_A_PERSON]
    if odd:
        known = await orders.orders_by_id(tx, [each.notice.order_id for each in odd])
        for each in odd:
            order = known.get(each.notice.order_id)
            await stays.name_exceptions(
                tx,
                0 if order is None else order.lot_no,
                [_named(each, now)],
                now,
            )
    log(
        "notices_received",
        rail_id=rail_id,
        paid=len(paid),
        odd=len(odd),
        known=len(received) - len(paid) - len(odd),
    )
    return received


def _charged(order: Order) -> money.Movement:
    payers, frozen = chart.rail_payers(order.rail_id), chart.rail_frozen(order.rail_id)
    flows = (money.Flow(payers, frozen, order.amount_fen),)
    return money.Movement(order.order_id, "charge", order.book_day, flows)


def _named(each: notices.Received, now: datetime) -> stays.Named:
    said = f"渠道通知 {each.notice.notice_id} 称收到 {each.notice.amount_fen} 分"
    return stays.Named(f"notice-{each.outcome}", each.notice.order_id, now, said)


async def pay_in_sandbox(
    tx: Tx, rail: sandbox.SandboxRail, citizen_id: UUID, stay_id: UUID, now: datetime
) -> Order:
    """A citizen pays a stay at the sandbox rail, whose notice follows; the order as it stands.

    Raises Problem 404 `unknown-stay`, 409 `nothing-to-pay` (still inside, free, or paid).
    """
    stay = await stays.stay_by_id(tx, stay_id)
    if stay is None or stay.citizen_id != citizen_id:
        raise Problem(404, "unknown-stay", "没有这次停车。", stay_id=str(stay_id))
    found = await orders.orders_by_id(tx, [stay.order_id], lock=True)
    order = found.get(stay.order_id)
    if order is None or order.state == "closed":
        raise Problem(409, "nothing-to-pay", "这次停车目前没有应付金额。", stay_id=str(stay_id))
    if order.state == "open":
        await rail.pay(tx, [sandbox.Paying(order.order_id, order.amount_fen, now)])
    return order


async def deliver_sandbox_notices(
    db: Database, rail: sandbox.SandboxRail, now: datetime, limit: int = 1_000
) -> int:
    """The sandbox rail tells us what it has to tell now; how many notices it sent."""
    async with db.transaction() as tx:
        due = await rail.due_notices(tx, now, limit)
        told = [notice for each in due for notice in notices.read_notices(each.body)]
        if told:
            await receive_notices(tx, rail.rail_id, told, now)
    return len(due)


async def ask_for_lost(
    db: Database, rail: sandbox.SandboxRail, now: datetime, limit: int = 500
) -> int:
    """Ask the rail about orders that nobody was told of; what was paid is booked as if it was.

    How many notices had been lost.
    """
    found: list[notices.Notice] = []
    async with db.transaction() as tx:
        for order_id in await orders.open_since(tx, rail.rail_id, now - LOST_AFTER, limit):
            charge = await rail.query(tx, order_id)
            if charge is not None:
                found.append(
                    notices.Notice(
                        notice_id=f"q-{charge.rail_ref}",
                        kind="paid",
                        order_id=order_id,
                        rail_ref=charge.rail_ref,
                        amount_fen=charge.amount_fen,
                        paid_at=to_text(charge.paid_at),
                    )
                )
        if found:
            await receive_notices(tx, rail.rail_id, found, now)
    return len(found)
