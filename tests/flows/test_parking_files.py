"""A file of the other side with planted errors is explained to the last row."""

from uuid import UUID

import pytest

from backend.flows.pay_stay import deliver_sandbox_notices
from backend.flows.reconcile_parking import compare_file, settle_row, work_list
from backend.kit.clock import FixedClock, day_bounds
from backend.kit.problems import Problem
from backend.payments import SandboxRail, comparing, sandbox
from tests.flows.parking_world import ParkingWorld, at

RAIL = SandboxRail()
TZ = "Asia/Shanghai"


@pytest.fixture
async def world(db, vault) -> ParkingWorld:
    made = ParkingWorld(db, vault, FixedClock(at("11-20 23:00")))
    await made.open()
    for n in range(6):
        plate = f"粤D{n:05d}"
        await made.passes(("in", "11-20 09:00", plate), ("out", f"11-20 1{n}:00", plate))
    orders = await made.rows("SELECT order_id, amount_fen FROM payment_order ORDER BY order_id")
    async with db.transaction() as tx:
        await RAIL.pay(
            tx, [sandbox.Paying(o["order_id"], o["amount_fen"], made.clock.now()) for o in orders]
        )
    await deliver_sandbox_notices(db, RAIL, made.clock.now())
    return made


async def test_planted_errors_are_explained(world: ParkingWorld):
    orders = await world.rows("SELECT order_id, amount_fen FROM payment_order ORDER BY order_id")
    lines = [f"{o['order_id']},{o['amount_fen']},x" for o in orders]
    lines[1] = f"{orders[1]['order_id']},{orders[1]['amount_fen'] + 1},x"  # differs
    lines[2] = f"{UUID(int=9)},700,x"  # theirs only, and ours only
    lines[3] = f"{orders[3]['order_id']},12.5,x"  # cannot be read: ours only
    lines += ["not-an-order,5,x", lines[0], "short"]
    data = "\ufefforder,amount_fen,note\n".encode() + "\n".join(lines).encode()
    made = await compare_file(
        world.db, "operator", "plaza-op", await world.day(), data, city_tz=TZ, now=at("11-21 09:00")
    )
    assert made.counts == {"match": 3, "ours-only": 2, "theirs-only": 1, "differs": 1}
    assert [(each.line, each.reason) for each in made.bad] == [
        (5, "bad-amount"),
        (8, "bad-order"),
        (9, "order-twice"),
        (10, "too-few-columns"),
    ]
    assert made.ours_fen == sum(o["amount_fen"] for o in orders)
    again = await compare_file(
        world.db, "operator", "plaza-op", await world.day(), data, city_tz=TZ, now=at("11-21 10:00")
    )
    assert again == made
    async with world.db.transaction() as tx:
        waiting = await work_list(tx, at("11-23 12:00"))
    assert len(waiting) == 4
    assert {row["age_days"] for row in waiting} == {3}
    await settle_row(world.db, made.file_id, waiting[0]["n"], "已核实", at("11-23 13:00"))
    with pytest.raises(Problem, match="unknown-difference"):
        await settle_row(world.db, made.file_id, waiting[0]["n"], "已核实", at("11-23 13:00"))


async def test_the_rails_own_file_matches_to_the_fen(world: ParkingWorld):
    day = await world.day()
    async with world.db.transaction() as tx:
        data = await RAIL.day_file(tx, *day_bounds(day, TZ))
    made = await compare_file(
        world.db, "rail", "rail.sandbox", day, data, city_tz=TZ, now=at("11-21 09:00")
    )
    assert made.counts == {"match": 6, "ours-only": 0, "theirs-only": 0, "differs": 0}
    assert made.ours_fen == made.theirs_fen > 0


def test_a_file_that_is_none_is_refused():
    for data in (b"", b"\xff\xfe", b"a,b\n1,2\n"):
        with pytest.raises(Problem, match="bad-file"):
            comparing.read_file(data)
    odd = comparing.read_file(b'order,amount_fen\n"unclosed,1\n')
    assert odd.amounts == {}
    assert odd.bad
