"""Four validators lose members, split and come together again while batches are posted.

One network, one ledger, one log for all tests of this file, in their order: what one leaves behind
the next must bear. After each of them every award stands once on every validator.
"""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator

import pytest

from backend.chain import probe
from backend.chain.network import EngineMissing, find_kcn
from backend.kit.pg import Server
from tests.chain.support import CHAIN_ID
from tests.network.city import City, Service, service, settle_in

pytestmark = [pytest.mark.network, pytest.mark.timeout(240)]


def free_ports(count: int) -> int:
    """The first of `count` ports in a row that nobody listens on."""
    for first in range(21_000, 29_000, count):
        taken = False
        for port in range(first, first + count):
            with socket.socket() as trial:
                trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    trial.bind(("", port))
                except OSError:
                    taken = True
        if not taken:
            return first
    raise RuntimeError("no free ports")


@pytest.fixture(scope="module")
def city(
    tmp_path_factory: pytest.TempPathFactory, server: Server, module_database: str
) -> Iterator[City]:
    try:
        find_kcn()
    except EngineMissing as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{error}; CI=true makes it compulsory")
        pytest.skip(str(error))
    founded = City.found(tmp_path_factory.mktemp("city"), free_ports(20))
    try:
        asyncio.run(founded.network.up())
        asyncio.run(settle_in(founded, server.url("app", module_database)))
        yield founded
    finally:
        founded.network.stop(how=signal.SIGKILL)
        founded.links.close()


@pytest.fixture
def url(server: Server, module_database: str) -> str:
    return server.url("app", module_database)


@pytest.fixture
async def platform(city: City, url: str) -> AsyncIterator[Service]:
    async with service(city, url) as platform:
        yield platform


async def test_the_engine_meets_its_profile(city: City, platform: Service) -> None:
    assert await probe(platform.client, CHAIN_ID, city.keys.addresses()) == []
    async with platform.working():
        await platform.more_is_posted()
    await platform.check()
    assert platform.away == 0


async def test_one_dead_validator_stops_nothing(city: City, platform: Service) -> None:
    async with platform.working():
        city.network.stop([4], how=signal.SIGKILL)
        await platform.blocks_pass(5)
        await platform.more_is_posted()
        assert platform.away == 0
        city.network.start([4])
        await platform.more_is_posted()
    await platform.check()


async def test_the_sender_s_own_validator_dies(city: City, platform: Service, url: str) -> None:
    """Another validator answers just as well; what was handed to the dead one is sent again."""
    await platform.award()
    await platform.work()
    city.network.stop([1], how=signal.SIGKILL)
    await platform.work()
    assert platform.away == 2, "the node's absence must be noticed"
    async with service(city, url, number=2) as elsewhere:
        await elsewhere.all_is_posted()
    city.network.start([1])
    await platform.check()


async def test_two_dead_of_four_stall_and_resume(city: City, platform: Service) -> None:
    async with platform.working():
        city.network.stop([3, 4], how=signal.SIGKILL)
        await asyncio.sleep(2)
        before = await city.blocks()
        settled = await platform.posted()
        await asyncio.sleep(12)
        assert await city.blocks() == before, "two of four must not make a block"
        assert await platform.posted() == settled
        assert await platform.sealed() > settled, "the ledger goes on by itself"
        city.network.start([3, 4])
        await platform.more_is_posted(timeout_s=90)
    await platform.check()


async def test_two_against_two_then_healed(city: City, platform: Service, url: str) -> None:
    """Neither half can decide, so no two truths come about."""
    async with platform.working(), service(city, url, number=3) as far:
        city.links.cut([1, 2], [3, 4])
        await asyncio.sleep(2)
        before = await city.blocks()
        await far.work()
        await asyncio.sleep(12)
        assert await city.blocks() == before, "neither half must make a block"
        city.links.mend()
        await platform.more_is_posted(timeout_s=90)
    await platform.check()


async def test_all_four_lose_power(city: City, platform: Service) -> None:
    """What was called final before is there afterwards."""
    async with platform.working():
        await platform.more_is_posted()
        settled = await platform.posted()
        height = max((await city.blocks()).values())
        city.network.stop(how=signal.SIGKILL)
        await asyncio.sleep(1)
        await city.network.up(timeout_s=90)
        assert min((await city.blocks()).values()) >= height - 1
        await platform.more_is_posted(timeout_s=90)
        assert await platform.posted() > settled
    await platform.check()


async def test_a_lagging_node_answers(city: City, platform: Service, url: str) -> None:
    """Its old news neither settle nor double anything; what it is given is posted later."""
    city.links.cut([4], [1, 2, 3])
    await asyncio.sleep(2)
    await platform.award()
    await platform.all_is_posted()
    async with service(city, url, number=4) as late:
        height = (await city.blocks())[4]
        await late.award()
        for _ in range(5):
            await late.work()
            await asyncio.sleep(0.5)
        assert (await city.blocks())[4] == height < (await city.blocks())[1]
        assert await late.posted() < await late.sealed(), "nothing settles on old news"
    city.links.mend()
    await platform.check()


async def test_answers_from_two_nodes_in_turn(city: City, platform: Service) -> None:
    """A balancer before a fresh and a stale node: what one has seen the other denies."""
    async with city.client(4) as stale, city.client(1) as fresh:
        turn = 0
        asked = platform.client.request

        async def balanced(method: str, *params: object) -> object:
            nonlocal turn
            turn += 1
            return await (stale if turn % 2 else fresh).request(method, *params)

        city.links.cut([4], [1, 2, 3])
        platform.client.request = balanced  # pyright: ignore[reportAttributeAccessIssue]
        try:
            for _ in range(6):
                await platform.award()
                await platform.work()
                await asyncio.sleep(0.5)
        finally:
            platform.client.request = asked  # pyright: ignore[reportAttributeAccessIssue]
            city.links.mend()
    assert turn > 10
    await platform.check()


async def test_one_joins_and_one_leaves(city: City, platform: Service) -> None:
    async with platform.working():
        await city.network.add()
        seated = [s.validator.number for s in await city.network.status() if s.validates]
        assert seated == [1, 2, 3, 4, 5]
        await city.network.remove(2)
        await platform.more_is_posted(timeout_s=60)
    seated = [s.validator.number for s in await city.network.status() if s.validates]
    assert seated == [1, 3, 4, 5]
    await platform.check()
