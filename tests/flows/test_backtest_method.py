"""A backtest says what another method would have given, and changes nothing."""

import asyncio
import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from backend import incentive, methodology
from backend.cli import build
from backend.flows import backtest_method
from backend.flows.backtest_method import Backtest, backtest
from backend.kit import canonical
from backend.kit.clock import FixedClock
from backend.kit.db import Database
from backend.kit.vault import Vault
from tests.flows.award_world import SCENARIO, World, rows, trip
from tests.flows.mixed_world import MixedWorld, event, month

DISTANCES = (100, 6_000, 12_000, 0, 200_000)
"""Version 1 refuses the last two; version 2 takes the first for a wrong unit."""


@pytest.fixture
async def world(db: Database, vault: Vault, clock: FixedClock) -> World:
    world = World(db, vault, clock)
    await world.enact()
    await world.record(*[trip(distance_m=m, hour=2 + n) for n, m in enumerate(DISTANCES)])
    await world.award()
    return world


def version(number: int, **changes: Any) -> methodology.Method:
    document = json.loads(methodology.shipped_methods()[SCENARIO, number]) | changes
    return methodology.read_method(canonical.dumps(document))


async def run(world: World, method: methodology.Method, **options: Any) -> Backtest:
    days: dict[str, Any] = {"day_from": date(2026, 11, 1), "day_to": date(2026, 11, 30)}
    return await backtest(world.db, world.vault, method, **days | options)


async def test_the_same_method_makes_no_difference(world: World) -> None:
    found = await run(world, version(1))
    tally = found.by_scenario[SCENARIO]
    assert (found.events, found.set_aside, found.erased) == (5, 0, 0)
    assert tally.before_mg == tally.after_mg > 0
    assert (tally.changed, tally.accepted, tally.refused_still) == (0, 0, 2)
    assert not tally.refused
    assert found.by_partner == found.by_district == {"metro": tally}


async def test_a_district_is_what_was_attested_of_the_person(world: World) -> None:
    async with world.db.transaction() as tx:
        await incentive.attest(
            tx, world.people[0], "district", "nanshan", "civil-registry", world.clock.now()
        )
    found = await run(world, version(1))
    assert found.by_district.keys() <= {"nanshan", "metro"}
    assert found.by_district["nanshan"].before_mg > 0
    whole = sum(tally.before_mg for tally in found.by_district.values())
    assert whole == found.by_scenario[SCENARIO].before_mg


async def test_another_version_differs_as_computed_by_hand(world: World) -> None:
    tally = (await run(world, version(2))).by_scenario[SCENARIO]
    assert tally.before_mg == (100 + 6_000 + 12_000) * 210_454 // 1_000
    assert tally.after_mg == (6_000 + 12_000) * 72
    assert tally.refused == {"suspicious-unit": 1}
    assert (tally.changed, tally.accepted, tally.refused_still) == (2, 0, 2)


async def test_what_a_candidate_accepts_anew_is_counted(world: World) -> None:
    tally = (await run(world, version(1, bounds=[]))).by_scenario[SCENARIO]
    assert (tally.accepted, tally.refused_still, tally.changed) == (2, 0, 0)
    assert tally.after_mg - tally.before_mg == 200_000 * 210_454 // 1_000


async def test_a_candidate_need_not_cover_the_days(world: World) -> None:
    method = version(2, day_from="2030-01-01")
    assert (await run(world, method)).events == 5


async def test_only_its_scenarios_and_days_are_compared(world: World) -> None:
    await world.record(trip(day=date(2026, 10, 31)))
    await world.award()
    assert (await run(world, version(1))).events == 5
    assert (await run(world, version(1), day_from=date(2026, 10, 1))).events == 6
    other = methodology.read_method(methodology.shipped_methods()["transit.bus.trip", 1])
    assert (await run(world, other)).events == 0


