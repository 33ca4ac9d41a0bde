"""Accounts posted per second on the embedded node, to new accounts and to known ones."""

import asyncio
from statistics import median
from typing import Any

from backend.bench.chain_bed import ChainBed, chain_bed

ACCOUNTS_PER_SECOND_MIN = 300


def run(accounts: int = 700, rounds: int = 5) -> dict[str, Any]:
    """Post `rounds` batches of `accounts` to new accounts and again to the same ones.

    Each figure is the median of the rounds; a round ends when the block is on disk.
    """
    return asyncio.run(_run(accounts, rounds))


async def _run(accounts: int, rounds: int) -> dict[str, Any]:
    async with chain_bed() as bed:
        # One small batch first, so that no round pays for code the EVM loads once.
        await bed.post(bed.new_accounts(10))
        cold, warm = await _measure(bed, accounts, rounds)
        return {
            "accounts_per_batch": accounts,
            "rounds": rounds,
            "start_s": round(bed.start_s, 2),
            "new_accounts_per_s": round(accounts / median(cold)),
            "returning_accounts_per_s": round(accounts / median(warm)),
            "slowest_accounts_per_s": round(accounts / max(cold + warm)),
            "target_accounts_per_s": ACCOUNTS_PER_SECOND_MIN,
        }


async def _measure(bed: ChainBed, accounts: int, rounds: int) -> tuple[list[float], list[float]]:
    cold: list[float] = []
    warm: list[float] = []
    for _ in range(rounds):
        fresh = bed.new_accounts(accounts)
        cold.append((await bed.post(fresh))[1])
        warm.append((await bed.post(fresh))[1])
    return cold, warm
