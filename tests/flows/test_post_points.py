"""Points on the chain: sums, order, refusals, and nothing twice under kills."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from backend import proof
from backend.chain import ChainClient, DeploymentDiffers, NodeAway
from backend.chain.contracts import (
    accounts_call,
    budget_call,
    read_accounts,
    read_budget,
    selector,
)
from backend.flows.anchor_log import LogForked, anchor_log
from backend.flows.audit_batch import audit_batch
from backend.flows.deploy_chain import access_chain
from backend.flows.post_points import PostSettings, post_points
from backend.flows.reconcile import reconcile
from backend.flows.repost_batch import NotRefused, repost_batch
from backend.kit.db import Database
from tests.chain.support import NodeProcess, executed
from tests.flows.chain_world import (
    CLASS,
    NOW,
    PROGRAMME,
    ChainWorld,
    a_leaf,
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


async def test_account_ranges_split_a_large_cut(world: ChainWorld) -> None:
    await world.seal([a_leaf(account=n, amount=n + 1) for n in range(25)])
    await post_points(world.db, world.access, NOW, PostSettings(accounts_max=10))
    batches = await world.rows("SELECT account_count FROM chain_batch ORDER BY account_from")
    assert [b["account_count"] for b in batches] == [10, 10, 5]
    assert await balances(world, *range(25)) == [(n + 1, 0, 0) for n in range(25)]


async def test_inside_a_cut_issue_goes_before_redeem(world: ChainWorld) -> None:
    """The redemption lies before the award in the log; the chain would refuse it alone."""
    await world.seal([a_leaf(act="redeem", amount=4), a_leaf(amount=10)])
    await post_points(world.db, world.access, NOW)
    assert await balances(world, 1) == [(10, 4, 0)]


async def test_a_reversal_may_leave_a_debt(world: ChainWorld) -> None:
    await world.seal([a_leaf(amount=10), a_leaf(act="redeem", amount=10)])
    await post_points(world.db, world.access, NOW)
    await world.seal([a_leaf(act="reverse", amount=10)])
    await post_points(world.db, world.access, NOW)
    assert await balances(world, 1) == [(10, 10, 10)]


async def test_a_refusal_stays_visible_and_holds_nobody_up(
    world: ChainWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    await world.seal([a_leaf(rule="never-enacted", account=1), a_leaf(account=2)])
    await post_points(world.db, world.access, NOW)
    refused = await world.rows("SELECT * FROM chain_batch WHERE state = 'refused'")
    assert [r["rule"] for r in refused] == ["never-enacted"]
    assert refused[0]["refused_reason"].startswith("CarbonPointsRuleNotEnacted(")
    assert "points.refused_by_chain" in capsys.readouterr().err
    assert await balances(world, 1, 2) == [(0, 0, 0), (10, 0, 0)]
    assert await world.rows("SELECT 1 FROM post_cut WHERE settled_at IS NULL") == []

    await world.seal([a_leaf(account=3)])
    await post_points(world.db, world.access, NOW)
    assert await balances(world, 3) == [(10, 0, 0)]
    report = await reconcile(world.db, world.access)
    assert report.refused_count == 1
    (refusal,) = [d for d in report.differences if d.where == "refused by the chain"]
    assert refused[0]["batch_id"].hex() in refusal.subject


async def test_an_exceeded_budget_is_refused_with_its_figures(
    db: Database, node: NodeProcess
) -> None:
    async with chain_world(db, node, cap=9) as world:
        await world.seal([a_leaf(amount=10)])
        await post_points(world.db, world.access, NOW)
        (row,) = await world.rows("SELECT refused_reason FROM chain_batch")
        assert row["refused_reason"].endswith(", 9, 0, 10)")
        assert row["refused_reason"].startswith("CarbonPointsBudgetExceeded(")


async def test_a_refused_batch_goes_through_once_its_cause_is_gone(
    db: Database, node: NodeProcess
) -> None:
    async with chain_world(db, node, cap=9) as world:
        await world.award([(1, 10)])
        await world.seal_transfers()
        await post_points(world.db, world.access, NOW)
        await world.award([(2, 4)])
        await world.seal_transfers()
        await post_points(world.db, world.access, NOW)
        (row,) = await world.rows("SELECT batch_id FROM chain_batch WHERE state = 'refused'")
        again = await repost_batch(world.db, world.access, row["batch_id"], NOW)
        assert again[0] == "refused"
        assert not (await reconcile(world.db, world.access)).holds

        await world.fund(100)
        assert await repost_batch(world.db, world.access, row["batch_id"], NOW) == ("final", None)
        assert await balances(world, 1, 2) == [(10, 0, 0), (4, 0, 0)]
        assert (await reconcile(world.db, world.access)).differences == []
        assert (await audit_batch(world.db, world.access, row["batch_id"])).differences == []
        with pytest.raises(NotRefused):
            await repost_batch(world.db, world.access, row["batch_id"], NOW)
        assert await balances(world, 1) == [(10, 0, 0)]


async def test_kills_of_the_node_post_nothing_twice_and_lose_nothing(world: ChainWorld) -> None:
    dice = random.Random(3)
    expected = Counter[int]()
    for round_ in range(4):
        leaves = [a_leaf(account=n, amount=round_ + 1) for n in range(150)]
        await world.seal(leaves)
        expected.update(dict.fromkeys(range(150), round_ + 1))

        async def work() -> None:
            # A worker that tries again, as the timetable does, until the cut has settled.
            while True:
                with suppress(NodeAway):
                    await anchor_log(world.db, world.access, NOW)
                    await post_points(world.db, world.access, NOW, PostSettings(accounts_max=40))
                    if not await world.rows("SELECT 1 FROM chain_tx WHERE settled_at IS NULL"):
                        cuts = await world.rows("SELECT max(leaf_to) AS size FROM post_cut")
                        if cuts[0]["size"] == len(world.planted):
                            return
                await asyncio.sleep(0.01)

        working = asyncio.create_task(work())
        await asyncio.sleep(dice.uniform(0.05, 0.5))
        world.node.kill()
        await asyncio.sleep(0.1)
        world.node.start()
        await asyncio.wait_for(working, 60)
    found = await balances(world, *range(150))
    assert found == [(expected[n], 0, 0) for n in range(150)]
    assert await world.rows("SELECT 1 FROM chain_tx WHERE state NOT IN ('final')") == []
    sent = await world.rows("SELECT count(*) AS n FROM chain_tx WHERE purpose = 'post'")
    assert await world.client.nonce(world.node.keys.post.address) == sent[0]["n"]


async def test_two_workers_cut_once(world: ChainWorld) -> None:
    await world.seal([a_leaf(account=n) for n in range(30)])
    await asyncio.gather(
        *(post_points(world.db, world.access, NOW, PostSettings(accounts_max=10)) for _ in range(4))
    )
    await post_points(world.db, world.access, NOW)
    assert await balances(world, *range(30)) == [(10, 0, 0)] * 30
    assert len(await world.rows("SELECT 1 FROM chain_batch")) == 3


async def test_history_cannot_be_rewritten_by_the_app(world: ChainWorld) -> None:
    await world.seal([a_leaf()])
    await anchor_log(world.db, world.access, NOW)
    await post_points(world.db, world.access, NOW)
    for statement in (
        "UPDATE chain_batch SET records = '\\x00'",
        "UPDATE chain_tx SET raw = '\\x00'",
        "UPDATE anchor SET root = sha256('x')",
        "UPDATE deployment SET address = address",
        "DELETE FROM chain_tx",
        "DELETE FROM chain_batch",
        "DELETE FROM post_cut",
        "DELETE FROM anchor",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with world.db.transaction() as tx:
                await tx.execute(statement)


async def test_a_log_that_forked_is_not_anchored(world: ChainWorld, url_of: Any) -> None:
    await world.seal([a_leaf(), a_leaf()])
    await anchor_log(world.db, world.access, NOW)
    owner = await asyncpg.connect(url_of("owner"))
    try:
        await owner.execute("UPDATE log_node SET hash = sha256('x')")
    finally:
        await owner.close()
    async with world.db.transaction() as tx:
        await proof.add_checkpoint(tx, proof.Checkpoint(3, b"\x05" * 32, "unsigned\n"), NOW)
    with pytest.raises(LogForked):
        await anchor_log(world.db, world.access, NOW)


async def test_a_refused_anchor_is_prepared_again(
    world: ChainWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paused between the look and the block: the anchor fails, and goes through afterwards."""
    pause, unpause = selector("pause()"), selector("unpause()")
    auditor, anchor = world.node.keys.auditor, world.access.anchor
    await executed(world.client, auditor, anchor, pause)
    await world.seal([a_leaf()])
    monkeypatch.setattr("backend.flows.anchor_log.paused", not_yet_paused)
    await anchor_log(world.db, world.access, NOW)
    assert await world.rows("SELECT state, reason FROM chain_tx") == [
        {"state": "failed", "reason": "EnforcedPause()"}
    ]
    await executed(world.client, auditor, anchor, unpause)
    await anchor_log(world.db, world.access, NOW)
    (row,) = await world.rows("SELECT size, final_at FROM anchor")
    assert row == {"size": 1, "final_at": NOW}


async def not_yet_paused(_client: ChainClient, _contract: str) -> bool:
    return False


async def test_another_chain_is_not_taken_for_ours(
    world: ChainWorld, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = NodeProcess(tmp_path_factory.mktemp("other"))
    other.start()
    try:
        async with ChainClient(other.url) as client:
            with pytest.raises(DeploymentDiffers, match="another chain"):
                await access_chain(world.db, client, world.node.keys)
    finally:
        other.kill()
