"""The award flow on the real database: what is paid, refused, cut, and never paid twice."""

import asyncio
import json
from datetime import date
from typing import Any

import pytest

from backend import citizens, evidence, incentive, ledger, methodology
from backend.flows import award_points
from backend.flows.award_points import award_once
from backend.kit import canonical
from backend.kit.clock import FixedClock
from backend.kit.db import Database
from backend.kit.vault import Vault
from tests.flows.award_world import (
    PROGRAMME,
    SCENARIO,
    World,
    a_method,
    a_rule,
    amounts,
    rows,
    states,
    trip,
)


@pytest.fixture
async def world(db: Database, vault: Vault, clock: FixedClock) -> World:
    return World(db, vault, clock)


async def test_a_metro_trip_becomes_points(world: World) -> None:
    await world.enact()
    [evidence_id] = await world.record(trip(distance_m=22_000))
    counts = await world.award()
    assert (counts.items, counts.events, counts.awarded, counts.points) == (1, 1, 1, 48)
    [award] = await rows(world.db, "SELECT * FROM award")
    assert award["evidence_id"] == evidence_id
    assert award["reduction_mg"] == 4_629_988
    assert (award["rule_rows"], award["points_before_caps"]) == (["metro-long"], 48)
    assert (award["amount"], award["cut_by"]) == (48, None)
    assert json.loads(award["inputs"]) == {"distance_m": 22_000}
    assert json.loads(award["stated"]) == {
        "history": {},
        "counters": {},
        "caps": [
            {"name": "每日上限", "limit": 60, "used_before": 0},
            {"name": "每年上限", "limit": 10_000, "used_before": 0},
        ],
    }
    [transfer] = await rows(world.db, "SELECT * FROM transfer")
    assert (transfer["act"], transfer["amount"], transfer["rule_id"]) == (
        "award",
        48,
        "metro-points",
    )
    [unsealed] = await rows(world.db, "SELECT * FROM unsealed")
    assert (unsealed["kind"], unsealed["ref"]) == (1, transfer["transfer_id"])
    [account] = await rows(world.db, "SELECT * FROM citizen_account")
    assert account["citizen_id"] == world.people[0]
    async with world.db.transaction() as tx:
        balance = await ledger.balance_of(tx, world.people[0], "carbon")
    assert (balance.available, balance.debt) == (48, 0)
    assert balance.lots == ((date(2028, 11, 1), 48),)
    assert await states(world) == {evidence_id: ("awarded", None)}


async def test_nothing_to_do_is_no_work(world: World) -> None:
    assert await world.award() == award_points.Counts()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({"distance_m": 0}, "distance-not-positive"),
        ({"distance_m": -5}, "distance-not-positive"),
        ({"distance_m": 150_001}, "distance-too-long"),
        ({"distance_m": 2**53 - 1}, "distance-too-long"),
        ({"distance_m": "12000"}, "missing-field"),
        ({"distance_m": True}, "missing-field"),
        ({"distance_m": None}, "missing-field"),
        ({}, "missing-field"),
    ],
)
async def test_the_impossible_is_refused_by_name(world: World, data: Any, reason: str) -> None:
    await world.enact()
    bad, good = await world.record(trip(data=data), trip(distance_m=10_000, minute=5))
    counts = await world.award()
    assert await states(world) == {bad: ("refused", reason), good: ("awarded", None)}
    assert counts.refused == {reason: 1}
    assert len(await rows(world.db, "SELECT 1 FROM award")) == 1


async def test_bounds_are_inclusive(world: World) -> None:
    await world.enact()
    await world.record(trip(distance_m=1), trip(distance_m=150_000, minute=1))
    assert (await world.award()).awarded == 2


async def test_an_award_of_zero_points_ends_at_awarded(world: World) -> None:
    await world.enact()
    [evidence_id] = await world.record(trip(distance_m=100))
    await world.award()
    [award] = await rows(world.db, "SELECT * FROM award")
    assert (award["amount"], award["transfer_id"]) == (0, None)
    assert await states(world) == {evidence_id: ("awarded", None)}
    assert await rows(world.db, "SELECT 1 FROM transfer UNION ALL SELECT 1 FROM unsealed") == []


