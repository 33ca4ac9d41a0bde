"""One stay from an idle space to statements that add up."""

import asyncio
from datetime import date, timedelta

import pytest

from backend.flows.cosign_settlement import (
    Which,
    cosign_settlement,
    dispute_line,
    read_statement,
    resolve_dispute,
)
from backend.flows.pay_out import pay_out
from backend.flows.pay_stay import deliver_sandbox_notices, pay_in_sandbox
from backend.flows.refund_stay import refund_stay
from backend.flows.reserve_space import Wish, reserve_space
from backend.flows.settle_parking import root_of, settle_day, settle_waiting
from backend.kit import canonical
from backend.kit.clock import FixedClock
from backend.kit.problems import Problem
from backend.kit.sm import sm3
from backend.ledger import money, replay
from backend.parking import assets
from backend.payments.sandbox import SandboxRail
from tests.flows.parking_world import OWNER_KEY, PLATE, ParkingWorld, at

RAIL = SandboxRail()
TZ = "Asia/Shanghai"
DAY = date(2026, 11, 20)


@pytest.fixture
async def world(db, vault) -> ParkingWorld:
    made = ParkingWorld(db, vault, FixedClock(at("11-20 12:00")))
    await made.open()
    return made


async def paid_stay(world: ParkingWorld) -> None:
    await world.reserve("11-20 13:00", "11-20 15:00")
    world.clock.instant = at("11-20 16:00")
    await world.passes(("in", "11-20 12:58", PLATE), ("out", "11-20 14:45", PLATE))
    (stay,) = await world.rows("SELECT * FROM stay")
    async with world.db.transaction() as tx:
        await pay_in_sandbox(tx, RAIL, world.driver, stay["stay_id"], world.clock.now())
    assert await deliver_sandbox_notices(world.db, RAIL, world.clock.now()) == 1


async def test_a_stay_from_reservation_to_statements(world: ParkingWorld):
    await paid_stay(world)
    (stay,) = await world.rows("SELECT * FROM stay")
    assert (stay["state"], stay["charge_fen"], stay["overstay_s"]) == ("due", 1_000, 0)
    assert stay["space_no"] == world.spaces[0].space_no
    (reservation,) = await world.rows("SELECT * FROM reservation")
    assert reservation["state"] == "used"
    (order,) = await world.rows("SELECT * FROM payment_order")
    assert (order["state"], order["amount_fen"]) == ("paid", 1_000)
    assert order["book_day"] == date(2026, 11, 20)
    # The day is not over.
    assert await settle_waiting(world.db, world.clock, "Asia/Shanghai") == 0
    world.clock.instant = at("11-21 01:00")
    assert await settle_waiting(world.db, world.clock, "Asia/Shanghai") == 1
    assert await settle_waiting(world.db, world.clock, "Asia/Shanghai") == 0
    statements = await world.rows("SELECT party_id, count, total_fen FROM party_statement")
    assert {s["party_id"]: s["total_fen"] for s in statements} == {
        "owner-1": 600,
        "manager": 150,
        "operator": 200,
        "platform": 30,
        "city": 20,
    }
    async with world.db.transaction(isolation="repeatable_read") as tx:
        assert await money.balances(
            tx, ["rail:rail.sandbox:frozen", "party:owner-1:payable", "party:manager:paid"]
        ) == {
            "rail:rail.sandbox:frozen": 0,
            "party:owner-1:payable": 600,
            "party:manager:paid": 150,
        }
        assert await replay(tx) == []
    assert (
        await settle_day(world.db, world.lot.lot_no, date(2026, 11, 20), at("11-21 02:00")) is None
    )


async def test_a_party_checks_and_signs_its_statement_once(world: ParkingWorld):
    await paid_stay(world)
    await settle_day(world.db, world.lot.lot_no, DAY, at("11-21 01:00"))
    which = Which("operator", "plaza", DAY)
    async with world.db.transaction() as tx:
        stated = await read_statement(tx, which)
    leaves = [sm3(b"\x00" + canonical.dumps(line.document(stated.key))) for line in stated.lines]
    assert root_of(leaves) == stated.root
    forged = OWNER_KEY.sign_der(stated.text + b" ")
    with pytest.raises(Problem, match="bad-cosignature"):
        await cosign_settlement(world.db, TZ, which, forged, at("11-21 02:00"))
    kept = await cosign_settlement(
        world.db, TZ, which, OWNER_KEY.sign_der(stated.text), at("11-21 02:00")
    )
    assert kept["key_id"] == "statement-1"
    with pytest.raises(Problem, match="statement-signed"):
        await dispute_line(world.db, which, stated.lines[0].source_id, "x", at("11-21 03:00"))
    with pytest.raises(Problem, match="no-statement-key"):
        await cosign_settlement(
            world.db, TZ, Which("platform", "plaza", DAY), b"", at("11-21 02:00")
        )


