"""A simulated month of shared parking through the product's own flows: same seed, same books.

Arrivals follow the mean occupancy of the 29 public car parks whose half-hour counts the tests
replay. Cars are late, missing, scanned twice and sent in any order; notices are lost and doubled;
charges are refunded after they were divided. Every stay must end charged or named, and charges,
splits, postings and statement lines must be one sum.
"""

import asyncio
import json
import random
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import accumulate
from typing import Any
from uuid import UUID

from backend import devices, ledger, partners
from backend.bench import parking_papers
from backend.bench.scratch import Scratch
from backend.flows.check_parking import check_parking, parking_totals
from backend.flows.park_stay import SignedBatch, give_up_open, miss_reservations, record_passes
from backend.flows.pay_out import pay_out
from backend.flows.pay_stay import ask_for_lost, deliver_sandbox_notices
from backend.flows.refund_stay import refund_stay
from backend.flows.settle_parking import settle_waiting
from backend.kit.clock import FixedClock
from backend.kit.db import Tx
from backend.kit.sm import Sm2PrivateKey, sm3
from backend.kit.vault import Vault, write_secret_file
from backend.parking import (
    Calendar,
    Plates,
    Reservation,
    assets,
    calendar,
    gates,
    reservations,
    split,
    tariff,
    terms,
    windows,
)
from backend.payments import SandboxRail, sandbox

FIRST_DAY = date(2026, 9, 1)
CITY_TZ = "Asia/Shanghai"
OPERATOR = "sim-operator"
CARS_PER_SPACE = 5


@dataclass(frozen=True, slots=True)
class Size:
    """How large the month is. 200 lots of 100 spaces for 30 days are 10^6 stays."""

    lots: int = 200
    spaces: int = 100
    days: int = 30


@dataclass(slots=True)
class Month:
    """What a run has at hand, and where its time went (seconds by stage)."""

    bed: Scratch
    seed: int
    size: Size
    vault: Vault
    clock: FixedClock
    key: Sm2PrivateKey
    calendar: Calendar = field(default_factory=lambda: Calendar(CITY_TZ))
    rail: SandboxRail = field(default_factory=SandboxRail)
    lots: list[assets.Lot] = field(default_factory=list[assets.Lot])
    spaces: dict[int, dict[str, int]] = field(default_factory=dict[int, dict[str, int]])
    late: dict[int, list[dict[str, Any]]] = field(
        default_factory=lambda: defaultdict(list[dict[str, Any]])
    )
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    planned: int = 0

    @contextmanager
    def stage(self, name: str) -> Any:
        """Count the time of a stage."""
        begun_s = time.perf_counter()
        yield
        self.seconds[name] += time.perf_counter() - begun_s


@dataclass(frozen=True, slots=True)
class Planned:
    """A car's visit as it really happens, before anything goes wrong with what is told of it."""

    label: str
    begin_s: int
    end_s: int
    plate: str
    reserved: bool