async def test_what_other_reasons_decided_is_set_aside(world: World) -> None:
    async with world.db.transaction() as tx:
        await tx.execute("UPDATE consent SET withdrawn_at = now()")
    await world.record(trip(hour=12))
    await world.award()
    found = await run(world, version(1))
    assert (found.events, found.set_aside) == (5, 1)


async def test_what_was_erased_is_counted(world: World, url_of: Any) -> None:
    eraser = await Database.open(url_of("eraser"), size=1)
    async with eraser.transaction() as tx:
        await tx.execute("DELETE FROM evidence_body")
    await eraser.close()
    found = await run(world, version(1))
    assert (found.events, found.erased) == (0, 5)


async def test_pages_cover_every_event_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = await run(world, version(2))
    told: list[tuple[int, int]] = []
    monkeypatch.setattr(backtest_method, "PAGE", 2)
    paged = await run(world, version(2), progress=lambda done, total: told.append((done, total)))
    assert paged == whole
    assert told == [(0, 5), (2, 5), (4, 5), (5, 5)]


async def test_nothing_is_written(world: World) -> None:
    before = await rows(world.db, "SELECT * FROM decision ORDER BY evidence_id")
    await run(world, version(2))
    assert await rows(world.db, "SELECT * FROM decision ORDER BY evidence_id") == before


async def test_history_is_looked_up_as_it_was_for_the_award(
    db: Database, vault: Vault, clock: FixedClock
) -> None:
    world = MixedWorld(db, vault, clock)
    await world.found()
    await world.send(month("base", 2025, energy_wh=310_000), month("now", energy_wh=240_000))
    await world.settle()
    method = methodology.read_method(methodology.shipped_methods()["energy.home.month", 2])
    tally = (await run(world, method, day_from=date(2025, 1, 1))).by_scenario["energy.home.month"]
    assert tally.before_mg == 70_000 * 536_600 // 1_000
    assert tally.after_mg == 70_000 * 530_600 // 1_000
    assert (tally.events, tally.changed, tally.refused_still) == (2, 1, 1)


async def test_what_was_corrected_or_claimed_twice_is_set_aside(
    db: Database, vault: Vault, clock: FixedClock
) -> None:
    world = MixedWorld(db, vault, clock)
    await world.found()
    await world.send(event("a"), event("b", minute=200))
    await world.settle()
    await world.send(event("a2", corrects="a"), event("b0", minute=200, retracts="b"))
    await world.settle()
    found = await run(world, version(1))
    assert (found.events, found.set_aside) == (1, 3)


async def test_the_command_compares_by_id_and_by_file(
    world: World,
    url_of: Any,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("DATABASE_URL", url_of("app"))
    monkeypatch.setenv("TANHUI_PROFILE", "test")
    monkeypatch.setenv("TANHUI_VAR", str(settings.var))

    def command(*words: str) -> Any:
        return CliRunner().invoke(build("backtest"), ["backtest", *words])

    by_id = await asyncio.to_thread(command, "--method", SCENARIO, "2", "--from", "2026-11-01")
    assert by_id.exit_code == 0, by_id.output
    assert "compared 5, aside 0, erased 0" in by_id.stdout
    assert "suspicious-unit 1" in by_id.stdout
    assert "partner\tmetro" in by_id.stdout
    file = tmp_path / "candidate.json"
    file.write_bytes(json.dumps(json.loads(methodology.shipped_methods()[SCENARIO, 2])).encode())
    by_file = await asyncio.to_thread(command, "--method", str(file), "--json")
    assert by_file.exit_code == 0, by_file.output
    found = json.loads(by_file.stdout)
    assert found["by_partner"]["metro"]["refused"] == {"suspicious-unit": 1}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--method", "nowhere.json"), "is no file"),
        (("--method", "bad.json"), "bad-method"),
    ],
)
def test_the_command_refuses_what_is_no_method(
    words: tuple[str, ...], told: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.json").write_text("{}")
    found = CliRunner().invoke(build("backtest"), ["backtest", *words])
    assert found.exit_code == 2
    assert told in found.output
