"""What a verifier asks the chain, in the order of formats.md §8, through a port of seven reads.

The node that answers is not trusted: it must hold the chain of trust.json (id, deployment block,
contract code) before any of its answers counts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol

from backend.kit.clock import day_number
from backend.proof.batches import Batch, BatchError, batch_id, decode_post
from backend.proof.checkpoint import Note
from backend.proof.fields import ACT_BATCH_KIND
from backend.proof.keccak import keccak256
from backend.proof.receipt import Anchor, Posted
from backend.proof.trust import Contract, Trust
from backend.proof.verdicts import StepFailed

IMPLEMENTATION_SLOT = int.from_bytes(keccak256(b"eip1967.proxy.implementation")) - 1
"""ERC-1967: where a proxy keeps the address of the code behind it."""

CODE_BYTES_MAX = 65_536
"""Above what any engine allows (EIP-170: 24,576); a node cannot make us hash for ever."""

_ANCHOR_SELECTOR = keccak256(b"anchor(uint64,bytes32,bytes32)")[:4]
_ROOT_OF_SELECTOR = keccak256(b"rootOf(uint64)")[:4]
_ENACTED_SELECTOR = keccak256(b"enacted(uint8,bytes32,uint32)")[:4]

ENACTED_RULE, ENACTED_METHOD = 1, 2


class ChainFault(Exception):
    """The node did not answer, or answered what no node should."""


@dataclass(frozen=True, slots=True)
class ChainTx:
    """A transaction as the node stores it; `to` is 0x… in lower case, None for a creation."""

    to: str | None
    input: bytes


@dataclass(frozen=True, slots=True)
class ChainTxReceipt:
    """What became of a transaction."""

    status: bool
    to: str | None
    block: int
    block_hash: bytes


class ChainReader(Protocol):
    """The port: reads of one node at its latest block. Each raises `ChainFault`."""

    async def chain_id(self) -> int:
        """eth_chainId."""
        ...

    async def block_hash(self, number: int) -> bytes | None:
        """The 32-byte hash of the canonical block of that number; None beyond the tip."""
        ...

    async def code(self, address: str) -> bytes:
        """The code at an address, b"" where there is none."""
        ...

    async def storage(self, address: str, slot: int) -> bytes:
        """One 32-byte word."""
        ...

    async def call(self, to: str, data: bytes) -> bytes:
        """eth_call; a revert is a `ChainFault` too."""
        ...

    async def transaction(self, tx_hash: str) -> ChainTx | None:
        """The transaction of that hash."""
        ...

    async def receipt(self, tx_hash: str) -> ChainTxReceipt | None:
        """The receipt of that transaction, None while it is not mined."""
        ...


@dataclass(frozen=True, slots=True)
class Enacted:
    """What RuleRegistry holds for one version; days are day numbers, `day_to` exclusive."""

    digest: bytes
    day_from: int
    day_to: int


async def check_node(reader: ChainReader, trust: Trust) -> None:
    """The node holds the chain of trust.json. Raises `StepFailed` or `ChainFault`."""
    chain = trust.chain
    found = await reader.chain_id()
    if found != chain.chain_id:
        raise StepFailed(f"the node's chain id is {found}, trusted is {chain.chain_id}")
    if await reader.block_hash(chain.deployment.block) != chain.deployment.hash:
        raise StepFailed(f"the node's block {chain.deployment.block} is not the deployment block")
    for name in sorted(chain.contracts):
        await _check_code(reader, name, chain.contracts[name])


async def _code_hash(reader: ChainReader, address: str) -> bytes:
    code = await reader.code(address)
    if len(code) > CODE_BYTES_MAX:
        raise ChainFault("the node shows more code than a contract can have")
    return keccak256(code)


async def _check_code(reader: ChainReader, name: str, contract: Contract) -> None:
    if await _code_hash(reader, contract.address) != contract.proxy_code_hash:
        raise StepFailed(f"the code at {name}'s address is not the trusted proxy")
    word = await reader.storage(contract.address, IMPLEMENTATION_SLOT)
    if len(word) != 32 or any(word[:12]):
        raise StepFailed(f"{name}'s proxy names no implementation")
    if not contract.knows_implementation(await _code_hash(reader, "0x" + word[12:].hex())):
        raise StepFailed(f"the code behind {name}'s proxy is not listed in the trust file")


def contract_of(trust: Trust, name: str) -> Contract:
    """A contract of the trust file by name. Raises `StepFailed`."""
    contract = trust.chain.contracts.get(name)
    if contract is None:
        raise StepFailed(f"the trust file names no {name}")
    return contract


def check_anchor_terms(anchor: Anchor, trust: Trust) -> None:
    """What of the anchor can be judged without a node. Raises `StepFailed`."""
    if anchor.chain_id != trust.chain.chain_id:
        raise StepFailed(f"the chain id is {anchor.chain_id}, trusted is {trust.chain.chain_id}")
    if anchor.contract != contract_of(trust, "EvidenceAnchor").address:
        raise StepFailed("the contract is not the trusted EvidenceAnchor")


async def check_anchor(reader: ChainReader, anchor: Anchor, note: Note) -> None:
    """The checkpoint stands on chain, written by that transaction. Raises `StepFailed`."""
    size_word = note.size.to_bytes(32)
    if await reader.call(anchor.contract, _ROOT_OF_SELECTOR + size_word) != note.root:
        raise StepFailed(f"rootOf({note.size}) on chain is not the checkpoint's root")
    await _check_mined(reader, anchor.tx, anchor.contract, anchor.block, anchor.block_hash)
    data = await _input_of(reader, anchor.tx, anchor.contract)
    if data[:68] != _ANCHOR_SELECTOR + size_word + note.root:
        raise StepFailed("the transaction does not anchor this checkpoint")


async def _check_mined(
    reader: ChainReader, tx: str, contract: str, block: int, block_hash: bytes | None
) -> None:
    mined = await reader.receipt(tx)
    if mined is None:
        raise StepFailed("the node knows no such transaction")
    if not mined.status:
        raise StepFailed("the transaction failed")
    if mined.to != contract:
        raise StepFailed("the transaction does not call the contract directly")
    if mined.block != block or (block_hash is not None and mined.block_hash != block_hash):
        raise StepFailed("the transaction stands in another block")
    if await reader.block_hash(block) != mined.block_hash:
        raise StepFailed("the transaction's block is not canonical")


async def _input_of(reader: ChainReader, tx: str, contract: str) -> bytes:
    found = await reader.transaction(tx)
    if found is None or found.to != contract:
        raise StepFailed("the node holds no such transaction to the contract")
    return found.input


def check_posted_terms(posted: Posted, trust: Trust) -> None:
    """What of `posted` can be judged without a node. Raises `StepFailed`."""
    if posted.contract != contract_of(trust, "CarbonPoints").address:
        raise StepFailed("the contract is not the trusted CarbonPoints")


async def check_posted(
    reader: ChainReader, index: int, posted: Posted, values: Mapping[str, Any], trust: Trust
) -> None:
    """The batch carries at least this leaf's points to its account. Raises `StepFailed`."""
    await _check_mined(reader, posted.tx, posted.contract, posted.block, None)
    data = await _input_of(reader, posted.tx, posted.contract)
    try:
        batch = decode_post(data)
    except BatchError as error:
        raise StepFailed(str(error)) from error
    if batch_id(batch.header, trust.chain.chain_id, posted.contract) != posted.batch_id:
        raise StepFailed("the batch id is not the one of the transaction's header")
    check_batch(batch, index, values)


