"""Puts the contracts behind their proxies: idempotent, resumable, found again after a crash.

The admin's key starts with nothing else, so step k is the transaction with nonce k and every
address is known beforehand. A step is done when its nonce has passed; no record of ours is needed.
Once all stand, that key has no rights left: upgrades and role holders are the timelock's.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from eth_hash.auto import keccak

from backend.chain import timelock
from backend.chain.client import ChainClient, Receipt, RpcError
from backend.chain.contracts import (
    ADMIN_ROLE,
    CONTRACT_NAMES,
    IMPLEMENTATION_SLOT,
    UPGRADER,
    ContractName,
    has_role_call,
    initialize_input,
    load_artifact,
    proxy_creation,
    role_input,
)
from backend.chain.keys import ChainKeys, Signer, Terms, create_address, transaction_hash

SHORT_DELAY_S = 1
"""How long an upgrade waits where nothing is at stake; production sets days."""

FIRST_FREE_NONCE = 2 * len(CONTRACT_NAMES) + 3
"""The admin's nonce after deploying: codes, proxies, the timelock, its veto, the end."""

_CREATION_GAS = 6_000_000
_POLL_S = 0.2


class DeploymentDiffers(Exception):
    """What stands on the chain is not what our artifacts and keys would have put there."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """A contract's proxy with its block, and the implementation behind it since another block.

    Code hashes are keccak256 of the codes.
    """

    name: str
    address: str
    proxy_code_hash: bytes
    implementation_code_hash: bytes
    implementation_address: str
    block: int
    block_hash: bytes
    chain_id: int
    implementation_block: int


@dataclass(frozen=True, slots=True)
class _Step:
    """One transaction of the admin's key: a creation (`to` None) or a call."""

    what: str
    to: str | None
    data: bytes


def planned_addresses(keys: ChainKeys) -> dict[ContractName, str]:
    """Proxy addresses, known before anything is sent."""
    return {
        name: create_address(keys.admin.address, 2 * n + 1) for n, name in enumerate(CONTRACT_NAMES)
    }


def planned_timelock(keys: ChainKeys) -> str:
    """Where the timelock stands that upgrades the contracts and moves their roles."""
    return create_address(keys.admin.address, 2 * len(CONTRACT_NAMES))


def _plan(keys: ChainKeys, upgrade_delay_s: int) -> list[_Step]:
    admin, lock, proxies = keys.admin.address, planned_timelock(keys), planned_addresses(keys)
    senders = [keys.anchor.address, *(signer.address for signer in keys.posts)]
    holders = (lock, keys.government.address, keys.auditor.address, lock, senders)
    steps: list[_Step] = []
    for n, name in enumerate(CONTRACT_NAMES):
        implementation = create_address(admin, 2 * n)
        initialize = initialize_input(name, holders, proxies["RuleRegistry"])
        creation = proxy_creation(implementation, initialize)
        steps.append(_Step(f"the code of {name}", None, load_artifact(name).bytecode))
        steps.append(_Step(f"the proxy of {name}", None, creation))
    steps.append(
        _Step(
            "the timelock",
            None,
            timelock.creation(upgrade_delay_s, government=keys.government.address, admin=admin),
        )
    )
    # The auditor may stop what the government has scheduled; then the timelock is its own admin.
    veto = role_input("grantRole", timelock.CANCELLER, keys.auditor.address)
    steps.append(_Step("the auditor's veto", lock, veto))
    steps.append(
        _Step("the end of setting up", lock, role_input("renounceRole", ADMIN_ROLE, admin))
    )
    return steps


