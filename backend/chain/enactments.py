"""What officials sign, and the calls that carry it to `RuleRegistry` and `CarbonPoints`.

EIP-712 over `Enactment(uint8 what,bytes32 id,uint32 version,bytes32 digest,uint32 dayFrom,
uint32 dayTo)` in the domain of one registry on one chain (formats.md §8). Written out by hand:
forty lines that are compared with the contract are easier to trust than a library's options.
"""

import secrets
from dataclasses import dataclass, replace
from typing import Any

from eth_abi.abi import decode, encode
from eth_hash.auto import keccak
from eth_keyfile.keyfile import create_keyfile_json, decode_keyfile_json
from eth_keys.exceptions import BadSignature
from eth_keys.main import lazy_key_api as keys
from eth_utils.exceptions import ValidationError

RULE, METHOD = 1, 2
DAY_OPEN = 4_294_967_295

DEBIT_NOBODY, DEBIT_CHAIN_SENDER = 1, 2
"""Who may debit a points class on chain (`CarbonPoints.Debit`)."""

_CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_SCRYPT_N = 1 << 16
_TUPLE = "(uint8,bytes32,uint32,bytes32,uint32,uint32)"
_DOMAIN_TYPE = keccak(
    b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)
_ENACTMENT_TYPE = keccak(
    b"Enactment(uint8 what,bytes32 id,uint32 version,bytes32 digest,uint32 dayFrom,uint32 dayTo)"
)


class SignatureRefused(ValueError):
    """65 bytes that are no signature the contract would accept."""


@dataclass(frozen=True, slots=True)
class Domain:
    """One RuleRegistry: its chain and its address (0x…)."""

    chain_id: int
    contract: str


@dataclass(frozen=True, slots=True)
class Enactment:
    """One version of a rule (what 1) or method (what 2); days since 1970-01-01, digest 32 bytes."""

    what: int
    id: str
    version: int
    digest: bytes
    day_from: int
    day_to: int

    def stopped(self, day_to: int) -> "Enactment":
        """The same version with its window ended earlier: what a stop signs."""
        if not self.day_from < day_to < self.day_to:
            raise ValueError("a stop ends the window later than its start and earlier than now")
        return replace(self, day_to=day_to)

    def words(self) -> tuple[int, bytes, int, bytes, int, int]:
        """The six values in the order of the contract's struct."""
        return (
            self.what,
            id32(self.id),
            self.version,
            self.digest,
            self.day_from,
            self.day_to,
        )


def id32(name: str) -> bytes:
    """An id as bytes32: ASCII, right-padded with zeros. Raises ValueError."""
    data = name.encode("ascii")
    if not 1 <= len(data) <= 32:
        raise ValueError(f"an id on chain has 1 to 32 ASCII characters: {name!r}")
    return data.ljust(32, b"\0")


def enactment_digest(domain: Domain, enactment: Enactment) -> bytes:
    """The EIP-712 digest that approvers sign, equal to the contract's `hashEnactment`."""
    separator = keccak(
        encode(
            ["bytes32", "bytes32", "bytes32", "uint256", "address"],
            [
                _DOMAIN_TYPE,
                keccak(b"Tanhui RuleRegistry"),
                keccak(b"1"),
                domain.chain_id,
                domain.contract,
            ],
        )
    )
    body = keccak(
        encode(
            ["bytes32", "uint8", "bytes32", "uint32", "bytes32", "uint32", "uint32"],
            [_ENACTMENT_TYPE, *enactment.words()],
        )
    )
    return keccak(b"\x19\x01" + separator + body)


def sign_enactment(private_key: bytes, domain: Domain, enactment: Enactment) -> bytes:
    """65 bytes r ‖ s ‖ v (27 or 28), low s."""
    signature = keys.PrivateKey(private_key).sign_msg_hash(enactment_digest(domain, enactment))
    r, s, v = int(signature.r), int(signature.s), int(signature.v)
    if s > _CURVE_ORDER // 2:
        s, v = _CURVE_ORDER - s, 1 - v
    return r.to_bytes(32) + s.to_bytes(32) + bytes([27 + v])


def recover_approver(domain: Domain, enactment: Enactment, signature: bytes) -> str:
    """The address (0x…, lower case) whose key made the signature.

    Raises SignatureRefused for another length, a `v` that is not 27 or 28, a high s, or a point
    that is not on the curve: what the contract refuses too.
    """
    if len(signature) != 65 or signature[64] not in (27, 28):
        raise SignatureRefused("a signature has 65 bytes and ends in 27 or 28")
    r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:64])
    if not 0 < r < _CURVE_ORDER or not 0 < s <= _CURVE_ORDER // 2:
        raise SignatureRefused("r or s is out of range, or s is the malleable twin")
    try:
        made = keys.Signature(vrs=(signature[64] - 27, r, s))
        public_key = made.recover_public_key_from_msg_hash(enactment_digest(domain, enactment))
    except (BadSignature, ValidationError, ValueError) as error:
        raise SignatureRefused("no public key can be recovered") from error
    return public_key.to_address()


