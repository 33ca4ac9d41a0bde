"""Several keys post side by side: the same sums, the same order per account, one effect each."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest

from backend.chain import ChainClient, Signer, deploy, open_keys
from backend.chain.contracts import ACCOUNT_HIGHEST, ACCOUNT_LOWEST
from backend.flows.anchor_log import anchor_log
from backend.flows.audit_batch import audit_batch
from backend.flows.deploy_chain import access_chain
from backend.flows.government_lane import Government
from backend.flows.open_lanes import open_lanes
from backend.flows.post_points import PostSettings, post_points
from backend.flows.reconcile import reconcile
from backend.flows.repost_batch import repost_refused
from backend.kit.clock import SystemClock
from backend.kit.db import Database
from tests.chain.support import NodeProcess, executed
from tests.flows.chain_world import NOW, ChainWorld, chain_world
from tests.flows.test_post_points import balances

pytestmark = pytest.mark.chain

LANES = 4
DELAY_S = 8


@pytest.fixture
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    var = tmp_path_factory.mktemp("node")
    open_keys(var / "keys", post_lanes=LANES)
    node = NodeProcess(var)
    node.start()
    yield node
    node.kill()


@pytest.fixture
async def world(db: Database, node: NodeProcess) -> AsyncIterator[ChainWorld]:
    """A chain whose four posting lanes had their keys before it was deployed."""
    async with chain_world(db, node) as world:
        assert len(world.access.lanes) == LANES
        yield world


async def work(world: ChainWorld, settings: PostSettings) -> None:
    await post_points(world.db, world.access, NOW, settings)


async def nonces_used(world: ChainWorld) -> list[int]:
    return [await world.client.nonce(signer.address) for signer in world.access.keys.posts]


async def test_lanes_share_the_accounts_and_keep_their_order(world: ChainWorld) -> None:
    # The redemptions lie before the awards that cover them: each lane must send its awards first.
    await world.transfer("redeem", [(n, 1) for n in range(0, 80, 2)])
    await world.award([(n, n + 1) for n in range(80)])
    await world.seal_transfers()
    await work(world, PostSettings(accounts_max=10))
    await anchor_log(world.db, world.access, NOW)
    assert await balances(world, *range(80)) == [(n + 1, 1 - n % 2, 0) for n in range(80)]
    await ranges_cover_every_account_once(world)
    anchors = await world.rows("SELECT DISTINCT lane FROM chain_tx WHERE purpose = 'anchor'")
    assert anchors == [{"lane": world.node.keys.anchor.address}]

    for lanes in (3, 1, 4):  # The setting says how many of the admitted lanes a cut uses.
        await world.award([(n, 1) for n in range(40)])
        await world.seal_transfers()
        before = await nonces_used(world)
        await work(world, PostSettings(lanes=lanes, accounts_max=8))
        used = [after - b for after, b in zip(await nonces_used(world), before, strict=True)]
        assert sum(count > 0 for count in used) == lanes
    await nothing_amiss(world)


async def ranges_cover_every_account_once(world: ChainWorld) -> None:
    for kind in (1, 2):
        rows = await world.rows(
            """SELECT b.account_from, b.account_to, t.lane FROM chain_batch b
               JOIN chain_tx t USING (tx_id) WHERE b.kind = $1 ORDER BY b.account_from""",
            kind,
        )
        assert (rows[0]["account_from"], rows[-1]["account_to"]) == (
            ACCOUNT_LOWEST,
            ACCOUNT_HIGHEST,
        )
        for one, following in pairwise(rows):
            end, start = one["account_to"], following["account_from"]
            assert int.from_bytes(start, "big") == int.from_bytes(end, "big") + 1
        lanes = [row["lane"] for row in rows]
        assert lanes == sorted(lanes, key=[s.address for s in world.access.lanes].index)
        assert len(set(lanes)) == LANES


async def nothing_amiss(world: ChainWorld) -> None:
    assert (await reconcile(world.db, world.access)).differences == []
    for row in await world.rows("SELECT batch_id FROM chain_batch"):
        assert (await audit_batch(world.db, world.access, row["batch_id"])).differences == []
    for signer in world.access.lanes:
        rows = await world.rows(
            "SELECT nonce FROM chain_tx WHERE lane = $1 ORDER BY nonce", signer.address
        )
        used = await world.client.nonce(signer.address)
        assert [row["nonce"] for row in rows] == list(range(used))


async def test_a_budget_holds_across_lanes(world: ChainWorld) -> None:
    """All lanes draw on one cap: what exceeds it is refused, and passes once it is raised."""
    await world.fund(200)
    await world.award([(n, 10) for n in range(40)])
    await world.seal_transfers()
    await work(world, PostSettings(accounts_max=5))
    totals = await world.rows("SELECT state, sum(total)::bigint AS n FROM chain_batch GROUP BY 1")
    posted = {row["state"]: row["n"] for row in totals}
    assert posted["final"] <= 200
    assert posted["refused"] == 400 - posted["final"]
    await world.fund(400)
    await repost_refused(world.db, world.access, NOW)
    await nothing_amiss(world)
    assert await balances(world, *range(40)) == [(10, 0, 0)] * 40


async def test_a_lane_posts_once_the_timelock_admits_it(
    db: Database, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Added to a running city: funded, announced, admitted after the delay; and only then used."""
    node = NodeProcess(tmp_path_factory.mktemp("node"))
    node.start()
    try:
        async with ChainClient(node.url) as client:
            await deploy(client, node.keys, upgrade_delay_s=DELAY_S)
        async with chain_world(db, node) as world:
            keys = open_keys(node.var / "keys", post_lanes=2)
            world.access = await access_chain(db, world.client, keys)
            assert [signer.address for signer in world.access.lanes] == [keys.post.address]
            await world.award([(n, 1) for n in range(20)])
            await world.seal_transfers()
            await work(world, PostSettings(accounts_max=5))
            assert await world.client.nonce(keys.more_posts[0].address) == 0

            async with db.transaction() as tx:
                await tx.execute(
                    "INSERT INTO chain_lane (lane, next_nonce) VALUES ($1, $2)",
                    keys.government.address,
                    await world.client.nonce(keys.government.address),
                )
            government = Government(db, SystemClock(), world.client, keys.government)
            monkeypatch.setattr("backend.flows.open_lanes.WAIT_S_MAX", 0)
            for _ in range(2):
                announced = await open_lanes(government, keys)
                assert [lane.admitted for lane in announced.lanes] == [True, False]
                assert announced.lanes[1].balance_wei > 0
                assert announced.ready_at > 0
            # Every block of the embedded node is at least a second after the one before.
            for _ in range(DELAY_S):
                await executed(world.client, keys.auditor, keys.auditor.address, b"")
            opened = await open_lanes(government, keys)
            assert ([lane.admitted for lane in opened.lanes], opened.ready_at) == ([True, True], 0)
            assert await open_lanes(government, keys) == opened
            retired = replace(keys, post=Signer(b"\x07" * 32))
            access = await access_chain(db, world.client, retired)
            assert access.lanes == list(keys.more_posts), "also the first lane must be admitted"

            world.access = await access_chain(db, world.client, keys)
            await world.award([(n, 1) for n in range(20)])
            await world.seal_transfers()
            await work(world, PostSettings(accounts_max=5))
            assert await world.client.nonce(keys.more_posts[0].address) > 0
            await nothing_amiss(world)
    finally:
        node.kill()


async def test_cuts_keep_their_interval_unless_they_are_full(
    world: ChainWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    every_minute = PostSettings(interval_s=60)

    async def cuts_after(seconds: int) -> int:
        await world.award([(1, 1), (2, 1)])
        await world.seal_transfers()
        await post_points(world.db, world.access, NOW + timedelta(seconds=seconds), every_minute)
        return len(await world.rows("SELECT 1 FROM post_cut"))

    assert [await cuts_after(seconds) for seconds in (0, 30, 59, 60, 61)] == [1, 1, 1, 2, 2]
    monkeypatch.setattr("backend.flows.post_points.LEAVES_PER_CUT_MAX", 4)
    assert await cuts_after(62) == 3
