"""A later event of a partner takes the place of its earlier one, by counter-entries only."""

import random
from typing import Any

import pytest

from backend import ledger
from backend.evidence import Chains, Correction
from backend.flows import award_points
from backend.kit.clock import FixedClock
from backend.kit.db import Database
from backend.kit.ids import new_ids
from backend.kit.vault import Vault
from tests.flows.award_world import rows
from tests.flows.mixed_world import BIKE, METRO, MixedWorld, event, month, sound


@pytest.fixture
async def world(db: Database, vault: Vault, clock: FixedClock) -> MixedWorld:
    world = MixedWorld(db, vault, clock)
    await world.found()
    return world


def rejected(answer: dict[str, Any]) -> list[tuple[str, str]]:
    """(event id, problem) of what the door turned away."""
    return [(each["event_id"], each["problem"]) for each in answer["rejected"]]


def metres(distance_m: int) -> dict[str, Any]:
    """Data of a metro trip."""
    return {"distance_m": distance_m, "duration_s": 1_200}


async def test_a_correction_takes_the_place_of_the_earlier_event(world: MixedWorld) -> None:
    await world.send(event("a", data=metres(12_000)))
    await world.settle()
    await world.send(event("a2", data=metres(22_000), corrects="a"))
    await world.settle()
    assert await world.fates() == {"a": ("reversed", "corrected"), "a2": ("awarded", None)}
    acts = await rows(
        world.db, "SELECT act, amount, reason FROM transfer ORDER BY act, transfer_id"
    )
    assert [(row["act"], row["amount"], row["reason"]) for row in acts] == [
        ("award", 27, 0),
        ("award", 48, 0),
        ("reverse", 27, 2),
    ]
    assert len(await rows(world.db, "SELECT 1 FROM unsealed WHERE kind = 1")) == 3
    async with world.db.transaction() as tx:
        balance = await ledger.balance_of(tx, world.people[0], "carbon")
    assert (balance.available, balance.debt) == (48, 0)
    await sound(world)


async def test_a_retraction_only_takes_back(world: MixedWorld) -> None:
    await world.send(event("a"))
    await world.settle()
    answer = await world.send(event("gone", data={}, retracts="a"))
    assert answer["accepted"] == 1
    await world.settle()
    assert await world.fates() == {"a": ("reversed", "retracted"), "gone": ("applied", None)}
    assert await world.books() == {}
    async with world.db.transaction() as tx:
        balance = await ledger.balance_of(tx, world.people[0], "carbon")
    assert (balance.available, balance.debt) == (0, 0)
    await sound(world)


@pytest.mark.parametrize("kind", ["corrects", "retracts"])
@pytest.mark.parametrize("together", [True, False])
async def test_what_waits_is_never_awarded(world: MixedWorld, kind: str, together: bool) -> None:
    later = event("later", data=metres(5_000)) | {kind: "a"}
    if together:
        await world.send(later, event("a"))  # named before it is listed
    else:
        await world.send(event("a"))
        await world.send(later)
    await world.settle()
    fates = await world.fates()
    assert fates["a"] == ("refused", "corrected" if kind == "corrects" else "retracted")
    assert fates["later"][0] == ("awarded" if kind == "corrects" else "applied")
    assert not await rows(world.db, "SELECT 1 FROM transfer WHERE act = 'reverse'")
    await sound(world)


async def test_a_correction_decided_before_its_original_still_wins(world: MixedWorld) -> None:
    await world.send(event("a"))
    await world.send(event("a2", data=metres(5_000), corrects="a"))
    async with world.db.transaction() as tx:
        await tx.execute(
            "UPDATE outbox SET available_at = now() + interval '1 hour'"
            " WHERE id = (SELECT min(id) FROM outbox)"
        )
    await world.award()
    assert (await world.fates())["a"] == ("recorded", None)
    async with world.db.transaction() as tx:
        await tx.execute("UPDATE outbox SET available_at = now() - interval '1 hour'")
    await world.settle()
    assert await world.fates() == {"a": ("refused", "corrected"), "a2": ("awarded", None)}
    await sound(world)


async def test_chains_and_forks_end_with_the_last_recorded(world: MixedWorld) -> None:
    await world.send(event("a"))
    await world.settle()
    await world.send(event("b", data=metres(5_000), corrects="a"))
    await world.send(event("c", data=metres(6_000), corrects="b"))
    await world.settle()
    await world.send(event("fork", data=metres(7_000), corrects="a"))
    await world.settle()
    states = {name: state for name, (state, _) in (await world.fates()).items()}
    assert states == {"a": "reversed", "b": "refused", "c": "reversed", "fork": "awarded"}
    assert [key[1] for key in await world.books()] == ["fork"]
    await world.send(event("end", data={}, retracts="fork"))
    await world.settle()
    assert await world.books() == {}
    await world.send(event("back", data=metres(8_000), corrects="end"))
    await world.settle()
    assert [key[1] for key in await world.books()] == ["back"]
    await sound(world)


