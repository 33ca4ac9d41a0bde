"""What the chain refuses: visible with its reason, freed by nothing, sent again when it passes."""

import json
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import pytest

from backend import views
from backend.chain.contracts import EnactmentTerms, selector
from backend.flows.anchor_log import anchor_log
from backend.flows.audit_batch import audit_batch
from backend.flows.post_points import post_points
from backend.flows.reconcile import reconcile
from backend.flows.recut_batch import NothingPasses, Recut, recut_batch
from backend.flows.repost_batch import NotRefused, repost_refused
from backend.kit.clock import day_number
from backend.kit.db import Database
from tests.chain.support import APPROVERS, NodeProcess, executed
from tests.flows.chain_world import DAY, NOW, RULE, ChainWorld, chain_world
from tests.flows.test_post_points import balances, not_yet_paused

pytestmark = pytest.mark.chain

PAUSE, UNPAUSE = selector("pause()"), selector("unpause()")


@pytest.fixture
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    node = NodeProcess(tmp_path_factory.mktemp("node"))
    node.start()
    yield node
    node.kill()


@pytest.fixture
async def world(db: Database, node: NodeProcess) -> AsyncIterator[ChainWorld]:
    async with chain_world(db, node, cap=25) as world:
        yield world


async def award_and_post(world: ChainWorld, *awards: tuple[int, int]) -> None:
    await world.award(awards)
    await world.seal_transfers()
    await post_points(world.db, world.access, NOW)


async def refused(world: ChainWorld) -> list[str]:
    rows = await world.rows(
        "SELECT refused_reason FROM chain_batch WHERE state = 'refused' ORDER BY leaf_from"
    )
    return [row["refused_reason"].split("(")[0] for row in rows]


async def backlog(world: ChainWorld) -> dict[str, int]:
    async with world.db.transaction(readonly=True) as tx:
        return await views.workload(tx)


async def held_by_the_ledger(world: ChainWorld) -> int:
    (row,) = await world.rows("SELECT sum(amount)::bigint AS points FROM transfer")
    return row["points"]


