"""What goes wrong at gates, at the rail and on the way: named, and nothing half settled."""

import json
import random
from datetime import timedelta

import pytest

from backend import devices
from backend.flows.check_parking import check_parking
from backend.flows.park_stay import (
    correct_plate,
    follow_cars,
    give_up_open,
    lock_lot,
    miss_reservations,
    propose_plates,
)
from backend.flows.pay_stay import ask_for_lost, deliver_sandbox_notices, receive_notices
from backend.flows.reserve_space import Wish, cancel_reservation, reserve_space, standing_of
from backend.flows.settle_parking import settle_day, settle_waiting
from backend.kit.clock import FixedClock, to_text
from backend.kit.db import Database
from backend.kit.problems import Problem
from backend.kit.sm import Sm2PrivateKey
from backend.parking import assets, reservations, split, tariff, terms
from backend.payments import SandboxRail, notices, sandbox
from tests.flows.parking_world import CITY, PLATE, ParkingWorld, a_contract, a_tariff, at

RAIL = SandboxRail()
TZ = "Asia/Shanghai"


@pytest.fixture
async def world(db, vault) -> ParkingWorld:
    made = ParkingWorld(db, vault, FixedClock(at("11-20 23:00")))
    await made.open()
    return made


async def open_kinds(world: ParkingWorld) -> dict[str, int]:
    rows = await world.rows(
        "SELECT kind, count(*) AS n FROM parking_exception WHERE resolved_at IS NULL GROUP BY 1"
    )
    return {row["kind"]: row["n"] for row in rows}


async def charges(world: ParkingWorld) -> list[tuple]:
    rows = await world.rows(
        "SELECT charge_fen, state FROM stay WHERE state <> 'void' ORDER BY entered_at"
    )
    return [(row["charge_fen"], row["state"]) for row in rows]


async def test_devices_that_do_not_count(world: ParkingWorld):
    good = world.batch(("in", "11-20 09:00", PLATE))
    payload = json.loads(good.payload)
    for name, batch in (
        ("bad-device-signature", world.signed(payload, Sm2PrivateKey(0x99))),
        ("unknown-device", world.signed(payload | {"device_id": "gate-9"})),
        ("bad-payload", world.signed({"device_id": "gate-1", "events": []})),
    ):
        with pytest.raises(Problem, match=name):
            await world.send(batch)
    # Signed for another device under this one's name.
    foreign = world.signed(payload)
    foreign = type(foreign)("gate-1", json.dumps(payload | {"device_id": "x"}).encode(), b"")
    with pytest.raises(Problem, match="bad-device-signature"):
        await world.send(foreign)
    async with world.db.transaction() as tx:
        await devices.revoke_device(tx, "plaza-op", "gate-1", world.clock.now())
        with pytest.raises(Problem, match="unknown-device"):
            await devices.revoke_device(tx, "other", "gate-1", world.clock.now())
    with pytest.raises(Problem, match="device-revoked"):
        await world.send(good)
    assert await charges(world) == []


async def test_events_that_do_not_count_are_turned_away_alone(world: ParkingWorld):
    ahead = world.clock.now() + timedelta(minutes=6)
    old = world.clock.now() - timedelta(days=36)
    payload = json.loads(
        world.batch(("in", "11-20 09:00", PLATE), ("in", ahead, PLATE), ("in", old, PLATE)).payload
    )
    payload["events"] += [
        {"seq": 50, "direction": "up", "time": "2026-11-20T09:00:00+08:00"},
        {"seq": 51, "direction": "in", "time": "yesterday"},
        {"seq": 52, "direction": "in", "time": "2026-11-20T09:00:00+08:00", "plate": "??"},
    ]
    passed = await world.send(world.signed(payload))
    assert passed.stored == 1
    assert [(t.place, t.problem) for t in passed.turned] == [
        (1, "time-in-future"),
        (2, "too-old"),
        (3, "bad-shape"),
        (4, "bad-time"),
        (5, "bad-plate"),
    ]
    again = await world.send(world.signed(payload))
    assert (again.stored, again.known) == (0, 1)
    payload["events"] = [payload["events"][0] | {"direction": "out"}]
    taken = await world.send(world.signed(payload))
    assert [t.problem for t in taken.turned] == ["seq-conflict"]