async def test_what_names_nothing_of_its_own_is_turned_away(world: MixedWorld) -> None:
    await world.send(event("theirs"), partner="other")
    await world.send(event("elsewhere") | {"source": "/else"})
    answer = await world.send(
        event("x1", corrects="theirs"),
        event("x2", retracts="elsewhere"),
        event("x3", corrects="nowhere"),
        event("x4", corrects="x4"),
        event("x5", retracts="x5"),
        event("x6", corrects="x7", minute=100),
        event("x7", corrects="x6", minute=200),
        event("x8", corrects="x7", minute=300),
        event("x9", corrects="theirs", retracts="theirs"),
        event("y1", corrects=""),
        event("y2") | {"corrects": 7},
        event("y3", corrects="z" * 513),
    )
    assert sorted(rejected(answer)) == [
        ("x1", "unknown-event"),
        ("x2", "unknown-event"),
        ("x3", "unknown-event"),
        ("x4", "corrects-itself"),
        ("x5", "retracts-itself"),
        ("x6", "correction-cycle"),
        ("x7", "correction-cycle"),
        ("x8", "unknown-event"),
        ("x9", "corrects-and-retracts"),
        ("y1", "missing-field"),
        ("y2", "wrong-type"),
        ("y3", "corrects-too-long"),
    ]
    assert answer["accepted"] == 0
    await world.settle()
    assert (await world.fates())["theirs"] == ("awarded", None)


async def test_a_cycle_over_two_uploads_is_a_conflict_of_identity(world: MixedWorld) -> None:
    await world.send(event("a"))
    await world.send(event("b", corrects="a"))
    answer = await world.send(event("a", corrects="b"))
    assert rejected(answer) == [("a", "event-id-conflict")]


async def test_what_was_turned_away_may_come_again_once_it_names_something(
    world: MixedWorld,
) -> None:
    early = event("b", data=metres(5_000), corrects="a")
    assert rejected(await world.send(early)) == [("b", "unknown-event")]
    await world.send(event("a"))
    assert rejected(await world.send(early)) == []
    repeated = await world.send(early)
    assert (repeated["accepted"], repeated["duplicates"]) == (0, 1)
    await world.settle()
    assert [key[1] for key in await world.books()] == ["b"]


async def test_points_already_spent_become_a_debt_that_awards_repay(world: MixedWorld) -> None:
    await world.send(event("a"))
    await world.settle()
    # Spending is not part of the flow under test: move the points out by hand, lot and all.
    owner_moves = """UPDATE balance SET output = output + 20
                     WHERE account LIKE '%:points' AND input - output >= 20"""
    async with world.db.transaction() as tx:
        await tx.execute(owner_moves)
        await tx.execute("UPDATE lot SET open = open - 20")
    await world.send(event("gone", data={}, retracts="a"))
    await world.settle()
    async with world.db.transaction() as tx:
        balance = await ledger.balance_of(tx, world.people[0], "carbon")
    assert (balance.available, balance.debt) == (0, 20)
    await world.send(event("next", minute=300))
    await world.settle()
    async with world.db.transaction() as tx:
        balance = await ledger.balance_of(tx, world.people[0], "carbon")
    assert (balance.available, balance.debt) == (7, 0)


async def test_a_correction_is_judged_like_any_event(world: MixedWorld) -> None:
    await world.send(event("a"))
    await world.settle()
    await world.send(event("a2", data=metres(900_000), corrects="a"))
    await world.settle()
    fates = await world.fates()
    assert fates["a"] == ("reversed", "corrected")
    assert fates["a2"][0] == "refused"
    assert await world.books() == {}
    await sound(world)


async def test_a_refused_event_is_corrected_too(world: MixedWorld) -> None:
    await world.send(event("a", data=metres(900_000)))
    await world.settle()
    await world.send(event("a2", corrects="a"))
    await world.settle()
    fates = await world.fates()
    assert fates["a"][0] == "refused"
    assert fates["a2"] == ("awarded", None)
    await sound(world)


async def test_a_correction_may_name_another_person(world: MixedWorld) -> None:
    await world.send(event("a", person=0))
    await world.settle()
    await world.send(event("a2", person=1, corrects="a"))
    await world.settle()
    assert [key[:2] for key in await world.books()] == [(1, "a2")]
    await sound(world)


async def test_what_was_corrected_claims_no_time_any_more(world: MixedWorld) -> None:
    await world.send(event("m", METRO), partner="metro")
    await world.send(event("gone", data={}, retracts="m"), partner="metro")
    await world.settle()
    await world.send(event("b", BIKE), partner="bike")
    await world.settle()
    assert (await world.fates())["b"] == ("awarded", None)
    await world.send(event("m2", METRO, corrects="m"), partner="metro")
    await world.settle()
    fates = await world.fates()
    assert (fates["b"], fates["m2"]) == (("reversed", "double-claim"), ("awarded", None))
    await sound(world)