async def test_caps_cut_partially_and_are_named(world: World) -> None:
    await world.enact()
    await world.record(*[trip(distance_m=12_000, minute=n) for n in range(4)])
    await world.award()
    found = await rows(world.db, "SELECT amount, cut_by, stated FROM award ORDER BY award_id")
    assert [(row["amount"], row["cut_by"]) for row in found] == [
        (27, None),
        (27, None),
        (6, "每日上限"),
        (0, "每日上限"),
    ]
    used = [json.loads(row["stated"])["caps"][0]["used_before"] for row in found]
    assert used == [0, 27, 54, 60]


async def test_a_cap_window_is_the_city_s_day(world: World) -> None:
    await world.enact()
    # 16:00 UTC is midnight in the city: the two trips fall on different city days.
    late = trip(distance_m=100_000, day=date(2026, 11, 20), hour=15, minute=59)
    early = trip(distance_m=100_000, day=date(2026, 11, 20), hour=16)
    await world.record(late, early)
    await world.award()
    assert await amounts(world) == [60, 60]
    counters = await rows(world.db, "SELECT period, value FROM counter ORDER BY period")
    assert [(c["period"], c["value"]) for c in counters] == [
        ("2026", 120),
        ("2026-11-20", 60),
        ("2026-11-21", 60),
    ]


async def test_within_a_batch_the_earlier_trip_is_paid_first(world: World) -> None:
    await world.enact()
    later, earlier = await world.record(
        trip(distance_m=25_000, minute=30), trip(distance_m=20_000, minute=1)
    )
    await world.award()
    found = {r["evidence_id"]: r["amount"] for r in await rows(world.db, "SELECT * FROM award")}
    assert found == {earlier: 44, later: 16}


async def test_a_second_delivery_adds_nothing(world: World) -> None:
    await world.enact()
    await world.record(trip(), trip(1))
    await world.award()
    before = await rows(world.db, "SELECT * FROM award")
    [upload] = await rows(world.db, "SELECT upload_id FROM upload")
    async with world.db.transaction() as tx:
        await world.deliver(tx, upload["upload_id"], 2)
    counts = await world.award()
    assert (counts.items, counts.events) == (1, 0)
    assert await rows(world.db, "SELECT * FROM award") == before
    assert (await world.recomputed()).differences == []


async def test_a_withdrawn_consent_is_refused(world: World) -> None:
    await world.enact()
    withdrawn, other = await world.record(trip(0), trip(1))
    async with world.db.transaction() as tx:
        [consent] = await citizens.consents_of_citizen(tx, world.people[0], before=None, limit=9)
        await citizens.withdraw_consent(tx, world.people[0], consent.consent_id, world.clock.now())
    await world.award()
    assert await states(world) == {
        withdrawn: ("refused", "consent-withdrawn"),
        other: ("awarded", None),
    }


async def test_a_consent_given_again_later_does_not_cover_what_came_before(world: World) -> None:
    await world.enact()
    [evidence_id] = await world.record(trip(0))
    async with world.db.transaction() as tx:
        [consent] = await citizens.consents_of_citizen(tx, world.people[0], before=None, limit=9)
        now = world.clock.now()
        await citizens.withdraw_consent(tx, world.people[0], consent.consent_id, now)
        await citizens.give_consent(tx, world.people[0], "metro", SCENARIO, now)
    await world.award()
    assert await states(world) == {evidence_id: ("refused", "consent-withdrawn")}


async def test_days_without_method_or_rule_are_refused_by_name(world: World) -> None:
    rule = a_rule(day_from="2026-11-01", day_to="2026-11-20")
    await world.enact(rule=rule, method=a_method(day_from="2026-10-01"))
    no_rule, no_method, paid = await world.record(
        trip(day=date(2026, 11, 20)),
        trip(day=date(2026, 9, 30), minute=1),
        trip(day=date(2026, 11, 19), minute=2),
    )
    await world.award()
    assert await states(world) == {
        no_rule: ("refused", "no-rule-in-force"),
        no_method: ("refused", "no-method-in-force"),
        paid: ("awarded", None),
    }