async def test_any_order_of_arrival_gives_the_same_books(db, world: ParkingWorld):
    """The events of one day as one batch, and one by one in a drawn order, with repetitions."""
    events = [
        ("in", "11-20 08:00", PLATE, "A-01"),
        ("out", "11-20 10:30", PLATE, "A-01"),
        ("in", "11-20 10:40", PLATE, "A-02"),
        ("out", "11-20 12:00", PLATE, "A-02"),
        ("in", "11-20 09:00", "粤B22222", "A-01"),
        ("out", "11-20 11:00", "粤B22222", "A-01"),
        ("in", "11-20 13:00", "粤B33333"),
        ("in", "11-20 15:00", "粤B33333"),
        ("out", "11-20 16:00", "粤B33333"),
        ("out", "11-20 17:00", "粤B44444"),
    ]
    payload = json.loads(world.batch(*events).payload)["events"]
    one_by_one = [
        world.signed({"device_id": "gate-1", "events": [each]}) for each in [*payload, *payload]
    ]
    random.Random(7).shuffle(one_by_one)
    for batch in one_by_one:
        await world.send(batch)
    stays = await world.rows(
        "SELECT stay_id, left_at, charge_fen, displaced, state FROM stay WHERE state <> 'void'"
        " ORDER BY stay_id"
    )
    kinds = await open_kinds(world)
    assert kinds == {"exit-without-entry": 1, "missing-exit": 1, "space-overlap": 1}
    async with db.transaction() as tx:
        # What follows is forgotten, and worked out again from the events alone.
        await tx.execute("UPDATE stay SET state = 'void'")
    async with db.transaction() as tx:
        await lock_lot(tx, world.lot.lot_no)
        cars = [r["plate_hash"] for r in await tx.fetch("SELECT plate_hash FROM vehicle")]
        await follow_cars(tx, world.lot, cars, world.calendar, world.clock.now())
    again = await world.rows(
        "SELECT stay_id, left_at, charge_fen, displaced, state FROM stay WHERE state <> 'void'"
        " AND left_at IS NOT NULL ORDER BY stay_id"
    )
    assert again == [stay for stay in stays if stay["left_at"] is not None]
    async with db.transaction() as tx:
        assert await check_parking(tx) == []


async def test_a_misread_plate_is_set_right_by_a_person(world: ParkingWorld):
    await world.passes(("in", "11-20 09:00", PLATE), ("out", "11-20 11:00", "粤B1234S"))
    assert await open_kinds(world) == {"exit-without-entry": 1}
    (odd,) = await world.rows("SELECT subject FROM parking_exception")
    proposed = await propose_plates(world.db, world.plates, "plaza-op", "plaza", odd["subject"])
    assert proposed == ("粤B1234S", [PLATE])
    await correct_plate(
        world.db,
        world.plates,
        world.calendar,
        "plaza-op",
        "plaza",
        odd["subject"],
        PLATE,
        world.clock.now(),
    )
    assert await charges(world) == [(1_000, "due")]
    assert await open_kinds(world) == {}
    with pytest.raises(Problem, match="plate-corrected"):
        await correct_plate(
            world.db,
            world.plates,
            world.calendar,
            "plaza-op",
            "plaza",
            odd["subject"],
            PLATE,
            world.clock.now(),
        )


async def test_a_plate_nobody_read_and_a_car_that_never_left(world: ParkingWorld):
    await world.passes(("in", "11-20 09:00", None), ("in", "11-20 10:00", PLATE))
    assert await open_kinds(world) == {"unknown-plate": 1}
    world.clock.advance(days=8)
    assert await give_up_open(world.db, world.calendar, world.clock.now()) == 1
    assert await open_kinds(world) == {"missing-exit": 1, "unknown-plate": 1}


async def test_who_does_not_come_is_named_and_a_late_report_takes_it_back(world: ParkingWorld):
    world.clock.instant = at("11-20 08:00")
    await world.reserve("11-20 09:00", "11-20 11:00")
    world.clock.instant = at("11-20 12:00")
    assert await miss_reservations(world.db, world.clock.now()) == 1
    assert await open_kinds(world) == {"no-show": 1}
    await world.passes(("in", "11-20 09:05", PLATE), ("out", "11-20 11:30", PLATE))
    (stay,) = await world.rows("SELECT reservation_id, overstay_s FROM stay")
    assert stay["reservation_id"] is not None
    assert stay["overstay_s"] == 1_800


