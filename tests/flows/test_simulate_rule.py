"""A simulation says what a draft would have paid beside the version in force; it only reads."""

import asyncio
import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from backend import incentive
from backend.cli import build
from backend.flows import simulate_rule
from backend.flows.simulate_rule import Simulated, Stopped, simulate
from backend.flows.simulation_report import as_document, in_lines
from backend.kit.clock import FixedClock
from backend.kit.db import Database
from backend.kit.needs import DocumentError
from backend.kit.settings import Settings
from backend.kit.vault import Vault
from tests.flows.award_world import PROGRAMME, World, a_rule, rows, trip

NO_NEEDS: dict[str, Any] = {"event": {}, "history": {}, "counters": {}, "params": {}}


@pytest.fixture
async def world(db: Database, vault: Vault, clock: FixedClock) -> World:
    """Two people with a trip of 12 km on three days; person 0 has a second on the first."""
    world = World(db, vault, clock)
    await world.enact()
    days = [date(2026, 11, day) for day in (18, 19, 20)]
    trips = [trip(person, day=day) for day in days for person in (0, 1)]
    await world.record(*trips, trip(0, day=days[0], hour=9))
    await world.award()
    return world


async def run(world: World, rule: bytes, **options: Any) -> Simulated:
    days: dict[str, Any] = {"day_from": date(2026, 11, 1), "day_to": date(2026, 11, 30)}
    return await simulate(world.db, world.vault, incentive.read_rule(rule), **days | options)


async def test_the_version_in_force_simulated_pays_what_it_paid(world: World) -> None:
    found = await run(world, a_rule())
    assert found.events == 7
    assert found.in_force is not None
    assert found.draft.points == found.in_force.points == found.paid_then > 0
    assert found.people == {}
    paid = await rows(world.db, "SELECT sum(amount) AS points FROM award")
    assert found.draft.points == paid[0]["points"]


async def test_winners_losers_and_caps(world: World) -> None:
    """A flat 40 points with a daily cap of 50: the second trip of a day is cut to 10."""
    flat = [{"id": "flat", "when": "true", "points": "40"}]
    caps = [{"name": "每日", "window": "day", "limit": 50}]
    found = await run(world, a_rule(version=2, needs=NO_NEEDS, rows=flat, caps=caps))
    assert found.in_force is not None
    each = found.in_force.points // 7
    assert found.draft.points == 6 * 40 + 10
    assert found.draft.cut == {"每日": (1, 30)}
    shift = found.by_scenario["transit.metro.trip"]
    assert (shift.before, shift.after, shift.winners, shift.losers) == (7 * each, 250, 2, 0)
    assert found.by_district.keys() == {"metro"}
    document = as_document(found)
    assert document["difference"]["points"] == 250 - 7 * each
    assert document["draft"]["concentration"]["top_person"] == 130 * 1000 // 250
    assert any(
        "上限 每日:1 次,少发 30 分" in line for line in in_lines(found, incentive.Words({}, {}))
    )


async def test_what_was_used_before_the_window_counts(world: World) -> None:
    caps = [{"name": "每年", "window": "year", "limit": 30}]
    whole = await run(world, a_rule(version=2, caps=caps))
    assert whole.draft.points == 60
    last = await run(world, a_rule(version=2, caps=caps), day_from=date(2026, 11, 20))
    assert (last.events, last.draft.points) == (2, 0)


async def test_the_budget_ends_within_the_window(world: World) -> None:
    flat = [{"id": "flat", "when": "true", "points": "300000"}]
    found = await run(world, a_rule(version=2, needs=NO_NEEDS, rows=flat, caps=[]))
    assert found.draft.points == 900_000
    assert found.draft.refused == {"budget-exhausted": 4}
    assert found.draft.exhausted_on == date(2026, 11, 19)
    assert as_document(found)["budget"]["ends"]["expected"] == "2026-11-19"


async def test_a_draft_may_need_what_the_award_did_not_state(world: World) -> None:
    """`duration_s` stands in the bodies alone; where it is missing the draft refuses."""
    await world.record(trip(1, day=date(2026, 11, 21), data={"distance_m": 9_000, "duration_s": 9}))
    await world.award()
    needs = NO_NEEDS | {"event": {"duration_s": "int"}}
    timed = [{"id": "timed", "when": "true", "points": "duration_s"}]
    found = await run(world, a_rule(version=2, needs=needs, rows=timed, caps=[]))
    assert found.draft.points == 9
    assert found.draft.refused == {"missing-field": 7}


