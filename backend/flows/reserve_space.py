"""idle space → hold → reservation: who is in good standing holds a space, then confirms it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from backend.kit.db import Tx
from backend.kit.problems import Problem
from backend.parking import Calendar, Plates, Reservation, assets, reservations
from backend.payments import orders

PAY_WITHIN = timedelta(hours=24)
"""How long a stay may stay unpaid before it counts as arrears, which stop new reservations."""


@dataclass(frozen=True, slots=True)
class Wish:
    """Which space somebody wants, for which of their cars, and when."""

    space_id: UUID
    plate: str
    starts_at: datetime
    ends_at: datetime
    confirmed: bool = False


async def reserve_space(
    tx: Tx,
    plates: Plates,
    calendar: Calendar,
    citizen_id: UUID,
    wish: Wish,
    now: datetime,
) -> Reservation:
    """Hold a space for five minutes, or reserve it at once with `wish.confirmed`.

    Raises Problem: 404 `unknown-space`, 409 `vehicle-not-bound`, `arrears`, and as
    `reservations.hold_space`. Of several who want the same time one gets it.
    """
    plate_hash = plates.hash(wish.plate)
    mine = {row["plate_hash"]: row["class"] for row in await assets.vehicles_of(tx, citizen_id)}
    if plate_hash not in mine:
        raise Problem(409, "vehicle-not-bound", "请先绑定这辆车的车牌。")
    if await orders.arrears_of(tx, citizen_id, now - PAY_WITHIN):
        raise Problem(409, "arrears", "您有逾期未付的停车费,付清后即可预约。")
    space = await assets.find_space(tx, wish.space_id, lock=True)
    held = await reservations.hold_space(
        tx,
        space,
        calendar,
        citizen_id=citizen_id,
        plate_hash=plate_hash,
        vehicle_class=mine[plate_hash],
        starts_at=wish.starts_at,
        ends_at=wish.ends_at,
        now=now,
    )
    if wish.confirmed:
        return await reservations.confirm(tx, citizen_id, held.reservation_id, now)
    return held