async def pay_all(world: ParkingWorld, **options) -> list[dict]:
    orders = await world.rows(
        "SELECT order_id, amount_fen FROM payment_order WHERE state = 'open' ORDER BY order_id"
    )
    async with world.db.transaction() as tx:
        await RAIL.pay(
            tx,
            [
                sandbox.Paying(o["order_id"], o["amount_fen"], world.clock.now(), **options)
                for o in orders
            ],
        )
    return orders


def a_notice(order: dict, **changes) -> notices.Notice:
    told = {
        "notice_id": "n-1",
        "kind": "paid",
        "order_id": order["order_id"],
        "rail_ref": "r-1",
        "amount_fen": order["amount_fen"],
        "paid_at": to_text(at("11-20 12:00")),
    }
    return notices.Notice(**(told | changes))


async def test_every_notice_has_one_outcome(world: ParkingWorld):
    await world.passes(("in", "11-20 09:00", PLATE), ("out", "11-20 11:00", PLATE))
    (order,) = await world.rows("SELECT order_id, amount_fen FROM payment_order")
    told = [
        a_notice(order, notice_id="n-0", amount_fen=1),
        a_notice(order, notice_id="n-x", order_id=world.driver),
        a_notice(order),
        a_notice(order),
        a_notice(order, amount_fen=2),
        a_notice(order, notice_id="n-2"),
        a_notice(order, notice_id="n-3", rail_ref="r-2"),
    ]
    async with world.db.transaction() as tx:
        received = await receive_notices(tx, RAIL.rail_id, told, world.clock.now())
        other = await receive_notices(
            tx, "rail.other", [a_notice(order, notice_id="n-9")], world.clock.now()
        )
    assert [each.outcome for each in received] == [
        "amount-differs",
        "unknown-order",
        "paid",
        "known",
        "notice-conflict",
        "already-paid",
        "paid-twice",
    ]
    assert other[0].outcome == "another-rail"
    assert len(await world.rows("SELECT 1 FROM money_transfer")) == 1
    for bad in (b"[]", b"{}", b'[{"notice_id":"n"}]', b"\xff"):
        with pytest.raises(Problem, match="bad-notice"):
            notices.read_notices(bad)


async def test_lost_and_doubled_notices_book_once(world: ParkingWorld):
    await world.passes(("in", "11-20 09:00", PLATE), ("out", "11-20 11:00", PLATE))
    await pay_all(world, copies=0)
    assert await deliver_sandbox_notices(world.db, RAIL, world.clock.now()) == 0
    world.clock.advance(minutes=11)
    assert await ask_for_lost(world.db, RAIL, world.clock.now()) == 1
    await world.passes(("in", "11-20 20:00", "粤B22222"), ("out", "11-20 21:00", "粤B22222"))
    await pay_all(world, copies=2)
    assert await deliver_sandbox_notices(world.db, RAIL, world.clock.now()) == 1
    assert await deliver_sandbox_notices(world.db, RAIL, world.clock.now()) == 1
    assert await deliver_sandbox_notices(world.db, RAIL, world.clock.now()) == 0
    async with world.db.transaction() as tx:
        assert await check_parking(tx) == []


async def test_an_event_after_payment_changes_nothing_and_is_named(world: ParkingWorld):
    await world.passes(("in", "11-20 09:00", PLATE), ("out", "11-20 11:00", PLATE))
    await pay_all(world)
    await deliver_sandbox_notices(world.db, RAIL, world.clock.now())
    await world.passes(("out", "11-20 10:00", PLATE))
    assert await charges(world) == [(1_000, "due")]
    assert "late-event" in await open_kinds(world)


async def test_the_division_in_the_database_is_the_one_in_words(world: ParkingWorld):
    contract = split.read_contract(a_contract())
    for n in range(40):
        minutes = 7 * n + 1
        await world.passes(
            ("in", at("11-20 08:00"), f"粤C{n:05d}", "A-01" if n % 2 else "B-99"),
            ("out", at("11-20 08:00") + timedelta(minutes=minutes), f"粤C{n:05d}"),
        )
    async with world.db.transaction() as tx:
        # Odd sums: a price is whole hours, so amounts are set by hand.
        await tx.execute("UPDATE payment_order SET amount_fen = 1 + (random() * 9999)::int")
        await tx.execute(
            "UPDATE stay SET charge_fen = o.amount_fen FROM payment_order AS o"
            " WHERE o.order_id = stay.order_id"
        )
    await pay_all(world)
    await deliver_sandbox_notices(world.db, RAIL, world.clock.now())
    world.clock.instant = at("11-21 01:00")
    assert await settle_waiting(world.db, world.clock, TZ) == 1
    for order in await world.rows("SELECT order_id, owner_id, amount_fen FROM payment_order"):
        lines = await world.rows(
            "SELECT party_id, amount_fen FROM settlement_line WHERE order_id = $1",
            order["order_id"],
        )
        shares = split.shares_for(contract, order["owner_id"])
        wanted = split.split_fen(order["amount_fen"], shares, contract.merchant_id)
        assert {line["party_id"]: line["amount_fen"] for line in lines} == wanted


