"""Budgets under the award flow: all or nothing, never more than the envelope, in their period."""

import asyncio
from datetime import UTC, date, datetime

import pytest

from backend import incentive
from backend.kit.clock import FixedClock
from backend.kit.db import Database
from backend.kit.vault import Vault
from tests.flows.award_world import PROGRAMME, World, a_rule, amounts, states, trip


@pytest.fixture
async def world(db: Database, vault: Vault, clock: FixedClock) -> World:
    return World(db, vault, clock)


async def test_a_budget_pays_all_or_nothing(world: World) -> None:
    await world.enact(envelope=60)
    first, second, third = await world.record(
        trip(distance_m=20_000),
        trip(1, distance_m=20_000, minute=1),
        trip(distance_m=4_000, minute=2),
    )
    counts = await world.award()
    assert await states(world) == {
        first: ("awarded", None),
        second: ("refused", "budget-exhausted"),
        third: ("awarded", None),
    }
    assert counts.points == 44 + 10
    async with world.db.transaction() as tx:
        [budget] = await incentive.budgets(tx)
    assert (budget.envelope, budget.issued) == (60, 54)
    assert (await world.recomputed()).differences == []


async def test_leased_points_of_another_worker_are_not_called_exhausted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.incentive.budget.LEASE_POINTS", 100)
    await world.enact(envelope=100)
    async with world.db.transaction() as holder:
        key = (PROGRAMME, "2026")
        assert await incentive.lease(holder, key, 1) == 100
    async with world.db.transaction() as holder:
        await incentive.open_purses(holder, [key], exact=False)  # another worker's purse
        [evidence_id] = await world.record(trip(distance_m=20_000))
        waiting = asyncio.create_task(world.award())
        await asyncio.sleep(0.3)
        assert not waiting.done()
    await waiting
    assert await states(world) == {evidence_id: ("awarded", None)}
    assert (await world.recomputed()).differences == []


async def test_two_workers_never_issue_more_than_the_envelope(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.incentive.budget.LEASE_POINTS", 50)
    await world.enact(envelope=333, people=20)
    for n in range(20):
        await world.record(trip(n, distance_m=12_000), trip(n, distance_m=3_000, minute=1))

    async def work() -> None:
        while (await world.award(limit=2)).items:
            pass

    await asyncio.gather(work(), work(), work())
    async with world.db.transaction() as tx:
        [budget] = await incentive.budgets(tx)
    assert 333 - 8 < budget.issued <= 333
    assert budget.issued == sum(await amounts(world))
    assert (await world.recomputed()).differences == []


async def test_a_late_event_is_charged_to_its_own_period(world: World) -> None:
    await world.enact(rule=a_rule(day_from="2025-01-01"), programme_from=date(2025, 1, 1))
    async with world.db.transaction() as tx:
        await incentive.set_envelope(tx, (PROGRAMME, "2025"), 40)
    long_ago = datetime(2025, 1, 1, tzinfo=UTC)
    first, second, now = await world.record(
        trip(day=date(2025, 12, 31), distance_m=12_000),
        trip(day=date(2025, 12, 31), distance_m=12_000, minute=1),
        trip(distance_m=12_000, minute=2),
        consent_from=long_ago,
    )
    await world.award()
    assert await states(world) == {
        first: ("awarded", None),
        second: ("refused", "budget-exhausted"),
        now: ("awarded", None),
    }
    async with world.db.transaction() as tx:
        issued = {each.period: each.issued for each in await incentive.budgets(tx)}
    assert issued == {"2025": 27, "2026": 27}
    assert (await world.recomputed()).differences == []


async def test_what_comes_after_a_period_was_closed_is_refused_by_name(world: World) -> None:
    await world.enact()
    await world.record(trip())
    await world.award()
    async with world.db.transaction() as tx:
        await incentive.close_period(tx, (PROGRAMME, "2026"))
        [budget] = await incentive.budgets(tx)
    assert (budget.issued, budget.closed) == (27, True)
    [late] = await world.record(trip(1))
    await world.award()
    assert (await states(world))[late] == ("refused", "budget-period-closed")
    assert (await world.recomputed()).differences == []


async def test_a_period_without_a_budget_pays_nothing(world: World) -> None:
    await world.enact(rule=a_rule(day_from="2025-01-01"), programme_from=date(2025, 1, 1))
    [early] = await world.record(
        trip(day=date(2025, 12, 31)), consent_from=datetime(2025, 1, 1, tzinfo=UTC)
    )
    await world.award()
    assert await states(world) == {early: ("refused", "budget-period-closed")}


async def test_one_budget_for_the_whole_programme(world: World) -> None:
    await world.enact(period="total")
    await world.record(trip())
    assert (await world.award()).awarded == 1
    assert (await world.recomputed()).differences == []


async def test_an_envelope_is_not_lowered_below_what_was_issued(world: World) -> None:
    await world.enact()
    await world.record(trip(distance_m=20_000))
    await world.award()
    async with world.db.transaction() as tx:
        with pytest.raises(ValueError, match="has issued 44"):
            await incentive.set_envelope(tx, (PROGRAMME, "2026"), 43)
        await incentive.set_envelope(tx, (PROGRAMME, "2026"), 44)
    [second] = await world.record(trip(1))
    await world.award()
    assert (await states(world))[second] == ("refused", "budget-exhausted")
