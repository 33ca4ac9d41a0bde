"""refund: what is still frozen first, then back from the parties, else a debt on the next payout.

An order is refunded by one transaction at a time and never beyond what was paid.
"""

from datetime import datetime, timedelta
from uuid import UUID

from backend.kit.clock import city_day
from backend.kit.db import Database, Tx
from backend.kit.ids import new_id
from backend.kit.logs import log
from backend.kit.problems import Problem
from backend.ledger import chart, money
from backend.parking import assets, split, terms
from backend.payments import Order, Rail, RailRefused, orders, settling


async def refund_stay(
    db: Database,
    rail: Rail,
    order_id: UUID,
    amount_fen: int,
    reason: str,
    *,
    city_tz: str,
    now: datetime,
    refund_id: UUID | None = None,
) -> orders.Refund:
    """Give money of a paid order back; the same `refund_id` again gives the first answer.

    Raises Problem: 404 `unknown-order`, 409 `not-paid`, `refund-exceeds-payment`,
    `refund-too-late` (a year after payment), `refund-conflict`, 422 `bad-amount`.
    """
    if amount_fen < 1:
        raise Problem(422, "bad-amount", "退款金额须为正整数(分)。")
    async with db.transaction() as tx:
        order = await orders.find_order(tx, order_id, lock=True)
        refund_id = refund_id or new_id()
        earlier = await _earlier(tx, refund_id, order_id, amount_fen)
        if earlier is not None:
            return earlier
        _check(order, amount_fen, rail, now)
        try:
            await rail.refund(tx, order_id, amount_fen, now)
        except RailRefused as error:
            raise Problem(409, "refund-refused", f"支付渠道拒绝退款:{error.name}") from error
        settled = order.settled_part is not None
        flows, parts = _from_frozen(order, amount_fen)
        if settled:
            flows, parts = await _from_parties(tx, order, amount_fen)
        day = city_day(now, city_tz)
        done = _sorted_out(refund_id, amount_fen, flows, settled=settled)
        await orders.enter_refund(tx, order_id, done, parts, reason=reason, day=day, now=now)
        await money.move(tx, [money.Movement(refund_id, "refund", day, tuple(flows))], now)
    log("stay_refunded", order_id=order_id, refund_id=refund_id, amount_fen=amount_fen)
    return done


def _check(order: Order, amount_fen: int, rail: Rail, now: datetime) -> None:
    if order.state != "paid" or order.paid_at is None:
        raise Problem(409, "not-paid", "这笔停车费尚未支付。")
    if order.refunded_fen + amount_fen > order.amount_fen:
        rest_fen = order.amount_fen - order.refunded_fen
        raise Problem(409, "refund-exceeds-payment", f"退款超出已付金额,最多还可退 {rest_fen} 分。")
    if now > order.paid_at + timedelta(days=rail.limits.refund_days):
        raise Problem(409, "refund-too-late", "支付已超过一年,渠道不再受理退款。")


async def _earlier(
    tx: Tx, refund_id: UUID, order_id: UUID, amount_fen: int
) -> orders.Refund | None:
    row = await orders.find_refund(tx, refund_id)
    if row is None:
        return None
    if (row["order_id"], row["amount_fen"]) != (order_id, amount_fen):
        raise Problem(409, "refund-conflict", "同一退款编号已用于另一笔退款。")
    return orders.Refund(
        refund_id, amount_fen, row["frozen_fen"], row["returned_fen"], row["debt_fen"]
    )


def _from_frozen(order: Order, amount_fen: int) -> tuple[list[money.Flow], dict[str, int]]:
    frozen, payers = chart.rail_frozen(order.rail_id), chart.rail_payers(order.rail_id)
    return [money.Flow(frozen, payers, amount_fen)], {}


async def _from_parties(
    tx: Tx, order: Order, amount_fen: int
) -> tuple[list[money.Flow], dict[str, int]]:
    """Each party gives back in proportion to what it still has of the charge.

    From what the next payout would send it; a merchant then from its account, through the rail;
    anybody else owes it.
    """
    contract = await terms.contract_on(tx, order.lot_no, order.book_day)
    merchant_id = "" if contract is None else contract.merchant_id
    rows = await settling.line_amounts(tx, order.order_id)
    held = {row["party_id"]: row["amount_fen"] for row in rows}
    parts = split.take_back_fen(amount_fen, held, merchant_id)
    parties = await assets.parties(tx, parts)
    payable = await money.lock_balances(tx, [chart.party_payable(p) for p in parts])
    flows: list[money.Flow] = []
    payers = chart.rail_payers(order.rail_id)
    for party_id, part_fen in sorted(parts.items()):
        ready = chart.party_payable(party_id)
        at_once = min(part_fen, payable.get(ready, 0))
        if at_once:
            flows.append(money.Flow(ready, payers, at_once))
        if part_fen > at_once:
            merchant = parties[party_id].merchant
            rest = chart.party_paid(party_id) if merchant else chart.party_debt(party_id)
            flows.append(money.Flow(rest, payers, part_fen - at_once))
    return flows, parts


def _sorted_out(
    refund_id: UUID, amount_fen: int, flows: list[money.Flow], *, settled: bool
) -> orders.Refund:
    debt_fen = sum(flow.amount for flow in flows if flow.source.endswith(":debt"))
    if not settled:
        return orders.Refund(refund_id, amount_fen, amount_fen, 0, 0)
    return orders.Refund(refund_id, amount_fen, 0, amount_fen - debt_fen, debt_fen)
