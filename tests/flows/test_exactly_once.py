"""Senders killed at each of their durable steps: every batch takes effect exactly once."""

from collections.abc import AsyncIterator, Iterator

import pytest

from backend.chain import open_keys
from backend.kit.db import Database
from tests.chain.support import NodeProcess
from tests.conftest import UrlOf
from tests.flows.chain_world import chain_world
from tests.flows.crash_world import CrashCity, Senders, activity, senders, violations
from tests.flows.sender_child import STEPS

pytestmark = pytest.mark.chain

KILLS_PER_STEP = 10


@pytest.fixture(scope="module")
def parent() -> Iterator[Senders]:
    with senders() as opened:
        yield opened


@pytest.fixture
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """A node for an installation with two posting lanes."""
    var = tmp_path_factory.mktemp("node")
    open_keys(var / "keys", post_lanes=2)
    node = NodeProcess(var)
    node.start()
    yield node
    node.kill()


@pytest.fixture
async def city(
    db: Database, node: NodeProcess, url_of: UrlOf, parent: Senders
) -> AsyncIterator[CrashCity]:
    async with chain_world(db, node) as world:
        city = CrashCity(world, parent, url_of("app"), node.url)
        await city.found()
        yield city


async def test_a_kill_at_every_step(city: CrashCity) -> None:
    for step in STEPS:
        await city.kill(step, 1)
    assert await city.run() == 0
    assert await violations(city.world) == []


@pytest.mark.crash
async def test_many_kills_at_every_step(city: CrashCity) -> None:
    """Each step is met at another of its occurrences; what one child leaves, the next one finds."""
    for kill in range(KILLS_PER_STEP):
        for step in STEPS:
            often = not step.startswith(("cut.", "anchor."))
            await city.kill(step, 1 + kill % 4 if often else 1)
    assert await city.run() == 0
    assert await violations(city.world) == []


async def test_control_a_sender_that_sends_before_it_is_durable(city: CrashCity) -> None:
    """Killed before its commit it forgets what it sent: the suite must see the doubled points."""
    await city.kill("cut.uncommitted", 1, broken="sends before it is durable")
    await activity(city.world)
    assert await city.run() == 0
    found = await violations(city.world)
    assert any("none of ours" in said for said in found)
    assert any(said.startswith("log against chain: total of class carbon") for said in found)
