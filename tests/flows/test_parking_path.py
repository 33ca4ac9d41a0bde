"""One stay from an idle space to statements that add up."""

from datetime import date

import pytest

from backend.flows.pay_stay import deliver_sandbox_notices, pay_in_sandbox
from backend.flows.settle_parking import settle_day, settle_waiting
from backend.kit.clock import FixedClock
from backend.ledger import money, replay
from backend.payments.sandbox import SandboxRail
from tests.flows.parking_world import PLATE, ParkingWorld, at

RAIL = SandboxRail()


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
    assert await deliver_sandbox_notices(world.db, RAIL, "Asia/Shanghai", world.clock.now()) == 1


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
