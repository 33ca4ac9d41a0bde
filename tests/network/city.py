"""A city on four validators: its contracts, a ledger that goes on awarding, and the accounts."""

import asyncio
import os
import random
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from backend.chain import ChainAccess, ChainClient, ChainKeys, NodeAway, open_keys, profile_of
from backend.chain.contracts import accounts_call, read_accounts
from backend.chain.network import EngineMissing, Network, find_kcn
from backend.flows.anchor_log import anchor_log
from backend.flows.deploy_chain import access_chain, deploy_chain
from backend.flows.post_points import post_points, posted_size
from backend.flows.reconcile import reconcile
from backend.kit.db import Database
from tests.chain.support import CHAIN_ID, enact_rule
from tests.flows.chain_world import CLASS, RULE, ChainWorld, account_of
from tests.network.links import Links

KAIA = profile_of("kaia")
ACCOUNTS = 40


def engine() -> Path:
    """The engine; compulsory where CI=true, else its absence skips the test by name."""
    try:
        return find_kcn()
    except EngineMissing as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{error}; CI=true makes it compulsory")
        pytest.skip(str(error))


def free_ports(count: int) -> int:
    """The first of `count` ports in a row that nobody listens on."""
    for first in range(21_000, 29_000, count):
        if all(_is_free(port) for port in range(first, first + count)):
            return first
    raise RuntimeError("no free ports")


def _is_free(port: int) -> bool:
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("", port))
        except OSError:
            return False
    return True


@dataclass
class City:
    """What outlives a test of the module: the network and what was awarded so far."""

    network: Network
    links: Links
    keys: ChainKeys
    awarded: Counter[int] = field(default_factory=Counter)
    citizens: dict[int, UUID] = field(default_factory=dict)
    draws: random.Random = field(default_factory=lambda: random.Random(20_261))

    @classmethod
    def found(cls, folder: Path, port: int) -> "City":
        keys = open_keys(folder / "keys")
        network = Network.create(
            folder / "network",
            engine(),
            chain_id=CHAIN_ID,
            funded=keys.addresses(),
            count=4,
            port=port,
        )
        links = Links(network.validators)
        network.link(links.port)
        return cls(network, links, keys)

    def client(self, number: int, *, timeout_s: float = 5) -> ChainClient:
        """A client of one validator."""
        return ChainClient(self.network.process(number).validator.url, KAIA, timeout_s=timeout_s)

    async def blocks(self) -> dict[int, int]:
        """The newest block of each validator, -1 of those that do not answer."""
        return {s.validator.number: s.block for s in await self.network.status()}


def world_of(city: City, db: Database, client: ChainClient, access: ChainAccess) -> ChainWorld:
    """The world in which leaves are planted; of its node it uses the keys alone."""
    return ChainWorld(
        db,
        city,  # pyright: ignore[reportArgumentType]
        client,
        access,
        citizens=city.citizens,
    )


