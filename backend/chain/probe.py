"""Asks a node, before anything is sent, whether it offers what its profile promises."""

from collections.abc import Sequence
from typing import Any

from backend.chain.client import ChainClient, RpcError
from backend.chain.contracts import load_artifact

_MCOPY = bytes.fromhex("6001600060205e60206000f3")
"""Copies one byte by MCOPY and returns: fails on an engine before Cancun."""


async def probe(client: ChainClient, chain_id: int, senders: Sequence[str]) -> list[str]:
    """Name every requirement that is not met; an empty list means go. Raises NodeAway."""
    unmet: list[str] = []
    found = await client.chain_id()
    if found != chain_id:
        unmet.append(f"chain id is {found}, configured is {chain_id}")
    unmet += await _probe_evm(client)
    unmet += await _probe_reads(client)
    for sender in senders:
        if client.profile.gas_price_wei != 0 and await client.balance_wei(sender) == 0:
            unmet.append(f"{sender} has no balance to pay gas with: fund it once")
        # FISCO BCOS refuses senders without a balance even at gas price 0.
        elif client.profile.name == "fisco" and await client.balance_wei(sender) == 0:
            unmet.append(f"{sender} has no balance: enable feature_balance and fund it once")
    return unmet


async def _probe_evm(client: ChainClient) -> list[str]:
    try:
        await client.request("eth_call", {"data": "0x" + _MCOPY.hex()}, "latest")
    except RpcError as error:
        return [f"the EVM is older than Cancun (no MCOPY): {error.message}"]
    return []


async def _probe_reads(client: ChainClient) -> list[str]:
    unmet: list[str] = []
    profile = client.profile
    try:
        calls: list[tuple[str, list[Any]]] = [("eth_chainId", [])] * profile.batch_calls_max
        answers = await client.batch(calls)
        if any(isinstance(answer, RpcError) for answer in answers):
            unmet.append(f"batches of {profile.batch_calls_max} calls are not answered")
    except RpcError as error:
        unmet.append(f"batches are refused: {error.message}")
    if profile.finality == "finalized_tag":
        try:
            await client.block("finalized")
        except RpcError as error:
            unmet.append(f"the block tag finalized is not known: {error.message}")
    block = await client.block("latest")
    gas_limit = 0 if block is None else int(block["gasLimit"], 16)
    # A gas limit of 0 is what engines without a block limit report.
    if 0 < gas_limit < 16_777_216:
        unmet.append(f"the block gas limit {gas_limit} is below that of a full batch")
    largest = max(len(load_artifact(n).bytecode) for n in ("CarbonPoints", "RuleRegistry"))
    if largest > profile.input_bytes_max:
        unmet.append(f"creation code of {largest} bytes exceeds {profile.input_bytes_max}")
    return unmet