async def test_an_event_is_judged_by_the_rule_of_its_own_day(world: World) -> None:
    await world.enact()
    flat = [{"id": "flat", "when": "true", "points": "5"}]
    async with world.db.transaction() as tx:
        await world.enact_rule(tx, a_rule(version=2, day_from="2026-11-10", rows=flat))
    await world.record(
        trip(day=date(2026, 11, 9), distance_m=10_000), trip(day=date(2026, 11, 10), minute=1)
    )
    await world.award()
    found = await rows(world.db, "SELECT rule_version, amount FROM award ORDER BY city_day")
    assert [(row["rule_version"], row["amount"]) for row in found] == [(1, 23), (2, 5)]
    assert (await world.recomputed()).differences == []


async def test_a_stopped_rule_pays_until_its_new_end(world: World) -> None:
    await world.enact()
    async with world.db.transaction() as tx:
        await incentive.set_status(
            tx, "metro-points", 1, "stopped", world.clock.now(), date(2026, 11, 15)
        )
    after, before = await world.record(
        trip(day=date(2026, 11, 15)), trip(day=date(2026, 11, 14), minute=1)
    )
    await world.award()
    assert await states(world) == {
        after: ("refused", "no-rule-in-force"),
        before: ("awarded", None),
    }


async def test_a_rule_error_touches_one_event_alone(world: World) -> None:
    rule = a_rule(rows=[{"id": "odd", "when": "true", "points": "1000 / (distance_m - 5000)"}])
    await world.enact(rule=rule)
    bad, good = await world.record(trip(distance_m=5_000), trip(distance_m=5_100, minute=1))
    await world.award()
    assert await states(world) == {bad: ("refused", "rule-error"), good: ("awarded", None)}


