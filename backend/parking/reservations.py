"""Reservations: a space for a car and a time, held for minutes, then confirmed or let go.

That nobody books what another has is held by an exclusion constraint; who comes second is told so.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

import asyncpg  # pyright: ignore[reportMissingTypeStubs]

from backend.kit.db import Row, Tx
from backend.kit.ids import new_id
from backend.kit.problems import Problem
from backend.parking.assets import Space
from backend.parking.calendar import Calendar
from backend.parking.windows import covers, policy_of

HOLD = timedelta(minutes=5)
AHEAD_MAX = timedelta(days=30)
LENGTH_MAX = timedelta(days=7)
LENGTH_MIN = timedelta(minutes=15)
LIVE_MAX = 3
"""Reservations that one person may have at once."""
EARLY = timedelta(minutes=30)
"""How long before its beginning a car that arrives is still the reservation's."""

State = Literal["held", "confirmed", "used", "cancelled", "expired", "no-show"]


@dataclass(frozen=True, slots=True)
class Reservation:
    """A space for a car from `starts_at` to `ends_at`; a hold ends at `held_until`."""

    reservation_id: UUID
    space_no: int
    lot_no: int
    citizen_id: UUID
    plate_hash: bytes
    starts_at: datetime
    ends_at: datetime
    state: State
    held_until: datetime
    reserved_at: datetime
    arrived_at: datetime | None


async def hold_space(
    tx: Tx,
    space: Space,
    calendar: Calendar,
    *,
    citizen_id: UUID,
    plate_hash: bytes,
    vehicle_class: str,
    starts_at: datetime,
    ends_at: datetime,
    now: datetime,
    reservation_id: UUID | None = None,
) -> Reservation:
    """Hold a space for five minutes. `space` was read under lock, so that twins wait in line.

    Raises Problem 422 `bad-times`, 409 `space-not-offered`, `outside-window`, `gate-closed`,
    `class-not-allowed`, `too-many-reservations`, `window-taken`.
    """
    _check_times(starts_at, ends_at, now)
    if space.state != "offered" or space.policy is None:
        raise Problem(409, "space-not-offered", "该车位目前未开放共享。")
    policy = policy_of(space.policy)
    if vehicle_class not in policy.classes:
        raise Problem(409, "class-not-allowed", "该车位不接待这类车辆。")
    _say_why(covers(policy, calendar, starts_at, ends_at))
    await expire_holds(tx, space.space_no, now)
    await _check_limit(tx, citizen_id, now)
    made = Reservation(
        reservation_id=reservation_id or new_id(),
        space_no=space.space_no,
        lot_no=space.lot_no,
        citizen_id=citizen_id,
        plate_hash=plate_hash,
        starts_at=starts_at,
        ends_at=ends_at,
        state="held",
        held_until=now + HOLD,
        reserved_at=now,
        arrived_at=None,
    )
    await store_reservations(tx, [made])
    return made


async def store_reservations(tx: Tx, made: Sequence[Reservation]) -> None:
    """Write reservations, all or none. Raises Problem 409 `window-taken`."""
    try:
        await tx.execute(
            """INSERT INTO reservation (reservation_id, space_no, lot_no, citizen_id, plate_hash,
                                        starts_at, ends_at, state, held_until, reserved_at)
               SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::uuid[],
                   $5::bytea[], $6::timestamptz[], $7::timestamptz[], $8::text[],
                   $9::timestamptz[], $10::timestamptz[])""",
            [r.reservation_id for r in made],
            [r.space_no for r in made],
            [r.lot_no for r in made],
            [r.citizen_id for r in made],
            [r.plate_hash for r in made],
            [r.starts_at for r in made],
            [r.ends_at for r in made],
            [r.state for r in made],
            [r.held_until for r in made],
            [r.reserved_at for r in made],
        )
    except asyncpg.ExclusionViolationError as error:
        raise Problem(
            409, "window-taken", "该车位在这段时间已被预约,请换一个时段或车位。"
        ) from error


