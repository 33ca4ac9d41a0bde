"""Awards under rules with scoped caps, earlier periods, spans of time, quotas, terms and delays.

Whatever a rule needs, counters equal the sums over awards, everything can be redone, and simulating
the rule over the same events gives the same points.
"""

import json
from datetime import date, timedelta
from typing import Any

import pytest

from backend import incentive
from backend.flows import award_conditions
from backend.flows.simulate_rule import simulate
from backend.kit.clock import FixedClock
from backend.kit.db import Database
from backend.kit.vault import Vault
from tests.flows.award_world import PROGRAMME, World, a_rule, amounts, rows, states, trip

NO_NEEDS: dict[str, Any] = {"event": {}, "history": {}, "counters": {}, "params": {}}
FLAT = [{"id": "flat", "when": "true", "points": "10"}]


@pytest.fixture
def world(db: Database, vault: Vault, clock: FixedClock) -> World:
    return World(db, vault, clock)


def v2(**changes: Any) -> bytes:
    needs = NO_NEEDS | changes.pop("needs", {})
    members: dict[str, Any] = {"needs": needs, "rows": FLAT, "caps": []}
    return a_rule(format="tanhui-rule-v2", **members | changes)


def cap(window: str, limit: int, of: Any = None) -> dict[str, Any]:
    return {"name": f"{window} {of}", "window": window, "limit": limit, "of": of}


async def sound(world: World, rule: bytes) -> None:
    """Everything can be redone, and the simulation of the same rule agrees."""
    recomputed = await world.recomputed()
    assert recomputed.differences == []
    found = await simulate(
        world.db,
        world.vault,
        incentive.read_rule(rule),
        day_from=date(2020, 1, 1),
        day_to=date(2026, 12, 31),
    )
    assert found.draft.points == found.paid_then == sum(await amounts(world))


async def stated(world: World) -> list[dict[str, Any]]:
    found = await rows(world.db, "SELECT stated FROM award ORDER BY award_id")
    return [json.loads(row["stated"]) for row in found]


async def test_caps_by_row_level_week_and_campaign(world: World) -> None:
    table = [
        {"id": "far", "when": "distance_m >= 10000", "points": "10"},
        {"id": "near", "when": "true", "points": "4"},
    ]
    rule = v2(
        needs={"event": {"distance_m": "int"}},
        rows=table,
        caps=[
            cap("week", 15, {"row": ["far"]}),
            cap("day", 1, {"level": ["L0"]}),
            cap("total", 30),
            cap("campaign", 29),
        ],
    )
    await world.enact(rule=rule, people=1)
    monday = date(2026, 11, 16)
    days = [monday, monday, monday + timedelta(3), monday + timedelta(7)]
    far = [trip(day=day, hour=1 + n) for n, day in enumerate(days)]
    await world.record(*far[:3], trip(day=days[1], hour=9, distance_m=3_000), far[3])
    await world.award()
    # Two far trips fill the week; the near one is not concerned; the total of 30 and the campaign
    # of 29 leave 10 of the far trip of the next week.
    assert await amounts(world) == [10, 5, 4, 0, 10]
    caps = [[each["name"] for each in s["caps"]] for s in await stated(world)]
    assert caps[0] == ["week {'row': ['far']}", "total None", "campaign None"]
    assert caps[2] == ["total None", "campaign None"]
    await sound(world, rule)


async def test_earlier_periods_and_spans_of_time(world: World) -> None:
    """A bonus for who earned in both months before, in the evening only."""
    rule = v2(
        needs={
            "history": {"between_1800_2200": "bool"},
            "counters": {"paid_month_before": "int", "points_month_before_2": "int"},
        },
        hit="sum",
        rows=[
            {"id": "base", "when": "true", "points": "3"},
            {
                "id": "faithful",
                "when": "between_1800_2200 && paid_month_before > 0 && points_month_before_2 > 0",
                "points": "20",
            },
        ],
    )
    await world.enact(rule=rule, people=1)
    months = [date(2026, 9, 30), date(2026, 10, 1), date(2026, 11, 20)]
    await world.record(*[trip(day=day, hour=10) for day in months], trip(day=months[2], hour=9))
    await world.award()
    # 9:00 UTC is 17:00 of the city, 10:00 UTC is 18:00.
    assert await amounts(world) == [3, 3, 3, 23]
    assert (await stated(world))[3]["history"] == {"between_1800_2200": True}
    await sound(world, rule)


async def test_first_come_first_served(world: World) -> None:
    rule = v2(
        needs={"history": {"person_number": "int"}},
        rows=[{"id": "early", "when": "person_number <= 2", "points": "5"}],
    )
    await world.enact(rule=rule, people=4)
    await world.record(*[trip(person, hour=1 + person) for person in (2, 0, 3, 1)])
    await world.award()
    await world.record(trip(0, hour=12), trip(3, hour=12))
    await world.award()
    paid = await rows(world.db, "SELECT citizen_id, sum(amount) AS p FROM award GROUP BY 1")
    by_person = {row["citizen_id"]: int(row["p"]) for row in paid}
    assert [by_person[person] for person in world.people] == [10, 5, 0, 0]
    await sound(world, rule)


