"""Reversals: a counter-entry with a reason, once, and what it leaves behind."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from backend import incentive, ledger
from backend.flows.reverse_points import reverse_points
from backend.kit.clock import FixedClock
from backend.kit.db import Database
from backend.kit.ids import new_id
from backend.kit.vault import Vault
from tests.flows.award_world import World, rows, trip


@pytest.fixture
async def world(db: Database, vault: Vault, clock: FixedClock) -> World:
    world = World(db, vault, clock)
    await world.enact()
    return world


async def an_award(world: World, **options: Any) -> UUID:
    await world.record(trip(**options))
    await world.award()
    [found] = await rows(
        world.db, "SELECT transfer_id FROM transfer ORDER BY transfer_id DESC LIMIT 1"
    )
    return found["transfer_id"]


async def reverse(world: World, of: UUID, **options: Any) -> ledger.Reversal:
    values: dict[str, Any] = {"note": "重复上报", "city_tz": "Asia/Shanghai"} | options
    return await reverse_points(world.db, world.clock, of_transfer=of, **values)


async def balance(world: World) -> ledger.Balance:
    async with world.db.transaction() as tx:
        return await ledger.balance_of(tx, world.people[0], "carbon")


async def test_a_reversal_is_a_counter_entry_that_asks_for_a_leaf(world: World) -> None:
    of = await an_award(world, distance_m=20_000)
    reversal = await reverse(world, of)
    assert (reversal.amount, reversal.of_transfer, reversal.repeated) == (44, of, False)
    [row] = await rows(world.db, "SELECT * FROM transfer WHERE act = 'reverse'")
    assert (row["reason"], row["amount"], row["note"]) == (2, 44, "重复上报")
    assert (row["programme_id"], row["rule_id"], row["rule_version"]) == (None, None, None)
    assert row["city_day"].isoformat() == "2026-11-22"
    queued = await rows(world.db, "SELECT ref FROM unsealed WHERE kind = 1")
    assert {each["ref"] for each in queued} == {of, reversal.transfer_id}
    assert await balance(world) == ledger.Balance(0, 0, 0, ())
    assert (await world.recomputed()).differences == []


async def test_reversing_twice_answers_the_same(world: World) -> None:
    of = await an_award(world)
    first = await reverse(world, of)
    again = await reverse(world, of)
    assert (again.transfer_id, again.repeated) == (first.transfer_id, True)
    with pytest.raises(ledger.LedgerError, match="idempotency-conflict"):
        await reverse(world, of, note="另一个原因")
    with pytest.raises(ledger.LedgerError, match="already-reversed"):
        await reverse(world, of, idempotency_key="another")
    assert len(await rows(world.db, "SELECT 1 FROM transfer WHERE act = 'reverse'")) == 1


async def test_two_officials_at_once_reverse_once(world: World) -> None:
    of = await an_award(world)
    answers = await asyncio.gather(
        *(reverse(world, of, idempotency_key=f"key-{n}") for n in range(4)), return_exceptions=True
    )
    assert sum(isinstance(each, ledger.Reversal) for each in answers) == 1
    assert {e.name for e in answers if isinstance(e, ledger.LedgerError)} == {"already-reversed"}
    assert (await world.recomputed()).differences == []


async def test_a_reversal_gives_back_neither_caps_nor_budget(world: World) -> None:
    """Or an award, reversed and earned again, would slip under every cap."""
    of = await an_award(world, distance_m=25_000)
    await reverse(world, of)
    second = await an_award(world, distance_m=25_000, minute=10)
    [row] = await rows(world.db, "SELECT amount FROM award WHERE transfer_id = $1", second)
    assert row["amount"] == 60 - 54
    async with world.db.transaction() as tx:
        [budget] = await incentive.budgets(tx)
    assert budget.issued == 60
    assert (await world.recomputed()).differences == []


async def test_unknown_awards_and_empty_reasons_are_refused(world: World) -> None:
    of = await an_award(world)
    with pytest.raises(ledger.LedgerError, match="unknown-transfer"):
        await reverse(world, new_id())
    with pytest.raises(ledger.LedgerError, match="bad-note"):
        await reverse(world, of, note=" ")
    assert (await balance(world)).available == 27


async def test_awards_and_reversals_of_one_person_at_once(world: World) -> None:
    first = await an_award(world, distance_m=20_000)
    for n in range(4):
        await world.record(trip(distance_m=4_000, minute=10 + n))
    await asyncio.gather(
        reverse(world, first), *(world.award(limit=1) for _ in range(4)), return_exceptions=False
    )
    while (await world.award()).items:
        pass
    now = await balance(world)
    assert now.available - now.debt == 16
    assert (await world.recomputed()).differences == []
