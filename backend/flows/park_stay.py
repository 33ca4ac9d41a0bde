"""gate in → gate out → charge: what devices signed becomes stays, and stays become orders.

One transaction for each signed batch. A lot is worked on by one transaction at a time, so that an
entry and an exit that arrive together see each other.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from backend import devices, parking
from backend.kit.db import Database, Tx
from backend.kit.logs import log
from backend.kit.problems import Problem
from backend.parking import Calendar, Lot, Plates, Stay, assets, gates, reservations, stays, terms
from backend.payments import Order, OrderDraft, orders

LOT_LOCK = 0x6C6F_7400_0000_0000
"""Advisory lock of a lot ("lot" in ASCII, then its number)."""


@dataclass(frozen=True, slots=True)
class SignedBatch:
    """What a device signed: the exact payload bytes and the DER signature."""

    device_id: str
    payload: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Passed:
    """What became of a batch: events stored, known before, and turned away with the reason."""

    stored: int
    known: int
    turned: tuple[gates.Turned, ...]


async def record_passes(
    db: Database,
    plates: Plates,
    calendar: Calendar,
    operator_id: str,
    batch: SignedBatch,
    now: datetime,
) -> Passed:
    """Store a device's batch and work out the stays of every car in it.

    Raises Problem: 401 for the device (`devices.check_signed`; another operator's device is
    `unknown-device`), 422 `bad-payload`, 404 `unknown-lot`.
    """
    async with db.transaction() as tx:
        device = await devices.check_signed(
            tx,
            batch.device_id,
            "gate",
            gates.batch_digest(batch.payload),
            batch.signature,
            now,
        )
        if device.operator_id != operator_id:
            raise Problem(401, "unknown-device", "没有登记这台设备。", device_id=device.device_id)
        lot = await assets.find_lot(tx, device.place)
        read = gates.read_batch(device.device_id, batch.payload, plates, now)
        await assets.see_vehicles(tx, plates, read.vehicles, now)
        await lock_lot(tx, lot.lot_no)
        stored = await gates.store_batch(
            tx,
            device.device_id,
            lot.lot_no,
            read,
            payload=batch.payload,
            signature=batch.signature,
            now=now,
        )
        await _name_unread(tx, lot, stored.stored, now)
        first_new = _first_new(stored.stored)
        await follow_cars(tx, lot, first_new, calendar, now, first_new=first_new)
    log(
        "passes_recorded",
        device_id=device.device_id,
        lot_id=lot.lot_id,
        stored=len(stored.stored),
        known=stored.known,
        turned=len(stored.turned),
    )
    return Passed(len(stored.stored), stored.known, tuple(stored.turned))


async def lock_lot(tx: Tx, lot_no: int) -> None:
    """Be the only one who works on a lot's stays until `tx` ends."""
    await tx.lock(LOT_LOCK | lot_no)


def _first_new(events: Sequence[gates.GateEvent]) -> dict[bytes, datetime]:
    """Each car's earliest event among these."""
    first: dict[bytes, datetime] = {}
    for event in events:
        if event.plate_hash is not None:
            known = first.get(event.plate_hash)
            if known is None or event.occurred_at < known:
                first[event.plate_hash] = event.occurred_at
    return first


async def follow_cars(
    tx: Tx,
    lot: Lot,
    cars: Collection[bytes],
    calendar: Calendar,
    now: datetime,
    *,
    first_new: Mapping[bytes, datetime] | None = None,
) -> list[Stay]:
    """Work out these cars' stays anew, and what is owed for them. The caller holds the lot.

    What was paid stands. The stays as they are stored now, from the last one that ended before
    what is new (`first_new`, see `stays.read_cars`).
    """
    if not cars:
        return []
    known = await stays.read_cars(tx, lot.lot_no, cars, first_new)
    tariffs = await terms.tariffs_of(tx, lot.lot_no)
    derived = stays.work_out(known, lot.lot_no, tariffs, calendar, now)
    kept, named = await _keep_paid(tx, known.known, derived)
    placed, moved, overlaps = await stays.place_stays(tx, kept)
    await stays.store_stays(
        tx, moved, {stay.stay_id: replace(stay, displaced=not stay.displaced) for stay in moved}
    )
    await stays.store_stays(tx, placed, known.known)
    used = {s.reservation_id for s in placed if s.reservation_id and s.state != "void"}
    if used:
        await reservations.mark_used(tx, sorted(used))
    concerning = {p.event_id for each in known.passes.values() for p in each}
    concerning |= set(known.known) | {stay.stay_id for stay in moved}
    await stays.name_exceptions(tx, lot.lot_no, [*named, *overlaps], now, concerning=concerning)
    await _owe(tx, lot, placed, calendar, now)
    return placed


async def _keep_paid(
    tx: Tx, known: dict[UUID, Stay], derived: stays.WorkedOut
) -> tuple[list[Stay], list[stays.Named]]:
    """The stays that stand: paid ones as they were, the others as they follow from the events."""
    paid = await orders.paid_among(tx, [stay.order_id for stay in known.values()])
    fixed = {s.stay_id: s for s in known.values() if s.order_id in paid}
    named = list(derived.named)
    kept: list[Stay] = []
    follows = {stay.stay_id: stay for stay in derived.stays}
    for stay in derived.stays:
        before = fixed.get(stay.stay_id)
        if before is None:
            kept.append(stay)
        else:
            kept.append(before)
            if stays.changed(before, stay):
                named.append(stays.late_event(before, stay))
    for stay_id, before in known.items():
        if stay_id in follows:
            continue
        if stay_id in fixed:
            kept.append(before)
            named.append(stays.late_event(before, None))
        else:
            # Void, and no longer in anybody's way.
            kept.append(replace(before, state="void", charge_fen=None))
    return kept, named


