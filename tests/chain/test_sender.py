"""Exactly once: kills, duplicates, lost answers, taken nonces, and broken senders being caught."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from backend.chain import (
    ChainClient,
    ChainTx,
    Driver,
    NodeAway,
    Purpose,
    Receipt,
    RpcError,
    chain_terms,
    prepare,
)
from backend.chain import contracts as k
from backend.chain.access import open_access
from backend.chain.deploy import deploy
from backend.chain.sender import BELIEVE_AFTER_S
from backend.kit.db import Database, Tx
from tests.chain.support import NodeProcess, executed, when_away

pytestmark = pytest.mark.chain

NOW = datetime(2026, 11, 22, 4, 0, tzinfo=UTC)
SOMEWHERE = "0x" + "22" * 20
BELIEVED = NOW + timedelta(seconds=BELIEVE_AFTER_S)
"""When a nonce that had passed at NOW without a receipt is taken for another's."""


class Recorder:
    """A purpose that writes down what settled."""

    def __init__(self) -> None:
        self.settled: list[ChainTx] = []
        self.resigned: list[tuple[ChainTx, ChainTx]] = []

    async def on_settled(self, tx: Tx, done: ChainTx, receipt: Receipt | None) -> None:
        self.settled.append(done)

    async def on_resigned(self, tx: Tx, old: ChainTx, new: ChainTx) -> None:
        self.resigned.append((old, new))

    def purposes(self) -> dict[str, Purpose]:
        return {"test": Purpose(on_settled=self.on_settled, on_resigned=self.on_resigned)}


class Blind(ChainClient):
    """A node that shows no receipts."""

    async def receipts(self, tx_hashes: Any) -> list[Receipt | None]:
        return [None for _ in tx_hashes]


@pytest.fixture
async def node(db: Database, shared_node: NodeProcess) -> NodeProcess:
    """The shared chain, with this test's empty database counting from its next nonce."""
    async with ChainClient(shared_node.url) as client:
        lane = shared_node.keys.post.address
        await start_lane(db, lane, await client.nonce(lane))
    return shared_node


async def start_lane(db: Database, lane: str, nonce: int) -> None:
    async with db.transaction() as tx:
        await tx.execute("INSERT INTO chain_lane (lane, next_nonce) VALUES ($1, $2)", lane, nonce)


@pytest.fixture
async def own_client(own_node: NodeProcess) -> AsyncIterator[ChainClient]:
    async with ChainClient(own_node.url) as client:
        yield client


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


def driver_of(db: Database, client: ChainClient, node: NodeProcess, recorder: Recorder) -> Driver:
    signer = node.keys.post
    return Driver(db, client, {signer.address: signer}, recorder.purposes())


async def prepared(
    db: Database, client: ChainClient, node: NodeProcess, ref: str = "1", **changes: Any
) -> ChainTx:
    terms = await chain_terms(client)
    values: dict[str, Any] = {"to": SOMEWHERE, "data": ref.encode(), "gas": 60_000} | changes
    async with db.transaction() as tx:
        return await prepare(tx, node.keys.post, terms, purpose="test", ref=ref, now=NOW, **values)


async def mined(client: ChainClient, node: NodeProcess) -> int:
    """How many transactions of the lane the chain holds."""
    return await client.nonce(node.keys.post.address)


async def states(db: Database) -> list[tuple[str, int, str]]:
    """(ref, nonce counted from the first one, state) in nonce order."""
    async with db.transaction(readonly=True) as tx:
        rows = await tx.fetch("SELECT ref, nonce, state FROM chain_tx ORDER BY nonce")
    return [(row["ref"], row["nonce"] - rows[0]["nonce"], row["state"]) for row in rows]


async def test_prepared_is_sent_and_settled_once(
    db: Database, client: ChainClient, node: NodeProcess, recorder: Recorder
) -> None:
    one = await prepared(db, client, node, "a")
    await prepared(db, client, node, "b")
    driver = driver_of(db, client, node, recorder)
    assert await driver.drive(NOW) == 2
    assert await driver.drive(NOW) == 0
    assert [(d.ref, d.state) for d in recorder.settled] == [("a", "final"), ("b", "final")]
    found = await client.receipt("0x" + one.tx_hash.hex())
    assert found is not None
    done = recorder.settled[0]
    assert (found.block, found.gas_used) == (done.block, done.gas_used)


async def test_a_rolled_back_preparation_gives_its_nonce_back(
    db: Database, client: ChainClient, node: NodeProcess
) -> None:
    terms = await chain_terms(client)

    async def killed_before_its_commit() -> None:
        async with db.transaction() as tx:
            await prepare(
                tx,
                node.keys.post,
                terms,
                to=SOMEWHERE,
                data=b"",
                gas=1,
                purpose="test",
                ref="gone",
                now=NOW,
            )
            raise KeyError

    with pytest.raises(KeyError):
        await killed_before_its_commit()
    assert (await prepared(db, client, node)).nonce == await mined(client, node)


