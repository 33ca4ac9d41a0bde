"""Gas per posted account: against the floor no packed batch can go below, and against tokens.

Floor: one storage word (22,100 new, 5,000 known) + 24 bytes of input (384) + a share of the
transaction's 21,000. Tokens: OpenZeppelin's ERC-20 with one mint per action, and its ERC-1155 in a
loop, compiled and executed in the same run. A citizen's year: three actions a day, posted as they
come (hourly sums, three records) or once a day (one record), in batches of 700 known accounts.
"""

import asyncio
from typing import Any

from backend.bench import yardsticks
from backend.bench.chain_bed import ChainBed, chain_bed

SIZES = (1, 10, 100, 700)
NEW_WORD_GAS, KNOWN_WORD_GAS = 22_100, 5_000
RECORD_GAS = 384
TRANSACTION_GAS = 21_000
NEW_RATIO_MAX, KNOWN_RATIO_MAX = 1.025, 1.09
"""Targets at 700 accounts, through proxy, roles, budget and rule window."""

ACTIONS_A_DAY, DAYS = 3, 365
AMOUNT = 5


def floor_gas(word_gas: int, accounts: int) -> float:
    """The floor per account for a batch of that many."""
    return word_gas + RECORD_GAS + TRANSACTION_GAS / accounts


def run() -> dict[str, Any]:
    """Gas per account, new and returning, its ratio to the floor and to the tokens, and a year's.

    Raises RuntimeError when a contract does not say what was awarded.
    """
    return asyncio.run(_run())


async def _run() -> dict[str, Any]:
    async with chain_bed() as bed:
        # The class's and the programme's first words are paid for once, not by a measured batch.
        await bed.post(bed.new_accounts(1))
        erc20 = await _erc20(bed)
        loop = await yardsticks.create(bed, "Erc1155Points")
        await _loop(bed, loop, bed.new_accounts(1))
        figures: dict[str, Any] = {"erc20_mint_gas": {"new": erc20[0], "returning": erc20[1]}}
        for size in SIZES:
            figures[f"accounts_{size}"] = await _size(bed, loop, size, erc20)
        figures["targets_at_700"] = {"new_ratio": NEW_RATIO_MAX, "returning_ratio": KNOWN_RATIO_MAX}
        figures["citizen_year"] = await _year(bed, erc20[1])
    return figures


async def _erc20(bed: ChainBed) -> tuple[int, int]:
    """Gas of one mint, to a new account and to a known one."""
    token = await yardsticks.create(bed, "Erc20Points")
    gas: list[int] = []
    (first, account) = bed.new_accounts(2)
    for to in (first, account, account):
        receipt, _ = await bed.execute(bed.keys.post, token, yardsticks.mint_input(to, AMOUNT))
        gas.append(receipt.gas_used)
    if await yardsticks.erc20_balance(bed, token, account) != 2 * AMOUNT:
        raise RuntimeError("the ERC-20 has another balance than was minted")
    return gas[1], gas[2]


async def _loop(bed: ChainBed, token: str, accounts: list[bytes]) -> int:
    data = yardsticks.mint_many_input(accounts, AMOUNT)
    gas = 100_000 + 45_000 * len(accounts)
    receipt, _ = await bed.execute(bed.keys.post, token, data, gas=gas)
    return receipt.gas_used


async def _size(bed: ChainBed, loop: str, size: int, erc20: tuple[int, int]) -> dict[str, Any]:
    fresh = bed.new_accounts(size)
    ours = [(await bed.post(fresh))[0].gas_used / size for _ in range(2)]
    if await bed.issued(fresh) != [2 * AMOUNT] * size:
        raise RuntimeError("CarbonPoints has other totals than were posted")
    loops = [await _loop(bed, loop, fresh) / size for _ in range(2)]
    if await yardsticks.erc1155_balance(bed, loop, fresh[-1]) != 2 * AMOUNT:
        raise RuntimeError("the ERC-1155 has another balance than was minted")
    figures: dict[str, Any] = {}
    words = (NEW_WORD_GAS, KNOWN_WORD_GAS)
    for n, name in enumerate(("new", "returning")):
        figures |= {
            f"{name}_gas": round(ours[n]),
            f"{name}_ratio": round(ours[n] / floor_gas(words[n], size), 3),
            f"{name}_erc1155_gas": round(loops[n]),
            f"{name}_erc1155_to_ours": round(loops[n] / ours[n], 2),
            f"{name}_erc20_to_ours": round(erc20[n] / ours[n], 2),
        }
    return figures


async def _year(bed: ChainBed, mint_gas: int) -> dict[str, Any]:
    """Bytes of input and gas for one citizen's year, from the batches of one day."""
    accounts = bed.new_accounts(max(SIZES))
    await bed.post(accounts)
    figures: dict[str, Any] = {}
    for name, posts in (("hourly", ACTIONS_A_DAY), ("daily", 1)):
        gas = byte_count = 0
        for _ in range(posts):
            receipt, _ = await bed.post(accounts)
            sent = await bed.client.transaction(receipt.tx_hash)
            byte_count += len(sent["input"]) // 2 - 1 if sent else 0
            gas += receipt.gas_used
        figures |= {
            f"{name}_gas": DAYS * gas // len(accounts),
            f"{name}_bytes": DAYS * byte_count // len(accounts),
        }
    actions = DAYS * ACTIONS_A_DAY
    mint_bytes = len(yardsticks.mint_input(accounts[0], AMOUNT))
    return figures | {"erc20_gas": actions * mint_gas, "erc20_bytes": actions * mint_bytes}
