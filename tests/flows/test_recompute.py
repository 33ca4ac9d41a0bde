"""Recomputing finds what was planted wrong, by name, and nothing where nothing is wrong."""

import asyncio
from datetime import date
from typing import Any

import pytest
from typer.testing import CliRunner

from backend.cli import build
from backend.kit.clock import FixedClock
from backend.kit.db import Database
from backend.kit.vault import Vault
from tests.flows.award_world import World, rows, trip


@pytest.fixture
async def world(db: Database, vault: Vault, clock: FixedClock) -> World:
    world = World(db, vault, clock)
    await world.enact()
    await world.record(*[trip(n % 2, distance_m=6_000 + n, minute=n) for n in range(10)])
    await world.award()
    return world


@pytest.fixture
async def owner(url_of: Any) -> Any:
    """The role that may plant what the app's role cannot."""
    owner = await Database.open(url_of("owner"), size=1)
    yield owner
    await owner.close()


async def test_what_was_awarded_follows_from_the_evidence(world: World) -> None:
    result = await world.recomputed()
    assert (result.awards, result.erased, result.differences) == (10, 0, [])


async def test_a_sample_is_drawn_by_its_seed(world: World) -> None:
    result = await world.recomputed(sample=3, seed=7)
    assert (result.awards, result.differences) == (3, [])


async def test_days_choose_the_awards(world: World) -> None:
    await world.record(trip(day=date(2026, 11, 20)))
    await world.award()
    only = await world.recomputed(day_from=date(2026, 11, 20), day_to=date(2026, 11, 20))
    assert only.awards == 1


async def test_what_was_erased_is_counted_and_no_difference(world: World, url_of: Any) -> None:
    eraser = await Database.open(url_of("eraser"), size=1)
    async with eraser.transaction() as tx:
        await tx.execute(
            "DELETE FROM evidence_body WHERE evidence_id IN (SELECT evidence_id FROM evidence"
            " ORDER BY evidence_id LIMIT 4)"
        )
    await eraser.close()
    result = await world.recomputed()
    assert (result.awards, result.erased, result.differences) == (10, 4, [])


FAULTS = {
    "UPDATE award SET reduction_mg = reduction_mg + 1": "awards-follow-from-evidence",
    "UPDATE award SET rule_rows = '{metro-short}'": "awards-follow-from-evidence",
    "UPDATE award SET inputs = '{\"distance_m\": 1}'": "awards-follow-from-evidence",
    "UPDATE award SET rule_digest = method_digest": "awards-follow-from-evidence",
    "UPDATE award SET cut_by = '每日上限'": "awards-follow-from-evidence",
    'UPDATE award SET stated = \'{"history":{},"counters":{},"caps":[]}\'': (
        "awards-follow-from-evidence"
    ),
    "UPDATE evidence_body SET body = '\\x00'": "awards-follow-from-evidence",
    "UPDATE award SET stated = jsonb_set(stated, '{caps,0,used_before}', '1')": "caps-add-up",
    "UPDATE counter SET value = value + 1": "counters-equal-awards",
    "DELETE FROM counter": "counters-equal-awards",
    "UPDATE budget_purse SET spent = spent + 1": "budgets-equal-awards",
    "UPDATE budget SET leased = leased - 1": "leases-equal-purses",
    "UPDATE transfer SET amount = amount + 1": "awards-have-their-transfer",
    "DELETE FROM transfer": "awards-have-their-transfer",
    "DELETE FROM award": "transfers-have-their-award",
    "UPDATE posting SET amount = amount + 1": "a-transfer-is-its-postings",
    "UPDATE balance SET input = input + 1": "balances-follow-from-postings",
    "UPDATE lot SET open = open + 1": "open-lots-equal-available",
    "UPDATE decision SET evidence_id = gen_random_uuid()": "decisions-have-their-award",
}


@pytest.mark.parametrize(("fault", "law"), FAULTS.items())
async def test_a_row_planted_wrong_is_named(
    world: World, owner: Database, fault: str, law: str
) -> None:
    async with owner.transaction() as tx:
        await tx.execute(fault)
    assert law in {each.law for each in (await world.recomputed()).differences}


async def test_it_holds_while_awards_pour_in(world: World) -> None:
    async def pour() -> None:
        for n in range(8):
            await world.record(*[trip(p, distance_m=3_000, minute=30 + n) for p in range(2)])
            await world.award()

    pouring = asyncio.create_task(pour())
    while not pouring.done():
        assert (await world.recomputed()).differences == []
    await pouring
    assert len(await rows(world.db, "SELECT 1 FROM award")) == 26


async def test_the_command_says_what_differs_and_exits_1(
    world: World,
    owner: Database,
    url_of: Any,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DATABASE_URL", url_of("app"))
    monkeypatch.setenv("TANHUI_PROFILE", "test")
    monkeypatch.setenv("TANHUI_VAR", str(settings.var))

    def run(*options: str) -> Any:
        return CliRunner().invoke(build("recompute"), ["recompute", *options])

    sound = await asyncio.to_thread(run, "--from", "2026-11-01", "--to", "2026-11-30")
    assert (sound.exit_code, sound.stdout) == (
        0,
        "awards recomputed 10, erased 0\ndifferences 0\n",
    )
    async with owner.transaction() as tx:
        await tx.execute("UPDATE counter SET value = value + 1 WHERE name = 'points_year'")
    wrong = await asyncio.to_thread(run, "--sample", "3", "--seed", "1")
    assert wrong.exit_code == 1
    assert "counters-equal-awards" in wrong.stdout
    assert "awards recomputed 3" in wrong.stdout
