"""Published ways to award points, to measure ours against: OpenZeppelin's ERC-20 and ERC-1155.

Compiled with our contracts, by the same compiler and settings (contracts/yardsticks).
"""

import json
from collections.abc import Sequence

from backend.bench.chain_bed import ROOT, ChainBed
from backend.chain import contracts

CREATION_GAS = 6_000_000
MINT_GAS = 120_000


async def create(bed: ChainBed, name: str) -> str:
    """Deploy `Erc20Points` or `Erc1155Points`, the post key as minter; its address."""
    path = ROOT / "contracts/artifacts/yardsticks.json"
    code = bytes.fromhex(json.loads(path.read_text("utf-8"))[name][2:])
    receipt, _ = await bed.execute(bed.keys.post, None, code, gas=CREATION_GAS)
    if receipt.contract_address is None:
        raise LookupError(f"{name} was created without an address")
    return receipt.contract_address


def mint_input(account: bytes, amount: int) -> bytes:
    """Input of the ERC-20's `mint(address,uint256)`."""
    return contracts.selector("mint(address,uint256)") + _word(account) + _number(amount)


def mint_many_input(accounts: Sequence[bytes], amount: int) -> bytes:
    """Input of the ERC-1155's `mintTo(address[],uint256,uint256[])`, the same amount to each."""
    count = _number(len(accounts))
    heads = _number(96) + _number(1) + _number(128 + 32 * len(accounts))
    to = count + b"".join(map(_word, accounts))
    return (
        contracts.selector("mintTo(address[],uint256,uint256[])")
        + heads
        + to
        + (count + _number(amount) * len(accounts))
    )


async def erc20_balance(bed: ChainBed, token: str, account: bytes) -> int:
    """What the ERC-20 says an account has."""
    asked = contracts.selector("balanceOf(address)") + _word(account)
    return int.from_bytes(await bed.client.call(token, asked), "big")


async def erc1155_balance(bed: ChainBed, token: str, account: bytes) -> int:
    """What the ERC-1155 says an account has of our class."""
    asked = contracts.selector("balanceOf(address,uint256)") + _word(account) + _number(1)
    return int.from_bytes(await bed.client.call(token, asked), "big")


def _word(account: bytes) -> bytes:
    return account.rjust(32, b"\0")


def _number(value: int) -> bytes:
    return value.to_bytes(32, "big")