async def test_a_throttle_by_what_the_budget_has_left(world: World) -> None:
    rule = v2(
        needs={"history": {"budget_left_percent": "int"}},
        rows=[
            {"id": "scarce", "when": "budget_left_percent < 50", "points": "4"},
            {"id": "full", "when": "true", "points": "10"},
        ],
    )
    await world.enact(rule=rule, envelope=19)
    await world.record(trip(hour=1))
    await world.award()
    await world.record(trip(hour=3))
    await world.award()
    assert await amounts(world) == [10, 4]


async def terms(world: World, **changes: Any) -> None:
    async with world.db.transaction() as tx:
        document = {"organiser": "市生态环境局"} | changes
        now = world.clock.now()
        await incentive.record_terms(tx, PROGRAMME, document, date(2026, 1, 1), "drafter", now)


async def refusals(world: World) -> list[str | None]:
    return sorted((reason for _, reason in (await states(world)).values()), key=str)


async def test_terms_decide_who_takes_part(world: World) -> None:
    await world.enact(rule=v2(), people=3)
    await terms(world, eligibility={"real_name": True, "age_min": 14}, claim_days=7)
    async with world.db.transaction() as tx:
        now = world.clock.now()
        for person, age in ((0, "14"), (1, "13")):
            await incentive.attest(tx, world.people[person], "real_name", "true", "officer", now)
            await incentive.attest(tx, world.people[person], "age_at_least", age, "officer", now)
    late, just = date(2026, 11, 14), date(2026, 11, 15)
    await world.record(trip(0), trip(1), trip(2), trip(0, day=late), trip(0, day=just))
    await world.award()
    assert await refusals(world) == [None, None, "claim-too-late", "not-eligible", "not-eligible"]
    await sound(world, v2())


async def test_levels_and_scenarios_that_do_not_count(world: World) -> None:
    await world.enact(rule=v2())
    await terms(world, levels=["L4"])
    await world.record(trip())
    await world.award()
    await terms(world, scenarios=["transit.bus.trip"])
    await world.record(trip(hour=9))
    await world.award()
    assert await refusals(world) == ["evidence-level-not-covered", "scenario-not-covered"]


async def test_points_are_given_two_days_later(world: World) -> None:
    await world.enact(rule=v2())
    await terms(world, issue_delay_days=2)
    await world.record(trip(day=date(2026, 11, 20)), trip(day=date(2026, 11, 21)))
    await world.award()
    assert await amounts(world) == [10]
    waiting = await rows(world.db, "SELECT available_at - now() AS wait FROM outbox")
    assert [row["wait"] > timedelta(hours=11) for row in waiting] == [True]
    world.clock.advance(days=1)
    async with world.db.transaction() as tx:
        await tx.execute("UPDATE outbox SET available_at = now()")
    await world.award()
    assert await amounts(world) == [10, 10]
    assert await rows(world.db, "SELECT 1 FROM outbox WHERE topic = 'award'") == []


async def test_the_second_violation_blacklists_and_an_appeal_lifts(world: World) -> None:
    await world.enact(rule=v2())
    await terms(world, watch={"violations_max": 2, "blacklist_days": 30})
    person, now, day = world.people[0], world.clock.now(), date(2026, 11, 20)
    async with world.db.transaction() as tx:
        watch = (await incentive.terms_calendar(tx)).of(PROGRAMME, day).watch
        note = (tx, PROGRAMME, person, "no-show", day, watch, "officer", now)
        assert (await incentive.note_violation(*note))[1] is None
        _, entry = await incentive.note_violation(*note)
    assert entry is not None
    await world.record(trip(day=day), trip(day=date(2026, 11, 21)), trip(1))
    await world.award()
    assert await refusals(world) == [None, None, "blacklisted"]
    async with world.db.transaction() as tx:
        assert await incentive.lift(tx, entry, "申诉成立", "officer", now)
        assert not await incentive.lift(tx, entry, "申诉成立", "officer", now)
    await world.record(trip(day=date(2026, 11, 21), hour=9))
    await world.award()
    assert await amounts(world) == [10, 10, 10]


async def test_a_row_counter_that_forgets_is_noticed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control: with the row forgotten, its cap does not hold and the laws say so."""
    from backend.incentive import use

    rule = v2(caps=[cap("day", 15, {"row": ["flat"]})])
    monkeypatch.setattr(use, "kept_keys", lambda *_args: [])
    await world.enact(rule=rule)
    await world.record(trip(hour=1), trip(hour=3), trip(hour=5))
    await world.award()
    assert await amounts(world) == [10, 10, 10]
    laws = {difference.law for difference in (await world.recomputed()).differences}
    assert laws == {"counters-equal-awards"}


async def test_a_plain_rule_opens_no_line(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A simple rule asks for nothing that stands beside it."""

    async def never(*_args: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(incentive.Conditions, "meet", never)
    monkeypatch.setattr(award_conditions.Beside, "looked_up", never)
    await world.enact()
    await world.record(trip())
    await world.award()
    assert len(await amounts(world)) == 1
