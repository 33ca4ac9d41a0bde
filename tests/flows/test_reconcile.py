"""Reconcile and audit: they hold while points are in flight and name a row planted wrong."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from backend.chain import ChainClient
from backend.chain.contracts import BatchContent, BatchHeader, make_records, post_gas, post_input
from backend.flows.anchor_log import anchor_log
from backend.flows.audit_batch import UnknownBatch, audit_batch
from backend.flows.post_points import post_points
from backend.flows.reconcile import reconcile
from backend.kit.clock import day_number
from backend.kit.db import Database
from backend.kit.ids import new_id
from tests.chain.support import NodeProcess, executed
from tests.flows.chain_world import (
    CLASS,
    DAY,
    NOW,
    PROGRAMME,
    RULE,
    ChainWorld,
    account_of,
    chain_world,
)

pytestmark = pytest.mark.chain


@pytest.fixture
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    node = NodeProcess(tmp_path_factory.mktemp("node"))
    node.start()
    yield node
    node.kill()


@pytest.fixture
async def world(db: Database, node: NodeProcess) -> AsyncIterator[ChainWorld]:
    async with chain_world(db, node) as world:
        yield world


async def as_owner(url_of: Any, sql: str, *args: Any) -> None:
    """Change history as only the tables' owner could: the planted fault."""
    connection = await asyncpg.connect(url_of("owner"))
    try:
        await connection.execute(sql, *args)
    finally:
        await connection.close()


async def test_it_holds_at_every_stage(world: ChainWorld) -> None:
    async def holds() -> None:
        report = await reconcile(world.db, world.access)
        assert report.differences == []

    await holds()
    await world.award([(1, 10), (2, 5), (1, 4)])
    await holds()
    await world.seal_transfers()
    await holds()
    await anchor_log(world.db, world.access, NOW)
    await holds()
    await post_points(world.db, world.access, NOW)
    await holds()
    await world.award([(3, 8), (1, 1)])
    await world.seal_transfers()
    report = await reconcile(world.db, world.access)
    assert report.holds
    assert (report.posted_size, report.log_size, report.sealed_unposted_count) == (3, 5, 2)
    assert report.ledger_points == {CLASS: [28, 0, 0]}


async def test_it_holds_while_events_pour_in(world: ChainWorld) -> None:
    stopping = asyncio.Event()

    async def pour() -> None:
        round_ = 0
        while not stopping.is_set():
            await world.award([(n % 40, 1 + n % 7) for n in range(round_, round_ + 60)])
            await world.seal_transfers()
            now = NOW + timedelta(seconds=round_)
            await anchor_log(world.db, world.access, now)
            await post_points(world.db, world.access, now)
            round_ += 1

    pouring = asyncio.create_task(pour())
    posted = set[int]()
    rounds = 0
    # However slow the machine is: until the chain has moved under the comparison.
    while rounds < 25 or len(posted) < 4:
        rounds += 1
        report = await reconcile(world.db, world.access)
        assert report.differences == []
        posted.add(report.posted_size)
        await asyncio.sleep(0.02)
    stopping.set()
    await pouring


async def posted_world(world: ChainWorld) -> None:
    await world.award([(1, 10), (2, 5)])
    await world.seal_transfers()
    await anchor_log(world.db, world.access, NOW)
    await post_points(world.db, world.access, NOW)
    assert (await reconcile(world.db, world.access)).holds


async def test_a_transfer_planted_in_the_ledger_is_named(world: ChainWorld) -> None:
    await posted_world(world)
    citizen = await world.citizen(1)
    planted = new_id()
    async with world.db.transaction() as tx:
        await tx.execute(
            """INSERT INTO transfer (transfer_id, act, reason, citizen_id, class, amount,
                   programme_id, city_day, created_at)
               VALUES ($1, 'award', 0, $2, $3, 99, $4, $5, $6)""",
            planted,
            citizen,
            CLASS,
            PROGRAMME,
            DAY,
            NOW,
        )
    (difference,) = (await reconcile(world.db, world.access)).differences
    assert str(planted) in difference.subject
    assert "99" in difference.ours


