"""Accounts on the chain per second: batched against one transaction per action, and by lanes.

Per engine: OpenZeppelin's ERC-20, one mint per action, against batches of 700, both signed
beforehand and handed in one after the other; then the product's own flow, from sealed leaves to
settled batches, with 1, 2 and 4 lanes. The embedded node and anvil execute on one core, so lanes
help as far as that core waits for us; `one_at_a_time` is a network that makes a block a second and
takes one transaction per key (FISCO BCOS), where a lane more is a batch per block more.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from backend import proof
from backend.bench import yardsticks
from backend.bench.chain_bed import (
    CITY_DAY,
    CLASS,
    PROGRAMME,
    RULE,
    ChainBed,
    Engine,
    anvil_path,
    chain_bed,
)
from backend.bench.scratch import Scratch, scratch
from backend.bench.stopwatch import quiet
from backend.chain import chain_terms, contracts, profile_of
from backend.flows.post_points import PostSettings, post_points, posted_size
from backend.kit.ids import new_id

TARGETS: dict[Engine, int] = {"embedded": 20, "anvil": 80}
"""How many times as many accounts a second batches must bring as single transactions."""

LANES = (1, 2, 4)
SINGLES, ROUNDS, BATCH = 60, 5, 700
LANE_ACCOUNTS, LANE_BATCH = 2_800, 350
SLOW_ACCOUNTS, SLOW_BATCH = 800, 50
BLOCK_S = 1
ONE_AT_A_TIME = replace(profile_of("embedded"), pipelined=False)
NOW = datetime(2026, 11, 22, 4, 0, tzinfo=UTC)


def run() -> dict[str, Any]:
    """Per engine: accounts a second, their ratio and the target, and the rates by lanes.

    anvil is left out by name where it is missing. Raises RuntimeError when the chain does not
    hold what was posted.
    """
    with quiet():
        return asyncio.run(_run())


async def _run() -> dict[str, Any]:
    engines: list[Engine] = ["embedded"] if anvil_path() is None else ["embedded", "anvil"]
    figures: dict[str, Any] = {}
    async with scratch() as store:
        for engine in engines:
            async with chain_bed(engine) as bed:
                figures[engine] = await _batching(bed, TARGETS[engine])
            figures[engine]["accounts_per_s_by_lanes"] = {
                str(lanes): await _lanes(store, engine, lanes) for lanes in LANES
            }
        if "anvil" not in engines:
            figures["anvil"] = "not found: make contracts installs it, ANVIL_BIN names another"
            return figures
        figures["one_at_a_time"] = {
            "accounts_per_batch": SLOW_BATCH,
            "block_s": BLOCK_S,
            "accounts_per_s_by_lanes": {
                str(lanes): await _slow_lanes(store, lanes) for lanes in LANES
            },
        }
    return figures


async def _batching(bed: ChainBed, target: int) -> dict[str, Any]:
    """Singles and batches in turns on one chain, each signed beforehand; the best of the rounds."""
    token = await yardsticks.create(bed, "Erc20Points")
    await bed.post(bed.new_accounts(10))
    singles: list[float] = []
    batches: list[float] = []
    cpu = [0.0, 0.0]
    for _ in range(ROUNDS):
        accounts = bed.new_accounts(SINGLES)
        before_s = bed.node_cpu_s()
        mints = [yardsticks.mint_input(account, 5) for account in accounts]
        singles.append(await _hand_in(bed, token, mints, yardsticks.MINT_GAS) / SINGLES)
        cpu[0] += (bed.node_cpu_s() - before_s) / SINGLES
        if await yardsticks.erc20_balance(bed, token, accounts[-1]) != 5:
            raise RuntimeError("the ERC-20 has another balance than was minted")
        accounts, before_s = bed.new_accounts(BATCH), bed.node_cpu_s()
        post = bed.post_input(accounts)
        took_s = await _hand_in(bed, bed.access.points, [post], contracts.post_gas(BATCH))
        batches.append(took_s / BATCH)
        cpu[1] += (bed.node_cpu_s() - before_s) / BATCH
        if await bed.issued(accounts) != [5] * BATCH:
            raise RuntimeError("CarbonPoints has other totals than were posted")
    return {
        "single_per_s": round(1 / min(singles), 1),
        "batched_per_s": round(1 / min(batches)),
        "ratio": round(min(singles) / min(batches), 1),
        "ratio_min": target,
        "single_node_cpu_us": round(1e6 * cpu[0] / ROUNDS),
        "batched_node_cpu_us": round(1e6 * cpu[1] / ROUNDS),
    }


async def _hand_in(bed: ChainBed, to: str, inputs: Sequence[bytes], gas: int) -> float:
    """Seconds from the first transaction's bytes until the last one's receipt."""
    signer, terms = bed.keys.post, await chain_terms(bed.client)
    nonce = await bed.client.nonce(signer.address)
    signed = [
        signer.sign_transaction(terms, nonce=nonce + n, gas=gas, to=to, data=data)
        for n, data in enumerate(inputs)
    ]
    started_s = time.perf_counter()
    hashes = [await bed.client.send_raw(raw) for raw in signed]
    for _ in range(10_000):  # anvil answers a little before it has mined.
        if await bed.client.receipt(hashes[-1]) is not None:
            break
    took_s = time.perf_counter() - started_s
    receipts = await bed.client.receipts(hashes)
    if not all(receipt and receipt.status for receipt in receipts):
        raise RuntimeError("a transaction did not execute")
    return took_s


async def _lanes(store: Scratch, engine: Engine, lanes: int) -> int:
    async with chain_bed(engine, lanes=lanes) as bed:
        return await _through_the_flow(store, bed, LANE_ACCOUNTS, LANE_BATCH)


async def _slow_lanes(store: Scratch, lanes: int) -> int:
    async with chain_bed("anvil", lanes=lanes, profile=ONE_AT_A_TIME) as bed:
        await bed.client.request("evm_setAutomine", False)
        blocks = asyncio.create_task(_make_blocks(bed))
        try:
            return await _through_the_flow(store, bed, SLOW_ACCOUNTS, SLOW_BATCH)
        finally:
            blocks.cancel()


async def _make_blocks(bed: ChainBed) -> None:
    while True:
        await asyncio.sleep(BLOCK_S)
        await bed.client.request("evm_mine")


async def _through_the_flow(store: Scratch, bed: ChainBed, count: int, batch: int) -> int:
    """Accounts a second from sealed leaves to settled batches, on an emptied database."""
    await _empty(store)
    accounts = bed.new_accounts(count)
    size = await _plant(store, accounts)
    settings = PostSettings(accounts_max=batch)
    now, started_s = NOW, time.perf_counter()
    while await _posted(store) < size:
        await post_points(store.db, bed.access, now, settings)
        now += timedelta(milliseconds=20)
        await asyncio.sleep(0.02)
    took_s = time.perf_counter() - started_s
    if await bed.issued(accounts) != [5] * count:
        raise RuntimeError("the chain has other totals than the log")
    return round(count / took_s)


async def _empty(store: Scratch) -> None:
    async with store.owner.transaction() as tx:
        await tx.execute(
            """TRUNCATE leaf, leaf_secret, log_node, checkpoint, chain_batch, post_cut, anchor,
                        chain_tx, chain_lane, deployment CASCADE"""
        )


async def _plant(store: Scratch, accounts: Sequence[bytes]) -> int:
    """One leaf of 5 points for each account, and a checkpoint over them; the log's size."""
    day = datetime.fromtimestamp(CITY_DAY * 86_400, UTC).date()
    terms: dict[str, Any] = {
        "act": "award",
        "class": CLASS,
        "programme": PROGRAMME,
        "rule": RULE,
        "rule_version": 1,
        "reason": 0,
        "amount": 5,
        "city_day": day,
    }
    leaves = [
        proof.NewLeaf(
            1, new_id(), account.ljust(32, b"\0"), bytes(32), {**terms, "account": account}
        )
        for account in accounts
    ]
    async with store.db.transaction() as tx:
        size, root = await proof.append_leaves(tx, leaves, NOW)
        await proof.add_checkpoint(tx, proof.Checkpoint(size, root, "unsigned\n"), NOW)
    return size


async def _posted(store: Scratch) -> int:
    async with store.db.transaction(readonly=True) as tx:
        return await posted_size(tx)
