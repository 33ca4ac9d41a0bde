"""anvil as a chain that takes blocks back and forgets its pool; and a contract that forgets ids."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from eth_hash.auto import keccak

from backend.chain import ChainClient, contracts
from backend.chain.keys import read_transaction
from backend.chain.profile import EMBEDDED, ETHEREUM, ChainProfile
from backend.chain.sender import BELIEVE_AFTER_S, RESEND_AFTER_S
from backend.flows.anchor_log import anchor_log
from backend.flows.post_points import PostSettings, post_points
from backend.kit.db import Database
from tests.chain.anvil import Anvil, anvil_binary, funded
from tests.flows.chain_world import NOW, ChainWorld, chain_world
from tests.flows.crash_world import activity, founded, violations
from tests.flows.faulty_node import faulty_node
from tests.flows.sender_child import finish, nothing_left

pytestmark = pytest.mark.chain

FEW = PostSettings(accounts_max=10)
RECEIPT, CALL = "eth_getTransactionReceipt", "eth_call"
BATCHES_SLOT = 0xB2FBCCCA299C6EBFD1809960144CF7303E7D46B9E5798A181C6E6384E7C76800 + 1
"""CarbonPointsStorage's second word: the mapping from batch id to what is known of it."""


@pytest.fixture
def anvil() -> Iterator[Anvil]:
    """Blocks are final once two epochs of 16 lie behind them: more than a round of a test makes."""
    anvil = Anvil(anvil_binary(), "--slots-in-an-epoch", "16")
    yield anvil
    anvil.stop()


@asynccontextmanager
async def anvil_world(
    db: Database, anvil: Anvil, profile: ChainProfile
) -> AsyncIterator[ChainWorld]:
    async with ChainClient(anvil.url) as client:
        await funded(client, anvil.keys)
    async with chain_world(db, anvil, profile=profile) as world:
        await founded(world)
        yield world


async def a_round(world: ChainWorld, at: datetime) -> None:
    await anchor_log(world.db, world.access, at)
    await post_points(world.db, world.access, at, FEW)


async def until_done(world: ChainWorld, at: datetime) -> datetime:
    """Rounds with an epoch between them, until everything is final."""
    for _ in range(40):
        await a_round(world, at)
        if await nothing_left(world.db):
            return at
        await world.client.request("anvil_mine", "0x10")
        at += timedelta(seconds=1)
    raise AssertionError("something never became final")


async def test_reorganisations(db: Database, anvil: Anvil) -> None:
    """Blocks that were not final are taken back with all they held; the bytes are sent again."""
    async with anvil_world(db, anvil, ETHEREUM) as world:
        at = await until_done(world, NOW)
        for depth in (1, 3, 8):
            await activity(world)
            at += timedelta(seconds=1)
            await a_round(world, at)
            assert not await nothing_left(world.db)
            await reorganise(world.client, depth)
            at = await until_done(world, at + timedelta(seconds=RESEND_AFTER_S))
        assert await violations(world) == []
        lost = await world.rows("SELECT 1 FROM chain_tx WHERE state <> 'final'")
        assert lost == [], "the same bytes came in again: nothing was signed twice"


async def reorganise(client: ChainClient, depth: int) -> None:
    """Replace the newest blocks by empty ones. anvil wants plain numbers here."""
    asked = {"jsonrpc": "2.0", "id": 1, "method": "anvil_reorg", "params": [depth, []]}
    before = await client.block("latest")
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = (await http.post(client.url, json=asked)).json()
    after = await client.block("latest")
    assert "error" not in answer, answer
    assert before is not None
    assert after is not None
    assert (after["number"], after["hash"] != before["hash"]) == (before["number"], True)


@pytest.mark.crash
async def test_a_chain_set_back_to_an_earlier_state(db: Database, anvil: Anvil) -> None:
    async with anvil_world(db, anvil, ETHEREUM) as world:
        at = await until_done(world, NOW)
        for _ in range(3):
            await activity(world)
            before = await world.client.request("evm_snapshot")
            await a_round(world, at + timedelta(seconds=1))
            assert await world.client.request("evm_revert", before)
            at = await until_done(world, at + timedelta(seconds=1 + RESEND_AFTER_S))
        assert await violations(world) == []


@pytest.mark.crash
async def test_a_pool_that_expires(db: Database, anvil: Anvil) -> None:
    """Accepted, never mined, dropped: sent again ten seconds later, the same bytes."""
    async with anvil_world(db, anvil, EMBEDDED) as world:
        at = await until_done(world, NOW)
        await world.client.request("evm_setAutomine", False)
        for _ in range(3):
            await activity(world)
            at += timedelta(seconds=1)
            await a_round(world, at)
            waiting = await world.rows("SELECT tx_hash FROM chain_tx WHERE settled_at IS NULL")
            assert waiting != []
            for row in waiting:
                await world.client.request("anvil_dropTransaction", f"0x{row['tx_hash'].hex()}")
            await a_round(world, at + timedelta(seconds=RESEND_AFTER_S - 1))
            await world.client.request("anvil_mine", "0x1")
            mined = await world.client.receipts([f"0x{r['tx_hash'].hex()}" for r in waiting])
            assert mined == [None] * len(waiting), "not sent again too early"
            at = await until_done(world, at + timedelta(seconds=RESEND_AFTER_S))
        assert await violations(world) == []


def blind(methods: Sequence[str]) -> str:
    """A node without receipts: what was mined looks as if another had taken its nonce."""
    return "no receipt" if methods[0] == RECEIPT else ""


async def through_a_blind_node(world: ChainWorld, after_sending: Any = None) -> None:
    """Post where no receipt is ever shown, long enough for the sender to sign again."""
    at = await until_done(world, NOW)
    await activity(world)
    async with (
        faulty_node(world.client.url, blind, after_sending=after_sending) as bad,
        ChainClient(bad.url) as client,
    ):
        access = replace(world.access, client=client)
        for second in range(1, 3 + BELIEVE_AFTER_S):
            await post_points(world.db, access, at + timedelta(seconds=second), FEW)
    await finish(world.db, world.access, at + timedelta(minutes=1), FEW)


@pytest.mark.crash
async def test_without_receipts_the_contract_is_asked(db: Database, anvil: Anvil) -> None:
    async with anvil_world(db, anvil, EMBEDDED) as world:
        await through_a_blind_node(world)
        assert await violations(world) == []


async def test_control_a_contract_that_forgets_batch_ids(db: Database, anvil: Anvil) -> None:
    """Its memory of every posted id is wiped: the same sender then posts twice, and it shows."""
    async with anvil_world(db, anvil, EMBEDDED) as world:

        async def forget(calls: Sequence[dict[str, Any]]) -> None:
            sent = read_transaction(bytes.fromhex(calls[0]["params"][0][2:]))
            if sent.to != world.access.points:
                return
            header, _ = contracts.read_post_input(sent.data)
            identity = contracts.batch_id(world.access.chain_id, sent.to, header)
            slot = "0x" + keccak(identity + BATCHES_SLOT.to_bytes(32, "big")).hex()
            nothing = "0x" + bytes(32).hex()
            await world.client.request("anvil_setStorageAt", sent.to, slot, nothing)

        await through_a_blind_node(world, forget)
        found = await violations(world)
        assert any("took effect 2 times" in said for said in found), found
        assert any(said.startswith("log against chain: total of class") for said in found)