class Service:
    """The platform at work on the city's chain through one validator."""

    def __init__(self, city: City, db: Database, client: ChainClient, access: ChainAccess) -> None:
        self.city = city
        self.db = db
        self.client = client
        self.access = access
        self.world = world_of(city, db, client, access)
        self.away = 0

    async def award(self) -> None:
        """Ten awards to random accounts, sealed under a checkpoint."""
        draws = self.city.draws
        awards = [(draws.randrange(ACCOUNTS), draws.randrange(1, 9)) for _ in range(10)]
        await self.world.award(awards)
        await self.world.seal_transfers()
        for account, points in awards:
            self.city.awarded[account] += points

    async def work(self) -> None:
        """One round of the worker: a node that is away costs a round and nothing else."""
        for flow in (post_points, anchor_log):
            try:
                await flow(self.db, self.access, datetime.now(UTC))
            except NodeAway:
                self.away += 1

    async def posted(self) -> int:
        async with self.db.transaction(readonly=True) as tx:
            return await posted_size(tx)

    async def sealed(self) -> int:
        (row,) = await self.world.rows("SELECT coalesce(max(size), 0) AS size FROM checkpoint")
        return row["size"]

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Awards and posts go on in the background while the body does harm."""
        ended = asyncio.Event()

        async def go_on() -> None:
            while not ended.is_set():
                await self.award()
                await self.work()
                await asyncio.sleep(0.3)

        task = asyncio.create_task(go_on())
        try:
            yield
        finally:
            ended.set()
            await task

    async def until(
        self, holds: Callable[[], Coroutine[Any, Any, bool]], timeout_s: float, what: str
    ) -> None:
        deadline = asyncio.get_running_loop().time() + timeout_s
        while not await holds():
            assert asyncio.get_running_loop().time() < deadline, what
            await asyncio.sleep(0.3)

    async def more_is_posted(self, timeout_s: float = 40) -> None:
        """Wait until leaves that are sealed by now are settled."""
        wanted = await self.sealed()

        async def settled() -> bool:
            return await self.posted() >= wanted

        await self.until(settled, timeout_s, "nothing more was posted")

    async def blocks_pass(self, count: int, timeout_s: float = 60) -> None:
        """Wait for blocks at our validator, so that each member's turn to propose comes."""
        wanted = await self.client.block_number() + count

        async def made() -> bool:
            return await self.client.block_number() >= wanted

        await self.until(made, timeout_s, "blocks are not made")

    async def all_is_posted(self, timeout_s: float = 90) -> None:
        """Drive until every sealed leaf is posted and no transaction is open."""
        wanted = await self.sealed()

        async def settled() -> bool:
            await self.work()
            waiting = await self.world.rows("SELECT 1 FROM chain_tx WHERE settled_at IS NULL")
            return await self.posted() >= wanted and not waiting

        await self.until(settled, timeout_s, "sealed leaves were not posted")

    async def balances(self, client: ChainClient) -> Counter[int]:
        """Points issued to each account as one validator tells it."""
        accounts = [account_of(number) for number in range(ACCOUNTS)]
        told = read_accounts(await client.call(self.access.points, accounts_call(CLASS, accounts)))
        return Counter({n: totals.issued for n, totals in enumerate(told) if totals.issued})

    async def check(self) -> None:
        """Each award has one effect, at every validator; no nonce is missing; the books agree."""
        await self.all_is_posted()
        for number in self.city.network.running():
            async with self.city.client(number) as client:

                async def agrees(client: ChainClient = client) -> bool:
                    try:
                        return await self.balances(client) == self.city.awarded
                    except NodeAway:
                        return False

                await self.until(agrees, 90, f"validator {number} tells other balances")
        lanes = await self.world.rows(
            """SELECT lane, count(*) AS sent, max(nonce) + 1 AS next FROM chain_tx
               WHERE state IN ('final', 'failed') GROUP BY lane"""
        )
        for lane in lanes:
            assert lane["sent"] == lane["next"] == await self.client.nonce(lane["lane"])
        refused = await self.world.rows("SELECT 1 FROM chain_batch WHERE state = 'refused'")
        assert refused == []
        report = await reconcile(self.db, self.access)
        assert report.holds, [d.sentence() for d in report.differences]


@asynccontextmanager
async def service(city: City, url: str, number: int = 1) -> AsyncIterator[Service]:
    """The platform over the module's database, talking to one validator."""
    db = await Database.open(url)
    client = city.client(number)
    try:
        yield Service(city, db, client, await access_chain(db, client, city.keys))
    finally:
        await client.close()
        await db.close()


async def settle_in(city: City, url: str) -> None:
    """Contracts, a rule and a budget: what a city has before its first award."""
    db = await Database.open(url)
    try:
        async with city.client(1) as client:
            await deploy_chain(db, client, city.keys)
            access = await access_chain(db, client, city.keys)
            await enact_rule(client, city.keys, access.registry, rule=RULE)
            world = world_of(city, db, client, access)
            await world.fund(10**9)
    finally:
        await db.close()
