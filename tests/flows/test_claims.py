"""Two reports that contradict each other: one declared order decides, whenever they arrive."""

import itertools
import random
import time
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend import evidence
from backend.evidence import Claim
from backend.flows import award_points, settle_claims
from backend.kit.clock import FixedClock
from backend.kit.db import Database
from backend.kit.ids import new_id
from backend.kit.sm import sm3
from backend.kit.vault import Vault
from tests.flows.award_world import rows
from tests.flows.mixed_world import (
    BIKE,
    BUS,
    METRO,
    NOON,
    MixedWorld,
    charge,
    event,
    month,
    sound,
)

PERSON = new_id()
MODES: dict[str, str | None] = {METRO: "ride", BUS: "ride", BIKE: "ride", "ev": None}


@pytest.fixture
async def world(db: Database, vault: Vault, clock: FixedClock) -> MixedWorld:
    world = MixedWorld(db, vault, clock)
    await world.found()
    return world


def claim(
    scenario: str, start_s: int, end_s: int, *, quantity: int | None = 1, place: bytes | None = None
) -> Claim:
    """A claim from one second to another."""
    at = NOON + timedelta(seconds=start_s), NOON + timedelta(seconds=end_s)
    return evidence.claim_of(PERSON, new_id(), scenario, *at, quantity=quantity, place=place)


@pytest.mark.parametrize(
    ("a", "b", "both_cannot_be"),
    [
        (claim(METRO, 0, 1800), claim(BIKE, 600, 1200), True),
        (claim(METRO, 0, 1800), claim(BIKE, 1800, 2400), False),
        (claim(METRO, 0, 1800), claim(BIKE, 1740, 2400), False),  # within the clocks' tolerance
        (claim(METRO, 0, 1800), claim(BIKE, 1739, 2400), True),
        (claim(METRO, 0, 1800), claim(BUS, 900, 900), True),
        (claim(METRO, 0, 1800), claim(BUS, 30, 30), False),
        (claim(BUS, 0, 0), claim(BUS, 59, 59), True),
        (claim(BUS, 0, 0), claim(BUS, 60, 60), False),
        (claim(BUS, 0, 0), claim(METRO, 0, 0), False),
        (claim("ev", 0, 7200), claim("ev", 600, 7230), True),
        (claim("ev", 0, 7200, quantity=1000), claim("ev", 0, 7200, quantity=1010), True),
        (claim("ev", 0, 7200, quantity=1000), claim("ev", 0, 7200, quantity=1011), False),
        (claim("ev", 0, 7200, place=b"a"), claim("ev", 0, 7200, place=b"b"), False),
        (
            claim("ev", 0, 7200, place=b"a", quantity=1),
            claim("ev", 0, 7200, place=b"a", quantity=9),
            True,
        ),
        (claim("ev", 0, 7200), claim(METRO, 600, 1800), False),
    ],
)
def test_what_contradicts_what(a: Claim, b: Claim, both_cannot_be: bool) -> None:
    assert len(list(evidence.contradictions([a, b], MODES))) == both_cannot_be
    assert len(list(evidence.contradictions([b, a], MODES))) == both_cannot_be


@given(
    st.lists(
        st.tuples(
            st.sampled_from([METRO, BUS, BIKE, "ev"]),
            st.integers(0, 2_000),
            st.integers(0, 900),
        ),
        max_size=12,
    )
)
def test_the_sweep_finds_exactly_the_pairs_that_contradict(
    drawn: list[tuple[str, int, int]],
) -> None:
    claims = [claim(scenario, start, start + length) for scenario, start, length in drawn]
    swept = {
        frozenset((a.evidence_id, b.evidence_id)) for a, b in evidence.contradictions(claims, MODES)
    }
    one_by_one = {
        frozenset((a.evidence_id, b.evidence_id))
        for a, b in itertools.combinations(claims, 2)
        if list(evidence.contradictions([a, b], MODES))
    }
    assert swept == one_by_one


@given(
    st.lists(
        st.tuples(
            st.sampled_from([METRO, BUS, BIKE, "ev"]),
            st.integers(0, 1_200),
            st.integers(0, 900),
            st.integers(2, 4),
        ),
        max_size=14,
    )
)
def test_who_loses_is_what_the_pairs_say(drawn: list[tuple[str, int, int, int]]) -> None:
    strengths: dict[Any, evidence.Strength] = {}
    claims: list[Claim] = []
    for n, (scenario, start, length, level) in enumerate(drawn):
        each = claim(scenario, start, start + length)
        claims.append(each)
        digest = sm3(bytes([n]))
        strengths[each.evidence_id] = evidence.Strength.of(each, f"L{level}", digest)
    losers = evidence.losers_among(claims, strengths, MODES)
    assert losers.keys() == {
        max(a.evidence_id, b.evidence_id, key=lambda i: strengths[i])
        for a, b in evidence.contradictions(claims, MODES)
    }
    assert all(strengths[stronger] < strengths[loser] for loser, stronger in losers.items())