def enact_calldata(enactment: Enactment, first: bytes, second: bytes) -> bytes:
    """The input of `RuleRegistry.enact` with two approvers' signatures."""
    return _call(
        f"enact({_TUPLE},bytes,bytes)",
        [_TUPLE, "bytes", "bytes"],
        [enactment.words(), first, second],
    )


def stop_calldata(enactment: Enactment, first: bytes, second: bytes) -> bytes:
    """The input of `RuleRegistry.stop`; `enactment` carries the lowered end of the window."""
    return _call(
        f"stop({_TUPLE},bytes,bytes)",
        [_TUPLE, "bytes", "bytes"],
        [enactment.words(), first, second],
    )


def register_approver_calldata(address: str) -> bytes:
    """The input of `RuleRegistry.registerApprover`."""
    return _call("registerApprover(address)", ["address"], [address])


def set_budget_calldata(programme: str, cap: int) -> bytes:
    """The input of `CarbonPoints.setBudget`; the cap in points."""
    return _call("setBudget(bytes32,uint64)", ["bytes32", "uint64"], [id32(programme), cap])


def set_class_calldata(points_class: str, debit: int) -> bytes:
    """The input of `CarbonPoints.setClass`."""
    return _call("setClass(bytes32,uint8)", ["bytes32", "uint8"], [id32(points_class), debit])


def enacted_calldata(what: int, name: str, version: int) -> bytes:
    """The input of the view `RuleRegistry.enacted`."""
    return _call(
        "enacted(uint8,bytes32,uint32)",
        ["uint8", "bytes32", "uint32"],
        [what, id32(name), version],
    )


def read_enacted(answer: bytes) -> tuple[bytes, int, int] | None:
    """(digest, day_from, day_to) from the answer of `enacted`; None if unknown to the contract."""
    digest, day_from, day_to = decode(["bytes32", "uint32", "uint32"], answer)
    return None if digest == bytes(32) else (digest, day_from, day_to)


def totals_calldata(points_class: str) -> bytes:
    """The input of the view `CarbonPoints.totals`."""
    return _call("totals(bytes32)", ["bytes32"], [id32(points_class)])


def read_totals(answer: bytes) -> tuple[int, int, int]:
    """(issued, redeemed, retired) in points from the answer of `totals`."""
    issued, redeemed, retired = decode(["uint64", "uint64", "uint64"], answer)
    return issued, redeemed, retired


def budget_calldata(programme: str) -> bytes:
    """The input of the view `CarbonPoints.budget`."""
    return _call("budget(bytes32)", ["bytes32"], [id32(programme)])


def read_budget(answer: bytes) -> tuple[int, int]:
    """(cap, issued) in points from the answer of `budget`."""
    cap, issued = decode(["uint64", "uint64"], answer)
    return cap, issued


def batch_calldata(batch_id: bytes) -> bytes:
    """The input of the view `CarbonPoints.batch`."""
    return _call("batch(bytes32)", ["bytes32"], [batch_id])


def read_batch_known(answer: bytes) -> bool:
    """Whether the answer of `batch` says that the batch took effect."""
    return int.from_bytes(answer[:32]) == 1


def new_keystore(password: str) -> tuple[str, dict[str, Any]]:
    """A fresh signing key: its address (0x…) and an Ethereum keystore (version 3, scrypt)."""
    if len(password) < 8:
        raise ValueError("a key file's password has at least 8 characters")
    private_key = secrets.token_bytes(32)
    address = keys.PrivateKey(private_key).public_key.to_address()
    keystore = create_keyfile_json(
        private_key, password.encode(), kdf="scrypt", iterations=_SCRYPT_N
    )
    return address, keystore


def open_keystore(keystore: dict[str, Any], password: str) -> bytes:
    """The 32-byte private key. Raises ValueError for a wrong password or a broken file."""
    try:
        return bytes(decode_keyfile_json(keystore, password.encode()))
    except (ValueError, KeyError, TypeError, NotImplementedError) as error:
        raise ValueError("the password does not open this key file") from error


def address_of(private_key: bytes) -> str:
    """The address (0x…, lower case) of a private key."""
    return keys.PrivateKey(private_key).public_key.to_address()


def _call(signature: str, types: list[str], values: list[Any]) -> bytes:
    return keccak(signature.encode())[:4] + encode(types, values)