async def test_killed_between_prepare_and_send(
    db: Database, client: ChainClient, node: NodeProcess, recorder: Recorder
) -> None:
    """The worker that prepared is gone; another one finds the row and finishes."""
    stored = await prepared(db, client, node)
    assert await mined(client, node) == stored.nonce
    await driver_of(db, client, node, recorder).drive(NOW)
    assert [d.tx_hash for d in recorder.settled] == [stored.tx_hash]


async def test_node_killed_after_it_took_the_bytes(
    db: Database, own_client: ChainClient, own_node: NodeProcess, recorder: Recorder
) -> None:
    """Mined, but the answer was lost: unknown, and found again after the restart."""
    stored = await prepared(db, own_client, own_node)

    class Cut(ChainClient):
        async def send_raw(self, raw: bytes) -> str:
            await super().send_raw(raw)
            own_node.kill()
            raise NodeAway("connection reset")

    async with Cut(own_node.url) as cut:
        with pytest.raises(NodeAway):
            await driver_of(db, cut, own_node, recorder).drive(NOW)
    assert await states(db) == [("1", 0, "prepared")]
    own_node.start()
    await driver_of(db, own_client, own_node, recorder).drive(NOW)
    assert [d.tx_hash for d in recorder.settled] == [stored.tx_hash]
    assert await own_client.nonce(own_node.keys.post.address) == 1


async def test_node_killed_before_it_took_the_bytes(
    db: Database, own_client: ChainClient, own_node: NodeProcess, recorder: Recorder
) -> None:
    await prepared(db, own_client, own_node)
    own_node.kill()
    await when_away(own_client)
    with pytest.raises(NodeAway):
        await driver_of(db, own_client, own_node, recorder).drive(NOW)
    own_node.start()
    await driver_of(db, own_client, own_node, recorder).drive(NOW)
    assert await states(db) == [("1", 0, "final")]
    assert await own_client.nonce(own_node.keys.post.address) == 1


async def test_two_drivers_at_once_settle_once(
    db: Database, client: ChainClient, node: NodeProcess, recorder: Recorder
) -> None:
    before = await mined(client, node)
    for n in range(5):
        await prepared(db, client, node, str(n))
    drivers = [driver_of(db, client, node, recorder) for _ in range(4)]
    await asyncio.gather(*(driver.drive(NOW) for driver in drivers))
    assert sorted(d.ref for d in recorder.settled) == ["0", "1", "2", "3", "4"]
    assert await mined(client, node) == before + 5


@pytest.mark.parametrize("words", ["already known", "nonce too low: next nonce 1, tx nonce 0"])
async def test_words_of_refusal_mean_unknown(
    db: Database, node: NodeProcess, recorder: Recorder, words: str
) -> None:
    class Refusing(ChainClient):
        async def send_raw(self, raw: bytes) -> str:
            await super().send_raw(raw)
            raise RpcError("eth_sendRawTransaction", -32000, words)

    async with Refusing(node.url) as refusing:
        await prepared(db, refusing, node)
        await driver_of(db, refusing, node, recorder).drive(NOW)
    assert await states(db) == [("1", 0, "final")]


async def test_unmined_bytes_are_sent_again_later_the_same(
    db: Database, node: NodeProcess, recorder: Recorder
) -> None:
    """A node that forgets its pool: the same bytes again, not a new transaction."""
    sent: list[bytes] = []

    class Forgetful(ChainClient):
        async def send_raw(self, raw: bytes) -> str:
            sent.append(raw)
            return "0x" if len(sent) == 1 else await super().send_raw(raw)

    async with Forgetful(node.url) as forgetful:
        stored = await prepared(db, forgetful, node)
        driver = driver_of(db, forgetful, node, recorder)
        await driver.drive(NOW)
        await driver.drive(NOW + timedelta(seconds=1))
        assert sent == [stored.raw]
        await driver.drive(NOW + timedelta(seconds=11))
    assert sent == [stored.raw, stored.raw]
    assert await states(db) == [("1", 0, "final")]


async def test_a_taken_nonce_is_signed_again(
    db: Database, own_client: ChainClient, own_node: NodeProcess, recorder: Recorder
) -> None:
    first = await prepared(db, own_client, own_node)
    await executed(own_client, own_node.keys.post, SOMEWHERE, b"a stranger with our key")
    driver = driver_of(db, own_client, own_node, recorder)
    await driver.drive(NOW)
    assert await states(db) == [("1", 0, "sent")], "one look is not enough: the node may lag"
    assert await driver.settle_all(BELIEVED, timeout_s=5)
    assert await states(db) == [("1", 0, "superseded"), ("1", 1, "final")]
    ((old, new),) = recorder.resigned
    assert (old.tx_hash, new.nonce) == (first.tx_hash, 1)
    mined = await own_client.transaction("0x" + new.tx_hash.hex())
    assert mined is not None
    assert mined["input"] == "0x" + b"1".hex()


