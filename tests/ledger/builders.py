"""Builders of what the ledger is asked to do."""

from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from backend import ledger
from backend.kit.db import Tx
from backend.kit.ids import new_id

NOW = datetime(2026, 11, 22, tzinfo=UTC)
DAY = date(2026, 11, 22)
PEOPLE = (UUID(int=1), UUID(int=2))
MONTHS = (date(2028, 1, 1), date(2028, 2, 1), date(2028, 3, 1))


def a_point_award(**changes: Any) -> ledger.PointAward:
    values: dict[str, Any] = {
        "transfer_id": new_id(),
        "citizen_id": PEOPLE[0],
        "points_class": "carbon",
        "amount": 10,
        "programme_id": "green",
        "rule_id": "metro",
        "rule_version": 1,
        "city_day": DAY,
        "expiry_month": MONTHS[0],
    }
    return ledger.PointAward(**values | changes)


async def reverse(tx: Tx, of: UUID, **changes: Any) -> ledger.Reversal:
    values: dict[str, Any] = {
        "transfer_id": new_id(),
        "of_transfer": of,
        "city_day": DAY,
        "idempotency_key": f"reverse:{of}",
        "body_digest": bytes(32),
        "note": "误报",
        "at": NOW,
    }
    return await ledger.reverse_award(tx, **values | changes)


async def refund(tx: Tx, of: UUID, **changes: Any) -> ledger.Spent:
    values: dict[str, Any] = {
        "transfer_id": new_id(),
        "of_transfer": of,
        "city_day": DAY,
        "note": "商品已售罄",
        "at": NOW,
    }
    return await ledger.refund_redemption(tx, **values | changes)


async def hold(tx: Tx, citizen_id: UUID, amount: int) -> UUID | None:
    """Set points aside; None where there are too few."""
    hold_id = new_id()
    wanted: dict[str, Any] = {"citizen_id": citizen_id, "points_class": "carbon", "amount": amount}
    try:
        await ledger.hold_points(tx, hold_id=hold_id, **wanted, at=NOW)
    except ledger.LedgerError:
        return None
    return hold_id


async def spend(tx: Tx, citizen_id: UUID, amount: int) -> None:
    """Redeem so many points, or what there is."""
    balance = await ledger.balance_of(tx, citizen_id, "carbon")
    if part := min(amount, balance.available):
        hold_id = await hold(tx, citizen_id, part)
        assert hold_id is not None
        await ledger.post_hold(tx, hold_id, DAY, NOW)
