"""Four validators lose members, split and come together again while batches are posted.

One network, one ledger, one log for all tests of this file, in their order: what one leaves behind
the next must bear. After each of them every award stands once on every validator.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from backend.chain import probe
from backend.chain.network.process import ValidatorProcess
from backend.kit.pg import Server
from tests.chain.support import CHAIN_ID, executed
from tests.network.city import City, Service, engine, free_ports, service, settle_in

pytestmark = [pytest.mark.network, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def city(
    tmp_path_factory: pytest.TempPathFactory, server: Server, module_database: str
) -> Iterator[City]:
    engine()
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
        height = min((await city.blocks()).values())
        final = await platform.client.block(height)
        city.network.stop(how=signal.SIGKILL)
        await asyncio.sleep(1)
        await city.network.up(timeout_s=90)
        assert await platform.client.block(height) == final
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


async def test_control_state_kept_in_memory_undoes_what_was_final(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine as it comes, without its archive: after a loss of power other blocks stand."""
    usual = ValidatorProcess._command

    def as_it_comes(process: ValidatorProcess) -> list[str]:
        command = usual(process)
        at = command.index("--gcmode")
        return command[:at] + command[at + 2 :]

    monkeypatch.setattr(ValidatorProcess, "_command", as_it_comes)
    city = City.found(tmp_path, free_ports(20))
    try:
        await city.network.up()
        async with city.client(1) as client:
            to = "0x" + "22" * 20
            done = [await executed(client, city.keys.post, to, bytes([n])) for n in range(4)]
            city.network.stop(how=signal.SIGKILL)
            await city.network.up(timeout_s=90)
            for _ in range(150):
                if await client.block_number() >= done[-1].block:
                    break
                await asyncio.sleep(0.2)
            stand = [await client.block(receipt.block) for receipt in done]
        assert any(
            block is None or block["hash"] != receipt.block_hash
            for block, receipt in zip(stand, done, strict=True)
        ), "other blocks must stand where final ones stood"
    finally:
        city.network.stop(how=signal.SIGKILL)
        city.links.close()