async def _owe(tx: Tx, lot: Lot, placed: Sequence[Stay], calendar: Calendar, now: datetime) -> None:
    due = [s for s in placed if s.state == "due" and s.charge_fen]
    owed = {stay.order_id for stay in due}
    if due:
        owners = await parking.assets.owners_of_spaces(
            tx, {s.space_no for s in due if s.space_no is not None}
        )
        rail_id = await terms.rail_on(tx, lot.lot_no, calendar.day_of(int(now.timestamp())))
        await orders.put_orders(
            tx,
            [
                OrderDraft(
                    order_id=stay.order_id,
                    stay_id=stay.stay_id,
                    lot_no=stay.lot_no,
                    citizen_id=stay.citizen_id,
                    # Who stood elsewhere used nobody's space.
                    owner_id=None
                    if stay.displaced or stay.space_no is None
                    else owners[stay.space_no],
                    rail_id=rail_id,
                    amount_fen=stay.charge_fen or 0,
                    book_day=stay.city_day or calendar.day_of(int(now.timestamp())),
                )
                for stay in due
            ],
            now,
        )
    await orders.close_orders(tx, [s.order_id for s in placed if s.order_id not in owed])


async def _name_unread(tx: Tx, lot: Lot, events: Sequence[gates.GateEvent], now: datetime) -> None:
    unread = [
        stays.Named("unknown-plate", e.event_id, e.occurred_at, "摄像机没有读出车牌")
        for e in events
        if e.plate_hash is None
    ]
    await stays.name_exceptions(tx, lot.lot_no, unread, now)


async def propose_plates(
    db: Database, plates: Plates, operator_id: str, lot_id: str, event_id: UUID
) -> tuple[str | None, list[str]]:
    """What a camera read, and the plates inside at that time that differ in one character at most.

    For a person to compare with the picture; nothing is matched by itself. Raises Problem 404
    `unknown-lot`, `unknown-gate-event`.
    """
    async with db.transaction(readonly=True) as tx:
        lot = await operators_lot(tx, operator_id, lot_id)
        reading = await gates.reading_of(tx, lot.lot_no, event_id)
        inside = await stays.inside_at(tx, lot.lot_no, reading.occurred_at)
    if reading.plate_hash is None or reading.plate_sealed is None:
        return None, []
    read = plates.open(reading.plate_sealed, reading.plate_hash)
    known = [plates.open(each, plate_hash) for plate_hash, each in inside.items()]
    return read, parking.plates.alike(read, [each for each in known if each != read])


async def correct_plate(
    db: Database,
    plates: Plates,
    calendar: Calendar,
    operator_id: str,
    lot_id: str,
    event_id: UUID,
    plate: str,
    now: datetime,
) -> list[Stay]:
    """A person read a plate: the stays of both cars, the misread one and the right one.

    Raises Problem as `gates.correct_plate`, 422 `bad-plate`, 404 `unknown-lot`.
    """
    async with db.transaction() as tx:
        lot = await operators_lot(tx, operator_id, lot_id)
        right = (await assets.see_vehicles(tx, plates, {plate: ("small", "petrol")}, now))[plate]
        await lock_lot(tx, lot.lot_no)
        misread = await gates.correct_plate(
            tx, lot.lot_no, event_id, right, f"operator:{operator_id}", now
        )
        cars = {right} if misread is None else {right, misread}
        await stays.resolve(tx, "unknown-plate", event_id, f"operator:{operator_id}", now)
        return await follow_cars(tx, lot, cars, calendar, now)


async def operators_lot(tx: Tx, operator_id: str, lot_id: str) -> Lot:
    """A lot of this operator. Raises Problem 404 `unknown-lot`, also for another's."""
    lot = await assets.find_lot(tx, lot_id)
    if lot.operator_id != operator_id:
        raise Problem(404, "unknown-lot", "没有这个停车场。", lot_id=lot_id[:64])
    return lot


async def give_up_open(db: Database, calendar: Calendar, now: datetime, limit: int = 500) -> int:
    """Name the entries whose exit never came within seven days; how many stays were open."""
    async with db.transaction(readonly=True) as tx:
        overdue = await stays.overdue(tx, now, limit)
    for lot_no, cars in overdue.items():
        async with db.transaction() as tx:
            await lock_lot(tx, lot_no)
            await follow_cars(tx, (await assets.lots(tx, [lot_no]))[lot_no], cars, calendar, now)
    return sum(len(cars) for cars in overdue.values())


async def operators_order(tx: Tx, operator_id: str, order_id: UUID) -> Order:
    """An order of one of this operator's lots. Raises Problem 404 `unknown-order`."""
    order = await orders.find_order(tx, order_id)
    lot = (await assets.lots(tx, [order.lot_no]))[order.lot_no]
    if lot.operator_id != operator_id:
        raise Problem(404, "unknown-order", "没有这笔停车费。", order_id=str(order_id))
    return order


async def miss_reservations(db: Database, now: datetime) -> int:
    """Call reservations missed whose time is over and whose car never came; how many."""
    async with db.transaction() as tx:
        missed = await reservations.miss_reservations(tx, now)
        for each in missed:
            said = "预约时段已过,车辆没有进场"
            named = [stays.Named("no-show", each.reservation_id, each.starts_at, said)]
            await stays.name_exceptions(tx, each.lot_no, named, now)
    return len(missed)
