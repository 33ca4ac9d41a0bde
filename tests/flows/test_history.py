"""A month of home energy is compared with last year's, or refused by the name of what is wrong."""

import json
from typing import Any

import pytest

from backend.flows import award_points
from backend.flows.resolve_history import History
from backend.kit.clock import FixedClock
from backend.kit.db import Database
from backend.kit.vault import Vault
from tests.flows.award_world import rows
from tests.flows.mixed_world import MixedWorld, month, sound


@pytest.fixture
async def world(db: Database, vault: Vault, clock: FixedClock) -> MixedWorld:
    world = MixedWorld(db, vault, clock)
    await world.found()
    return world


async def test_a_month_is_compared_with_the_same_month_of_last_year(world: MixedWorld) -> None:
    await world.send(month("base", 2025, energy_wh=310_000), month("now", energy_wh=240_000))
    await world.settle()
    assert await world.fates() == {
        "base": ("refused", "base-month-missing"),
        "now": ("awarded", None),
    }
    [award] = await rows(world.db, "SELECT * FROM award WHERE scenario = 'energy.home.month'")
    assert json.loads(award["stated"])["history"] == {"base_wh": 310_000, "base_days": 31}
    assert json.loads(award["inputs"]) == {"energy_wh": 240_000, "days": 31}
    assert award["reduction_mg"] == 70_000 * 536_600 // 1_000
    await sound(world)


async def test_every_whole_month_is_kept_whatever_it_earns(world: MixedWorld) -> None:
    await world.send(month("base", 2025))
    await world.settle()
    await world.send(month("now"))
    await world.settle()
    kept = await rows(world.db, "SELECT month, base_evidence_id IS NULL AS first FROM reading")
    assert sorted((row["month"].year, row["first"]) for row in kept) == [
        (2025, True),
        (2026, False),
    ]


