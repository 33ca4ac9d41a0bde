"""Real bay occupations and real occupancy counts, replayed as an operator's gates and sensors."""

import csv
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from backend import devices
from backend.flows.check_parking import check_parking, parking_totals
from backend.flows.pay_stay import deliver_sandbox_notices
from backend.flows.settle_parking import settle_waiting
from backend.kit.clock import FixedClock
from backend.parking import assets, split, tariff, terms
from backend.payments.sandbox import Paying, SandboxRail
from tests.flows.parking_world import GATE_KEY, ParkingWorld, a_contract, a_tariff, at

pytestmark = pytest.mark.realdata
RAIL = SandboxRail()
NEW_YORK, LONDON = ZoneInfo("America/New_York"), ZoneInfo("Europe/London")


def occupations(data: Path) -> list[dict]:
    """Bay occupations; the year written 0014 is 2014, the clock that of the site."""
    found = []
    with (data / "ev" / "workplace_charging_sessions.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            begin, end = (
                datetime.fromisoformat("20" + row[name][2:]).replace(tzinfo=NEW_YORK)
                for name in ("created", "ended")
            )
            found.append(
                {
                    "lot": f"site-{row['locationId']}",
                    "bay": row["stationId"],
                    "user": row["userId"],
                    "begin": begin.astimezone(UTC),
                    "end": end.astimezone(UTC),
                }
            )
    return found


async def build(world: ParkingWorld, found: list[dict]) -> None:
    now = world.clock.now()
    bays = defaultdict(set)
    for each in found:
        bays[each["lot"]].add(each["bay"])
    async with world.db.transaction() as tx:
        for lot_id, labels in sorted(bays.items()):
            lot = await assets.put_lot(
                tx,
                lot_id,
                operator_id="plaza-op",
                name=lot_id,
                latitude_udeg=0,
                longitude_udeg=0,
                capacity=len(labels),
                base_search_s=300,
                now=now,
            )
            await devices.register_device(
                tx,
                f"{lot_id}-gate",
                operator_id="plaza-op",
                place=lot_id,
                lane="1",
                purpose="gate",
                public_key=GATE_KEY.public_key.to_bytes(),
                now=now,
            )
            for label in sorted(labels):
                await assets.add_space(tx, lot, label, "charging", "owner-1", now)
            old = {"lot": lot_id, "day_from": "2014-01-01"}
            await terms.publish_tariff(tx, lot, tariff.read_tariff(a_tariff(**old)), now)
            await terms.publish_contract(tx, lot, split.read_contract(a_contract(**old)), now)


async def pass_gates(world: ParkingWorld, found: list[dict]) -> int:
    """Every month each site's gate sends what it buffered; how many events."""
    months = defaultdict(list)
    for each in found:
        for direction, when in (("in", each["begin"]), ("out", each["end"])):
            months[when.strftime("%Y-%m"), each["lot"]].append((direction, when, each))
    seq = sent = 0
    for (month, lot), events in sorted(months.items()):
        year, number = (int(part) for part in month.split("-"))
        world.clock.instant = datetime(year + number // 12, number % 12 + 1, 1, 12, tzinfo=UTC)
        listed = []
        for direction, when, each in events:
            seq += 1
            listed.append(
                {
                    "seq": seq,
                    "direction": direction,
                    "time": when.isoformat(),
                    "plate": each["user"],
                    "space": each["bay"],
                    "electric": True,
                }
            )
        passed = await world.send(world.signed({"device_id": f"{lot}-gate", "events": listed}))
        assert passed.turned == ()
        sent += passed.stored
    return sent


@pytest.mark.soak
async def test_real_bay_occupations_end_charged_or_named(db, vault, real_data: Path):
    world = ParkingWorld(db, vault, FixedClock(datetime(2014, 11, 1, tzinfo=UTC)))
    await world.open()
    found = occupations(real_data)
    await build(world, found)
    assert await pass_gates(world, found) == 2 * len(found) == 4_694
    owed = await world.rows("SELECT order_id, amount_fen FROM payment_order WHERE state = 'open'")
    async with db.transaction() as tx:
        await RAIL.pay(
            tx, [Paying(o["order_id"], o["amount_fen"], world.clock.now()) for o in owed]
        )
    while await deliver_sandbox_notices(db, RAIL, world.clock.now()):
        pass
    while await settle_waiting(db, world.clock, "Asia/Shanghai", 5_000):
        pass
    async with db.transaction(isolation="repeatable_read") as tx:
        assert await check_parking(tx) == []
        totals = await parking_totals(tx)
    sums = {totals[name] for name in ("charges_fen", "splits_fen", "postings_fen")}
    assert sums == {totals["statements_fen"]}
    assert totals["charges_fen"] > 1_000_000
    # Every event is the entry or exit of a stay, named, or a repetition.
    stood = (
        await world.rows("SELECT count(*) + count(exit_event) AS n FROM stay WHERE state <> 'void'")
    )[0]["n"]
    named = {
        row["kind"]: row["n"]
        for row in await world.rows("SELECT kind, count(*) AS n FROM parking_exception GROUP BY 1")
    }
    lost = named["exit-without-entry"] + named["missing-exit"]
    repeated = 4_694 - stood - lost
    assert 0 <= repeated <= 30
    assert totals["stays_charged"] == 2_342
    assert totals["stays_excepted"] == totals["stays_open"] == 0


async def test_real_occupancy_counts_are_kept_as_they_are(db, vault, real_data: Path):
    world = ParkingWorld(db, vault, FixedClock(at("11-20 12:00")))
    await world.open()
    counts = []
    path = real_data / "parking" / "birmingham_occupancy_2016-10-04_2016-11-20.csv"
    with path.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["SystemCodeNumber"] == "BHMBCCPST01" or int(row["Occupancy"]) < 0:
                when = datetime.fromisoformat(row["LastUpdated"]).replace(tzinfo=LONDON)
                counts.append((when, int(row["Occupancy"]), int(row["Capacity"])))
    async with db.transaction() as tx:
        await assets.count_spaces(tx, world.lot, counts)
        kept = await tx.fetchval("SELECT count(*) FROM occupancy")
        assert kept == len({when for when, _, _ in counts})
        below = next(when for when, occupied, _ in counts if occupied < 0)
        assert await assets.occupancy_pct(tx, world.lot.lot_no, below) == 0
        # Two days are missing, and nothing is made up for them.
        gap = datetime(2016, 10, 20, 12, tzinfo=LONDON)
        assert await assets.occupancy_pct(tx, world.lot.lot_no, gap) is None
        assert await assets.occupancy_pct(tx, world.lot.lot_no, below - timedelta(days=400)) is None
