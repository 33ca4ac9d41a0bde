"""Stays follow from gate events: worked out anew for a car whenever something of it arrives.

What was paid stands; an event that arrives afterwards and would have changed it is named instead.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Any, NamedTuple
from uuid import UUID

from backend.kit.db import Row, Tx
from backend.kit.sm import sm3
from backend.parking import reservations
from backend.parking.calendar import Calendar, instant, second
from backend.parking.pairing import OPEN_S_MAX, Oddity, PairedStay, Pass, pair
from backend.parking.reservations import EARLY, Reservation
from backend.parking.tariff import Priced, Tariff, TariffError, charge
from backend.parking.terms import in_force

_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
_COLUMNS = (
    *("stay_id", "order_id", "lot_no", "space_no", "reservation_id", "citizen_id", "plate_hash"),
    *("entered_at", "left_at", "entry_lifted", "exit_lifted", "exit_event", "state"),
    *("tariff_version", "overstay_s", "displaced", "charge_fen", "city_day"),
)
DERIVED_KINDS = (
    *("exit-without-entry", "missing-exit", "stay-too-long", "late-event"),
    *("no-tariff", "tariff-fails", "negative-charge", "charge-too-large", "impossible-times"),
    *("space-overlap", "unknown-space"),
)


@dataclass(frozen=True, slots=True)
class Stay:
    """A car inside from entry to exit, with what it costs. Its id is its entry event's.

    `state`: open (inside), due (charged), excepted (named in the exception list), void (the
    events that arrived since make no such stay).
    """

    stay_id: UUID
    order_id: UUID
    lot_no: int
    space_no: int | None
    reservation_id: UUID | None
    citizen_id: UUID | None
    plate_hash: bytes
    entered_at: datetime
    left_at: datetime | None
    entry_lifted: bool
    exit_lifted: bool
    exit_event: UUID | None
    state: str
    tariff_version: int | None
    overstay_s: int
    displaced: bool
    charge_fen: int | None
    city_day: date | None


class Named(NamedTuple):
    """An entry of the exception list: what is odd, of which event or stay, when, in words."""

    kind: str
    subject: UUID
    occurred_at: datetime
    detail: str


@dataclass(slots=True)
class Cars:
    """What is known of some cars at one lot."""

    passes: dict[bytes, list[Pass]] = field(default_factory=dict[bytes, list[Pass]])
    vehicles: dict[bytes, tuple[str, bool]] = field(default_factory=dict[bytes, tuple[str, bool]])
    holders: dict[bytes, UUID] = field(default_factory=dict[bytes, UUID])
    reservations: dict[bytes, list[Reservation]] = field(
        default_factory=dict[bytes, list[Reservation]]
    )
    spaces: dict[str, int] = field(default_factory=dict[str, int])
    known: dict[UUID, Stay] = field(default_factory=dict[UUID, Stay])


@dataclass(slots=True)
class WorkedOut:
    """The stays and exceptions that follow from all events of some cars."""

    stays: list[Stay] = field(default_factory=list[Stay])
    named: list[Named] = field(default_factory=list[Named])


def order_id_of(stay_id: UUID) -> UUID:
    """The id of a stay's payment order, which two runs of the platform give alike."""
    return UUID(bytes=sm3(b"tanhui-parking-order-v1\n" + stay_id.bytes)[:16])


