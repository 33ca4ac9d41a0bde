"""Puts the three contracts behind their proxies: idempotent, resumable, found again after a crash.

The admin's key creates nothing else, so step k is the transaction with nonce k and every address
is known beforehand. A step is done when its nonce has passed; no record of ours is needed.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from eth_hash.auto import keccak

from backend.chain.client import ChainClient, Receipt, RpcError
from backend.chain.contracts import (
    CONTRACT_NAMES,
    IMPLEMENTATION_SLOT,
    ContractName,
    initialize_input,
    load_artifact,
    proxy_creation,
)
from backend.chain.keys import ChainKeys, Terms, create_address, transaction_hash

_CREATION_GAS = 6_000_000
_POLL_S = 0.2


class DeploymentDiffers(Exception):
    """What stands on the chain is not what our artifacts and keys would have put there."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """A contract's proxy and implementation with the keccak of their codes, and its block."""

    name: str
    address: str
    proxy_code_hash: bytes
    implementation_code_hash: bytes
    implementation_address: str
    block: int
    block_hash: bytes
    chain_id: int


@dataclass(frozen=True, slots=True)
class _Step:
    creates: str
    code: bytes


def planned_addresses(keys: ChainKeys) -> dict[ContractName, str]:
    """Proxy addresses, known before anything is sent."""
    return {
        name: create_address(keys.admin.address, 2 * n + 1) for n, name in enumerate(CONTRACT_NAMES)
    }


def _plan(keys: ChainKeys) -> list[_Step]:
    proxies = planned_addresses(keys)
    holders = (
        keys.admin.address,
        keys.government.address,
        keys.auditor.address,
        keys.admin.address,
        [keys.anchor.address, keys.post.address],
    )
    steps: list[_Step] = []
    for n, name in enumerate(CONTRACT_NAMES):
        implementation = create_address(keys.admin.address, 2 * n)
        initialize = initialize_input(name, holders, proxies["RuleRegistry"])
        steps.append(_Step(implementation, load_artifact(name).bytecode))
        steps.append(_Step(proxies[name], proxy_creation(implementation, initialize)))
    return steps


async def deploy(client: ChainClient, keys: ChainKeys) -> list[Deployment]:
    """Create what is missing and describe all three contracts.

    Started again after a kill it continues; on a finished deployment it only looks.
    Raises DeploymentDiffers when other code stands at an expected address, NodeAway,
    RpcError.
    """
    terms = Terms(await client.chain_id(), await client.gas_price_wei(), client.profile.eip1559)
    for nonce, step in enumerate(_plan(keys)):
        if await client.nonce(keys.admin.address) > nonce:
            continue
        raw = keys.admin.sign_transaction(
            terms, nonce=nonce, gas=_CREATION_GAS, to=None, data=step.code
        )
        receipt = await _land(client, raw, keys.admin.address, nonce)
        if receipt is not None and not receipt.status:
            raise DeploymentDiffers(f"creation of {step.creates} failed in {receipt.tx_hash}")
    return await find_deployments(client, planned_addresses(keys))


async def _land(client: ChainClient, raw: bytes, lane: str, nonce: int) -> Receipt | None:
    """Send until mined. None when another transaction had the nonce (an earlier run's)."""
    tx_hash = "0x" + transaction_hash(raw).hex()
    refused: RpcError | None = None
    for attempt in range(300):
        if attempt % 25 == 0:
            try:
                await client.send_raw(raw)
                refused = None
            except RpcError as error:
                # Already known or nonce too low: mined is decided below, not here.
                refused = error
        receipt = await client.receipt(tx_hash)
        if receipt is not None:
            return receipt
        if await client.nonce(lane) > nonce:
            return await client.receipt(tx_hash)
        if refused is not None and "known" not in refused.message:
            raise refused
        await asyncio.sleep(_POLL_S)
    raise DeploymentDiffers(f"transaction {tx_hash} was not mined within a minute")


async def find_deployments(
    client: ChainClient, addresses: dict[ContractName, str]
) -> list[Deployment]:
    """Describe the contracts standing at `addresses`, checked against our artifacts.

    Raises DeploymentDiffers naming the contract and what differs.
    """
    chain_id = await client.chain_id()
    found: list[Deployment] = []
    for name, address in addresses.items():
        proxy_code = await client.code(address)
        if proxy_code != load_artifact("ERC1967Proxy").deployed_bytecode:
            raise DeploymentDiffers(f"{name}: no proxy of ours stands at {address}")
        word = await client.storage(address, IMPLEMENTATION_SLOT)
        implementation = "0x" + word[12:].hex()
        code = await client.code(implementation)
        if not _same_code(name, code):
            raise DeploymentDiffers(
                f"{name}: the code at {implementation} is not that of our artifact"
            )
        number, block_hash = await _creation_block(client, address)
        found.append(
            Deployment(
                name=name,
                address=address,
                proxy_code_hash=keccak(proxy_code),
                implementation_code_hash=keccak(code),
                implementation_address=implementation,
                block=number,
                block_hash=block_hash,
                chain_id=chain_id,
            )
        )
    return found


def _same_code(name: str, code: bytes) -> bool:
    """Compare with the artifact, leaving out the immutables that creation fills in."""
    artifact = load_artifact(name)
    return _blanked(code, artifact.immutable_spans) == _blanked(
        artifact.deployed_bytecode, artifact.immutable_spans
    )


def _blanked(code: bytes, spans: Sequence[tuple[int, int]]) -> bytes:
    blank = bytearray(code)
    for start, length in spans:
        blank[start : start + length] = bytes(length)
    return bytes(blank)


async def _creation_block(client: ChainClient, address: str) -> tuple[int, bytes]:
    """The first block that shows an initialisation log of the proxy."""
    head = await client.block_number()
    # Initialized(uint64) of OpenZeppelin: each proxy emits it when it is created.
    topic = "0x" + keccak(b"Initialized(uint64)").hex()
    step = client.profile.logs_blocks_max
    for first in range(0, head + 1, step):
        logs = await client.logs(first, min(first + step - 1, head), address, [topic])
        if logs:
            entry = logs[0]
            return int(entry["blockNumber"], 16), bytes.fromhex(entry["blockHash"][2:])
    raise DeploymentDiffers(f"no block shows the creation of {address}")
