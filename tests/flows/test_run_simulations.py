"""Simulations that officials ask for: run by their rows, with progress, stopped, taken up again."""

import asyncio
from datetime import date, timedelta
from typing import Any, cast

import pytest

from backend.flows import run_simulations, simulate_rule
from backend.flows.run_simulations import (
    SimulationState,
    ask_simulation,
    cancel_simulation,
    run_waiting,
    simulation_state,
    simulations_of,
    simulations_wait,
)
from backend.kit.clock import FixedClock
from backend.kit.db import Database
from backend.kit.problems import Problem
from backend.kit.services import Services
from backend.kit.settings import Settings
from backend.kit.vault import Vault
from backend.officials import Official, Session
from tests.flows.award_world import World, a_rule, rows, trip

WINDOW = (date(2026, 11, 1), date(2026, 11, 30))


@pytest.fixture
async def world(db: Database, vault: Vault, clock: FixedClock) -> World:
    world = World(db, vault, clock)
    await world.enact()
    await world.record(*[trip(n % 2, hour=1 + n) for n in range(6)])
    await world.award()
    return world


@pytest.fixture
def services(world: World, settings: Settings) -> Services:
    return Services(world.db, world.vault, world.clock, settings)


def somebody() -> Session:
    """A session as far as asking looks at it."""
    official = cast("Official", type("Somebody", (), {"official_id": "li"})())
    return cast("Session", type("Seat", (), {"official": official})())


async def ask(services: Services, version: int = 1) -> SimulationState:
    return await ask_simulation(services, somebody(), "metro-points", version, *WINDOW)


async def run(services: Services) -> int:
    return await run_waiting(services.db, services.vault, services.clock, "Asia/Shanghai")


async def test_a_simulation_runs_and_tells(services: Services) -> None:
    asked = await ask(services)
    assert (asked.state, asked.rule_id, asked.outcome) == ("waiting", "metro-points", None)
    assert await run(services) == 1
    done = await simulation_state(services, asked.simulation_id)
    assert (done.state, done.events_done, done.events_total) == ("done", 6, 6)
    assert done.outcome is not None
    assert done.outcome["draft"]["points"] == done.outcome["points_paid_then"] > 0
    async with services.db.transaction() as tx:
        assert await simulations_of(tx, "metro-points", 1) == [done]
        assert not await simulations_wait(tx)
    noted = await rows(services.db, "SELECT act, about FROM audit_entry ORDER BY 1")
    assert [(row["act"], row["about"]) for row in noted] == [("rules.simulate", "metro-points")]


async def test_what_cannot_be_asked(services: Services) -> None:
    with pytest.raises(Problem, match="unknown-document"):
        await ask(services, version=9)
    with pytest.raises(Problem, match="bad-window"):
        await ask_simulation(services, somebody(), "metro-points", 1, WINDOW[1], WINDOW[0])


async def test_a_cancelled_one_stops_and_keeps_no_outcome(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = await ask(services)
    monkeypatch.setattr(simulate_rule, "PAGE", 2)
    real = simulate_rule._Reader.read

    async def read_and_cancel(self: Any, *args: Any) -> Any:
        await cancel_simulation(services, somebody(), asked.simulation_id)
        return await real(self, *args)

    monkeypatch.setattr(simulate_rule._Reader, "read", read_and_cancel)
    await run(services)
    stopped = await simulation_state(services, asked.simulation_id)
    assert (stopped.state, stopped.events_done, stopped.outcome) == ("cancelled", 0, None)
    again = await cancel_simulation(services, somebody(), asked.simulation_id)
    assert again == stopped


async def test_a_run_whose_process_died_is_taken_up_again(services: Services) -> None:
    asked = await ask(services)
    async with services.db.transaction() as tx:
        await tx.execute("UPDATE simulation SET state = 'running', seen_at = now()")
        assert not await simulations_wait(tx)
    assert await run(services) == 0
    async with services.db.transaction() as tx:
        await tx.execute("UPDATE simulation SET seen_at = now() - interval '1 hour'")
        assert await simulations_wait(tx)
    assert await run(services) == 1
    assert (await simulation_state(services, asked.simulation_id)).state == "done"


async def test_two_workers_share_what_waits(services: Services) -> None:
    for _ in range(3):
        await ask(services)
    ended = await asyncio.gather(run(services), run(services))
    assert sum(ended) == 3
    states = await rows(services.db, "SELECT DISTINCT state FROM simulation")
    assert [row["state"] for row in states] == ["done"]


async def test_a_draft_is_tried_before_it_is_in_force(services: Services, world: World) -> None:
    from backend import incentive

    async with services.db.transaction() as tx:
        await incentive.publish(tx, a_rule(version=2, caps=[]), world.clock.now())
    asked = await ask(services, version=2)
    await run(services)
    done = await simulation_state(services, asked.simulation_id)
    assert done.outcome is not None
    assert done.outcome["in_force"]["points"] == done.outcome["points_paid_then"]
    assert done.day_to - done.day_from == timedelta(days=29)
    assert run_simulations.DAYS_MAX > 365
