"""Points on the chain: sums, order, refusals, and nothing twice under kills."""

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta

import pytest

from backend.chain.contracts import accounts_call, read_accounts, read_budget, budget_call
from backend.flows.anchor_log import anchor_log
from backend.flows.post_points import post_points
from backend.kit.db import Database
from tests.chain.support import NodeProcess
from tests.flows.chain_world import CLASS, NOW, PROGRAMME, ChainWorld, a_leaf, account_of, chain_world

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


async def balances(world: ChainWorld, *numbers: int) -> list[tuple[int, int, int]]:
    output = await world.client.call(
        world.access.points, accounts_call(CLASS, [account_of(n) for n in numbers])
    )
    return [(a.issued, a.redeemed, a.retired) for a in read_accounts(output)]


async def test_sums_of_a_cut_reach_the_accounts(world: ChainWorld) -> None:
    await world.seal([a_leaf(account=1, amount=10), None, a_leaf(account=1, amount=5)])
    await world.seal([a_leaf(account=2, amount=7), a_leaf(act="reverse", account=1, amount=5)])

    assert await post_points(world.db, world.access, NOW) > 0

    assert await balances(world, 1, 2, 3) == [(15, 0, 5), (7, 0, 0), (0, 0, 0)]
    cuts = await world.rows("SELECT leaf_from, leaf_to, settled_at FROM post_cut")
    assert cuts == [{"leaf_from": 0, "leaf_to": 5, "settled_at": NOW}]
    batches = await world.rows("SELECT kind, state, total FROM chain_batch ORDER BY kind")
    assert [(b["kind"], b["state"], b["total"]) for b in batches] == [
        (1, "final", 22),
        (3, "final", 5),
    ]
    cap, issued = read_budget(await world.client.call(world.access.points, budget_call(PROGRAMME)))
    assert (cap, issued) == (1_000_000, 22)
    assert await post_points(world.db, world.access, NOW) == 0


async def test_a_cut_without_transfers_settles_at_once(world: ChainWorld) -> None:
    await world.seal([None, None])
    await post_points(world.db, world.access, NOW)
    assert await world.rows("SELECT leaf_to, settled_at FROM post_cut") == [
        {"leaf_to": 2, "settled_at": NOW}
    ]
    assert await world.rows("SELECT * FROM chain_batch") == []


async def test_anchored_leaves_are_final(world: ChainWorld) -> None:
    size = await world.seal([a_leaf(), a_leaf()])
    assert await anchor_log(world.db, world.access, NOW) == 2
    (row,) = await world.rows("SELECT a.*, t.state FROM anchor a JOIN chain_tx t USING (tx_id)")
    assert (row["size"], row["final_at"], row["state"]) == (size, NOW, "final")
    assert row["block"] is not None
    assert await anchor_log(world.db, world.access, NOW) == 0
    await world.seal([a_leaf()])
    later = NOW + timedelta(seconds=5)
    assert await anchor_log(world.db, world.access, later) == 2