def check_batch(batch: Batch, index: int, values: Mapping[str, Any]) -> None:
    """A leaf's fields against the batch that should carry it. Raises `StepFailed`."""
    act, points, rule = values["act"], values["points"], values["rule"]
    if not batch.leaf_from <= index < batch.leaf_to:
        raise StepFailed("the batch does not cover the leaf's index")
    if batch.kind != ACT_BATCH_KIND[act["act"]] or batch.reason != act["reason"]:
        raise StepFailed(f"the batch is not of the kind and reason of the act {act['act']}")
    if batch.points_class != points["class"]:
        raise StepFailed("the batch is of another class of points")
    programme = ("", "", 0) if rule is None else (rule["programme"], rule["id"], rule["version"])
    if (batch.programme, batch.rule, batch.rule_version) != programme:
        raise StepFailed("the batch is of another programme, rule or version")
    _check_batch_days(batch, values["occurrence"])
    held = batch.records.get(bytes.fromhex(values["account"]), 0)
    if held < points["amount"]:
        raise StepFailed(f"the batch carries {held} points to the account, the leaf more")


def _check_batch_days(batch: Batch, occurrence: Mapping[str, Any]) -> None:
    if batch.kind != 1:
        if (batch.day_from, batch.day_to) != (0, 0):
            raise StepFailed("the batch declares days where none belong")
        return
    if not batch.day_from <= day_number(date.fromisoformat(occurrence["city_day"])) < batch.day_to:
        raise StepFailed("the batch's days do not cover the leaf's day")


async def enacted(
    reader: ChainReader, trust: Trust, what: int, document_id: str, version: int
) -> Enacted:
    """What RuleRegistry says of a version. Raises `StepFailed` when it was never enacted."""
    registry = contract_of(trust, "RuleRegistry").address
    arguments = what.to_bytes(32) + document_id.encode().ljust(32, b"\0") + version.to_bytes(32)
    answer = await reader.call(registry, _ENACTED_SELECTOR + arguments)
    if len(answer) != 96 or not any(answer[:32]):
        raise StepFailed(f"RuleRegistry holds no {document_id} version {version}")
    words = [int.from_bytes(answer[at : at + 32]) for at in (32, 64)]
    return Enacted(answer[:32], words[0], words[1])
