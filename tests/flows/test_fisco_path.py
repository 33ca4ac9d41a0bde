"""From deployment to a verified receipt through FISCO BCOS's limits, over a real node.

The node is anvil with free gas; in front of it stands a proxy that forgives nothing. The negative
controls promise more than FISCO BCOS offers and must fail.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta

import httpx
import pytest

from backend.chain import ChainClient, RpcError, deploy, probe
from backend.chain import contracts as k
from backend.chain.profile import EMBEDDED, FISCO
from backend.flows.audit_batch import audit_batch
from backend.flows.deploy_chain import access_chain, deploy_chain
from backend.flows.post_points import PostSettings, post_points
from backend.flows.reconcile import reconcile
from backend.kit.clock import FixedClock
from backend.kit.db import Database
from backend.kit.settings import Settings
from backend.kit.vault import Vault
from tests.chain.anvil import Anvil, anvil_binary
from tests.chain.strict_fisco import INPUT_BYTES_MAX, StrictFisco
from tests.chain.support import CHAIN_ID, enact_rule, executed, send
from tests.flows.award_world import World, rows, trip
from tests.flows.chain_world import CLASS, NOW, RULE, ChainWorld, a_leaf, account_of
from tests.flows.receipt_world import ON_LINE, check, outcomes, receipt_city

pytestmark = pytest.mark.chain

FREE = ("--block-base-fee-per-gas", "0", "--gas-price", "0", "--gas-limit", "3000000000")


@dataclass
class Chain:
    """anvil, the strict door before it, and whether the contracts stand and a rule is enacted."""

    anvil: Anvil
    strict: StrictFisco
    founded: bool = False


def open_chain() -> Iterator[Chain]:
    anvil = Anvil(anvil_binary(), *FREE)
    for address in anvil.keys.addresses():
        set_balance(anvil, address, 10**24)
    strict = StrictFisco(anvil.url)
    try:
        yield Chain(anvil, strict)
    finally:
        strict.close()
        anvil.stop()


def set_balance(anvil: Anvil, address: str, wei: int) -> None:
    call = {"jsonrpc": "2.0", "id": 1, "method": "anvil_setBalance", "params": [address, hex(wei)]}
    httpx.post(anvil.url, json=call, trust_env=False).raise_for_status()


@pytest.fixture
def fresh() -> Iterator[Chain]:
    yield from open_chain()


@pytest.fixture(scope="module")
def shared() -> Iterator[Chain]:
    yield from open_chain()


@pytest.fixture
async def world(db: Database, shared: Chain) -> AsyncIterator[ChainWorld]:
    """The shared chain with contracts, a rule and a large budget; the log is this test's own."""
    keys, strict = shared.anvil.keys, shared.strict
    async with ChainClient(strict.url, FISCO) as client:
        await deploy_chain(db, client, keys)
        access = await access_chain(db, client, keys)
        world = ChainWorld(db, shared.anvil, client, access)  # pyright: ignore[reportArgumentType]
        if not shared.founded:
            await enact_rule(client, keys, access.registry, rule=RULE)
            await world.fund(10**9)
            shared.founded = True
        async with db.transaction() as tx:
            await tx.execute(
                "INSERT INTO chain_lane (lane, next_nonce) VALUES ($1, $2)",
                keys.post.address,
                await client.nonce(keys.post.address),
            )
        strict.violations.clear()
        yield world
        strict.stalled, strict.pool_s = False, 600
        strict.flush()


async def test_from_deployment_to_a_verified_receipt(
    db: Database, vault: Vault, clock: FixedClock, settings: Settings, fresh: Chain
) -> None:
    keys, strict = fresh.anvil.keys, fresh.strict
    people = World(db, vault, clock)
    async with ChainClient(strict.url, FISCO) as client:
        assert await probe(client, CHAIN_ID, keys.addresses()) == []
        async with receipt_city(people, settings, client, keys, strict) as city:
            await people.record(trip(distance_m=22_000), trip(1, distance_m=12_000))
            await people.award()
            await city.settle()
            [batch] = await rows(db, "SELECT batch_id FROM chain_batch")
            audited = await audit_batch(db, city.access, batch["batch_id"])
            assert audited.holds, audited
            assert (await reconcile(db, city.access)).holds
            trust = await city.trust()
            for row in await rows(db, "SELECT transfer_id FROM transfer"):
                verdict = await check(await city.receipt(row["transfer_id"]), trust, strict.url)
                assert verdict.ok, verdict
                assert outcomes(verdict) == ON_LINE
            assert await deploy(client, keys), "found again, ten blocks of logs at a time"
    assert strict.violations == []