async def confirm(tx: Tx, citizen_id: UUID, reservation_id: UUID, now: datetime) -> Reservation:
    """Confirm a hold that still stands; again changes nothing.

    Raises Problem 404 `unknown-reservation`, 410 `hold-expired`, 409 `reservation-over`.
    """
    found = await find_reservation(tx, citizen_id, reservation_id, lock=True)
    if found.state == "confirmed":
        return found
    if found.state == "expired" or (found.state == "held" and found.held_until <= now):
        raise Problem(410, "hold-expired", "预留已超时,请重新预约。")
    if found.state != "held":
        raise Problem(409, "reservation-over", "该预约已结束。", state=found.state)
    await _set_state(tx, [reservation_id], "confirmed")
    return await find_reservation(tx, citizen_id, reservation_id)


async def cancel(tx: Tx, citizen_id: UUID, reservation_id: UUID) -> Reservation:
    """The reservation as it stood, cancelled now; the caller prices that.

    Raises Problem 404 `unknown-reservation`, 409 `reservation-over`.
    """
    found = await find_reservation(tx, citizen_id, reservation_id, lock=True)
    if found.state not in ("held", "confirmed"):
        raise Problem(409, "reservation-over", "该预约已结束。", state=found.state)
    await _set_state(tx, [reservation_id], "cancelled")
    return found


async def arrive(tx: Tx, citizen_id: UUID, reservation_id: UUID, now: datetime) -> None:
    """Note that the phone came within 300 m of the lot; the first time counts.

    Raises Problem 404 `unknown-reservation`.
    """
    found = await find_reservation(tx, citizen_id, reservation_id, lock=True)
    if found.arrived_at is None:
        await tx.execute(
            "UPDATE reservation SET arrived_at = $2 WHERE reservation_id = $1", reservation_id, now
        )


async def find_reservation(
    tx: Tx, citizen_id: UUID, reservation_id: UUID, *, lock: bool = False
) -> Reservation:
    """A person's reservation. Raises Problem 404 `unknown-reservation`."""
    sql = "SELECT * FROM reservation WHERE reservation_id = $1 AND citizen_id = $2"
    row = await tx.fetchrow(f"{sql} FOR UPDATE" if lock else sql, reservation_id, citizen_id)
    if row is None:
        raise Problem(404, "unknown-reservation", "没有这项预约。")
    return _reservation(row)


async def reservations_of(
    tx: Tx, citizen_id: UUID, *, before: UUID | None, limit: int
) -> list[Row]:
    """A person's reservations with lot and label, newest first."""
    return await tx.fetch(
        """SELECT r.*, l.lot_id, l.name AS lot_name, s.space_id, s.label
           FROM reservation AS r JOIN parking_lot AS l USING (lot_no)
           JOIN parking_space AS s USING (space_no)
           WHERE r.citizen_id = $1 AND ($2::uuid IS NULL OR r.reservation_id < $2)
           ORDER BY r.reservation_id DESC LIMIT $3""",
        citizen_id,
        before,
        limit,
    )


async def reservations_for(
    tx: Tx, lot_no: int, plate_hashes: Sequence[bytes], since: datetime
) -> dict[bytes, list[Reservation]]:
    """Confirmed and used reservations of cars at a lot that end after `since`, earliest first."""
    rows = await tx.fetch(
        """SELECT * FROM reservation
           WHERE lot_no = $1 AND plate_hash = ANY($2::bytea[]) AND ends_at > $3
             AND state IN ('confirmed', 'used', 'no-show')
           ORDER BY starts_at, reservation_id""",
        lot_no,
        list(plate_hashes),
        since,
    )
    found: dict[bytes, list[Reservation]] = {}
    for row in rows:
        found.setdefault(row["plate_hash"], []).append(_reservation(row))
    return found


async def reservation_card(tx: Tx, citizen_id: UUID, reservation_id: UUID) -> Row:
    """A person's reservation with lot and label. Raises Problem 404 `unknown-reservation`."""
    row = await tx.fetchrow(
        """SELECT r.*, l.lot_id, s.label FROM reservation AS r JOIN parking_lot AS l USING (lot_no)
           JOIN parking_space AS s USING (space_no)
           WHERE r.reservation_id = $1 AND r.citizen_id = $2""",
        reservation_id,
        citizen_id,
    )
    if row is None:
        raise Problem(404, "unknown-reservation", "没有这项预约。")
    return row


