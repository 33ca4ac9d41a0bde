"""From an event to a receipt whose origin the partner itself vouches for, and what breaks it."""

import json
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import pytest

from backend import evidence, partners, proof
from backend.flows.cosign_statement import (
    close_day,
    close_yesterday,
    cosign_statement,
    state_day,
)
from backend.flows.reverse_points import reverse_points
from backend.kit.canonical import dumps
from backend.kit.clock import FixedClock, city_day, day_bounds
from backend.kit.db import Database
from backend.kit.sm import Sm2PrivateKey, sm3
from backend.kit.vault import Vault
from backend.proof import Statement, statements
from backend.views import DaySum
from tests.flows.award_world import SCENARIO, World, rows, trip
from tests.flows.checking import failed, outcomes
from tests.flows.test_receipts_on_chain import City, check, city

__all__ = ["city"]

KEY = Sm2PrivateKey(0x5EED)
TZ = "Asia/Shanghai"
DAY = date(2026, 11, 22)


async def add_statement_key(
    db: Database, vault: Vault, clock: FixedClock, key: Sm2PrivateKey = KEY
) -> None:
    async with db.transaction() as tx:
        await partners.register_partner(
            tx, "metro", "地铁", required_scheme="v1s2", scenarios=[SCENARIO], now=clock.now()
        )
        await partners.add_key(
            tx,
            vault,
            "metro",
            "st-1",
            scheme="v1s2",
            public_key=key.public_key.to_bytes(),
            purpose="statement",
            valid_from=clock.now() - timedelta(days=30),
        )


async def cosigned(world: World, day: date = DAY, key: Sm2PrivateKey = KEY) -> Statement:
    """Close a day and co-sign it as the partner."""
    statement = await close_day(world.db, world.clock, TZ, "metro", day)
    der = key.sign_der(statement.text)
    await cosign_statement(world.db, world.clock, TZ, "metro", day, der)
    return statement


async def transfers(world: World) -> list[UUID]:
    found = await rows(world.db, "SELECT transfer_id FROM transfer ORDER BY transfer_id")
    return [row["transfer_id"] for row in found]


def origin_of(receipt: bytes) -> dict[str, Any]:
    return json.loads(receipt)["origin"]


def with_origin(receipt: bytes, **changes: Any) -> bytes:
    document = json.loads(receipt)
    document["origin"] |= changes
    return dumps(document)


@pytest.mark.chain
async def test_event_day_statement_cosignature_receipt(city: City) -> None:
    world = city.world
    await add_statement_key(world.db, world.vault, world.clock)
    # The trips ended the day before; they are received today, and today's statement holds them.
    await world.record(*(trip(distance_m=22_000, minute=n) for n in range(3)))
    await world.award()
    await city.settle()
    [first, *_] = await transfers(world)
    trust = await city.trust()
    before = await city.receipt(first)
    assert origin_of(before) == {"kind": "signed-upload"}

    world.clock.advance(days=1)
    assert (await cosigned(world, date(2026, 11, 21))).count == 0
    assert await city.receipt(first) == before
    assert (await cosigned(world)).count == 3
    for transfer in await transfers(world):
        verdict = await check(await city.receipt(transfer), trust, city.node.url)
        assert verdict.ok, verdict
        assert outcomes(verdict)["origin"] == "ok"
    receipt = await city.receipt(first)
    assert origin_of(receipt).keys() == {"kind", "day", "count", "index", "path", "signature"}
    offline = await check(receipt, trust, None)
    assert offline.ok
    assert outcomes(offline)["origin"] == "ok"
    # The older receipt stays good, and the share form still names the kind alone.
    assert (await check(before, trust, city.node.url)).ok
    shared = await city.receipt(first, "share")
    assert origin_of(shared) == {"kind": "signed-upload"}
    await tampered_origins_fail(receipt, trust)


async def tampered_origins_fail(receipt: bytes, trust: bytes) -> None:
    origin = origin_of(receipt)
    text = b"tanhui-statement-v1\nmetro\n2026-11-22\n3\n" + bytes(32).hex().encode() + b"\n"
    forged = Sm2PrivateKey(0xBAD).sign_der(text)
    changes: list[dict[str, Any]] = [
        {"day": "2026-11-21"},
        {"day": "2026-10-01"},
        {"count": 4},
        {"index": (origin["index"] + 1) % 3},
        {"path": origin["path"][::-1]},
        {"path": origin["path"][:-1]},
        {"path": [bytes(32).hex(), *origin["path"][1:]]},
        {"signature": proof.trust.key_text(forged)},
        {"signature": origin["signature"][:-4]},
    ]
    for change in changes:
        spoiled = with_origin(receipt, **change)
        if spoiled != receipt:
            assert failed(await check(spoiled, trust, None)) == {"origin"}, change
    # Without the key in the trust file nobody vouches.
    content = json.loads(trust) | {"partner_keys": []}
    assert failed(await check(receipt, dumps(content), None)) == {"origin"}


@pytest.mark.chain
async def test_a_key_that_no_trust_file_names_is_put_on_no_receipt(city: City) -> None:
    world = city.world
    await world.record(trip(distance_m=22_000))
    await world.award()
    await city.settle()
    await city.trust()
    await add_statement_key(world.db, world.vault, world.clock)
    world.clock.advance(days=1)
    await cosigned(world)
    [transfer] = await transfers(world)
    assert origin_of(await city.receipt(transfer))["kind"] == "signed-upload"
    trust = await city.trust()
    receipt = await city.receipt(transfer)
    assert origin_of(receipt)["kind"] == "statement"
    assert (await check(receipt, trust, city.node.url)).ok