BASE: dict[str, Any] = {"energy_wh": 310_000}
REFUSED: dict[str, tuple[dict[str, Any] | None, dict[str, Any], str]] = {
    "no month of last year": (None, {}, "base-month-missing"),
    "last year's was estimated": (BASE | {"estimated": True}, {}, "base-month-estimated"),
    "this year's was estimated": (BASE, {"estimated": True}, "estimated-reading"),
    "another meter since": (BASE | {"meter": "m-0"}, {}, "meter-changed"),
    "a day is missing": (BASE, {"days": 30}, "partial-month"),
    "no day at all": (BASE, {"days": 0}, "partial-month"),
    "32 days": (BASE, {"days": 32}, "bad-month"),
    "another month than its time": (BASE, {"month": "2026-09"}, "bad-month"),
    "the meter went round": (BASE, {"energy_wh": -5}, "meter-rollover"),
    "a unit too small": (BASE, {"energy_wh": 240}, "suspicious-unit"),
    "last year's had a wrong unit": ({"energy_wh": 310}, {}, "base-month-missing"),
    "last year's lacked a day": (BASE | {"days": 30}, {}, "base-month-missing"),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("together", [True, False])
async def test_what_cannot_be_compared_is_refused_by_name(
    world: MixedWorld, case: str, together: bool
) -> None:
    base, changes, reason = REFUSED[case]
    if base is not None:
        await world.send(month("base", 2025, **base))
        if not together:
            await world.settle()
    await world.send(month("now", **changes))
    await world.settle()
    assert (await world.fates())["now"] == ("refused", reason)
    await sound(world)


async def test_leap_february_is_compared_by_its_days(world: MixedWorld) -> None:
    await world.send(month("leap", 2024, 2, energy_wh=290_000))
    await world.send(month("next", 2025, 2, energy_wh=252_000))
    await world.send(month("short", 2025, 3, energy_wh=252_000, days=28))
    await world.settle()
    fates = await world.fates()
    assert fates["next"] == ("awarded", None)
    assert fates["short"] == ("refused", "partial-month")
    [award] = await rows(world.db, "SELECT * FROM award")
    assert json.loads(award["stated"])["history"] == {"base_wh": 290_000, "base_days": 29}
    x = (290_000 * 28 - 252_000 * 29) * 536_600
    assert award["reduction_mg"] == x // (29 * 1_000)


async def test_28_days_are_a_partial_leap_february(world: MixedWorld) -> None:
    await world.send(month("leap", 2024, 2, days=28))
    await world.settle()
    assert (await world.fates())["leap"] == ("refused", "partial-month")


async def test_each_meter_has_its_own_history(world: MixedWorld) -> None:
    await world.send(
        month("a25", 2025, energy_wh=310_000, meter="a"),
        month("b25", 2025, energy_wh=500_000, meter="b"),
        month("a26", energy_wh=300_000, meter="a"),
        month("b26", energy_wh=400_000, meter="b"),
    )
    await world.settle()
    found = await rows(
        world.db,
        "SELECT e.event_id, a.stated FROM award AS a JOIN evidence AS e USING (evidence_id)",
    )
    assert {row["event_id"]: json.loads(row["stated"])["history"]["base_wh"] for row in found} == {
        "a26": 310_000,
        "b26": 500_000,
    }


async def test_a_corrected_base_month_is_the_one_compared_with(world: MixedWorld) -> None:
    await world.send(month("base", 2025, energy_wh=900_000))
    await world.settle()
    await world.send(month("base-2", 2025, energy_wh=310_000, corrects="base"))
    await world.send(month("now", energy_wh=300_000))
    await world.settle()
    [award] = await rows(world.db, "SELECT * FROM award")
    assert json.loads(award["stated"])["history"]["base_wh"] == 310_000
    await sound(world)


async def test_a_retracted_base_month_is_none(world: MixedWorld) -> None:
    await world.send(month("base", 2025), month("gone", 2025, retracts="base"))
    await world.send(month("now"))
    await world.settle()
    assert (await world.fates())["now"] == ("refused", "base-month-missing")


async def test_recompute_finds_a_history_that_the_evidence_does_not_give(
    world: MixedWorld, url_of: Any
) -> None:
    await world.send(month("base", 2025, energy_wh=310_000), month("now"))
    await world.settle()
    owner = await Database.open(url_of("owner"), size=1)
    async with owner.transaction() as tx:
        await tx.execute(
            "UPDATE award SET stated = jsonb_set(stated, '{history,base_wh}', '310001')"
        )
    await owner.close()
    found = (await world.recomputed()).differences
    assert [each for each in found if "history" in each.subject]


async def test_an_erased_base_month_is_counted_as_erased(world: MixedWorld, url_of: Any) -> None:
    await world.send(month("base", 2025, energy_wh=310_000), month("now"))
    await world.settle()
    eraser = await Database.open(url_of("eraser"), size=1)
    async with eraser.transaction() as tx:
        await tx.execute(
            """DELETE FROM evidence_body WHERE evidence_id IN
               (SELECT evidence_id FROM evidence WHERE event_id = 'base')"""
        )
    await eraser.close()
    result = await world.recomputed()
    assert (result.erased, result.differences) == (1, [])


async def test_without_the_rules_an_estimate_would_be_paid(
    world: MixedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: with the safeguard broken, what must be refused is awarded."""

    async def careless(*_: Any) -> History:
        rows_ = await rows(world.db, "SELECT evidence_id FROM evidence WHERE event_id = 'now'")
        values: dict[str, object] = {"base_wh": 310_000, "base_days": 31}
        return History(values={row["evidence_id"]: values for row in rows_})

    monkeypatch.setattr(award_points, "resolve_history", careless)
    await world.send(month("base", 2025, energy_wh=310_000), month("now", estimated=True))
    await world.settle()
    assert (await world.fates())["now"] == ("awarded", None)
    assert [d for d in (await world.recomputed()).differences if "history" in d.subject]