async def read_cars(
    tx: Tx,
    lot_no: int,
    plate_hashes: Collection[bytes],
    first_new: Mapping[bytes, datetime] | None = None,
) -> Cars:
    """What of these cars at this lot bears on what is new.

    `first_new` is each car's earliest new event: a stay that ended before it is where we know that
    the car was outside, so nothing earlier can change. Without it, everything is read.
    """
    wanted = sorted(plate_hashes)
    since = dict.fromkeys(wanted, _LONG_AGO)
    if first_new is not None:
        since |= await _outside_since(tx, lot_no, first_new)
    froms = [since[plate_hash] for plate_hash in wanted]
    cars = Cars()
    for row in await tx.fetch(
        """SELECT e.event_id, e.device_id, e.seq, e.direction, e.occurred_at, e.space_label,
                  e.lifted, e.plate_hash
           FROM unnest($2::bytea[], $3::timestamptz[]) AS w (plate_hash, since)
           JOIN gate_event AS e ON e.lot_no = $1 AND e.plate_hash = w.plate_hash
                AND e.occurred_at >= w.since
           WHERE NOT EXISTS (SELECT FROM plate_correction AS c WHERE c.event_id = e.event_id)
           UNION ALL
           SELECT e.event_id, e.device_id, e.seq, e.direction, e.occurred_at, e.space_label,
                  e.lifted, c.plate_hash
           FROM unnest($2::bytea[], $3::timestamptz[]) AS w (plate_hash, since)
           JOIN plate_correction AS c ON c.plate_hash = w.plate_hash
           JOIN gate_event AS e ON e.event_id = c.event_id
           WHERE e.lot_no = $1 AND e.occurred_at >= w.since""",
        lot_no,
        wanted,
        froms,
    ):
        cars.passes.setdefault(row["plate_hash"], []).append(_pass(row))
    for row in await tx.fetch(
        """SELECT v.plate_hash, v.class, v.fuel, b.citizen_id FROM vehicle AS v
           LEFT JOIN vehicle_binding AS b
               ON b.plate_hash = v.plate_hash AND b.ended_at IS NULL
           WHERE v.plate_hash = ANY($1::bytea[])""",
        wanted,
    ):
        cars.vehicles[row["plate_hash"]] = (row["class"], row["fuel"] == "electric")
        if row["citizen_id"] is not None:
            cars.holders[row["plate_hash"]] = row["citizen_id"]
    labels = {p.space_label for each in cars.passes.values() for p in each if p.space_label}
    for row in await tx.fetch(
        "SELECT label, space_no FROM parking_space WHERE lot_no = $1 AND label = ANY($2::text[])",
        lot_no,
        sorted(labels),
    ):
        cars.spaces[row["label"]] = row["space_no"]
    first_s = min((p.at_s for each in cars.passes.values() for p in each), default=0)
    cars.reservations = await reservations.reservations_for(tx, lot_no, wanted, instant(first_s))
    for row in await tx.fetch(
        """SELECT s.* FROM unnest($2::bytea[], $3::timestamptz[]) AS w (plate_hash, since)
           JOIN stay AS s ON s.lot_no = $1 AND s.plate_hash = w.plate_hash
                AND s.entered_at >= w.since""",
        lot_no,
        wanted,
        froms,
    ):
        cars.known[row["stay_id"]] = Stay(**dict(row))
    return cars


async def _outside_since(
    tx: Tx, lot_no: int, first_new: Mapping[bytes, datetime]
) -> dict[bytes, datetime]:
    """When the last stay began that ended before each car's new events; absent if there is none."""
    rows = await tx.fetch(
        """SELECT s.plate_hash, max(s.entered_at) AS entered_at
           FROM unnest($2::bytea[], $3::timestamptz[]) AS n (plate_hash, first_new)
           JOIN stay AS s ON s.lot_no = $1 AND s.plate_hash = n.plate_hash
                AND s.left_at < n.first_new AND s.state IN ('due', 'excepted')
           GROUP BY s.plate_hash""",
        lot_no,
        list(first_new),
        list(first_new.values()),
    )
    return {row["plate_hash"]: row["entered_at"] for row in rows}


def work_out(
    cars: Cars, lot_no: int, tariffs: list[Tariff], calendar: Calendar, now: datetime
) -> WorkedOut:
    """The stays of these cars with their charges, and what is odd: pure, in the order of cars."""
    out = WorkedOut()
    now_s = second(now)
    for plate_hash in sorted(cars.passes):
        paired = pair(cars.passes[plate_hash], now_s)
        out.named += [_odd(each) for each in paired.oddities if each.kind in DERIVED_KINDS]
        for each in paired.stays:
            stay = _opened(cars, lot_no, plate_hash, each, out.named)
            if each.exit is not None:
                stay = _charged(stay, each, cars, tariffs, calendar, out.named)
            out.stays.append(stay)
    return out