@pytest.mark.chain
async def test_control_a_signature_nobody_checked_does_not_verify(
    city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the check at the door broken, a stranger's check still notices."""

    async def anybody(*_: object) -> str:
        return "st-1"

    monkeypatch.setattr("backend.flows.cosign_statement._signer_of", anybody)
    world = city.world
    await add_statement_key(world.db, world.vault, world.clock)
    await world.record(trip(distance_m=22_000))
    await world.award()
    await city.settle()
    trust = await city.trust()
    world.clock.advance(days=1)
    await cosigned(world, key=Sm2PrivateKey(0xBAD))
    [transfer] = await transfers(world)
    assert failed(await check(await city.receipt(transfer), trust, None)) == {"origin"}


async def test_sums_are_those_of_now(db: Database, vault: Vault, clock: FixedClock) -> None:
    world = World(db, vault, clock)
    await world.enact()
    await world.record(
        trip(distance_m=12_000),
        trip(1, distance_m=12_000, minute=1),
        trip(1, distance_m=999_000, minute=2),
        trip(1, distance_m=12_000, minute=3),
    )
    clock.advance(days=1)
    before = await state_day(db, clock, TZ, "metro", DAY)
    assert before.sums == [DaySum(SCENARIO, "recorded", 4, 0, {})]
    await world.award()
    [first, *_] = await transfers(world)
    await reverse_points(db, clock, of_transfer=first, note="误报", city_tz=TZ)
    after = await state_day(db, clock, TZ, "metro", DAY)
    assert after.statement == before.statement
    by_state = {each.state: each for each in after.sums}
    assert {state: each.count for state, each in by_state.items()} == {
        "awarded": 2,
        "refused": 1,
        "reversed": 1,
    }
    one = by_state["reversed"]
    assert by_state["awarded"].reduction_mg == 2 * one.reduction_mg == 2 * 2_525_448
    assert by_state["awarded"].points == {"carbon": 2 * one.points["carbon"]}
    assert (by_state["refused"].reduction_mg, by_state["refused"].points) == (0, {})


async def test_a_retraction_that_took_effect_is_summed_apart(
    db: Database, vault: Vault, clock: FixedClock
) -> None:
    world = World(db, vault, clock)
    await world.enact()
    [retraction] = await world.record(trip())
    async with db.transaction() as tx:
        applied = evidence.Decision(retraction, "applied", None, None, None, None, clock.now())
        await evidence.decide(tx, [applied])
    clock.advance(days=1)
    stated = await state_day(db, clock, TZ, "metro", DAY)
    assert stated.sums == [DaySum(SCENARIO, "applied", 1, 0, {})]


async def test_a_day_in_many_uploads_and_parts(
    db: Database, vault: Vault, clock: FixedClock
) -> None:
    """Uploads of two days; the statement is what an independent sort and tree make of them."""
    world = World(db, vault, clock)
    await world.enact()
    for day in range(2):
        for size in (700, 1, 700):
            await world.record(*(trip(n % 2, minute=n % 60) for n in range(size)))
        clock.advance(days=1 - day)
    clock.advance(days=1)
    for day in (DAY, DAY + timedelta(days=1)):
        found = await rows(db, "SELECT event_digest, recorded_at FROM evidence")
        digests = sorted(r["event_digest"] for r in found if city_day(r["recorded_at"], TZ) == day)
        statement = await close_day(db, clock, TZ, "metro", day)
        tree = statements.build_tree(b"".join(digests))
        assert (statement.count, statement.root) == (1_401, tree.root)
        async with db.transaction(readonly=True) as tx:
            for digest in digests[::100]:
                way = await statements.statement_path(tx, "metro", day, digest)
                assert way is not None
                assert digests[way.index] == digest
            for absent in (bytes(32), b"\xff" * 32, sm3(b"never sent")):
                assert await statements.statement_path(tx, "metro", day, absent) is None


async def test_the_worker_closes_the_day_that_ended(
    db: Database, vault: Vault, clock: FixedClock
) -> None:
    world = World(db, vault, clock)
    await world.enact()
    await add_statement_key(db, vault, clock)
    async with db.transaction() as tx:
        await partners.register_partner(
            tx, "bus", "公交", required_scheme="v1", scenarios=[], now=clock.now()
        )
    await world.record(trip())
    assert await close_yesterday(db, clock, TZ) == 0
    clock.advance(days=1)
    assert await close_yesterday(db, clock, TZ) == 1
    assert await close_yesterday(db, clock, TZ) == 0
    found = await rows(db, "SELECT partner_id, day, count FROM statement")
    assert [tuple(row.values()) for row in found] == [("metro", DAY, 1)]


@pytest.mark.parametrize(
    ("day", "zone", "hours"),
    [
        (date(2026, 11, 22), "Asia/Shanghai", 24),
        (date(2026, 3, 29), "Europe/Berlin", 23),
        (date(2026, 10, 25), "Europe/Berlin", 25),
        (date(2018, 11, 4), "America/Sao_Paulo", 23),  # its midnight does not exist
        (date(2018, 2, 17), "America/Sao_Paulo", 25),  # its last hour comes twice
    ],
)
def test_bounds_of_a_day(day: date, zone: str, hours: int) -> None:
    start, end = day_bounds(day, zone)
    assert end - start == timedelta(hours=hours)
    instant = timedelta(microseconds=1)
    assert city_day(start, zone) == city_day(end - instant, zone) == day
    assert city_day(start - instant, zone) == day - timedelta(days=1)
    assert city_day(end, zone) == day + timedelta(days=1)