async def test_a_lane_restored_from_an_old_backup_catches_up(
    db: Database, own_client: ChainClient, own_node: NodeProcess, recorder: Recorder
) -> None:
    for _ in range(3):
        await executed(own_client, own_node.keys.post, SOMEWHERE, b"")
    await prepared(db, own_client, own_node)
    driver = driver_of(db, own_client, own_node, recorder)
    await driver.drive(NOW)
    assert await driver.settle_all(BELIEVED, timeout_s=5)
    assert await states(db) == [("1", 0, "superseded"), ("1", 3, "final")]


async def test_a_node_that_lags_behind_makes_nothing_twice(
    db: Database, node: NodeProcess, recorder: Recorder
) -> None:
    """The nonce comes from a node that is ahead, the receipts from one that is behind."""
    async with Blind(node.url) as behind:
        stored = await prepared(db, behind, node)
        for second in range(4):
            await driver_of(db, behind, node, recorder).drive(NOW + timedelta(seconds=second))
    async with ChainClient(node.url) as client:
        await driver_of(db, client, node, recorder).drive(NOW + timedelta(seconds=4))
        assert await mined(client, node) == stored.nonce + 1
    assert await states(db) == [("1", 0, "final")]


async def test_a_fault_in_one_lane_stops_no_other(
    db: Database, client: ChainClient, node: NodeProcess, recorder: Recorder
) -> None:
    """The other lanes' rounds end before the fault is told."""
    other = node.keys.anchor
    await start_lane(db, other.address, await client.nonce(other.address))
    await prepared(db, client, node, "held up")
    terms = await chain_terms(client)
    async with db.transaction() as tx:
        await prepare(
            tx, other, terms, to=SOMEWHERE, data=b"", gas=60_000, purpose="test", ref="x", now=NOW
        )
    held_up = node.keys.post.address

    class Torn(ChainClient):
        async def nonce(self, address: str, tag: Any = "latest") -> int:
            if address == held_up:
                raise NodeAway("connection reset")
            await asyncio.sleep(0.05)
            return await super().nonce(address, tag)

    async with Torn(node.url) as torn:
        signers = {signer.address: signer for signer in (node.keys.post, other)}
        with pytest.raises(NodeAway):
            await Driver(db, torn, signers, recorder.purposes()).drive(NOW)
    assert [done.ref for done in recorder.settled] == ["x"]


async def test_a_revert_is_failed_and_explained(
    db: Database, client: ChainClient, node: NodeProcess, recorder: Recorder
) -> None:
    deployments = await deploy(client, node.keys)
    access = await open_access(client, node.keys, deployments)
    await prepared(
        db,
        client,
        node,
        to=access.anchor,
        data=k.anchor_input(0, b"\x01" * 32, bytes(32)),
        gas=200_000,
    )
    await driver_of(db, client, node, recorder).drive(NOW)
    (done,) = recorder.settled
    assert (done.state, done.reason) == ("failed", "EvidenceAnchorSizeNotGrown(0, 0)")


async def test_effects_and_settlement_share_a_commit(
    db: Database, client: ChainClient, node: NodeProcess, recorder: Recorder
) -> None:
    """A flow's effect that fails leaves the transaction open: it settles at the next round."""
    await prepared(db, client, node)
    attempts = []

    async def failing_once(tx: Tx, done: ChainTx, receipt: Receipt | None) -> None:
        attempts.append(done)
        if len(attempts) == 1:
            raise ConnectionError("the worker was killed here")

    signer = node.keys.post
    driver = Driver(
        db, client, {signer.address: signer}, {"test": Purpose(on_settled=failing_once)}
    )
    with pytest.raises(ConnectionError):
        await driver.drive(NOW)
    assert await states(db) == [("1", 0, "sent")]
    await driver.drive(NOW)
    assert await states(db) == [("1", 0, "final")]


async def test_other_purposes_of_a_lane_are_sent_but_not_settled(
    db: Database, client: ChainClient, node: NodeProcess, recorder: Recorder
) -> None:
    terms = await chain_terms(client)
    async with db.transaction() as tx:
        await prepare(
            tx,
            node.keys.post,
            terms,
            to=SOMEWHERE,
            data=b"",
            gas=30_000,
            purpose="of another flow",
            ref="x",
            now=NOW,
        )
    await prepared(db, client, node, "mine")
    await driver_of(db, client, node, recorder).drive(NOW)
    assert await states(db) == [("x", 0, "sent"), ("mine", 1, "final")]


async def test_control_a_sender_that_trusts_refusals_sends_twice(
    db: Database, node: NodeProcess, recorder: Recorder
) -> None:
    """With the order of questions broken (no receipt = not mined), the same thing happens twice."""

    async with Blind(node.url) as blind:
        stored = await prepared(db, blind, node)
        await driver_of(db, blind, node, recorder).drive(NOW)
        await driver_of(db, blind, node, recorder).drive(BELIEVED)
    async with ChainClient(node.url) as client:
        await driver_of(db, client, node, recorder).settle_all(BELIEVED, timeout_s=5)
        assert await mined(client, node) == stored.nonce + 2, "the control must double"
