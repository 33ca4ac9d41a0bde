"""A city whose sender is killed again and again, and the laws that must hold afterwards."""

import asyncio
import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta
from itertools import count

from backend.chain import contracts
from backend.flows.audit_batch import audit_batch
from backend.flows.reconcile import reconcile
from tests.chain.support import ROOT
from tests.flows.chain_world import NOW, ChainWorld
from tests.flows.sender_child import Order

CITIZENS = 40
FIRST_AWARD = 1_000
"""Points everybody starts with, so that no redemption of the suite exceeds a balance."""


class Senders:
    """The parent of mortal senders."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.flows.sender_child"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def run(self, order: Order) -> int:
        """How a child with this order ended: its exit code, or minus the signal."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asdict(order)) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        """End the parent; its last child has ended."""
        self._process.kill()
        self._process.communicate()


@contextmanager
def senders() -> Iterator[Senders]:
    """Mortal senders for a while."""
    opened = Senders()
    try:
        yield opened
    finally:
        opened.close()


@dataclass
class CrashCity:
    """A world with transfers of every kind, worked by senders that die."""

    world: ChainWorld
    senders: Senders
    database: str
    rpc: str

    def __post_init__(self) -> None:
        self._runs = count()

    async def found(self) -> None:
        """Everybody's first points, on the chain."""
        await founded(self.world)
        assert await self.run() == 0

    async def run(self, step: str = "", occurrence: int = 1, broken: str = "") -> int:
        """One sender's life; a minute after the one before."""
        order = Order(
            database=self.database,
            rpc=self.rpc,
            keys=str(self.world.node.var / "keys"),
            now=(NOW + timedelta(minutes=next(self._runs))).isoformat(),
            step=step,
            occurrence=occurrence,
            broken=broken,
        )
        return await asyncio.to_thread(self.senders.run, order)

    async def kill(self, step: str, occurrence: int, broken: str = "") -> None:
        """New work, and a sender that dies at the step."""
        await activity(self.world)
        ended = await self.run(step, occurrence, broken)
        assert ended == -signal.SIGKILL, f"{step} was not reached: the child ended with {ended}"


async def founded(world: ChainWorld) -> None:
    """A budget, and everybody's first points in the log."""
    await world.fund(10**9)
    await world.award([(n, FIRST_AWARD) for n in range(CITIZENS)])
    await world.seal_transfers()


async def activity(world: ChainWorld) -> None:
    """Awards, redemptions, expiries, sealed: some eight batches."""
    await world.award([(n, 7) for n in range(CITIZENS)])
    await world.transfer("redeem", [(n, 3) for n in range(0, CITIZENS, 2)])
    await world.transfer("expire", [(n, 1) for n in range(0, CITIZENS, 3)])
    await world.seal_transfers()


async def violations(world: ChainWorld) -> list[str]:
    """Every law of one effect that does not hold; [] = no batch missing or doubled, no gap."""
    found = [d.sentence() for d in (await reconcile(world.db, world.access)).differences]
    found += await _nonce_gaps(world)
    stored = {row["batch_id"] for row in await world.rows("SELECT batch_id FROM chain_batch")}
    seen = await _effects(world)
    found += [f"batch {b.hex()} has no effect on the chain" for b in stored - set(seen)]
    found += [f"batch {b.hex()} on the chain is none of ours" for b in set(seen) - stored]
    found += [f"batch {b.hex()} took effect {n} times" for b, n in seen.items() if n > 1]
    for batch_id in stored:
        audit = await audit_batch(world.db, world.access, batch_id)
        found += [f"batch {batch_id.hex()}: {said}" for said in audit.differences]
    return found + await _anchors(world)


async def _nonce_gaps(world: ChainWorld) -> list[str]:
    found: list[str] = []
    for signer in (*world.access.keys.posts, world.access.keys.anchor):
        rows = await world.rows(
            "SELECT nonce, state FROM chain_tx WHERE lane = $1 ORDER BY nonce", signer.address
        )
        used = await world.client.nonce(signer.address)
        if [row["nonce"] for row in rows] != list(range(used)):
            found.append(f"lane {signer.address} stored {len(rows)} nonces and used {used}")
        found += [
            f"lane {signer.address}, nonce {row['nonce']} is {row['state']}"
            for row in rows
            if row["state"] not in ("final", "superseded")
        ]
    return found


async def _effects(world: ChainWorld) -> Counter[bytes]:
    """How often each batch id took effect, by the contract's own events."""
    head = await world.client.block_number()
    events = await world.client.logs(0, head, world.access.points, [contracts.BATCH_POSTED_TOPIC])
    return Counter(bytes.fromhex(event["topics"][1][2:]) for event in events)


async def _anchors(world: ChainWorld) -> list[str]:
    size, root = contracts.read_latest(
        await world.client.call(world.access.anchor, contracts.latest_call())
    )
    (newest,) = await world.rows("SELECT size, root FROM checkpoint ORDER BY size DESC LIMIT 1")
    if (size, root) == (newest["size"], newest["root"]):
        return []
    return [f"the chain's anchor is of size {size}, the log has {newest['size']}"]
