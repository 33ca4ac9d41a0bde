"""Our contracts as plain bytes: encoding of calls, ids and digests, decoding of answers and errors.

Formats: formats.md §7 and §8. Nothing here talks to a node.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError
from eth_hash.auto import keccak

ARTIFACTS = Path(__file__).parent.parent.parent / "contracts" / "artifacts"

ContractName = Literal[
    "CarbonPoints", "RuleRegistry", "EvidenceAnchor", "SpaceRegistry", "ParkingSettlement"
]
CONTRACT_NAMES: tuple[ContractName, ...] = (
    "RuleRegistry",
    "EvidenceAnchor",
    "CarbonPoints",
    "SpaceRegistry",
    "ParkingSettlement",
)
"""Every contract behind a proxy of ours, in order of creation."""

ISSUE, REDEEM, RETIRE = 1, 2, 3
WHAT_RULE, WHAT_METHOD = 1, 2
DEBIT_NOBODY, DEBIT_CHAIN_SENDER = 1, 2

RECORD_BYTES = 24
RECORDS_MAX = 2_040
AMOUNT_MAX = 2**32 - 1
ACCOUNT_LOWEST, ACCOUNT_HIGHEST = bytes(20), b"\xff" * 20

IMPLEMENTATION_SLOT = 0x360894A13BA1A3210667C828492DB98DCA3E2076CC3735A920A3CA505D382BBC
"""Where an ERC-1967 proxy keeps its implementation's address."""

_BATCH_TYPE = "(uint8,bytes32,bytes32,bytes32,uint32,uint8,uint64,uint64,bytes20,bytes20)"
_POST_TYPES = [_BATCH_TYPE, "uint32", "uint32", "bytes"]
_BATCH_DOMAIN = b"tanhui-batch-v1".ljust(32, b"\0")
_ENACTMENT_TYPE = "(uint8,bytes32,uint32,bytes32,uint32,uint32)"
_DOMAIN_TYPEHASH = keccak(
    b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)
_ENACTMENT_TYPEHASH = keccak(
    b"Enactment(uint8 what,bytes32 id,uint32 version,bytes32 digest,uint32 dayFrom,uint32 dayTo)"
)


def selector(signature: str) -> bytes:
    """The first four bytes of a function signature's keccak."""
    return keccak(signature.encode())[:4]


POST_SELECTOR = selector(f"post({_BATCH_TYPE},uint32,uint32,bytes)")
ANCHOR_SELECTOR = selector("anchor(uint64,bytes32,bytes32)")
BATCH_POSTED_TOPIC = (
    "0x"
    + keccak(
        b"BatchPosted(bytes32,bytes32,bytes32,uint8,uint8,uint64,uint64,uint256,uint256)"
    ).hex()
)


@dataclass(frozen=True, slots=True)
class Artifact:
    """A compiled contract: creation and runtime code, and its errors by selector."""

    name: str
    bytecode: bytes
    deployed_bytecode: bytes
    immutable_spans: Sequence[tuple[int, int]]
    errors: dict[bytes, tuple[str, Sequence[str]]]


@cache
def load_artifact(name: str) -> Artifact:
    """Read a committed artifact. Raises FileNotFoundError when the contracts were never built."""
    document: dict[str, Any] = json.loads((ARTIFACTS / f"{name}.json").read_text("utf-8"))
    errors: dict[bytes, tuple[str, Sequence[str]]] = {}
    for entry in document["abi"]:
        if entry["type"] == "error":
            types = [part["type"] for part in entry["inputs"]]
            errors[selector(f"{entry['name']}({','.join(types)})")] = (entry["name"], types)
    references: dict[str, list[dict[str, int]]] = document.get("immutableReferences") or {}
    spans = [
        (place["start"], place["length"]) for places in references.values() for place in places
    ]
    return Artifact(
        name=name,
        bytecode=bytes.fromhex(document["bytecode"][2:]),
        deployed_bytecode=bytes.fromhex(document["deployedBytecode"][2:]),
        immutable_spans=spans,
        errors=errors,
    )


def chain_id_text(value: str) -> bytes:
    """An id (class, programme, rule, method) as bytes32: ASCII, right-padded with zeros."""
    encoded = value.encode("ascii")
    if len(encoded) > 32:
        raise ValueError(f"an id has at most 32 characters: {value!r}")
    return encoded.ljust(32, b"\0")