async def test_caps_forget_what_was_corrected(db: Database, vault: Vault, clock: Any) -> None:
    world = MixedWorld(db, vault, clock)
    await world.found(caps=True)
    await world.send(*[event(f"a{n}", minute=100 * n) for n in range(3)])
    await world.settle()
    assert sum((await world.books()).values()) == 60  # the day's cap
    await world.send(event("b", minute=0, data=metres(10_000), corrects="a0"))
    await world.settle()
    books = {key[1]: points for key, points in (await world.books()).items()}
    assert books == {"a1": 27, "a2": 6, "b": 23}
    await sound(world)
    await world.send(event("gone", minute=200, data={}, retracts="a2"))
    await world.send(event("more", minute=-100))
    await world.settle()
    books = {key[1]: points for key, points in (await world.books()).items()}
    assert books == {"a1": 27, "b": 23, "more": 10}
    await sound(world)


@pytest.mark.parametrize("seed", range(6))
async def test_any_times_of_award_end_with_the_same_books(world: MixedWorld, seed: int) -> None:
    """Corrections arrive after what they name; everything else is drawn."""
    draw = random.Random(seed)
    lines: list[list[tuple[dict[str, Any], str]]] = [
        [
            (event("m", METRO), "metro"),
            (event("m2", METRO, data=metres(15_000), corrects="m"), "metro"),
            (event("m3", METRO, data=metres(9_000), corrects="m2"), "metro"),
        ],
        [
            (event("o", METRO, minute=200), "metro"),
            (event("no", METRO, data={}, retracts="o"), "metro"),
        ],
        [(event("p", METRO, minute=400), "metro"), (event("q", BIKE, minute=395), "bike")],
        [(month("e25", 2025, energy_wh=310_000), "grid"), (month("e26"), "grid")],
    ]
    while any(lines):
        line = draw.choice([line for line in lines if line])
        each, partner = line.pop(0)
        await world.send(each, partner=partner)
        if draw.random() < 0.5:
            await world.settle()
    await world.settle()
    assert sorted(key[1] for key in await world.books()) == ["e26", "m3", "p"]
    await sound(world)


async def test_without_settling_chains_recompute_names_it(
    world: MixedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: an award that a correction should have taken back is found."""
    monkeypatch.setattr(award_points, "settle_chains", lambda *_: ({}, {}))
    await world.send(event("a"))
    await world.settle()
    await world.send(event("a2", corrects="a", minute=500))
    await world.settle()
    broken = {each.law for each in (await world.recomputed()).differences}
    assert broken == {"the-last-of-a-chain-stands"}


@pytest.mark.parametrize(
    ("fault", "law"),
    [
        ("DELETE FROM transfer WHERE act = 'reverse'", "the-superseded-is-taken-back"),
        ("DELETE FROM award_release", "the-superseded-is-taken-back"),
        ("DELETE FROM award_release", "counters-equal-awards"),
        ("DELETE FROM supersession", "only-the-superseded-is-released"),
        ("UPDATE award SET stated = jsonb_set(stated, '{caps,0,used_before}', '5')", "caps-add-up"),
    ],
)
async def test_a_row_planted_wrong_is_named(
    db: Database, vault: Vault, clock: Any, url_of: Any, fault: str, law: str
) -> None:
    world = MixedWorld(db, vault, clock)
    await world.found(caps=True)
    await world.send(event("a"))
    await world.settle()
    await world.send(event("a2", corrects="a"))
    await world.settle()
    owner = await Database.open(url_of("owner"), size=1)
    async with owner.transaction() as tx:
        await tx.execute(fault)
    await owner.close()
    assert law in {each.law for each in (await world.recomputed()).differences}


def test_of_a_chain_the_last_recorded_stands() -> None:
    a, b, c, other = new_ids(4)
    # Ids do not decide: clocks of two hosts may differ.
    chains = Chains([Correction(b, "corrects", c, c, 1), Correction(a, "retracts", b, c, 2)])
    assert chains.superseding(a) is None
    fallen = chains.superseding(b)
    assert fallen is not None
    assert (fallen.reason, fallen.by_evidence_id) == ("retracted", a)
    assert list(chains.before(a)) == [c, b]
    assert chains.superseding(other) is None
    assert list(chains.before(other)) == []


async def test_two_uploads_that_correct_at_once_both_find_their_place(world: MixedWorld) -> None:
    import asyncio

    await world.send(event("a"))
    await world.bind("city", 0, METRO)
    await asyncio.gather(
        *[world.send(event(f"c{n}", data=metres(5_000 + n), corrects="a")) for n in range(4)]
    )
    placed = await rows(world.db, "SELECT n FROM correction ORDER BY n")
    assert [row["n"] for row in placed] == [1, 2, 3, 4]
    await world.settle()
    assert len(await world.books()) == 1
    await sound(world)
