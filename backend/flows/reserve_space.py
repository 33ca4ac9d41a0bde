"""idle space → hold → reservation: who is in good standing holds a space, then confirms it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from backend.kit.db import Tx
from backend.kit.problems import Problem
from backend.parking import (
    Calendar,
    Plates,
    Reservation,
    Space,
    assets,
    reservations,
    tariff,
    terms,
    windows,
)
from backend.parking import calendar as calendars
from backend.payments import orders

PAY_WITHIN = timedelta(hours=24)
"""How long a stay may stay unpaid before it counts as arrears, which stop new reservations."""

TRUSTED_FEN_MAX = 10_000
"""How much a person in good standing may owe at once."""


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
    if await _shut_out(tx, space, plate_hash, now):
        raise Problem(409, "shut-out", "您在该停车场多次违规,暂不能预约。")
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


async def _shut_out(tx: Tx, space: Space, plate_hash: bytes, now: datetime) -> bool:
    """Whether a car broke the lot's rules as often as the space's policy bears."""
    if space.policy is None:
        return False
    bears = windows.policy_of(space.policy).violations_max
    since = now - timedelta(days=180)
    return await reservations.violations_since(tx, space.lot_no, plate_hash, since) >= bears


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether a person may leave first and pay later, up to what, and why not if not."""

    trusted: bool
    limit_fen: int
    owed_fen: int
    reasons: tuple[str, ...]


async def standing_of(tx: Tx, citizen_id: UUID, now: datetime) -> Standing:
    """A person's standing from their own history alone: what they paid, owe and missed.

    Three stays paid within a day of half a year, nothing in arrears, at most one no-show, and
    owing less than the limit.
    """
    since = now - timedelta(days=180)
    paid = await orders.paid_in_time(tx, citizen_id, since, PAY_WITHIN)
    missed = await reservations.missed_since(tx, citizen_id, since)
    owed = await orders.arrears_of(tx, citizen_id, now)
    owed_fen = sum(row["amount_fen"] for row in owed)
    reasons: list[str] = []
    if paid < 3:
        reasons.append(f"近半年按时付清的停车不足 3 次(现有 {paid} 次)。")
    if any(row["created_at"] < now - PAY_WITHIN for row in owed):
        reasons.append("有超过 24 小时未付的停车费。")
    if missed > 1:
        reasons.append(f"近半年预约未到 {missed} 次。")
    if owed_fen >= TRUSTED_FEN_MAX:
        reasons.append("未付金额已达上限。")
    return Standing(not reasons, TRUSTED_FEN_MAX, owed_fen, tuple(reasons))


async def cancel_reservation(
    tx: Tx, calendar: Calendar, citizen_id: UUID, reservation_id: UUID, now: datetime
) -> int:
    """Cancel a reservation; what that costs by the lot's price, in fen (0: nothing).

    Raises Problem 404 `unknown-reservation`, 409 `reservation-over`.
    """
    was = await reservations.cancel(tx, citizen_id, reservation_id)
    versions = await terms.tariffs_of(tx, was.lot_no)
    starts_s, ends_s = calendars.second(was.starts_at), calendars.second(was.ends_at)
    price = terms.in_force(versions, calendar.day_of(starts_s))
    if price is None or was.state == "held":
        return 0
    try:
        whole = tariff.charge(price, tariff.Priced(starts_s, ends_s, reserved=True), calendar)
        return tariff.cancellation_fee(
            price,
            notice_s=max(0, starts_s - calendars.second(now)),
            booked_s=ends_s - starts_s,
            since_reserved_s=max(0, calendars.second(now) - calendars.second(was.reserved_at)),
            price_fen=whole.amount_fen,
            by_owner=False,
        )
    except tariff.TariffError:
        # A price that cannot be worked out is nobody's debt.
        return 0
