"""Asks a node, before anything is sent, whether it offers what its profile promises.

Only calls are made, nothing is sent. Each requirement has a name, and what is unmet is told as
`name: what was found`.
"""

import time
from collections.abc import Sequence
from typing import Any

from eth_hash.auto import keccak

from backend.chain.client import ChainClient, RpcError
from backend.chain.contracts import load_artifact, post_gas

CLOCK_S_MAX = 86_400
"""How far a chain's clock may be from ours: milliseconds instead of seconds are 50,000 years."""

# Creation code: what it returns comes back from an eth_call without a recipient.
_RETURN_WORD = "60005260206000f3"
_MCOPY = bytes.fromhex("6001600060205e" + "5f5f52" + "60206000f3")
_TRANSIENT = bytes.fromhex("600760015d" + "60015c" + _RETURN_WORD)
_KECCAK = bytes.fromhex("60006000" + "20" + _RETURN_WORD)
_TIMESTAMP = bytes.fromhex("42" + _RETURN_WORD)


class ChainUnfit(Exception):
    """The node lacks what its profile promises; `unmet` names each requirement."""

    def __init__(self, url: str, unmet: Sequence[str]) -> None:
        super().__init__(f"{url} is not fit: {'; '.join(unmet)}")
        self.unmet = tuple(unmet)


async def require_fit(client: ChainClient, chain_id: int, senders: Sequence[str]) -> None:
    """Raise ChainUnfit unless every requirement is met. Raises NodeAway."""
    unmet = await probe(client, chain_id, senders)
    if unmet:
        raise ChainUnfit(client.url, unmet)


async def probe(client: ChainClient, chain_id: int, senders: Sequence[str]) -> list[str]:
    """Name every requirement that is not met; an empty list means go. Raises NodeAway."""
    found = await client.chain_id()
    if found != chain_id:
        # Whatever else could be said is said of a network that is not ours.
        return [f"chain-id: the node's is {found}, configured is {chain_id}"]
    return [
        *await _probe_evm(client),
        *await _probe_calls(client),
        *await _probe_blocks(client),
        *await _probe_senders(client, senders),
    ]


async def _probe_evm(client: ChainClient) -> list[str]:
    unmet: list[str] = []
    try:
        await _run(client, _MCOPY)
        await _run(client, _TRANSIENT)
    except RpcError as error:
        return [f"evm-cancun: the EVM does not know MCOPY or TSTORE: {error.message}"]
    if await _run(client, _KECCAK) != keccak(b""):
        unmet.append("evm-keccak: the EVM hashes by another function; is it an SM chain?")
    clock_s = int.from_bytes(await _run(client, _TIMESTAMP), "big")
    # A chain that makes blocks on demand may still show its first block's time.
    if clock_s > time.time() + CLOCK_S_MAX:
        unmet.append(f"evm-timestamp: {clock_s} is no time in seconds near now")
    return unmet


async def _run(client: ChainClient, code: bytes) -> bytes:
    answer = await client.request("eth_call", {"data": "0x" + code.hex()}, "latest")
    return bytes.fromhex(str(answer).removeprefix("0x"))


async def _probe_calls(client: ChainClient) -> list[str]:
    unmet: list[str] = []
    profile = client.profile
    try:
        calls: list[tuple[str, list[Any]]] = [("eth_chainId", [])] * profile.batch_calls_max
        answers = await client.batch(calls)
        if any(isinstance(answer, RpcError) for answer in answers):
            unmet.append(f"batches: {profile.batch_calls_max} calls at once are not answered")
    except RpcError as error:
        unmet.append(f"batches: {error.message}")
    try:
        if await client.receipt("0x" + "00" * 32) is not None:
            unmet.append("receipts: a transaction that was never sent has one")
    except RpcError as error:
        unmet.append(f"receipts: an unknown one is an error, not null: {error.message}")
    if profile.finality == "finalized_tag":
        try:
            await client.block("finalized")
        except RpcError as error:
            unmet.append(f"finality: the block tag finalized is not known: {error.message}")
    if profile.historical_state:
        try:
            await client.code("0x" + "00" * 19 + "01", 0)
        except RpcError as error:
            unmet.append(f"history: the state of block 0 is not readable: {error.message}")
    return unmet


async def _probe_blocks(client: ChainClient) -> list[str]:
    unmet: list[str] = []
    profile = client.profile
    block = await client.block("latest")
    if block is None:
        return ["blocks: the node knows no newest block"]
    gas_limit = int(str(block.get("gasLimit", "0x0")), 16)
    wanted = post_gas(profile.accounts_per_batch_max, profile.input_byte_gas)
    # A gas limit of 0 is what engines without a block limit report.
    if 0 < gas_limit < wanted:
        unmet.append(f"block-gas: the limit {gas_limit} is below a full batch's {wanted}")
    if profile.eip1559 and "baseFeePerGas" not in block:
        unmet.append("fees: the profile says EIP-1559, but blocks carry no base fee")
    if profile.gas_price_wei is None:
        try:
            await client.gas_price_wei()
        except RpcError as error:
            unmet.append(f"fees: no gas price is told: {error.message}")
    largest = max(len(load_artifact(n).bytecode) for n in ("CarbonPoints", "RuleRegistry"))
    if largest > profile.input_bytes_max:
        unmet.append(f"input: creation code of {largest} bytes exceeds {profile.input_bytes_max}")
    return unmet


async def _probe_senders(client: ChainClient, senders: Sequence[str]) -> list[str]:
    # FISCO BCOS refuses senders without a balance even at gas price 0.
    if client.profile.gas_price_wei == 0 and client.profile.name != "fisco":
        return []
    return [
        f"balance: {sender} has none: fund it once"
        + (" (feature_balance)" if client.profile.name == "fisco" else "")
        for sender in senders
        if await client.balance_wei(sender) == 0
    ]