def logged(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


async def test_a_short_budget(world: ChainWorld, capsys: pytest.CaptureFixture[str]) -> None:
    await award_and_post(world, (1, 10))
    await award_and_post(world, (2, 20))
    await award_and_post(world, (3, 5))
    assert await refused(world) == ["CarbonPointsBudgetExceeded"]
    assert await balances(world, 1, 2, 3) == [(10, 0, 0), (0, 0, 0), (5, 0, 0)]
    (alarm,) = [line for line in logged(capsys) if line["event"] == "points.refused_by_chain"]
    assert (alarm["total"], alarm["reason"].split("(")[0]) == (20, "CarbonPointsBudgetExceeded")
    assert (await backlog(world))["batches_refused"] == 1
    assert [d.where for d in (await reconcile(world.db, world.access)).differences] == [
        "refused by the chain"
    ]

    assert await repost_refused(world.db, world.access, NOW) == 0
    assert await refused(world) == ["CarbonPointsBudgetExceeded"]
    assert await held_by_the_ledger(world) == 35, "nothing is freed silently"
    assert await world.rows("SELECT 1 FROM chain_tx WHERE state = 'failed'") == [{"?column?": 1}]
    assert [line["batch_count"] for line in logged(capsys)] == [1]

    await award_and_post(world, (4, 30))
    await world.fund(36)
    assert await repost_refused(world.db, world.access, NOW) == 1
    assert await balances(world, 2, 4) == [(20, 0, 0), (0, 0, 0)]
    await world.fund(65)
    assert await repost_refused(world.db, world.access, NOW) == 1
    await holds(world)


async def holds(world: ChainWorld) -> None:
    """Everything is on the chain once, every batch as its leaves say, every nonce in use."""
    assert await refused(world) == []
    assert (await backlog(world))["batches_refused"] == 0
    assert (await reconcile(world.db, world.access)).differences == []
    for row in await world.rows("SELECT batch_id FROM chain_batch"):
        assert (await audit_batch(world.db, world.access, row["batch_id"])).differences == []


async def test_a_stopped_rule(world: ChainWorld) -> None:
    """Days behind the stop refuse the batch they are in; cut again, only they stay refused."""
    await world.fund(1_000)
    await stop_rule(world, day_number(DAY) + 1)
    await world.award([(1, 10), (2, 10)])
    await world.transfer("award", [(3, 10), (1, 1)], day=DAY + timedelta(days=1))
    await world.award([(4, 10)])
    await world.seal_transfers()
    await post_points(world.db, world.access, NOW)
    assert await refused(world) == ["CarbonPointsOutsideRuleWindow"]
    assert await repost_refused(world.db, world.access, NOW) == 0
    assert await balances(world, 1, 2, 3, 4) == [(0, 0, 0)] * 4

    (row,) = await world.rows("SELECT batch_id FROM chain_batch")
    assert await recut_batch(world.db, world.access, row["batch_id"], NOW) == Recut(2, 1)
    assert await balances(world, 1, 2, 3, 4) == [(10, 0, 0), (10, 0, 0), (0, 0, 0), (10, 0, 0)]
    assert await refused(world) == ["CarbonPointsOutsideRuleWindow"]
    (difference,) = (await reconcile(world.db, world.access)).differences
    assert "CarbonPointsOutsideRuleWindow" in difference.theirs
    assert difference.ours == "ledger and log hold 11 carbon", "nothing is freed silently"
    assert (await backlog(world))["batches_refused"] == 1
    pieces = await world.rows(
        "SELECT batch_id, state, leaf_from, leaf_to FROM chain_batch ORDER BY leaf_from, leaf_to"
    )
    assert [(p["state"], p["leaf_from"], p["leaf_to"]) for p in pieces] == [
        ("final", 0, 2),
        ("recut", 0, 5),
        ("refused", 2, 4),
        ("final", 4, 5),
    ]
    for piece in pieces:
        if piece["state"] == "final":
            assert (await audit_batch(world.db, world.access, piece["batch_id"])).holds
    with pytest.raises(NotRefused):
        await recut_batch(world.db, world.access, row["batch_id"], NOW)
    with pytest.raises(NothingPasses):
        await recut_batch(world.db, world.access, pieces[2]["batch_id"], NOW)
    assert await repost_refused(world.db, world.access, NOW) == 0


async def stop_rule(world: ChainWorld, day_to: int) -> None:
    """Both approvers sign that the rule ends with `day_to`."""
    from backend.chain import contracts as k

    chain_id = await world.client.chain_id()
    digest, day_from, _ = k.read_enacted(
        await world.client.call(world.access.registry, k.enacted_call(k.WHAT_RULE, RULE, 1))
    )
    terms = EnactmentTerms(k.WHAT_RULE, RULE, 1, digest, day_from, day_to)
    to_sign = k.enactment_digest(chain_id, world.access.registry, terms)
    signatures = [approver.sign_digest(to_sign) for approver in APPROVERS]
    data = k.enact_input(terms, *signatures)
    enact, stop = (
        selector(f"{name}((uint8,bytes32,uint32,bytes32,uint32,uint32),bytes,bytes)")
        for name in ("enact", "stop")
    )
    assert data.startswith(enact)
    await executed(world.client, world.node.keys.admin, world.access.registry, stop + data[4:])


async def test_while_paused_nothing_is_cut(
    world: ChainWorld, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for contract in (world.access.points, world.access.anchor):
        await executed(world.client, world.node.keys.auditor, contract, PAUSE)
    await world.award([(1, 10)])
    await world.seal_transfers()
    assert await post_points(world.db, world.access, NOW) == 0
    assert await anchor_log(world.db, world.access, NOW) == 0
    assert await world.rows("SELECT 1 FROM chain_tx") == []
    assert [line["event"] for line in logged(capsys)] == ["points.paused", "anchor.paused"]
    report = await reconcile(world.db, world.access)
    assert (report.differences, report.sealed_unposted_count) == ([], 1)

    # The auditor may also come between our look and the block.
    monkeypatch.setattr("backend.flows.post_points.paused", not_yet_paused)
    await post_points(world.db, world.access, NOW)
    assert await refused(world) == ["EnforcedPause"]
    assert await repost_refused(world.db, world.access, NOW) == 0

    for contract in (world.access.points, world.access.anchor):
        await executed(world.client, world.node.keys.auditor, contract, UNPAUSE)
    assert await repost_refused(world.db, world.access, NOW) == 1
    await anchor_log(world.db, world.access, NOW)
    await holds(world)