def _opened(
    cars: Cars, lot_no: int, plate_hash: bytes, paired: PairedStay, named: list[Named]
) -> Stay:
    entry = paired.entry
    entered_at = instant(entry.at_s)
    held = _reservation_at(cars.reservations.get(plate_hash, ()), entered_at)
    space_no = None if held is None else held.space_no
    if entry.space_label is not None:
        space_no = cars.spaces.get(entry.space_label)
        if space_no is None:
            detail = f"停车场没有登记车位 {entry.space_label}"
            named.append(Named("unknown-space", entry.event_id, entered_at, detail))
    return Stay(
        stay_id=entry.event_id,
        order_id=order_id_of(entry.event_id),
        lot_no=lot_no,
        space_no=space_no,
        reservation_id=None if held is None else held.reservation_id,
        citizen_id=cars.holders.get(plate_hash) if held is None else held.citizen_id,
        plate_hash=plate_hash,
        entered_at=entered_at,
        left_at=None,
        entry_lifted=entry.lifted,
        exit_lifted=False,
        exit_event=None,
        state="open",
        tariff_version=None,
        overstay_s=0,
        displaced=False,
        charge_fen=None,
        city_day=None,
    )


def _charged(
    stay: Stay,
    paired: PairedStay,
    cars: Cars,
    tariffs: list[Tariff],
    calendar: Calendar,
    named: list[Named],
) -> Stay:
    """The finished stay with its charge; the tariff of the day of entry counts to the end."""
    entry, exit_ = paired.entry, paired.exit
    if exit_ is None:
        raise ValueError("a stay is charged once its car has left")
    vehicle_class, electric = cars.vehicles.get(stay.plate_hash, ("small", False))
    held = next(
        (
            r
            for r in cars.reservations.get(stay.plate_hash, ())
            if r.reservation_id == stay.reservation_id
        ),
        None,
    )
    overstay_s = 0 if held is None else max(0, exit_.at_s - second(held.ends_at))
    finished = replace(
        stay,
        left_at=instant(exit_.at_s),
        exit_lifted=exit_.lifted,
        exit_event=exit_.event_id,
        overstay_s=overstay_s,
        city_day=calendar.day_of(exit_.at_s),
    )
    tariff = in_force(tariffs, calendar.day_of(entry.at_s))
    if tariff is None:
        named.append(_of_stay("no-tariff", finished, "进场当日没有生效的收费标准"))
        return replace(finished, state="excepted")
    priced = Priced(
        entered_s=entry.at_s,
        left_s=exit_.at_s,
        vehicle_class=vehicle_class,
        electric=electric,
        reserved=held is not None,
        reentry=paired.reentry,
        overstay_s=overstay_s,
    )
    try:
        amount_fen = charge(tariff, priced, calendar).amount_fen
    except TariffError as error:
        named.append(_of_stay(error.name, finished, str(error)[:300]))
        return replace(finished, state="excepted", tariff_version=tariff.version)
    return replace(finished, state="due", tariff_version=tariff.version, charge_fen=amount_fen)


def _reservation_at(held: Iterable[Reservation], entered_at: datetime) -> Reservation | None:
    """The reservation a car came for: the first whose time, begun half an hour early, holds it."""
    for each in held:
        if each.starts_at - EARLY <= entered_at < each.ends_at:
            return each
    return None


def changed(known: Stay, derived: Stay) -> bool:
    """Whether what was paid for is another stay than what the events say now."""
    return (known.left_at, known.charge_fen) != (derived.left_at, derived.charge_fen)


def late_event(known: Stay, derived: Stay | None) -> Named:
    """The entry of the exception list for a paid stay that the events no longer bear out."""
    said = "支付后到达的过闸记录不再支持这次停车"
    if derived is not None:
        said = f"支付后到达的过闸记录使应收变为 {derived.charge_fen} 分,已收 {known.charge_fen} 分"
    return _of_stay("late-event", known, said)