def id_of_word(word: bytes) -> str:
    """The id in a bytes32, "" for zero. Raises ValueError for bytes that are no padded ASCII."""
    text = word.rstrip(b"\0")
    if b"\0" in text:
        raise ValueError("an id is ASCII followed by zeros only")
    return text.decode("ascii")


# --- CarbonPoints ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BatchHeader:
    """The ten header fields of a batch; ids as text, "" where the format wants zero."""

    kind: int
    class_: str
    programme: str
    rule: str
    rule_version: int
    reason: int
    leaf_from: int
    leaf_to: int
    account_from: bytes
    account_to: bytes

    def words(self) -> tuple[Any, ...]:
        """The fields as the ABI wants them."""
        return (
            self.kind,
            chain_id_text(self.class_),
            chain_id_text(self.programme),
            chain_id_text(self.rule),
            self.rule_version,
            self.reason,
            self.leaf_from,
            self.leaf_to,
            self.account_from,
            self.account_to,
        )


@dataclass(frozen=True, slots=True)
class BatchContent:
    """What a post carries beside its header: `[day_from, day_to)` and 24-byte records."""

    day_from: int
    day_to: int
    records: bytes


def batch_id(chain_id: int, contract: str, header: BatchHeader) -> bytes:
    """The 32-byte id that CarbonPoints at `contract` gives to a batch with that header."""
    return keccak(
        encode(
            ["bytes32", "uint256", "address", _BATCH_TYPE],
            [_BATCH_DOMAIN, chain_id, contract, header.words()],
        )
    )


def content_hash(content: BatchContent) -> bytes:
    """keccak256 over days and records; the contract keeps its first 20 bytes."""
    return keccak(
        encode(["uint32", "uint32", "bytes"], [content.day_from, content.day_to, content.records])
    )


def post_input(header: BatchHeader, content: BatchContent) -> bytes:
    """The whole input of the transaction that posts a batch."""
    return POST_SELECTOR + encode(
        _POST_TYPES, [header.words(), content.day_from, content.day_to, content.records]
    )


def read_post_input(data: bytes) -> tuple[BatchHeader, BatchContent]:
    """Decode a post. Raises ValueError for anything but the one canonical encoding."""
    if data[:4] != POST_SELECTOR:
        raise ValueError("not a call of post")
    try:
        words, day_from, day_to, records = decode(_POST_TYPES, data[4:])
    except (DecodingError, OverflowError) as error:
        raise ValueError(f"not the input of a post: {error}") from error
    header = BatchHeader(
        words[0],
        id_of_word(words[1]),
        id_of_word(words[2]),
        id_of_word(words[3]),
        words[4],
        words[5],
        words[6],
        words[7],
        words[8],
        words[9],
    )
    content = BatchContent(day_from, day_to, records)
    if post_input(header, content) != data:
        raise ValueError("the input is not canonically encoded")
    return header, content


def make_records(sums: Sequence[tuple[bytes, int]]) -> bytes:
    """Records of (account, amount) pairs, sorted by account here. Amounts 1…2^32−1."""
    return b"".join(account + amount.to_bytes(4, "big") for account, amount in sorted(sums))


def read_records(records: bytes) -> list[tuple[bytes, int]]:
    """The pairs of records. Raises ValueError for another length."""
    if len(records) % RECORD_BYTES:
        raise ValueError("records are 24 bytes each")
    return [
        (records[i : i + 20], int.from_bytes(records[i + 20 : i + 24], "big"))
        for i in range(0, len(records), RECORD_BYTES)
    ]


def post_gas(account_count: int, input_byte_gas: int = 16) -> int:
    """Gas to allow for a post of that many accounts, all of them new.

    Measured 23,0xx an account beside some 90,000 fixed; what is left unused is returned. Fixed,
    because an estimate may be wrong by the time the transaction is mined. `input_byte_gas` is
    the engine's price of a byte of input.
    """
    dearer = (input_byte_gas - 16) * RECORD_BYTES
    return 200_000 + (input_byte_gas - 16) * 1_000 + (24_000 + dearer) * account_count