async def run_month(
    bed: Scratch, seed: int, size: Size, tell: Callable[[int, int], None] | None = None
) -> dict[str, Any]:
    """Simulate a month and check its books; the figures, with `differences` 0 when they hold."""
    begun_s = time.perf_counter()
    month = await prepare_month(bed, seed, size)
    for number in range(size.days):
        await _day(month, FIRST_DAY + timedelta(days=number))
        if tell is not None:
            tell(number + 1, size.days)
    with month.stage("close"):
        await _close(month)
    with month.stage("check"):
        figures = await _figures(month)
    spent_s = time.perf_counter() - begun_s
    return figures | {
        "seconds": round(spent_s, 1),
        "stays_per_s": int(figures["stays_charged"] // max(1, int(spent_s))),
        "stages_s": {name: round(value, 1) for name, value in month.seconds.items()},
    }


async def prepare_month(bed: Scratch, seed: int, size: Size) -> Month:
    """The lots with everything a stay needs. Keys follow from the seed, so ids do as well."""
    keys = bed.keys_dir / f"parking-{seed}"
    keys.mkdir(mode=0o700)
    write_secret_file(keys / "plate.key", sm3(f"simulated plates {seed}".encode()))
    key = Sm2PrivateKey(int.from_bytes(sm3(f"simulated gate {seed}".encode())) >> 8)
    clock = FixedClock(_instant(FIRST_DAY, 0))
    month = Month(bed, seed, size, Vault(keys), clock, key)
    policy = windows.read_policy(parking_papers.WINDOWS)
    with month.stage("prepare"):
        async with bed.db.transaction() as tx:
            await partners.register_partner(
                tx, OPERATOR, "模拟运营方", required_scheme="v1s2", scenarios=[], now=clock.now()
            )
            for party_id, merchant in (
                ("sim-operator", True),
                ("sim-platform", True),
                ("sim-city", False),
            ):
                await _party(tx, month, party_id, merchant)
        for n in range(size.lots):
            async with bed.db.transaction() as tx:
                await _build_lot(tx, month, n, policy)
    return month


async def _party(tx: Tx, month: Month, party_id: str, merchant: bool) -> None:
    await assets.enter_party(
        tx,
        party_id,
        kind="operator",
        name=party_id,
        merchant=merchant,
        now=month.clock.now(),
        partner_id=OPERATOR if party_id == "sim-operator" else None,
        account=sm3(party_id.encode())[:20],
    )


async def _build_lot(tx: Tx, month: Month, n: int, policy: windows.WindowPolicy) -> None:
    now, lot_id = month.clock.now(), f"sim-{n:03d}"
    lot = await assets.put_lot(
        tx,
        lot_id,
        operator_id=OPERATOR,
        name=f"模拟停车场 {n}",
        latitude_udeg=22_500_000 + 1_000 * (n // 20),
        longitude_udeg=114_000_000 + 1_000 * (n % 20),
        capacity=month.size.spaces,
        base_search_s=396,
        now=now,
    )
    await devices.register_device(
        tx,
        f"{lot_id}-gate",
        operator_id=OPERATOR,
        place=lot_id,
        lane="1",
        purpose="gate",
        public_key=month.key.public_key.to_bytes(),
        now=now,
    )
    owner = f"{lot_id}-owner"
    await _party(tx, month, owner, merchant=False)
    month.spaces[lot.lot_no] = {}
    for number in range(month.size.spaces):
        space = await assets.add_space(tx, lot, f"P{number:03d}", "standard", owner, now)
        await assets.set_policy(tx, space.space_id, policy)
        month.spaces[lot.lot_no][space.label] = space.space_no
    await terms.publish_tariff(tx, lot, tariff.read_tariff(parking_papers.prices(lot_id)), now)
    await terms.publish_contract(tx, lot, split.read_contract(parking_papers.shares(lot_id)), now)
    month.lots.append(lot)


async def prepare_day(month: Month, day: date) -> None:
    """One day up to its division: cars come and go, gates report at midnight, drivers pay."""
    with month.stage("plan"):
        plans = {lot.lot_no: _plan(month, lot, day) for lot in month.lots}
    month.clock.instant = _instant(day, 0)
    with month.stage("reserve"):
        for lot in month.lots:
            await _reserve(month, lot, day, plans[lot.lot_no])
    month.clock.instant = _instant(day + timedelta(days=1), 10)
    with month.stage("passes"):
        batches = [_batch(month, lot, day, plans[lot.lot_no]) for lot in month.lots]
        await _all(month, [batch for batch in batches if batch is not None])
    with month.stage("pay"):
        await _pay(month)


async def _day(month: Month, day: date) -> None:
    """One day: its stays, its division, and refunds of what was divided two days before."""
    await prepare_day(month, day)
    month.clock.instant = _instant(day + timedelta(days=1), 60)
    with month.stage("settle"):
        while await settle_waiting(month.bed.db, month.clock, CITY_TZ, 2_000):
            pass
    with month.stage("refund"):
        await _refund(month, day - timedelta(days=2))
        await miss_reservations(month.bed.db, month.clock.now())
    following = day + timedelta(days=1)
    if month.calendar.is_banking_day(following):
        await pay_out(month.bed.db, month.calendar, following, month.clock.now())


def _plan(month: Month, lot: assets.Lot, day: date) -> list[Planned]:
    """Visits of a lot's day: each space one or two cars, five thirds on average."""
    draw = random.Random(f"{month.seed} {lot.lot_id} {day}")  # noqa: S311 - a simulation
    hours = list(parking_papers.OCCUPANCY_PERMILLE)
    weights = list(accumulate(parking_papers.OCCUPANCY_PERMILLE.values()))
    cars = draw.sample(range(month.size.spaces * CARS_PER_SPACE), month.size.spaces * 2)
    plans: list[Planned] = []
    for label in month.spaces[lot.lot_no]:
        first_s = _second(day, draw.choices(hours, cum_weights=weights)[0] * 60)
        begin_s = first_s + draw.randrange(3_600)
        for _ in range(draw.choice((1, 2, 2))):
            end_s = begin_s + draw.randrange(20, 130) * 60
            if end_s > _second(day, 21 * 60 + 30):
                break
            plate = f"沪{lot.lot_id[-3:]}{cars.pop():04d}"
            plans.append(Planned(label, begin_s, end_s, plate, draw.random() < 0.3))
            begin_s = end_s + draw.randrange(20, 90) * 60
    month.planned += len(plans)
    return plans


async def _reserve(month: Month, lot: assets.Lot, day: date, plans: list[Planned]) -> None:
    """Reservations of those who made one, and of some who do not come."""
    draw = random.Random(f"{month.seed} r {lot.lot_id} {day}")  # noqa: S311 - a simulation
    plates = Plates(month.vault)
    wanted: list[tuple[str, str, int, int]] = []
    for plan in plans:
        if plan.reserved:
            # One in twenty leaves forty minutes later than reserved.
            short_s = 2_400 if draw.random() < 0.05 and plan.end_s - plan.begin_s > 4_800 else 0
            wanted.append((plan.label, plan.plate, plan.begin_s - 600, plan.end_s - short_s))
    for label in draw.sample(sorted(month.spaces[lot.lot_no]), max(1, len(wanted) // 50)):
        begin_s = _second(day, 22 * 60)
        plate = f"沪{lot.lot_id[-3:]}N{draw.randrange(1_000):03d}"
        wanted.append((label, plate, begin_s, begin_s + 3_600))
    now = month.clock.now()
    async with month.bed.db.transaction() as tx:
        hashes = await assets.see_vehicles(
            tx, plates, {plate: ("small", "petrol") for _, plate, _, _ in wanted}, now
        )
        await reservations.store_reservations(
            tx,
            [
                Reservation(
                    reservation_id=_uuid(f"{lot.lot_id} {day} {label} {begin_s}"),
                    space_no=month.spaces[lot.lot_no][label],
                    lot_no=lot.lot_no,
                    citizen_id=_uuid(plate),
                    plate_hash=hashes[plate],
                    starts_at=calendar.instant(begin_s),
                    ends_at=calendar.instant(end_s),
                    state="confirmed",
                    held_until=now,
                    reserved_at=now,
                    arrived_at=None,
                )
                for label, plate, begin_s, end_s in wanted
            ],
        )


def _batch(month: Month, lot: assets.Lot, day: date, plans: list[Planned]) -> SignedBatch | None:
    """What the lot's gate buffered over the day, in the order in which it comes out."""
    draw = random.Random(f"{month.seed} g {lot.lot_id} {day}")  # noqa: S311 - a simulation
    events: list[dict[str, Any]] = month.late.pop(lot.lot_no, [])
    seq = (day - FIRST_DAY).days * 100_000
    for plan in plans:
        for direction, at_s in (("in", plan.begin_s), ("out", plan.end_s)):
            chance = draw.random()
            if chance < 0.002:
                continue  # never told
            seq += 1
            event = _event(seq, direction, at_s, plan)
            if direction == "out" and chance < 0.012:
                month.late[lot.lot_no].append(event)
            else:
                events.append(event)
            if chance > 0.98:
                seq += 1
                events.append(_event(seq, direction, at_s + draw.choice((4, 20)), plan))
    if not events:
        return None
    draw.shuffle(events)
    device_id = f"{lot.lot_id}-gate"
    payload = json.dumps({"device_id": device_id, "events": events}, ensure_ascii=False).encode()
    text = devices.signed_text(device_id, gates.batch_digest(payload))
    return SignedBatch(device_id, payload, month.key.sign_der(text))


def _event(seq: int, direction: str, at_s: int, plan: Planned) -> dict[str, Any]:
    return {
        "seq": seq,
        "direction": direction,
        "time": calendar.instant(at_s).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "plate": plan.plate,
        "space": plan.label,
    }


async def _all(month: Month, batches: list[SignedBatch]) -> None:
    """Hand batches in, a few lots at a time, so that the database and Python both work."""
    plates, waiting = Plates(month.vault), list(reversed(batches))

    async def work() -> None:
        while waiting:
            await record_passes(
                month.bed.db, plates, month.calendar, OPERATOR, waiting.pop(), month.clock.now()
            )

    await asyncio.gather(*(work() for _ in range(3)))


async def _pay(month: Month) -> None:
    """Everybody pays; one notice in 200 is lost, one in 100 comes twice."""
    db, now = month.bed.db, month.clock.now()
    async with db.transaction() as tx:
        rows = await tx.fetch(
            """SELECT o.order_id, o.amount_fen FROM payment_order AS o
               WHERE o.state = 'open' AND NOT EXISTS (
                   SELECT FROM sandbox_charge AS c WHERE c.order_ref = o.order_id)
               ORDER BY o.order_id"""
        )
    for start in range(0, len(rows), 5_000):
        payings = [
            sandbox.Paying(row["order_id"], row["amount_fen"], now, copies=_copies(row["order_id"]))
            for row in rows[start : start + 5_000]
        ]
        async with db.transaction() as tx:
            await month.rail.pay(tx, payings)
    while await deliver_sandbox_notices(db, month.rail, now, 5_000):
        pass
    asked_at = now + timedelta(minutes=30)
    while await ask_for_lost(db, month.rail, asked_at):
        pass


def _copies(order_id: UUID) -> int:
    chance = order_id.bytes[15] * 256 + order_id.bytes[14]
    return 0 if chance < 328 else 2 if chance < 984 else 1


async def _refund(month: Month, day: date) -> None:
    """One charge in 200 is refunded two days after it was divided, half of them in part."""
    async with month.bed.db.transaction(readonly=True) as tx:
        rows = await tx.fetch(
            """SELECT order_id, amount_fen FROM payment_order
               WHERE book_day = $1 AND settled_part IS NOT NULL AND refunded_fen = 0
                 AND get_byte(uuid_send(order_id), 13) * 256 + get_byte(uuid_send(order_id), 12)
                     < 328
               ORDER BY order_id""",
            day,
        )
    for row in rows:
        whole_fen = row["amount_fen"]
        part_fen = whole_fen if row["order_id"].bytes[11] & 1 else max(1, whole_fen // 2)
        await refund_stay(
            month.bed.db,
            month.rail,
            row["order_id"],
            part_fen,
            "simulated",
            city_tz=CITY_TZ,
            now=month.clock.now(),
            refund_id=_uuid(f"refund {row['order_id']}"),
        )


async def _close(month: Month) -> None:
    """Two more days, in which late events and lost notices of the last day come in."""
    for _ in range(2):
        month.clock.advance(days=1)
        batches = [
            _batch(month, lot, FIRST_DAY + timedelta(days=month.size.days), [])
            for lot in month.lots
            if month.late.get(lot.lot_no)
        ]
        await _all(month, [batch for batch in batches if batch is not None])
        await _pay(month)
        while await settle_waiting(month.bed.db, month.clock, CITY_TZ, 2_000):
            pass
    # Who is still inside by then never came out.
    month.clock.advance(days=8)
    while await give_up_open(month.bed.db, month.calendar, month.clock.now()):
        pass


async def _figures(month: Month) -> dict[str, Any]:
    async with month.bed.db.transaction(isolation="repeatable_read", readonly=True) as tx:
        differences = [*await check_parking(tx), *await ledger.replay(tx)]
        totals = await parking_totals(tx)
        statements = await tx.fetch(
            """SELECT l.lot_id, s.day, s.part, s.party_id, s.total_fen, s.root
               FROM party_statement AS s JOIN parking_lot AS l USING (lot_no)
               ORDER BY l.lot_id, s.day, s.part, s.party_id"""
        )
        named = await tx.fetch(
            "SELECT kind, count(*) AS n FROM parking_exception GROUP BY 1 ORDER BY 1"
        )
        refunds = await tx.fetchval("SELECT count(*) FROM refund")
    books = "\n".join(
        f"{s['lot_id']} {s['day']} {s['part']} {s['party_id']} {s['total_fen']} {s['root'].hex()}"
        for s in statements
    )
    return {
        "planned": month.planned,
        **totals,
        "refunds": refunds,
        "exceptions": {row["kind"]: row["n"] for row in named},
        "statements": len(statements),
        "differences": [f"{d.law}: {d.subject} {d.expected} {d.found}" for d in differences[:20]],
        "books": sm3(books.encode()).hex(),
    }


def _uuid(name: str) -> UUID:
    return UUID(bytes=sm3(name.encode())[:16])


def _second(day: date, minute: int) -> int:
    return Calendar(CITY_TZ).second_of(day, minute)


def _instant(day: date, minute: int) -> datetime:
    return calendar.instant(_second(day, minute))