async def store_stays(tx: Tx, stays: Sequence[Stay], known: Mapping[UUID, Stay]) -> None:
    """Write new stays and those that differ from what is known."""
    fresh = [stay for stay in stays if stay.stay_id not in known]
    if fresh:
        await tx.copy("stay", _COLUMNS, [_record(stay) for stay in fresh])
    other = [stay for stay in stays if stay.stay_id in known and known[stay.stay_id] != stay]
    if other:
        sets = ", ".join(f"{name} = ${n}" for n, name in enumerate(_COLUMNS[1:], start=2))
        await tx.executemany(
            f"UPDATE stay SET {sets} WHERE stay_id = $1",  # noqa: S608 - our own column names
            [_record(stay) for stay in other],
        )


async def place_stays(tx: Tx, stays: Sequence[Stay]) -> tuple[list[Stay], list[Stay], list[Named]]:
    """Let no two finished stays stand in one space at once: who entered first keeps it.

    Answers (these stays with `displaced` decided, other stored stays whose standing changed, the
    exceptions). The later stay is charged all the same: it stood elsewhere in the lot.
    """
    placed = [s for s in stays if s.state == "due" and s.space_no is not None and s.left_at]
    if not placed:
        return list(stays), [], []
    mine = {stay.stay_id for stay in stays}
    rows = await tx.fetch(
        """SELECT DISTINCT s.* FROM stay AS s
           JOIN unnest($1::bigint[], $2::timestamptz[], $3::timestamptz[])
                AS m (space_no, entered_at, left_at) ON m.space_no = s.space_no
           WHERE s.state = 'due' AND s.entered_at < m.left_at AND s.left_at > m.entered_at""",
        [stay.space_no for stay in placed],
        [stay.entered_at for stay in placed],
        [stay.left_at for stay in placed],
    )
    others = {r["stay_id"]: Stay(**dict(r)) for r in rows if r["stay_id"] not in mine}
    decided: dict[UUID, bool] = {}
    named: list[Named] = []
    taken_until: dict[int, datetime] = {}
    for stay in sorted([*placed, *others.values()], key=lambda s: (s.entered_at, s.stay_id)):
        if stay.space_no is None or stay.left_at is None:
            continue
        until = taken_until.get(stay.space_no)
        displaced = until is not None and stay.entered_at < until
        decided[stay.stay_id] = displaced
        if displaced:
            said = "该车位仍被更早进场的车辆占用"
            named.append(_of_stay("space-overlap", stay, said))
        else:
            taken_until[stay.space_no] = stay.left_at
    settled = [replace(s, displaced=decided.get(s.stay_id, False)) for s in stays]
    moved = [
        replace(s, displaced=decided[s.stay_id])
        for s in others.values()
        if s.displaced != decided[s.stay_id]
    ]
    return settled, moved, named


async def name_exceptions(
    tx: Tx,
    lot_no: int,
    named: Sequence[Named],
    now: datetime,
    *,
    concerning: Collection[UUID] = (),
) -> None:
    """Enter exceptions; those about `concerning` that are not named any more are resolved."""
    still = {(each.kind, each.subject) for each in named}
    if concerning:
        rows = await tx.fetch(
            """SELECT kind, subject FROM parking_exception
               WHERE subject = ANY($1::uuid[]) AND kind = ANY($2::text[])
                 AND resolved_at IS NULL""",
            list(concerning),
            list(DERIVED_KINDS),
        )
        over = [(r["kind"], r["subject"]) for r in rows if (r["kind"], r["subject"]) not in still]
        if over:
            await tx.execute(
                """UPDATE parking_exception SET resolved_at = $3, resolution = 'later-events'
                   FROM unnest($1::text[], $2::uuid[]) AS o (kind, subject)
                   WHERE parking_exception.kind = o.kind
                     AND parking_exception.subject = o.subject""",
                [kind for kind, _ in over],
                [subject for _, subject in over],
                now,
            )
    if named:
        await tx.execute(
            """INSERT INTO parking_exception
                   (kind, subject, lot_no, occurred_at, detail, opened_at)
               SELECT DISTINCT ON (kind, subject) kind, subject, $1::bigint, at, detail,
                      $2::timestamptz
               FROM unnest($3::text[], $4::uuid[], $5::timestamptz[], $6::text[])
                    AS n (kind, subject, at, detail)
               ON CONFLICT (kind, subject) DO UPDATE
               SET detail = excluded.detail, resolved_at = NULL, resolution = NULL
               WHERE parking_exception.resolution = 'later-events'""",
            lot_no,
            now,
            [each.kind for each in named],
            [each.subject for each in named],
            [each.occurred_at for each in named],
            [each.detail for each in named],
        )


