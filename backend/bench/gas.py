"""Gas per posted account against the floor no packed batch can go below.

Floor: one storage word (22,100 new, 5,000 known) + 24 bytes of input (384) + a share of the
transaction's 21,000.
"""

import asyncio
from typing import Any

from backend.bench.chain_bed import chain_bed

SIZES = (1, 10, 100, 700)
NEW_WORD_GAS, KNOWN_WORD_GAS = 22_100, 5_000
RECORD_GAS = 384
TRANSACTION_GAS = 21_000


def floor_gas(word_gas: int, accounts: int) -> float:
    """The floor per account for a batch of that many."""
    return word_gas + RECORD_GAS + TRANSACTION_GAS / accounts


def run() -> dict[str, Any]:
    """Gas per account, new and returning, and its ratio to the floor, at 1, 10, 100, 700."""
    return asyncio.run(_run())


async def _run() -> dict[str, Any]:
    figures: dict[str, Any] = {}
    async with chain_bed() as bed:
        # The class's and the programme's first words are paid for once, not by a measured batch.
        await bed.post(bed.new_accounts(1))
        for size in SIZES:
            fresh = bed.new_accounts(size)
            new, _ = await bed.post(fresh)
            known, _ = await bed.post(fresh)
            figures[f"accounts_{size}"] = {
                "new_gas": round(new.gas_used / size),
                "new_ratio": round(new.gas_used / size / floor_gas(NEW_WORD_GAS, size), 3),
                "returning_gas": round(known.gas_used / size),
                "returning_ratio": round(
                    known.gas_used / size / floor_gas(KNOWN_WORD_GAS, size), 3
                ),
            }
    return figures