async def test_books_that_were_tampered_with_are_found(world: ParkingWorld, url_of):
    await world.passes(("in", "11-20 09:00", PLATE), ("out", "11-20 11:00", PLATE))
    await pay_all(world)
    await deliver_sandbox_notices(world.db, RAIL, world.clock.now())
    day = at("11-20 12:00").astimezone(CITY).date()
    await settle_day(world.db, world.lot.lot_no, day, at("11-21 01:00"))
    owner = await Database.open(url_of("owner"))
    async with owner.transaction() as tx:
        await tx.execute(
            "UPDATE settlement_line SET amount_fen = amount_fen + 1 WHERE party_id = 'city'"
        )
    await owner.close()
    async with world.db.transaction() as tx:
        laws = {each.law for each in await check_parking(tx)}
    assert laws == {"a-charge-is-its-lines", "a-statement-is-its-lines"}


async def test_versions_of_prices_follow_one_another(world: ParkingWorld):
    now = world.clock.now()

    async def publish(**changes) -> None:
        async with world.db.transaction() as tx:
            await terms.publish_tariff(tx, world.lot, tariff.read_tariff(a_tariff(**changes)), now)

    await publish()  # the same again
    with pytest.raises(Problem, match="version-taken"):
        await publish(name="另一份")
    await publish(version=2, day_from="2026-12-01")
    with pytest.raises(Problem, match="versions-overlap"):
        await publish(version=3, day_from="2026-11-15", day_to="2026-12-15")
    with pytest.raises(Problem, match="bad-tariff"):
        await publish(version=4, lot="elsewhere")
    async with world.db.transaction() as tx:
        known = await terms.tariffs_of(tx, world.lot.lot_no)
        assert [(t.version, t.day_to and t.day_to.isoformat()) for t in known] == [
            (1, "2026-12-01"),
            (2, None),
        ]


async def test_a_hold_times_out_and_frees_the_space(world: ParkingWorld):
    world.clock.instant = at("11-20 08:00")
    wish = Wish(world.spaces[0].space_id, PLATE, at("11-20 09:00"), at("11-20 10:00"))

    async def hold():
        async with world.db.transaction() as tx:
            return await reserve_space(
                tx, world.plates, world.calendar, world.driver, wish, world.clock.now()
            )

    first = await hold()
    with pytest.raises(Problem, match="window-taken"):
        await hold()
    world.clock.advance(minutes=5)
    second = await hold()
    async with world.db.transaction() as tx:
        with pytest.raises(Problem, match="hold-expired"):
            await reservations.confirm(tx, world.driver, first.reservation_id, world.clock.now())
        await reservations.confirm(tx, world.driver, second.reservation_id, world.clock.now())
        assert (
            await cancel_reservation(
                tx, world.calendar, world.driver, second.reservation_id, world.clock.now()
            )
            == 0
        )
        standing = await standing_of(tx, world.driver, world.clock.now())
        assert not standing.trusted
        assert "不足 3 次" in standing.reasons[0]


async def test_a_revoked_space_and_a_foreign_class_are_refused(world: ParkingWorld):
    world.clock.instant = at("11-20 08:00")
    async with world.db.transaction() as tx:
        await assets.set_space_state(tx, world.spaces[0].space_id, "suspended")
    with pytest.raises(Problem, match="space-not-offered"):
        await world.reserve("11-20 09:00", "11-20 10:00")
    with pytest.raises(Problem, match="bad-times"):
        await world.reserve("11-20 09:00", "11-20 09:10", space=1)
    with pytest.raises(Problem, match="bad-times"):
        await world.reserve("11-19 09:00", "11-19 10:00", space=1)