@dataclass(frozen=True, slots=True)
class PostedBatch:
    """What the contract knows of a batch id: first 20 bytes of the content hash, sums, block."""

    content: bytes
    account_count: int
    total: int
    block: int


def batch_call(batch: bytes) -> bytes:
    """Input of `batch(bytes32)`."""
    return selector("batch(bytes32)") + batch


def read_batch(output: bytes) -> PostedBatch | None:
    """Decode `batch`; None for an id that was never posted."""
    known, content, count, total, block = decode(
        ["bool", "bytes20", "uint16", "uint48", "uint32"], output
    )
    return PostedBatch(content, count, total, block) if known else None


@dataclass(frozen=True, slots=True)
class AccountTotals:
    """Three totals that only grow, in points, and how many batches touched the account."""

    issued: int
    redeemed: int
    retired: int
    seq: int


def accounts_call(class_: str, accounts: Sequence[bytes]) -> bytes:
    """Input of `accounts(bytes32,bytes)`."""
    return selector("accounts(bytes32,bytes)") + encode(
        ["bytes32", "bytes"], [chain_id_text(class_), b"".join(accounts)]
    )


def read_accounts(output: bytes) -> list[AccountTotals]:
    """Decode `accounts`, in the order asked."""
    mask = 2**64 - 1
    (words,) = decode(["uint256[]"], output)
    return [
        AccountTotals(w & mask, w >> 64 & mask, w >> 128 & mask, w >> 192 & mask) for w in words
    ]


def totals_call(class_: str) -> bytes:
    """Input of `totals(bytes32)`."""
    return selector("totals(bytes32)") + chain_id_text(class_)


def read_totals(output: bytes) -> tuple[int, int, int]:
    """Decode `totals`: issued, redeemed, retired of a class."""
    issued, redeemed, retired = decode(["uint64", "uint64", "uint64"], output)
    return issued, redeemed, retired


def budget_call(programme: str) -> bytes:
    """Input of `budget(bytes32)`."""
    return selector("budget(bytes32)") + chain_id_text(programme)


def read_budget(output: bytes) -> tuple[int, int]:
    """Decode `budget`: cap and issued."""
    cap, issued = decode(["uint64", "uint64"], output)
    return cap, issued


def set_budget_input(programme: str, cap: int) -> bytes:
    """Input of `setBudget(bytes32,uint64)`, for the government's key."""
    return selector("setBudget(bytes32,uint64)") + encode(
        ["bytes32", "uint64"], [chain_id_text(programme), cap]
    )


def set_class_input(class_: str, debit: int) -> bytes:
    """Input of `setClass(bytes32,uint8)`, for the government's key."""
    return selector("setClass(bytes32,uint8)") + encode(
        ["bytes32", "uint8"], [chain_id_text(class_), debit]
    )


# --- EvidenceAnchor ----------------------------------------------------------------------------


def anchor_input(size: int, root: bytes, prev_root: bytes) -> bytes:
    """The whole input of the transaction that anchors a checkpoint."""
    return ANCHOR_SELECTOR + encode(["uint64", "bytes32", "bytes32"], [size, root, prev_root])


def root_of_call(size: int) -> bytes:
    """Input of `rootOf(uint64)`."""
    return selector("rootOf(uint64)") + encode(["uint64"], [size])


def latest_call() -> bytes:
    """Input of `latest()`."""
    return selector("latest()")


def read_latest(output: bytes) -> tuple[int, bytes]:
    """Decode `latest`: size and root, zeros before the first anchor."""
    size, root = decode(["uint64", "bytes32"], output)
    return size, root


# --- RuleRegistry ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EnactmentTerms:
    """What approvers sign: what 1 rule or 2 method, id, version, digest, window in day numbers."""

    what: int
    id: str
    version: int
    digest: bytes
    day_from: int
    day_to: int

    def words(self) -> tuple[Any, ...]:
        """The fields as the ABI wants them."""
        return (
            self.what,
            chain_id_text(self.id),
            self.version,
            self.digest,
            self.day_from,
            self.day_to,
        )


