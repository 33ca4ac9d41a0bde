from datetime import date

import pytest

from backend.flows.award_points import award_once
from backend.flows.recompute import recompute
from backend.kit.clock import FixedClock
from backend.kit.db import Database
from backend.kit.vault import Vault
from tests.flows.award_world import World, rows, trip


@pytest.fixture
async def world(db: Database, vault: Vault, clock: FixedClock) -> World:
    return World(db, vault, clock)


async def test_a_metro_trip_becomes_points(world: World) -> None:
    await world.enact()
    [evidence_id] = await world.record(trip(distance_m=22_000))
    counts = await award_once(world.db, world.vault, world.clock)
    assert (counts.events, counts.awarded, counts.points) == (1, 1, 48)
    [award] = await rows(world.db, "SELECT * FROM award")
    assert award["evidence_id"] == evidence_id
    assert (award["reduction_mg"], award["amount"], award["rule_rows"]) == (
        4_629_988,
        48,
        ["metro-long"],
    )


async def test_recompute_finds_nothing(world: World) -> None:
    await world.enact()
    await world.record(*[trip(n % 2, distance_m=4_000 * n, minute=n) for n in range(12)])
    print(await award_once(world.db, world.vault, world.clock))
    r = await recompute(world.db, world.vault, day_from=date(2026,1,1), day_to=date(2026,12,31))
    assert r.differences == []
    assert r.awards == 11
