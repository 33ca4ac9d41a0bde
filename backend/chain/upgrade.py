"""What an upgrade would change behind the proxies, and every reason to refuse it beforehand.

Nothing here moves a role or schedules anything: the flow does, through the timelock. A code is
named by the SHA-256 of its bytes with immutables zero, so that the code on a chain is recognised
whatever creation filled in, and its storage layout found in `artifacts/layouts.json`.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eth_abi.abi import encode
from eth_hash.auto import keccak

from backend.chain import timelock
from backend.chain.client import ChainClient, RpcError
from backend.chain.contracts import (
    ADMIN_ROLE,
    ARTIFACTS,
    CONTRACT_NAMES,
    IMPLEMENTATION_SLOT,
    UPGRADER,
    Artifact,
    ContractName,
    explain_revert,
    has_role_call,
    load_artifact,
    selector,
)
from backend.chain.deploy import (
    FIRST_FREE_NONCE,
    blanked,
    create,
    planned_addresses,
    planned_timelock,
)
from backend.chain.keys import ChainKeys, Terms, create_address

_INITIALIZED_SLOT = 0xF0C57E16840DF040F15088DC2F81FE391C3923BEC73E23A9662EFC9C229C6A00
"""OpenZeppelin's ERC-7201 slot of Initializable: the version in its lowest 8 bytes."""

_VERSION_MAX = 2**64 - 1
"""What an implementation has there that nobody can initialise."""


class UpgradeRefused(Exception):
    """An upgrade that must not be carried out, with the contract and the reason."""


@dataclass(frozen=True, slots=True)
class KnownCode:
    """A code that a contract has or had: where its immutables stand, and its layout as lines."""

    immutable_spans: Sequence[tuple[int, int]]
    layout: Sequence[str]


@dataclass(frozen=True, slots=True)
class Release:
    """The code to put behind the proxies, and what is known of every code there ever was."""

    artifacts: Mapping[ContractName, Artifact]
    known: Mapping[ContractName, Mapping[str, KnownCode]]


@dataclass(frozen=True, slots=True)
class Change:
    """One contract: the code behind its proxy now, the release's, and lines its layout gains."""

    name: ContractName
    address: str
    implementation: str
    code: str
    next_code: str
    layout_added: Sequence[str]

    @property
    def due(self) -> bool:
        """Whether another code would stand behind the proxy."""
        return self.code != self.next_code


@dataclass(frozen=True, slots=True)
class Role:
    """Whether somebody holds a role on a contract, and whether that is as it must be."""

    contract: str
    role: str
    holder: str
    held: bool
    right: bool


@dataclass(frozen=True, slots=True)
class UpgradePlan:
    """All contracts, the roles that guard them, and the timelock with its delay in seconds."""

    changes: Sequence[Change]
    roles: Sequence[Role]
    timelock: str
    delay_s: int

    @property
    def due(self) -> Sequence[Change]:
        """The contracts that would get another code."""
        return [change for change in self.changes if change.due]


def load_release() -> Release:
    """The committed artifacts with the layouts on file."""
    document: dict[ContractName, dict[str, Any]] = json.loads(
        (ARTIFACTS / "layouts.json").read_text("utf-8")
    )
    known: dict[ContractName, dict[str, KnownCode]] = {
        name: {
            code: KnownCode([(start, length) for start, length in it["immutables"]], it["layout"])
            for code, it in codes.items()
        }
        for name, codes in document.items()
    }
    return Release({name: load_artifact(name) for name in CONTRACT_NAMES}, known)


async def plan_upgrade(client: ChainClient, keys: ChainKeys, release: Release) -> UpgradePlan:
    """What putting `release` behind the proxies would change; nothing is sent.

    Raises UpgradeRefused when a proxy is not ours or was never initialised, a code is unknown, a
    layout does not keep every line it had, or a role is not where it must be; NodeAway, RpcError.
    """
    changes = [
        await _change(client, release, name, address)
        for name, address in planned_addresses(keys).items()
    ]
    lock = planned_timelock(keys)
    if await client.code(lock) != load_artifact("TimelockController").deployed_bytecode:
        raise UpgradeRefused(f"no timelock of ours stands at {lock}: run tanhui chain deploy")
    roles = await _roles(client, keys, lock)
    for role in roles:
        if not role.right:
            held = "holds" if role.held else "does not hold"
            raise UpgradeRefused(f"{role.contract}: {role.holder} {held} {role.role}")
    return UpgradePlan(changes, roles, lock, await timelock.delay_s(client, lock))


async def find_implementations(
    client: ChainClient, keys: ChainKeys, plan: UpgradePlan, release: Release
) -> dict[ContractName, str]:
    """Implementations of the release that an earlier run has put on the chain already."""
    found: dict[ContractName, str] = {}
    for nonce in range(FIRST_FREE_NONCE, await client.nonce(keys.admin.address)):
        address = create_address(keys.admin.address, nonce)
        code = await client.code(address)
        for change in plan.due:
            if _code_id(code, release.artifacts[change.name].immutable_spans) == change.next_code:
                found[change.name] = address
    return found