async def test_a_poison_row_is_found_by_halving(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.enact()
    ids = await world.record(*[trip(n % 2, distance_m=5_000 + n, minute=n) for n in range(7)])
    original = methodology.quantify

    def poisoned(method: Any, data: Any, *rest: Any) -> Any:
        if data["distance_m"] == 5_003:
            raise ValueError("planted")
        return original(method, data, *rest)

    monkeypatch.setattr(methodology, "quantify", poisoned)
    counts = await world.award()
    assert (counts.awarded, counts.refused) == (6, {"rule-error": 1})
    assert (await states(world))[ids[3]] == ("refused", "rule-error")
    assert (await world.recomputed()).differences == []


async def test_a_row_the_database_refuses_is_refused_alone(world: World) -> None:
    await world.enact()
    first, second, third = await world.record(
        trip(0, distance_m=5_000), trip(1, distance_m=5_000), trip(0, distance_m=5_000, minute=1)
    )
    async with world.db.transaction() as tx:  # something else holds this award's place
        await tx.execute(
            """INSERT INTO award SELECT gen_random_uuid(), $1, $2, gen_random_uuid(), '2026-11-01',
                   'r', 1, '', '{}', 0, 0, 'carbon', 'm', 1, '', '', '', 'L3', '', 0, '{}',
                   '{"caps": []}', NULL, NULL, now()""",
            second,
            PROGRAMME,
        )
    await world.award()
    assert await states(world) == {
        first: ("awarded", None),
        second: ("refused", "rule-error"),
        third: ("awarded", None),
    }


async def test_a_killed_worker_leaves_nothing_half(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.enact()
    await world.record(trip(), trip(1))
    places = [
        (evidence, "decide"),
        (incentive, "store_awards"),
        (incentive, "write_counters"),
        (incentive, "close_purses"),
        (ledger, "award_points"),
    ]
    for room, name in places:
        original = getattr(room, name)

        async def killed(*args: Any, _original: Any = original) -> None:
            await _original(*args)
            raise ConnectionResetError("killed here")

        with monkeypatch.context() as patch:
            patch.setattr(room, name, killed)
            with pytest.raises(ConnectionResetError):
                await world.award()
        for table in ("decision", "award", "transfer", "posting", "lot", "counter", "unsealed"):
            assert await rows(world.db, f"SELECT 1 FROM {table}") == [], (name, table)
    assert (await world.award()).awarded == 2
    assert (await world.recomputed()).differences == []


async def test_two_workers_share_the_work_and_keep_the_caps(world: World) -> None:
    caps = [{"name": "day", "window": "day", "limit": 100}]
    await world.enact(rule=a_rule(caps=caps), people=6)
    for n in range(40):
        await world.record(*[trip(p, distance_m=5_000 + 100 * n, minute=n) for p in range(6)])

    async def work() -> int:
        events = 0
        while counts := (await award_once(world.db, world.vault, world.clock, limit=18)).items:
            events += counts
        return events

    done = await asyncio.gather(work(), work(), work())
    assert sum(done) == 40
    assert min(done) > 0
    totals = await rows(
        world.db, "SELECT citizen_id, sum(amount)::int AS sum FROM award GROUP BY citizen_id"
    )
    assert [row["sum"] for row in totals] == [100] * 6
    assert (await world.recomputed()).differences == []


async def two_purses(world: World) -> None:
    """A purse for each of two workers, so that neither has to lease in between."""
    async with world.db.transaction() as first:
        await incentive.lease(first, (PROGRAMME, "2026"), 1)
    async with world.db.transaction() as holder:
        await incentive.open_purses(holder, [(PROGRAMME, "2026")], exact=False)
        async with world.db.transaction() as second:
            await incentive.lease(second, (PROGRAMME, "2026"), 1)


async def test_without_the_person_s_lock_two_workers_break_the_cap(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control: it is the lock that keeps the caps when workers meet."""
    caps = [{"name": "day", "window": "day", "limit": 30}]
    monkeypatch.setattr("backend.incentive.budget.LEASE_POINTS", 1_000)
    await world.enact(rule=a_rule(caps=caps))
    await world.record(trip(distance_m=12_000))
    await world.record(trip(distance_m=12_000, minute=1))
    await two_purses(world)
    both_read = asyncio.Barrier(2)
    original = incentive.read_counters

    async def read_together(*args: Any) -> Any:
        book = await original(*args)
        await asyncio.wait_for(both_read.wait(), timeout=10)
        return book

    async def no_lock(*_: Any) -> None:
        return

    monkeypatch.setattr(incentive, "read_counters", read_together)
    monkeypatch.setattr(award_points, "lock_people", no_lock)
    await asyncio.gather(world.award(limit=1), world.award(limit=1))
    assert sum(await amounts(world)) == 54
    laws = {each.law for each in (await world.recomputed()).differences}
    assert {"caps-add-up", "counters-equal-awards"} <= laws


async def test_a_new_counter_is_counted_from_earlier_awards(world: World) -> None:
    await world.enact()
    await world.record(*[trip(minute=n) for n in range(3)])
    await world.award()
    document = json.loads(a_rule(version=2, day_from="2026-11-01"))
    document["needs"]["counters"] = {"awards_day": "int"}
    document["rows"] = [
        {"id": "fourth", "when": "awards_day == 3", "points": "7"},
        {"id": "other", "when": "awards_day != 3", "points": "0"},
    ]
    document["caps"] = []
    async with world.db.transaction() as tx:
        await world.enact_rule(tx, canonical.dumps(document))
    [fourth] = await world.record(trip(minute=30))
    await world.award()
    [award] = await rows(world.db, "SELECT * FROM award WHERE evidence_id = $1", fourth)
    assert (award["amount"], award["rule_rows"]) == (7, ["fourth"])
    assert json.loads(award["stated"])["counters"] == {"awards_day": 3}
    assert (await world.recomputed()).differences == []


async def test_an_erased_body_is_refused_by_name(world: World, url_of: Any) -> None:
    await world.enact()
    [evidence_id] = await world.record(trip())
    eraser = await Database.open(url_of("eraser"), size=1)
    async with eraser.transaction() as tx:
        await tx.execute("DELETE FROM evidence_body")
    await eraser.close()
    await world.award()
    assert await states(world) == {evidence_id: ("refused", "evidence-erased")}