async def test_hours_weekdays_and_months_are_looked_up(world: World) -> None:
    """Trips end at noon and, once, at 17:00 of the city."""
    needs = NO_NEEDS | {"history": {"between_1600_1800": "bool", "weekdays_6_7": "bool"}}
    table = [
        {"id": "rush", "when": "between_1600_1800 && !weekdays_6_7", "points": "5"},
        {"id": "else", "when": "true", "points": "1"},
    ]
    found = await run(world, a_rule(version=2, needs=needs, rows=table, caps=[]))
    assert found.draft.rows == {"else": (6, 6), "rush": (1, 5)}


async def test_a_quota_goes_to_who_came_first(world: World) -> None:
    needs = NO_NEEDS | {"history": {"person_number": "int"}}
    table = [{"id": "first", "when": "person_number <= 1", "points": "7"}]
    found = await run(world, a_rule(version=2, needs=needs, rows=table, caps=[]))
    assert found.draft.points in (3 * 7, 4 * 7)
    assert len(found.draft.by_person) == 1


async def test_nothing_is_written(world: World) -> None:
    counts = "SELECT (SELECT count(*) FROM award) AS a, (SELECT sum(value) FROM counter) AS c"
    before = [tuple(r.values()) for r in await rows(world.db, counts)]
    await run(world, a_rule(version=2, caps=[]))
    assert [tuple(r.values()) for r in await rows(world.db, counts)] == before


async def test_progress_and_cancel(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulate_rule, "PAGE", 3)
    seen: list[tuple[int, int]] = []

    async def heard(done: int, total: int) -> bool:
        seen.append((done, total))
        return done < 6

    with pytest.raises(Stopped):
        await run(world, a_rule(), heard=heard)
    assert seen == [(0, 7), (3, 7), (6, 7)]


async def test_pages_change_no_figure(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = as_document(await run(world, a_rule(version=2)))
    monkeypatch.setattr(simulate_rule, "PAGE", 2)
    assert as_document(await run(world, a_rule(version=2))) == whole


async def test_an_unknown_programme_is_refused(world: World) -> None:
    with pytest.raises(DocumentError, match="unknown-programme"):
        await run(world, a_rule(programme="nowhere"))


async def test_a_missing_counter_would_be_noticed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control: a run that forgets what it paid pays more than the real awards did."""
    caps = [{"name": "每年", "window": "year", "limit": 30}]
    monkeypatch.setattr(incentive.Trial, "count", lambda *_args: None)
    found = await run(world, a_rule(version=2, caps=caps))
    assert found.draft.points > 60


async def test_districts_are_attested_or_the_partner(world: World) -> None:
    async with world.db.transaction() as tx:
        now = world.clock.now()
        await incentive.attest(tx, world.people[1], "district", "nanshan", "officer", now)
    found = await run(world, a_rule())
    assert {name: shift.events for name, shift in found.by_district.items()} == {
        "metro": 4,
        "nanshan": 3,
    }


async def test_terms_refuse_in_both_runs(world: World) -> None:
    async with world.db.transaction() as tx:
        now = world.clock.now()
        terms = {"organiser": "市生态环境局", "eligibility": {"real_name": True}}
        await incentive.record_terms(tx, PROGRAMME, terms, date(2026, 1, 1), "drafter", now)
        await incentive.attest(tx, world.people[0], "real_name", "true", "officer", now)
    found = await run(world, a_rule())
    assert found.draft.refused == {"not-eligible": 3}
    assert found.paid_then > found.draft.points > 0


async def test_the_command(
    world: World,
    url_of: Callable[[Any], str],
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A YAML file with a gap is simulated and the gap is told; what is no rule is refused."""
    monkeypatch.setenv("DATABASE_URL", url_of("app"))
    monkeypatch.setenv("TANHUI_PROFILE", "test")
    monkeypatch.setenv("TANHUI_VAR", str(settings.var))
    document = json.loads(a_rule(version=2, caps=[]))
    document["rows"][1]["when"] = "distance_m > 3000"
    document["rows"][0]["when"] = "distance_m < 3000"
    (tmp_path / "draft.yaml").write_text(yaml.safe_dump(document, allow_unicode=True), "utf-8")
    (tmp_path / "bad.yaml").write_text("a: [", "utf-8")

    def command(*words: str) -> Any:
        return CliRunner().invoke(build("simulate"), ["simulate", "rule", *words])

    window = ("--from", "2026-11-01", "--to", "2026-11-30")
    told = await asyncio.to_thread(command, str(tmp_path / "draft.yaml"), *window)
    assert told.exit_code == 0, told.output
    assert "table-gap: for example distance_m = 3000" in told.output
    assert "现行:2 人,7 次" in told.output
    told = await asyncio.to_thread(command, str(tmp_path / "draft.yaml"), *window, "--json")
    assert json.loads(told.stdout)["events"] == 7
    refused = await asyncio.to_thread(command, str(tmp_path / "bad.yaml"))
    assert refused.exit_code == 1
    assert "not-yaml" in refused.output