def test_thousands_of_claims_on_one_minute_are_settled_in_no_time() -> None:
    claims = [claim(METRO, n % 7, 1_800) for n in range(10_000)]
    strengths = {
        each.evidence_id: evidence.Strength.of(each, "L3", sm3(each.evidence_id.bytes))
        for each in claims
    }
    start_s = time.process_time()
    assert len(evidence.losers_among(claims, strengths, MODES)) == 9_999
    assert time.process_time() - start_s < 2


def test_nothing_claims_more_than_a_day_or_backwards() -> None:
    long = claim(METRO, -900_000, 0)
    assert long.ends_at - long.starts_at == timedelta(hours=24)
    backwards = claim(METRO, 500, 0)
    assert backwards.starts_at == backwards.ends_at == NOON


async def test_two_modes_at_once_count_once(world: MixedWorld) -> None:
    await world.send(event("m", METRO), partner="metro")
    await world.send(event("b", BIKE, minute=-10), partner="bike")
    await world.settle()
    assert await world.fates() == {
        "m": ("awarded", None),  # it began earlier
        "b": ("refused", "double-claim"),
    }
    assert [key[1] for key in await world.books()] == ["m"]
    await sound(world)


async def test_the_higher_level_of_evidence_wins(world: MixedWorld) -> None:
    await world.send(event("hmac", METRO), partner="app", origin="v1")
    await world.send(event("signed", METRO, minute=1), partner="metro", origin="v1s2")
    await world.settle()
    assert (await world.fates())["hmac"] == ("refused", "double-claim")
    assert (await world.fates())["signed"] == ("awarded", None)


async def test_a_twin_of_the_same_partner_under_another_id(world: MixedWorld) -> None:
    first = {"distance_m": 12_000}
    await world.send(event("tap", data=first))
    await world.settle()
    twin = event("qr", data={"distance_m": 12_050}) | {"time": "2026-11-21T04:00:20Z"}
    await world.send(twin)
    await world.settle()
    states = [state for state, _ in (await world.fates()).values()]
    assert sorted(states) == ["awarded", "refused"]


async def test_late_evidence_that_wins_takes_the_award_back_visibly(world: MixedWorld) -> None:
    await world.send(event("b", BIKE), partner="bike")
    await world.settle()
    assert (await world.fates())["b"] == ("awarded", None)
    await world.send(event("m", METRO), partner="metro")
    await world.settle()
    assert await world.fates() == {
        "b": ("reversed", "double-claim"),
        "m": ("awarded", None),
    }
    transfers = await rows(world.db, "SELECT act, reason, of_transfer, note FROM transfer")
    acts = sorted(row["act"] for row in transfers)
    assert acts == ["award", "award", "reverse"]
    [reversal] = [row for row in transfers if row["act"] == "reverse"]
    assert "double-claim" in reversal["note"]
    waiting = await rows(world.db, "SELECT 1 FROM unsealed")
    assert len(waiting) == 3
    await sound(world)


async def test_both_references_are_kept(world: MixedWorld) -> None:
    await world.send(event("m", METRO), partner="metro")
    await world.send(event("b", BIKE), partner="bike")
    await world.settle()
    [kept] = await rows(
        world.db,
        """SELECT lost.event_id AS loser, won.event_id AS winner, s.reason
           FROM supersession AS s JOIN evidence AS lost ON lost.evidence_id = s.evidence_id
           JOIN evidence AS won ON won.evidence_id = s.by_evidence_id""",
    )
    assert dict(kept) == {"loser": "b", "winner": "m", "reason": "double-claim"}
    async with world.db.transaction() as tx:
        [seen] = await evidence.find_events(tx, "bike", "b")
        assert (seen["instead_partner"], seen["instead_event"]) == ("metro", "m")


async def test_what_is_impossible_claims_nothing(world: MixedWorld) -> None:
    far = event("far", METRO, data={"distance_m": 900_000, "duration_s": 3_600})
    await world.send(far, partner="metro")
    await world.send(event("b", BIKE, minute=-20), partner="bike")
    await world.settle()
    assert (await world.fates())["b"] == ("awarded", None)


async def test_two_people_contradict_nobody(world: MixedWorld) -> None:
    await world.send(event("a", METRO, person=0), event("b", BIKE, person=1))
    await world.settle()
    assert {state for state, _ in (await world.fates()).values()} == {"awarded"}


async def test_two_charges_of_two_cars_are_no_twins(world: MixedWorld) -> None:
    start, end = NOON - timedelta(hours=3), NOON
    await world.send(
        charge("a", start=start, end=end, energy_wh=20_000),
        charge("b", start=start, end=end, energy_wh=9_000),
    )
    await world.send(charge("a-again", start=start, end=end, energy_wh=20_100), partner="app")
    await world.settle()
    fates = await world.fates()
    assert fates["b"][0] == "awarded"
    assert sorted([fates["a"][0], fates["a-again"][0]]) == ["awarded", "refused"]