def enactment_digest(chain_id: int, registry: str, terms: EnactmentTerms) -> bytes:
    """The EIP-712 digest that each approver signs."""
    domain = keccak(
        encode(
            ["bytes32", "bytes32", "bytes32", "uint256", "address"],
            [
                _DOMAIN_TYPEHASH,
                keccak(b"Tanhui RuleRegistry"),
                keccak(b"1"),
                chain_id,
                registry,
            ],
        )
    )
    struct = keccak(_ENACTMENT_TYPEHASH + encode([_ENACTMENT_TYPE], [terms.words()]))
    return keccak(b"\x19\x01" + domain + struct)


def enact_input(terms: EnactmentTerms, signature_a: bytes, signature_b: bytes) -> bytes:
    """Input of `enact`: anyone may carry the two approvers' signatures to the chain."""
    return selector(f"enact({_ENACTMENT_TYPE},bytes,bytes)") + encode(
        [_ENACTMENT_TYPE, "bytes", "bytes"], [terms.words(), signature_a, signature_b]
    )


def enacted_call(what: int, id_: str, version: int) -> bytes:
    """Input of `enacted(uint8,bytes32,uint32)`."""
    return selector("enacted(uint8,bytes32,uint32)") + encode(
        ["uint8", "bytes32", "uint32"], [what, chain_id_text(id_), version]
    )


def read_enacted(output: bytes) -> tuple[bytes, int, int]:
    """Decode `enacted`: digest, day_from, day_to; zeros for an unknown version."""
    digest, day_from, day_to = decode(["bytes32", "uint32", "uint32"], output)
    return digest, day_from, day_to


def register_approver_input(address: str) -> bytes:
    """Input of `registerApprover(address)`, for the government's key."""
    return selector("registerApprover(address)") + encode(["address"], [address])


# --- roles, deployment and errors ----------------------------------------------------------------

ADMIN_ROLE = bytes(32)
"""OpenZeppelin's DEFAULT_ADMIN_ROLE: grants and revokes the others."""

CHAIN_SENDER, GOVERNMENT, AUDITOR, UPGRADER = (
    keccak(name) for name in (b"CHAIN_SENDER", b"GOVERNMENT", b"AUDITOR", b"UPGRADER")
)

DISPUTE_WINDOW_S = 7 * 86_400
"""How long a settlement can be disputed, until the government sets another time."""

_HOLDERS_TYPE = "(address,address,address,address,address[])"


def role_input(function: Literal["grantRole", "renounceRole"], role: bytes, holder: str) -> bytes:
    """Input of `grantRole` or `renounceRole`, for the role's admin or its own holder."""
    return selector(f"{function}(bytes32,address)") + encode(["bytes32", "address"], [role, holder])


def has_role_call(role: bytes, holder: str) -> bytes:
    """Input of `hasRole(bytes32,address)`: one word, 0 or 1."""
    return selector("hasRole(bytes32,address)") + encode(["bytes32", "address"], [role, holder])


def initialize_input(name: ContractName, holders: tuple[Any, ...], registry: str) -> bytes:
    """The proxy's first call. `holders`: admin, government, auditor, upgrader, senders."""
    more: dict[ContractName, tuple[str, Any]] = {
        "CarbonPoints": ("address", registry),
        "RuleRegistry": ("address[]", []),
        "ParkingSettlement": ("uint32", DISPUTE_WINDOW_S),
    }
    types, values = [_HOLDERS_TYPE], [holders]
    if name in more:
        types.append(more[name][0])
        values.append(more[name][1])
    return selector(f"initialize({','.join(types)})") + encode(types, values)


def proxy_creation(implementation: str, initialize: bytes) -> bytes:
    """Creation code of an ERC-1967 proxy with its constructor's arguments."""
    arguments = encode(["address", "bytes"], [implementation, initialize])
    return load_artifact("ERC1967Proxy").bytecode + arguments


def explain_revert(data: bytes) -> str:
    """The sentence-named error of revert data, with its arguments, e.g. `Name(1, 2)`."""
    if not data:
        return "reverted without a reason"
    for name in (*CONTRACT_NAMES, "ERC1967Proxy", "TimelockController"):
        found = load_artifact(name).errors.get(data[:4])
        if found is not None:
            label, types = found
            values = [v.hex() if isinstance(v, bytes) else v for v in decode(types, data[4:])]
            return f"{label}({', '.join(map(str, values))})"
    if data[:4] == selector("Error(string)"):
        return str(decode(["string"], data[4:])[0])
    return "0x" + data.hex()