async def inside_at(tx: Tx, lot_no: int, at: datetime) -> dict[bytes, bytes]:
    """Sealed plates, by hash, of the cars that were inside a lot at an instant."""
    rows = await tx.fetch(
        """SELECT v.plate_hash, v.plate_sealed FROM stay AS s JOIN vehicle AS v USING (plate_hash)
           WHERE s.lot_no = $1 AND s.entered_at <= $2 AND s.left_at IS NULL AND s.state = 'open'
             AND s.entered_at > $2::timestamptz - make_interval(secs => $3)""",
        lot_no,
        at,
        OPEN_S_MAX,
    )
    return {row["plate_hash"]: row["plate_sealed"] for row in rows}


async def overdue(tx: Tx, now: datetime, limit: int) -> dict[int, set[bytes]]:
    """Cars by lot that went in longer ago than a stay may last and never came out."""
    rows = await tx.fetch(
        """SELECT lot_no, plate_hash FROM stay
           WHERE state = 'open' AND entered_at < $1::timestamptz - make_interval(secs => $2)
           ORDER BY entered_at LIMIT $3""",
        now,
        OPEN_S_MAX,
        limit,
    )
    found: dict[int, set[bytes]] = {}
    for row in rows:
        found.setdefault(row["lot_no"], set()).add(row["plate_hash"])
    return found


async def resolve(tx: Tx, kind: str, subject: UUID, by: str, now: datetime) -> bool:
    """A person settled an exception; False if it was not open."""
    tag = await tx.execute(
        """UPDATE parking_exception SET resolved_at = $4, resolution = $3
           WHERE kind = $1 AND subject = $2 AND resolved_at IS NULL""",
        kind,
        subject,
        by,
        now,
    )
    return tag == "UPDATE 1"


async def open_exceptions(tx: Tx, lot_no: int, *, limit: int) -> list[Row]:
    """What of a lot waits for a person, oldest first."""
    return await tx.fetch(
        """SELECT kind, subject, occurred_at, detail, opened_at FROM parking_exception
           WHERE lot_no = $1 AND resolved_at IS NULL ORDER BY occurred_at, subject LIMIT $2""",
        lot_no,
        limit,
    )


async def stay_by_id(tx: Tx, stay_id: UUID) -> Stay | None:
    """A stay by id."""
    row = await tx.fetchrow("SELECT * FROM stay WHERE stay_id = $1", stay_id)
    return None if row is None else Stay(**dict(row))


def _odd(oddity: Oddity) -> Named:
    said = {
        "exit-without-entry": "出闸之前没有进闸记录",
        "missing-exit": "进闸之后没有出闸记录",
        "stay-too-long": "停放超过 7 天,由人工处理",
    }[oddity.kind]
    return Named(oddity.kind, oddity.event.event_id, instant(oddity.event.at_s), said)


def _of_stay(kind: str, stay: Stay, detail: str) -> Named:
    return Named(kind, stay.stay_id, stay.entered_at, detail)


def _pass(row: Row) -> Pass:
    return Pass(
        at_s=second(row["occurred_at"]),
        direction=row["direction"],
        device_id=row["device_id"],
        seq=row["seq"],
        event_id=row["event_id"],
        lifted=row["lifted"],
        space_label=row["space_label"],
    )


def _record(stay: Stay) -> tuple[Any, ...]:
    return tuple(getattr(stay, name) for name in _COLUMNS)
