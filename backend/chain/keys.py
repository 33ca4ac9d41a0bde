"""The installation's own chain keys and plain secp256k1 signing."""

import contextlib
import secrets
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eth_hash.auto import keccak
from eth_keys.datatypes import PrivateKey, Signature
from eth_keys.exceptions import BadSignature
from eth_utils.exceptions import ValidationError

from backend.chain.encoding import rlp_encode, rlp_list
from backend.kit.vault import write_secret_file

KEY_NAMES = ("admin", "government", "auditor", "anchor", "post")
"""`admin` deploys and then holds no role; `anchor` and `post` are the lanes with CHAIN_SENDER."""

POST_LANES_MAX = 16


@dataclass(frozen=True, slots=True)
class Terms:
    """What every transaction of a chain needs beside its content."""

    chain_id: int
    gas_price_wei: int
    eip1559: bool


class Signer:
    """One key; `address` is lower-case 0x hex and names the lane."""

    def __init__(self, secret: bytes) -> None:
        self._key = PrivateKey(secret)
        self.address: str = self._key.public_key.to_address()

    def sign_digest(self, digest: bytes) -> bytes:
        """65 bytes r ‖ s ‖ v over a 32-byte digest, deterministic, low s, v 27 or 28."""
        signature = self._key.sign_msg_hash(digest)
        return (
            signature.r.to_bytes(32, "big")
            + signature.s.to_bytes(32, "big")
            + bytes([27 + signature.v])
        )

    def sign_transaction(
        self,
        terms: Terms,
        *,
        nonce: int,
        gas: int,
        to: str | None,
        data: bytes,
        value_wei: int = 0,
    ) -> bytes:
        """The raw bytes of a transaction; `to` None creates a contract."""
        target = bytes.fromhex(to[2:]) if to is not None else b""
        price, chain_id = terms.gas_price_wei, terms.chain_id
        if terms.eip1559:
            tip = min(1, price)
            fields: list[Any] = [chain_id, nonce, tip, price, gas, target, value_wei, data, []]
            signature = self._key.sign_msg_hash(keccak(b"\x02" + rlp_encode(fields)))
            return b"\x02" + rlp_encode([*fields, signature.v, signature.r, signature.s])
        fields = [nonce, price, gas, target, value_wei, data]
        signature = self._key.sign_msg_hash(keccak(rlp_encode([*fields, chain_id, 0, 0])))
        v = 35 + 2 * chain_id + signature.v
        return rlp_encode([*fields, v, signature.r, signature.s])


@dataclass(frozen=True, slots=True)
class SentContent:
    """What a stored transaction does, read back from its bytes."""

    nonce: int
    gas: int
    to: str
    value_wei: int
    data: bytes


def read_transaction(raw: bytes) -> SentContent:
    """Decode raw bytes made by `Signer.sign_transaction`."""
    typed = raw[:1] == b"\x02"
    fields = rlp_list(raw[1:] if typed else raw)
    nonce, gas, to, value, data = (fields[1], *fields[4:8]) if typed else (fields[0], *fields[2:6])
    return SentContent(
        nonce=int.from_bytes(nonce, "big"),
        gas=int.from_bytes(gas, "big"),
        to="0x" + to.hex(),
        value_wei=int.from_bytes(value, "big"),
        data=data,
    )


def transaction_hash(raw: bytes) -> bytes:
    """The hash a node gives to raw bytes: known before they are sent."""
    return keccak(raw)


def recover(digest: bytes, signature: bytes) -> str:
    """The address whose key signed a digest (r ‖ s ‖ v, v 27 or 28, low s). Raises ValueError."""
    if len(signature) != 65 or signature[64] not in (27, 28):
        raise ValueError("a signature has 65 bytes r ‖ s ‖ v with v 27 or 28")
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    if s > _HALF_N:
        raise ValueError("the signature's s is in the upper half: its malleable twin is refused")
    try:
        found = Signature(vrs=(signature[64] - 27, r, s))
        return found.recover_public_key_from_msg_hash(digest).to_address()
    except (BadSignature, ValidationError) as error:
        raise ValueError(f"not a signature over this digest: {error}") from error


_HALF_N = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0


def create_address(sender: str, nonce: int) -> str:
    """The address of the contract a sender creates with that nonce."""
    return "0x" + keccak(rlp_encode([bytes.fromhex(sender[2:]), nonce]))[12:].hex()


@dataclass(frozen=True, slots=True)
class ChainKeys:
    """The five signers of an installation, and the further lanes that post beside `post`."""

    admin: Signer
    government: Signer
    auditor: Signer
    anchor: Signer
    post: Signer
    more_posts: Sequence[Signer] = ()

    @property
    def posts(self) -> Sequence[Signer]:
        """The signers of all lanes that post, the first one first."""
        return (self.post, *self.more_posts)

    def addresses(self) -> Sequence[str]:
        """All addresses, in the order of KEY_NAMES, then the further lanes."""
        own = [getattr(self, name).address for name in KEY_NAMES]
        return [*own, *(signer.address for signer in self.more_posts)]


def open_keys(keys_dir: Path, *, post_lanes: int = 1) -> ChainKeys:
    """Load `chain-<name>.key` (64 hex digits) from a folder, making those that are missing.

    Further lanes, `chain-post-2.key` and so on, are loaded as far as they exist and made up to
    `post_lanes`. New files get mode 600 and appear whole or not at all: two processes that start
    together end up with the same keys. Raises ValueError for a file that holds no key.
    """
    keys_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    own = {name: _open_key(keys_dir / f"chain-{name}.key") for name in KEY_NAMES}
    more: list[Signer] = []
    for number in range(2, POST_LANES_MAX + 1):
        path = keys_dir / f"chain-post-{number}.key"
        if number > post_lanes and not path.exists():
            break
        more.append(_open_key(path))
    return ChainKeys(**own, more_posts=tuple(more))


def load_signer(path: Path) -> Signer:
    """The key in a file of 64 hex digits, readable by its owner only.

    Raises ValueError when it holds none, PermissionError when others can read it.
    """
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise PermissionError(f"{path} can be read by other users; restrict it to its owner")
    text = path.read_text("ascii").strip().removeprefix("0x")
    try:
        secret = bytes.fromhex(text)
        return Signer(secret)
    except (ValueError, ValidationError) as error:
        raise ValueError(f"{path} holds no secp256k1 key of 64 hex digits") from error


def _open_key(path: Path) -> Signer:
    if not path.exists():
        with contextlib.suppress(FileExistsError):  # Another process was first: use its file.
            write_secret_file(path, secrets.token_bytes(32).hex().encode() + b"\n")
    return load_signer(path)