async def test_a_full_batch_fits(world: ChainWorld, shared: Chain) -> None:
    await world.seal([a_leaf(account=n, amount=1) for n in range(FISCO.accounts_per_batch_max + 1)])
    for _ in range(4):
        await post_points(world.db, world.access, NOW)
    batches = await world.rows("SELECT account_count, state FROM chain_batch ORDER BY 1")
    assert [tuple(b.values()) for b in batches] == [(1, "final"), (2_000, "final")]
    assert INPUT_BYTES_MAX - 1_500 < shared.strict.largest_input <= INPUT_BYTES_MAX
    assert shared.strict.violations == []


async def test_control_a_batch_too_large_is_refused(world: ChainWorld) -> None:
    await world.seal([a_leaf(account=n) for n in range(2_050)])
    await post_points(world.db, world.access, NOW, PostSettings(accounts_max=2_050, lanes=1))
    first, *_ = await world.rows("SELECT reason FROM chain_tx ORDER BY nonce")
    assert first["reason"] == "not accepted: MaxInitCodeSizeExceeded"


async def test_what_the_pool_forgets_is_sent_again(world: ChainWorld, shared: Chain) -> None:
    strict = shared.strict
    strict.stalled, strict.pool_s = True, 0.2
    await world.seal([a_leaf(account=5_000, amount=7)])
    await post_points(world.db, world.access, NOW)
    await asyncio.sleep(0.3)
    strict.stalled = False
    strict.flush()
    assert strict.forgotten == 1
    await post_points(world.db, world.access, NOW + timedelta(seconds=1))
    assert await world.rows("SELECT state FROM chain_batch") == [{"state": "prepared"}]
    for minutes in range(1, 12):
        await post_points(world.db, world.access, NOW + timedelta(minutes=minutes))
    assert await world.rows("SELECT state FROM chain_batch") == [{"state": "final"}]
    told = k.read_accounts(
        await world.client.call(world.access.points, k.accounts_call(CLASS, [account_of(5_000)]))
    )
    assert [(t.issued, t.seq) for t in told] == [(7, 1)]
    assert strict.violations == []


async def test_control_two_nonces_at_once_are_noticed(world: ChainWorld, shared: Chain) -> None:
    await world.seal([a_leaf(account=n) for n in range(20)])
    shared.strict.stalled = True
    async with ChainClient(shared.strict.url, replace(FISCO, pipelined=True)) as careless:
        access = replace(world.access, client=careless)
        await post_points(world.db, access, NOW, PostSettings(accounts_max=10))
    assert any("was sent before" in violation for violation in shared.strict.violations)


async def test_control_long_batches_and_logs_are_noticed(world: ChainWorld, shared: Chain) -> None:
    strict, keys = shared.strict, shared.anvil.keys
    async with ChainClient(strict.url, replace(FISCO, batch_calls_max=9)) as careless:
        unmet = await probe(careless, CHAIN_ID, keys.addresses())
        assert [u.split(":")[0] for u in unmet] == ["batches"]
    assert strict.violations == ["a batch of 9 calls"]
    anchor, root = world.access.anchor, bytes(32)
    for size in range(1, 13):
        fresh = bytes([size]) * 32
        await executed(world.client, keys.anchor, anchor, k.anchor_input(size, fresh, root))
        root = fresh
    head = await world.client.block_number()
    whole = await world.client.logs(head - 11, head, anchor)
    async with ChainClient(strict.url, replace(FISCO, logs_blocks_max=1_000)) as careless:
        assert len(await careless.logs(head - 11, head, anchor)) < len(whole) == 12


async def test_control_a_typed_transaction_is_refused(shared: Chain) -> None:
    async with ChainClient(shared.strict.url, replace(FISCO, eip1559=True)) as careless:
        with pytest.raises(RpcError, match="Unsupported"):
            await send(careless, shared.anvil.keys.auditor, "0x" + "22" * 20, b"")


async def test_control_fees_by_history_do_not_exist(shared: Chain) -> None:
    async with ChainClient(shared.strict.url, EMBEDDED) as careless:
        with pytest.raises(RpcError, match="Method not found"):
            await careless.request("eth_feeHistory", "0x1", "latest", [])
        (unmet,) = [u for u in await probe(careless, CHAIN_ID, []) if u.startswith("fees")]
    assert "no base fee" in unmet


async def test_no_balance_is_named_and_refused(shared: Chain) -> None:
    keys = shared.anvil.keys
    set_balance(shared.anvil, keys.auditor.address, 0)
    async with ChainClient(shared.strict.url, FISCO) as client:
        (unmet,) = await probe(client, CHAIN_ID, keys.addresses())
        assert unmet.startswith(f"balance: {keys.auditor.address} has none")
        with pytest.raises(RpcError, match="InsufficientFunds"):
            await send(client, keys.auditor, "0x" + "22" * 20, b"")