async def test_the_same_month_of_a_meter_counts_once(world: MixedWorld) -> None:
    await world.send(month("base", 2025, energy_wh=310_000))
    await world.send(month("x"), month("y", energy_wh=200_000))
    await world.settle()
    fates = await world.fates()
    assert sorted([fates["x"][0], fates["y"][0]]) == ["awarded", "refused"]


MIXED = [
    (event("m1", METRO), "metro"),
    (event("k1", BIKE, minute=-5), "bike"),
    (event("u1", BUS, minute=-12), "bus"),
    (event("k2", BIKE, minute=4), "bike"),
    (event("m2", METRO, minute=28), "metro"),
    (event("x1", METRO, minute=0, data={"distance_m": 11_900, "duration_s": 1_790}), "app"),
    (event("o1", BIKE, person=1), "bike"),
    (event("o2", BIKE, person=1, minute=90), "bike"),
]


@pytest.mark.parametrize("compared_max", [64, 0])
@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(seed=st.integers(0, 10_000))
async def test_any_order_of_arrival_ends_with_the_same_books(
    world: MixedWorld, compared_max: int, seed: int
) -> None:
    await _empty(world)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settle_claims, "CLAIMS_COMPARED_MAX", compared_max)
        arrived = await _arrive(world, seed)
    await sound(world)
    assert arrived == await _expected(world)


async def _expected(world: MixedWorld) -> Any:
    await _empty(world)
    return await _arrive(world, None)


async def _arrive(world: MixedWorld, seed: int | None) -> Any:
    """Send all events in an order and awarded after chunks, both drawn; the books at the end."""
    draw = random.Random(seed)
    order = list(MIXED)
    if seed is not None:
        draw.shuffle(order)
    for each, partner in order:
        origin = "v1" if partner == "app" else "v1s2"
        await world.send(each, partner=partner, origin=origin)
        if seed is not None and draw.random() < 0.5:
            await world.settle()
    await world.settle()
    return await world.books()


async def _empty(world: MixedWorld) -> None:
    owner = await Database.open(_owner_url(world), size=1)
    async with owner.transaction() as tx:
        await tx.execute(
            """TRUNCATE evidence, evidence_body, upload, decision, claim, correction, supersession,
                   award, award_release, transfer, posting, balance, lot, counter, unsealed, outbox,
                   reading"""
        )
        await tx.execute("UPDATE budget SET issued = 0, leased = 0")
        await tx.execute("DELETE FROM budget_purse")
    await owner.close()


_URLS: dict[int, str] = {}


@pytest.fixture(autouse=True)
def owner_url(world: MixedWorld, url_of: Any) -> None:
    _URLS[id(world)] = url_of("owner")


def _owner_url(world: MixedWorld) -> str:
    return _URLS[id(world)]


async def test_with_an_order_that_looks_at_arrival_the_books_differ(
    world: MixedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: let the first to arrive win, and the order of arrival shows in the books."""
    original = award_points.settle_claims

    async def first_come(tx: Any, rows_: Any, modes: Any) -> Any:
        claims, losers = await original(tx, list(rows_), modes)
        fresh = {each.evidence_id for each in claims}
        return claims, {
            (a if a in fresh else b): (b if a in fresh else a) for a, b in losers.items()
        }

    monkeypatch.setattr(award_points, "settle_claims", first_come)
    ends: list[Any] = []
    for order in (("m", "b"), ("b", "m")):
        await _empty(world)
        for name in order:
            scenario = METRO if name == "m" else BIKE
            await world.send(event(name, scenario), partner=scenario)
            await world.settle()
        ends.append(await world.books())
    assert ends[0] != ends[1]


async def test_without_settling_recompute_names_who_is_in_two_places(
    world: MixedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: with no claims settled, the law that nobody is in two places is broken."""
    original = award_points.settle_claims

    async def careless(tx: Any, rows_: Any, modes: Any) -> Any:
        claims, _ = await original(tx, list(rows_), modes)
        return claims, {}

    monkeypatch.setattr(award_points, "settle_claims", careless)
    await world.send(event("m", METRO), partner="metro")
    await world.send(event("b", BIKE, minute=-10), partner="bike")
    await world.settle()
    broken = {each.law for each in (await world.recomputed()).differences}
    assert broken == {"nobody-is-in-two-places"}


async def test_two_workers_cannot_both_award(world: MixedWorld) -> None:
    import asyncio

    for n in range(6):
        await world.send(event(f"m{n}", METRO, minute=200 * n), partner="metro")
        await world.send(event(f"b{n}", BIKE, minute=200 * n - 5), partner="bike")
    await asyncio.gather(*[world.award(limit=1) for _ in range(4)])
    await world.settle()
    states = [state for state, _ in (await world.fates()).values()]
    assert states.count("awarded") == 6
    await sound(world)