async def test_a_changed_leaf_is_named(world: ChainWorld, url_of: Any) -> None:
    await posted_world(world)
    await as_owner(url_of, "UPDATE leaf SET amount = 11 WHERE index = 0")
    differences = (await reconcile(world.db, world.access)).differences
    assert any("leaf 0" in d.subject and "11" in d.theirs for d in differences)
    assert any(account_of(1).hex() in d.subject and "issued" in d.subject for d in differences)


async def test_a_changed_leaf_hash_is_named(world: ChainWorld, url_of: Any) -> None:
    await posted_world(world)
    await as_owner(url_of, "UPDATE leaf SET leaf_hash = sha256('x') WHERE index = 1")
    differences = (await reconcile(world.db, world.access)).differences
    assert {d.where for d in differences} == {"log", "log against chain"}


async def plant_on_chain(world: ChainWorld, account: bytes, points: int) -> None:
    """A post that no leaf of ours explains, by a key that may send."""
    day = day_number(DAY)
    first = int.from_bytes(account[:4], "big")
    header = BatchHeader(1, CLASS, PROGRAMME, RULE, 1, 0, first, first + 1, bytes(20), b"\xff" * 20)
    content = BatchContent(day, day + 1, make_records([(account, points)]))
    await executed(
        world.client,
        world.node.keys.anchor,
        world.access.points,
        post_input(header, content),
        gas=post_gas(1),
    )


async def test_points_planted_on_the_chain_are_named(world: ChainWorld) -> None:
    await posted_world(world)
    await plant_on_chain(world, account_of(2), 3)
    await plant_on_chain(world, account_of(77), 4)
    differences = (await reconcile(world.db, world.access)).differences
    assert [d.subject for d in differences] == [
        f"account {account_of(2).hex()} of class {CLASS}, issued",
        f"total of class {CLASS}, issued",
    ]


async def test_a_batch_is_redone_from_its_leaves(world: ChainWorld, url_of: Any) -> None:
    await posted_world(world)
    (row,) = await world.rows("SELECT batch_id FROM chain_batch")
    found = await audit_batch(world.db, world.access, row["batch_id"])
    assert found.holds
    assert (found.account_count, found.total) == (2, 15)

    await as_owner(url_of, "UPDATE leaf SET amount = 6 WHERE index = 1")
    found = await audit_batch(world.db, world.access, row["batch_id"])
    assert any(account_of(2).hex() in sentence for sentence in found.differences)
    with pytest.raises(UnknownBatch):
        await audit_batch(world.db, world.access, bytes(32))


async def test_it_holds_on_an_engine_without_old_state(world: ChainWorld) -> None:
    """Such an engine shows only its newest state: what moves meanwhile is bounded instead."""
    forgetful = replace(world.client.profile, historical_state=False)
    async with ChainClient(world.node.url, forgetful) as client:
        access = replace(world.access, client=client)
        stopping = asyncio.Event()

        async def pour() -> None:
            while not stopping.is_set():
                await world.award([(n, 1) for n in range(20)])
                await world.seal_transfers()
                await anchor_log(world.db, world.access, NOW)
                await post_points(world.db, world.access, NOW)

        pouring = asyncio.create_task(pour())
        for _ in range(15):
            assert (await reconcile(world.db, access)).differences == []
        stopping.set()
        await pouring
        # Quiet again, a planted point is named as it is elsewhere.
        assert (await reconcile(world.db, access)).holds
        await plant_on_chain(world, account_of(2), 3)
        differences = (await reconcile(world.db, access)).differences
        assert account_of(2).hex() in differences[0].subject


async def test_points_of_an_unknown_account_are_named_before_any_post(world: ChainWorld) -> None:
    await world.award([(1, 5)])
    await plant_on_chain(world, account_of(77), 4)
    (difference,) = (await reconcile(world.db, world.access)).differences
    assert difference.subject == f"total of class {CLASS}, issued"