async def missed_since(tx: Tx, citizen_id: UUID, since: datetime) -> int:
    """How often a person reserved and did not come."""
    return await tx.fetchval(
        """SELECT count(*) FROM reservation
           WHERE citizen_id = $1 AND state = 'no-show' AND starts_at > $2""",
        citizen_id,
        since,
    )


async def violations_since(tx: Tx, lot_no: int, plate_hash: bytes, since: datetime) -> int:
    """How often a car broke a lot's rules: did not come, or stayed an hour too long."""
    return await tx.fetchval(
        """SELECT (SELECT count(*) FROM reservation
                   WHERE lot_no = $1 AND plate_hash = $2 AND state = 'no-show' AND starts_at > $3)
                + (SELECT count(*) FROM stay
                   WHERE lot_no = $1 AND plate_hash = $2 AND overstay_s >= 3600
                     AND state = 'due' AND entered_at > $3)""",
        lot_no,
        plate_hash,
        since,
    )


async def mark_used(tx: Tx, reservation_ids: Sequence[UUID]) -> None:
    """These reservations were driven to, also those that counted as missed before."""
    await _set_state(tx, reservation_ids, "used")


async def expire_holds(tx: Tx, space_no: int, now: datetime) -> None:
    """Let go of holds on a space whose time is over."""
    await tx.execute(
        """UPDATE reservation SET state = 'expired'
           WHERE space_no = $1 AND state = 'held' AND held_until <= $2""",
        space_no,
        now,
    )


async def miss_reservations(tx: Tx, now: datetime, limit: int = 10_000) -> list[Reservation]:
    """Confirmed reservations whose time is over and whose car never came: no-shows from now on."""
    rows = await tx.fetch(
        """UPDATE reservation SET state = 'no-show'
           WHERE reservation_id IN (
               SELECT r.reservation_id FROM reservation AS r
               WHERE r.state = 'confirmed' AND r.ends_at <= $1
                 AND NOT EXISTS (SELECT FROM stay AS s WHERE s.reservation_id = r.reservation_id)
               ORDER BY r.ends_at LIMIT $2 FOR UPDATE SKIP LOCKED)
           RETURNING *""",
        now,
        limit,
    )
    return sorted(map(_reservation, rows), key=lambda r: (r.ends_at, r.reservation_id))


async def _check_limit(tx: Tx, citizen_id: UUID, now: datetime) -> None:
    live = await tx.fetchval(
        """SELECT count(*) FROM reservation
           WHERE citizen_id = $1 AND ends_at > $2
             AND (state = 'confirmed' OR (state = 'held' AND held_until > $2))""",
        citizen_id,
        now,
    )
    if live >= LIVE_MAX:
        raise Problem(409, "too-many-reservations", f"每人同时最多 {LIVE_MAX} 项有效预约。")


def _check_times(starts_at: datetime, ends_at: datetime, now: datetime) -> None:
    length = ends_at - starts_at
    if not LENGTH_MIN <= length <= LENGTH_MAX:
        raise Problem(422, "bad-times", "预约时长须在 15 分钟至 7 天之间。")
    if not now - timedelta(minutes=1) <= starts_at <= now + AHEAD_MAX:
        raise Problem(422, "bad-times", "预约须从现在起 30 天以内开始。")


def _say_why(reason: str) -> None:
    if reason == "outside-window":
        raise Problem(409, reason, "这段时间不在该车位的共享时段内。")
    if reason == "gate-closed":
        raise Problem(409, reason, "该车位此时闸口关闭,不能在这个时刻进场或离场。")


async def _set_state(tx: Tx, reservation_ids: Sequence[UUID], state: State) -> None:
    await tx.execute(
        "UPDATE reservation SET state = $2 WHERE reservation_id = ANY($1::uuid[])",
        list(reservation_ids),
        state,
    )


def _reservation(row: Row) -> Reservation:
    return Reservation(**dict(row))