async def test_a_disputed_line_stops_the_signature(world: ParkingWorld):
    await paid_stay(world)
    await settle_day(world.db, world.lot.lot_no, DAY, at("11-21 01:00"))
    which = Which("operator", "plaza", DAY)
    async with world.db.transaction() as tx:
        stated = await read_statement(tx, which)
    line = stated.lines[0].source_id
    with pytest.raises(Problem, match="unknown-line"):
        await dispute_line(world.db, which, world.owner_id, "x", at("11-21 02:00"))
    dispute = await dispute_line(world.db, which, line, "少计 1 元", at("11-21 02:00"))
    with pytest.raises(Problem, match="statement-disputed"):
        await cosign_settlement(
            world.db, TZ, which, OWNER_KEY.sign_der(stated.text), at("11-21 02:00")
        )
    await resolve_dispute(world.db, "plaza-op", dispute, "核对无误", at("11-21 03:00"))
    await cosign_settlement(world.db, TZ, which, OWNER_KEY.sign_der(stated.text), at("11-21 04:00"))


async def refund(world: ParkingWorld, amount_fen: int, **options):
    (order,) = await world.rows("SELECT order_id FROM payment_order")
    return await refund_stay(
        world.db,
        RAIL,
        order["order_id"],
        amount_fen,
        "误收",
        city_tz=TZ,
        now=world.clock.now(),
        **options,
    )


async def test_a_refund_before_the_division_comes_out_of_what_is_frozen(world: ParkingWorld):
    await paid_stay(world)
    done = await refund(world, 400)
    assert (done.frozen_fen, done.returned_fen, done.debt_fen) == (400, 0, 0)
    closed = await settle_day(world.db, world.lot.lot_no, DAY, at("11-21 01:00"))
    assert closed is not None
    assert (closed.charged_fen, closed.refunded_fen) == (600, 0)


async def test_a_refund_after_the_payout_is_returned_or_owed(world: ParkingWorld):
    await paid_stay(world)
    await settle_day(world.db, world.lot.lot_no, DAY, at("11-21 01:00"))
    with pytest.raises(Problem, match="not-a-banking-day"):
        await pay_out(world.db, world.calendar, date(2026, 11, 21), at("11-21 02:00"))
    paid = await pay_out(world.db, world.calendar, date(2026, 11, 23), at("11-23 02:00"))
    assert {p.party_id: p.amount_fen for p in paid} == {"city": 20, "owner-1": 600}
    assert await pay_out(world.db, world.calendar, date(2026, 11, 23), at("11-23 03:00")) == paid
    world.clock.instant = at("11-23 12:00")
    done = await refund(world, 1_000)
    # The owner and the city are no merchants: what they were paid they owe now.
    assert (done.frozen_fen, done.returned_fen, done.debt_fen) == (0, 380, 620)
    with pytest.raises(Problem, match="refund-exceeds-payment"):
        await refund(world, 1)
    assert await settle_day(world.db, world.lot.lot_no, date(2026, 11, 23), at("11-24 01:00"))
    sums = await world.rows(
        "SELECT party_id, sum(amount_fen)::int AS fen FROM settlement_line GROUP BY 1"
    )
    assert all(row["fen"] == 0 for row in sums)
    async with world.db.transaction(isolation="repeatable_read") as tx:
        assert await replay(tx) == []


async def test_of_fifty_refunds_at_once_one_is_made(world: ParkingWorld):
    await paid_stay(world)
    results = await asyncio.gather(
        *(refund(world, 1_000) for _ in range(50)), return_exceptions=True
    )
    assert sum(not isinstance(result, Exception) for result in results) == 1
    assert {r.args[0].split(":")[0] for r in results if isinstance(r, Problem)} == {
        "refund-exceeds-payment"
    }


async def test_of_many_who_want_one_window_one_gets_it(world: ParkingWorld):
    plates_of = [f"粤B{n:05d}" for n in range(200)]
    async with world.db.transaction() as tx:
        people = []
        for n, plate in enumerate(plates_of):
            person = await world.person(tx, f"w{n}")
            people.append(person)
            await assets.bind_vehicle(
                tx,
                world.plates,
                person,
                plate,
                vehicle_class="small",
                fuel="petrol",
                now=world.clock.now(),
            )

    async def wish(n: int) -> None:
        # Overlapping, not equal: that is where comparing keys would not be enough.
        start = at("11-20 13:00") + timedelta(minutes=n % 30)
        plate = plates_of[n]
        wanted = Wish(world.spaces[0].space_id, plate, start, at("11-20 15:00"), confirmed=True)
        async with world.db.transaction() as tx:
            await reserve_space(
                tx, world.plates, world.calendar, people[n], wanted, world.clock.now()
            )

    results = await asyncio.gather(*(wish(n) for n in range(200)), return_exceptions=True)
    lost = [r for r in results if isinstance(r, Problem)]
    assert len(lost) == 199, [r for r in results if isinstance(r, Exception)][:3]
    assert {r.args[0].split(":")[0] for r in lost} == {"window-taken"}