async def place_implementations(
    client: ChainClient, keys: ChainKeys, plan: UpgradePlan, release: Release
) -> dict[ContractName, str]:
    """Create what the proxies will point to, once: a second run finds it. No proxy changes yet."""
    found = await find_implementations(client, keys, plan, release)
    terms = Terms(await client.chain_id(), await client.gas_price_wei(), client.profile.eip1559)
    for change in plan.due:
        if change.name not in found:
            code = release.artifacts[change.name].bytecode
            found[change.name] = await create(client, keys.admin, terms, code)
    return found


def operation_of(
    plan: UpgradePlan, implementations: Mapping[ContractName, str]
) -> timelock.Operation:
    """The one operation that upgrades all contracts that are due, or none.

    Its salt is what stands there now: going back and forth between codes is never the same twice.
    """
    upgrade = selector("upgradeToAndCall(address,bytes)")
    calls = [
        (
            change.address,
            upgrade + encode(["address", "bytes"], [implementations[change.name], b""]),
        )
        for change in plan.due
    ]
    standing = encode(["address[]"], [[change.implementation for change in plan.changes]])
    return timelock.Operation(calls, keccak(standing))


async def rehearse(
    client: ChainClient,
    operation: timelock.Operation,
    plan: UpgradePlan,
    implementations: Mapping[ContractName, str],
) -> None:
    """Try every call as the timelock would make it. Raises UpgradeRefused, NodeAway."""
    for change in plan.due:
        word = await client.storage(implementations[change.name], _INITIALIZED_SLOT)
        if int.from_bytes(word[24:], "big") != _VERSION_MAX:
            raise UpgradeRefused(f"{change.name}: anybody could initialise the new implementation")
    for to, data in operation.calls:
        try:
            await client.call(to, data, sender=plan.timelock)
        except RpcError as error:
            said = error.revert_data
            reason = error.message if said is None else explain_revert(said)
            raise UpgradeRefused(f"{to} does not take the upgrade: {reason}") from error


async def implementation_of(client: ChainClient, proxy: str) -> tuple[str, bytes]:
    """The address behind a proxy and the keccak256 of the code there. Raises NodeAway."""
    address = "0x" + (await client.storage(proxy, IMPLEMENTATION_SLOT))[12:].hex()
    return address, keccak(await client.code(address))


async def _change(
    client: ChainClient, release: Release, name: ContractName, address: str
) -> Change:
    if await client.code(address) != load_artifact("ERC1967Proxy").deployed_bytecode:
        raise UpgradeRefused(f"{name}: no proxy of ours stands at {address}")
    word = await client.storage(address, _INITIALIZED_SLOT)
    # The lowest 8 bytes are the version, the next one says that initialising goes on.
    if int.from_bytes(word[24:], "big") == 0 or word[23]:
        raise UpgradeRefused(f"{name}: the proxy at {address} was never initialised")
    implementation = "0x" + (await client.storage(address, IMPLEMENTATION_SLOT))[12:].hex()
    code = await client.code(implementation)
    artifact = release.artifacts[name]
    next_code = _code_id(artifact.deployed_bytecode, artifact.immutable_spans)
    before, after = _known(release, name, code), release.known[name].get(next_code)
    if before is None or after is None:
        which = "code that is to come" if before else f"code at {implementation}"
        raise UpgradeRefused(f"{name}: the storage layout of the {which} is not on file")
    identity, layout = before
    lost = [line for line in layout if line not in after.layout]
    if lost:
        raise UpgradeRefused(f"{name}: the new code no longer keeps its storage: {'; '.join(lost)}")
    added = [line for line in after.layout if line not in layout]
    return Change(name, address, implementation, identity, next_code, added)


def _known(release: Release, name: ContractName, code: bytes) -> tuple[str, Sequence[str]] | None:
    """The id and layout of the code on a chain, None when it was never on file."""
    for identity, known in release.known[name].items():
        if _code_id(code, known.immutable_spans) == identity:
            return identity, known.layout
    return None


def _code_id(code: bytes, spans: Sequence[tuple[int, int]]) -> str:
    return hashlib.sha256(blanked(code, spans)).hexdigest()


async def _roles(client: ChainClient, keys: ChainKeys, lock: str) -> list[Role]:
    government, auditor, admin = keys.government, keys.auditor, keys.admin
    wanted: list[tuple[str, str, str, bytes, str, bool]] = []
    for name, address in planned_addresses(keys).items():
        wanted += [
            (name, address, "UPGRADER", UPGRADER, lock, True),
            (name, address, "admin", ADMIN_ROLE, lock, True),
            (name, address, "admin", ADMIN_ROLE, admin.address, False),
        ]
    wanted += [
        ("timelock", lock, "PROPOSER", timelock.PROPOSER, government.address, True),
        ("timelock", lock, "EXECUTOR", timelock.EXECUTOR, government.address, True),
        ("timelock", lock, "CANCELLER", timelock.CANCELLER, auditor.address, True),
        ("timelock", lock, "admin", ADMIN_ROLE, admin.address, False),
    ]
    roles: list[Role] = []
    for contract, address, label, role, holder, must in wanted:
        held = any(await client.call(address, has_role_call(role, holder)))
        roles.append(Role(contract, label, holder, held, held == must))
    return roles
