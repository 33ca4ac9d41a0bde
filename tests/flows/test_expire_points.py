"""Lapsed lots are retired once, page by page; what is held or owed is left alone."""

from datetime import UTC, date, datetime

import pytest

from backend.flows import expire_points as expiry
from backend.flows.expire_points import expire_points
from backend.flows.redeem_points import hand_over
from backend.kit.clock import FixedClock
from backend.kit.db import Database
from backend.kit.vault import Vault
from tests.flows.award_world import World, rows
from tests.flows.redeem_world import (
    a_reward,
    agree,
    balance,
    give_points,
    laws_broken,
    open_shop,
    unsealed,
)

ZONE = "Asia/Shanghai"


@pytest.fixture
async def world(db: Database, vault: Vault, clock: FixedClock) -> World:
    world = World(db, vault, clock)
    await world.enact(people=4)
    return world


async def test_points_lapse_when_their_month_is_over_in_the_city(world: World) -> None:
    await give_points(world, 0, 7, month=date(2026, 11, 1))
    await give_points(world, 0, 5, month=date(2026, 12, 1))
    world.clock.instant = datetime(2026, 11, 30, 15, 59, 59, tzinfo=UTC)
    assert await expire_points(world.db, world.clock, ZONE) == 0
    world.clock.advance(seconds=1)  # midnight in the city
    assert await expire_points(world.db, world.clock, ZONE) == 1
    assert await expire_points(world.db, world.clock, ZONE) == 0
    assert await balance(world) == (5, 0, 0)
    [lapsed] = await rows(world.db, "SELECT * FROM transfer WHERE act = 'expire'")
    assert (lapsed["reason"], lapsed["amount"], lapsed["city_day"]) == (1, 7, date(2026, 12, 1))
    assert lapsed["transfer_id"] in await unsealed(world)
    assert await laws_broken(world) == []


async def test_who_has_all_on_hold_does_not_stop_the_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expiry, "PEOPLE_MAX", 1)
    shop = await open_shop(world, a_reward(price_points=7))
    for person in range(4):
        await give_points(world, person, 7, month=date(2026, 11, 1))
    held = [await agree(shop, world.people[person]) for person in (0, 1)]
    world.clock.instant = datetime(2026, 12, 5, tzinfo=UTC)
    assert await expire_points(world.db, world.clock, ZONE) == 2
    assert [await balance(world, n) for n in range(4)] == [(0, 7, 0)] * 2 + [(0, 0, 0)] * 2
    await hand_over(shop, held[0].redemption_id)
    assert await expire_points(world.db, world.clock, ZONE) == 0
    assert await laws_broken(world) == []


async def test_what_lapsed_is_not_spent_before_the_job_comes_round(world: World) -> None:
    shop = await open_shop(world, a_reward(price_points=7))
    await give_points(world, 0, 7, month=date(2026, 11, 1))
    world.clock.instant = datetime(2026, 12, 1, tzinfo=UTC)
    with pytest.raises(Exception, match="points-short"):
        await agree(shop, world.people[0])
