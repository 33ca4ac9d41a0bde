"""A node that lies, stalls, forgets and dies: every batch takes effect exactly once."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from backend.chain import ChainClient, open_keys
from backend.flows.post_points import PostSettings
from backend.kit.db import Database
from tests.chain.support import NodeProcess
from tests.flows.chain_world import NOW, ChainWorld, chain_world
from tests.flows.crash_world import activity, founded, violations
from tests.flows.faulty_node import ANYWHERE, RECEIPTS, SENDING, faulty_node
from tests.flows.sender_child import finish

pytestmark = pytest.mark.chain

SEND = "eth_sendRawTransaction"
FEW = PostSettings(accounts_max=10)
LIES = SENDING[:2]
ANSWER_WITHIN_S = 0.4


@pytest.fixture
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    var = tmp_path_factory.mktemp("node")
    open_keys(var / "keys", post_lanes=2)
    node = NodeProcess(var)
    node.start()
    yield node
    node.kill()


@pytest.fixture
async def world(db: Database, node: NodeProcess) -> AsyncIterator[ChainWorld]:
    async with chain_world(db, node) as world:
        await founded(world)
        await finish(world.db, world.access, NOW, FEW)
        yield world


class Turns:
    """Every fourth request of a kind meets that fault, of those that fit it, that was met least."""

    def __init__(self) -> None:
        self.met = Counter[str]()
        self._requests = Counter[str]()

    def __call__(self, methods: Sequence[str]) -> str:
        self._requests[methods[0]] += 1
        if self._requests[methods[0]] % 4:
            return ""
        special = {SEND: LIES, "eth_getTransactionReceipt": RECEIPTS}.get(methods[0], ())
        fault = min((*special, *ANYWHERE), key=lambda name: self.met[name])
        self.met[fault] += 1
        return fault


async def through_faults(world: ChainWorld, each: int) -> None:
    """Activity over the bad connection until every fault was met `each` times."""
    now, turns = NOW + timedelta(minutes=1), Turns()
    async with (
        faulty_node(world.node.url, turns) as bad,
        ChainClient(bad.url, timeout_s=ANSWER_WITHIN_S) as client,
    ):
        access = replace(world.access, client=client)
        while min(turns.met[fault] for fault in (*ANYWHERE, *LIES, *RECEIPTS)) < each:
            await activity(world)
            now = await finish(world.db, access, now, FEW) + timedelta(seconds=1)
    assert await violations(world) == []


async def test_every_fault_once(world: ChainWorld) -> None:
    await through_faults(world, 1)


@pytest.mark.crash
async def test_every_fault_ten_times(world: ChainWorld) -> None:
    await through_faults(world, 10)


@pytest.mark.crash
async def test_twenty_deaths_of_the_node(world: ChainWorld, node: NodeProcess) -> None:
    """Killed with bytes on their way to it and with its answer on the way back, in turns."""
    deaths = 0
    sends = 0

    def every_third_send(methods: Sequence[str]) -> str:
        nonlocal sends
        if methods[0] != SEND or deaths == 20:
            return ""
        sends += 1
        return ("killed before", "killed after")[sends // 3 % 2] if sends % 3 == 0 else ""

    async def kill_and_start() -> None:
        nonlocal deaths
        deaths += 1
        node.kill()
        await asyncio.to_thread(node.start)

    now = NOW + timedelta(minutes=1)
    async with (
        faulty_node(node.url, every_third_send, kill_node=kill_and_start) as bad,
        ChainClient(bad.url) as client,
    ):
        access = replace(world.access, client=client)
        while deaths < 20:
            await activity(world)
            now = await finish(world.db, access, now, FEW) + timedelta(seconds=1)
    assert (bad.dealt["killed before"], bad.dealt["killed after"]) == (10, 10)
    assert await violations(world) == []
