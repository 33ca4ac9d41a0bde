"""Three people who overdo it, and what decides about each: docs/rules.md has the order.

The rider reports more than a day can hold; the diarist collects a great share; the parker breaks
several terms at once and is refused for the first of them.
"""

from datetime import date
from typing import Any, cast

import pytest

from backend import incentive
from backend.flows import discipline
from backend.flows.watch_programmes import watch_programmes
from backend.kit.clock import FixedClock
from backend.kit.db import Database
from backend.kit.services import Services
from backend.kit.settings import Settings
from backend.kit.vault import Vault
from backend.officials import Official, Session
from tests.flows.award_world import PROGRAMME, World, amounts, rows, trip
from tests.flows.test_award_rules import cap, refusals, terms, v2

DAY = date(2026, 11, 21)
"""Yesterday, as the clock stands."""


@pytest.fixture
def world(db: Database, vault: Vault, clock: FixedClock) -> World:
    return World(db, vault, clock)


def an_officer() -> Session:
    official = cast("Official", type("Somebody", (), {"official_id": "officer"})())
    return cast("Session", type("Seat", (), {"official": official})())


async def alarms(world: World) -> dict[str, dict[str, Any]]:
    await watch_programmes(world.db, world.clock, "Asia/Shanghai")
    async with world.db.transaction() as tx:
        return {each.kind: each.detail for each in await incentive.alarms(tx, date(2026, 1, 1))}


def ride(minute: int, duration_s: int) -> dict[str, Any]:
    data = {"distance_m": 12_000, "duration_s": duration_s}
    return trip(hour=1 + minute // 60, minute=minute % 60, data=data)


async def test_the_rider(world: World) -> None:
    """Trips that overlap: first the contradiction decides, then the cap; then comes an alarm."""
    await world.enact(rule=v2(caps=[cap("day", 25)]))
    await terms(world, watch={"awards_per_day": 3})
    await world.record(*[ride(30 * n, 1_200) for n in range(1, 6)], ride(65, 1_200))
    await world.award()
    found = await refusals(world)
    assert found.count("double-claim") == 1
    assert sorted(await amounts(world)) == [0, 0, 5, 10, 10]
    velocity = (await alarms(world))["velocity"]
    assert (velocity["people"], velocity["limit"], velocity["records"][0]["awards"]) == (1, 3, 5)
    assert await alarms(world) == await alarms(world)
    assert len(await rows(world.db, "SELECT 1 FROM programme_alarm WHERE kind = 'velocity'")) == 1


async def test_the_diarist(world: World) -> None:
    """A cap by evidence level decides; the share of one person is an alarm, not a refusal."""
    rule = v2(
        needs={"event": {"distance_m": "int"}},
        rows=[{"id": "kg", "when": "true", "points": "distance_m / 1000"}],
        caps=[cap("month", 40, {"level": ["L3"]})],
    )
    await world.enact(rule=rule, people=12)
    await terms(world, watch={"top_percent": 7})
    others = [trip(person, hour=2, distance_m=12_000) for person in range(1, 12)]
    await world.record(*others, *[trip(0, hour=3 + n, distance_m=30_000) for n in range(3)])
    await world.award()
    assert sorted(await amounts(world))[-2:] == [12, 30]
    assert sum(await amounts(world)) == 11 * 12 + 40
    found = (await alarms(world))["concentration"]
    assert (found["top"], found["points"], found["people"]) == (40, 172, 12)
    assert "citizen" not in str(found)


async def test_the_parker(world: World, settings: Settings) -> None:
    """Reported too late, not eligible and blacklisted: named in this order as each is mended."""
    await world.enact(rule=v2())
    [record] = await world.record(trip(0, hour=1))
    await world.award()
    services = Services(world.db, world.vault, world.clock, settings)
    await terms(
        world,
        claim_days=1,
        eligibility={"vehicle_classes": ["small"]},
        watch={"violations_max": 2, "blacklist_days": 30},
    )
    first = await discipline.note_violation(services, an_officer(), PROGRAMME, record, "预约未到")
    assert first.blacklisting_id is None
    second = await discipline.note_violation(services, an_officer(), PROGRAMME, record, "超时")
    assert second.blacklisting_id is not None
    world.clock.advance(days=3)
    await world.record(trip(0, day=date(2026, 11, 23)))
    await world.award()
    assert await refusals(world) == [None, "claim-too-late"]
    await world.record(trip(0, day=date(2026, 11, 24)))
    await world.award()
    assert (await refusals(world))[1:] == ["claim-too-late", "not-eligible"]
    async with world.db.transaction() as tx:
        now = world.clock.now()
        person = world.people[0]
        await incentive.attest(tx, person, "vehicle_class", "small", "officer", now)
    await world.record(trip(0, day=date(2026, 11, 24), hour=9))
    await world.award()
    assert (await refusals(world))[1:] == ["blacklisted", "claim-too-late", "not-eligible"]
    listing = second.blacklisting_id
    await discipline.lift_blacklisting(services, an_officer(), listing, "申诉成立")
    await world.record(trip(0, day=date(2026, 11, 24), hour=11))
    await world.award()
    assert await amounts(world) == [10, 10]
    noted = await rows(world.db, "SELECT act FROM audit_entry ORDER BY act")
    assert [row["act"] for row in noted] == ["blacklist.lift", "violation.note", "violation.note"]


async def test_a_budget_alarm_comes_days_before_zero(world: World) -> None:
    await world.enact(rule=v2(), envelope=1_000, people=1)
    await terms(world, watch={"budget_days": 10})
    days = [date(2026, 10, 20 + n) for n in range(12)] + [date(2026, 11, 1 + n) for n in range(21)]
    await world.record(*[trip(day=day, hour=2) for day in days])
    await world.award()
    assert "budget" not in await alarms(world)
    async with world.db.transaction() as tx:
        await incentive.set_envelope(tx, (PROGRAMME, "2026"), 330 + 80)
    world.clock.advance(days=1)
    await world.record(trip(day=date(2026, 11, 22), hour=2))
    await world.award()
    found = (await alarms(world))["budget"]
    assert (found["left"], found["expected"]) == (70, "2026-11-29")


async def test_without_limits_nothing_is_raised(world: World) -> None:
    """Negative control: the same riders and no limits in the terms."""
    await world.enact(rule=v2(), envelope=10**9)
    await world.record(*[ride(30 * n, 600) for n in range(1, 8)])
    await world.award()
    assert await alarms(world) == {}