async def deploy(
    client: ChainClient, keys: ChainKeys, *, upgrade_delay_s: int = SHORT_DELAY_S
) -> list[Deployment]:
    """Create what is missing and describe all contracts behind proxies.

    `upgrade_delay_s` is how long upgrades and new role holders must be announced. Started again
    after a kill it continues; on a finished deployment it only looks. Contracts that an earlier
    version put there, upgraded by the admin's key, are handed over to the timelock.
    Raises DeploymentDiffers when other code stands at an expected address, NodeAway, RpcError.
    """
    terms = Terms(await client.chain_id(), await client.gas_price_wei(), client.profile.eip1559)
    for nonce, step in enumerate(_plan(keys, upgrade_delay_s)):
        if await client.nonce(keys.admin.address) <= nonce:
            await _take(client, keys, terms, nonce, step)
    lock = planned_timelock(keys)
    if await client.code(lock) != load_artifact("TimelockController").deployed_bytecode:
        raise DeploymentDiffers(f"no timelock of ours stands at {lock}")
    proxies = planned_addresses(keys)
    for name, address in proxies.items():
        if any(await client.call(address, has_role_call(ADMIN_ROLE, keys.admin.address))):
            await _hand_over(client, keys, terms, name, address)
    return await find_deployments(client, proxies)


async def _take(
    client: ChainClient, keys: ChainKeys, terms: Terms, nonce: int, step: _Step
) -> None:
    raw = keys.admin.sign_transaction(
        terms, nonce=nonce, gas=_CREATION_GAS, to=step.to, data=step.data
    )
    receipt = await land(client, raw, keys.admin.address, nonce)
    if receipt is not None and not receipt.status:
        raise DeploymentDiffers(f"{step.what} failed in {receipt.tx_hash}")


async def create(client: ChainClient, signer: Signer, terms: Terms, code: bytes) -> str:
    """Create a contract with the signer's next nonce; its address. Raises DeploymentDiffers."""
    nonce = await client.nonce(signer.address)
    raw = signer.sign_transaction(terms, nonce=nonce, gas=_CREATION_GAS, to=None, data=code)
    receipt = await land(client, raw, signer.address, nonce)
    if receipt is None or not receipt.status:
        raise DeploymentDiffers(f"a creation by {signer.address} with nonce {nonce} failed")
    return create_address(signer.address, nonce)


async def _hand_over(
    client: ChainClient, keys: ChainKeys, terms: Terms, name: str, address: str
) -> None:
    """Give the admin key's two roles on a contract to the timelock; the last step ends it."""
    lock, admin = planned_timelock(keys), keys.admin.address
    for what, data in (
        ("grant of UPGRADER", role_input("grantRole", UPGRADER, lock)),
        ("grant of admin", role_input("grantRole", ADMIN_ROLE, lock)),
        ("end of UPGRADER", role_input("renounceRole", UPGRADER, admin)),
        ("end of admin", role_input("renounceRole", ADMIN_ROLE, admin)),
    ):
        step = _Step(f"{name}: {what}", address, data)
        await _take(client, keys, terms, await client.nonce(admin), step)


async def land(client: ChainClient, raw: bytes, lane: str, nonce: int) -> Receipt | None:
    """Send until mined. None when another transaction had the nonce (an earlier run's).

    Raises RpcError when the node refuses the bytes, DeploymentDiffers after a minute.
    """
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
                implementation_block=number,
            )
        )
    return found


def _same_code(name: str, code: bytes) -> bool:
    """Compare with the artifact, leaving out the immutables that creation fills in."""
    artifact = load_artifact(name)
    return blanked(code, artifact.immutable_spans) == blanked(
        artifact.deployed_bytecode, artifact.immutable_spans
    )


def blanked(code: bytes, spans: Sequence[tuple[int, int]]) -> bytes:
    """Code with the immutables that creation fills in left out, at (start, length) each."""
    blank = bytearray(code)
    for start, length in spans:
        blank[start : start + length] = bytes(length)
    return bytes(blank)


async def require_chain(client: ChainClient, deployments: Sequence[Deployment]) -> None:
    """The node holds the chain that `deployments` were recorded from, else DeploymentDiffers."""
    chain_id = await client.chain_id()
    for deployment in deployments:
        block = await client.block(deployment.block)
        found = None if block is None else bytes.fromhex(block["hash"][2:])
        if deployment.chain_id != chain_id or found != deployment.block_hash:
            raise DeploymentDiffers(
                f"{client.url} holds another chain than the one where {deployment.name} was "
                f"deployed (chain {deployment.chain_id}, block {deployment.block})"
            )


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
