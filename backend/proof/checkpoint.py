"""Checkpoints: the log's signed heads, as notes anyone can carry about (formats.md §5)."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from backend.kit.canonical import INTEGER_MAX
from backend.kit.sm import sm3
from backend.proof.encoding import b64, b64_strict

KEY_NAME = re.compile(r"[a-z0-9./-]{1,64}")
_SIZE = re.compile(r"[1-9][0-9]{0,15}", re.ASCII)
_SIGNATURE_HEAD = "— "
_KEY_ID_HEAD = b"tanhui-sm2-v1"


class NoteError(ValueError):
    """Text that is not a checkpoint note, or one whose signatures do not hold."""


@dataclass(frozen=True, slots=True)
class SignatureLine:
    """One line of a note: who says it, the key's short id, and r ‖ s (64 bytes)."""

    name: str
    key_id: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Note:
    """A note whose text is read. `text` is what is signed, `tail` the signature lines, unread."""

    text: bytes
    origin: str
    size: int
    root: bytes
    tail: str

    @property
    def signatures(self) -> tuple[SignatureLine, ...]:
        """The signature lines. Raises `NoteError`."""
        if not self.tail.endswith("\n"):
            raise NoteError("a note ends with signature lines")
        return tuple(parse_signature_line(line) for line in self.tail[:-1].split("\n"))


@dataclass(frozen=True, slots=True)
class CheckpointKey:
    """A key of the trust file; it may sign sizes with from_size ≤ size < to_size (None = open)."""

    name: str
    role: Literal["issuer", "witness"]
    public_key: bytes
    from_size: int
    to_size: int | None

    def valid_for(self, size: int) -> bool:
        """Whether this key may sign a tree of `size` leaves."""
        return self.from_size <= size and (self.to_size is None or size < self.to_size)


Verifier = Callable[[bytes, bytes, bytes], bool]
"""(65-byte public key, signed text, r ‖ s) → whether the SM2 signature holds."""


def origin_of(profile: str, issuer_id: str, chain_id: int) -> str:
    """The first line of every checkpoint of an installation."""
    return f"tanhui/{profile}/{issuer_id}/{chain_id}"


def key_name(profile: str, issuer_id: str, suffix: str) -> str:
    """What an installation calls one of its signing keys: its log's name and a suffix."""
    return f"tanhui/{profile}/{issuer_id}/{suffix}"


def key_id(name: str, public_key: bytes) -> bytes:
    """The four bytes that tie a signature line to one key."""
    return sm3(name.encode() + b"\n\xff" + _KEY_ID_HEAD + public_key)[:4]


def checkpoint_text(origin: str, size: int, root: bytes) -> bytes:
    """What a checkpoint signs: origin, size, root, a line each."""
    if size < 1 or len(root) != 32:
        raise ValueError("a checkpoint has a size of at least 1 and a root of 32 bytes")
    return f"{origin}\n{size}\n{b64(root)}\n".encode()


def signature_line(name: str, public_key: bytes, signature: bytes) -> str:
    """`— <name> <b64(key_id ‖ r ‖ s)>` with its line feed; `signature` is 64 bytes."""
    if not KEY_NAME.fullmatch(name) or len(signature) != 64:
        raise ValueError("a signature line needs a key name and a signature of 64 bytes")
    return f"{_SIGNATURE_HEAD}{name} {b64(key_id(name, public_key) + signature)}\n"


def parse_signature_line(line: str) -> SignatureLine:
    """Read one signature line, with or without its line feed. Raises `NoteError`."""
    parts = line.removesuffix("\n").removeprefix(_SIGNATURE_HEAD).split(" ")
    if not line.startswith(_SIGNATURE_HEAD) or len(parts) != 2 or not KEY_NAME.fullmatch(parts[0]):
        raise NoteError("a signature line is not `— <name> <base64>`")
    try:
        blob = b64_strict(parts[1])
    except ValueError as error:
        raise NoteError("a signature is not strict base64") from error
    if len(blob) != 68:
        raise NoteError("a signature is not a key id and r, s of 32 bytes each")
    return SignatureLine(parts[0], blob[:4], blob[4:])


def build_note(text: bytes, lines: Sequence[str]) -> str:
    """The note: text, an empty line, the signature lines."""
    return text.decode() + "\n" + "".join(lines)


def parse_note(note: str) -> Note:
    """Read a note's text strictly. Raises `NoteError`; the signature lines stay unread.

    A bad signature line is the checkpoint's fault, not the path's that leads to its root.
    """
    head, gap, tail = note.partition("\n\n")
    lines = head.split("\n")
    if not gap or len(lines) != 3:
        raise NoteError("a note is three lines, an empty one, and signature lines")
    origin, size_text, root_text = lines
    if not origin or not _SIZE.fullmatch(size_text) or int(size_text) > INTEGER_MAX:
        raise NoteError("a checkpoint's size is a decimal number of at least 1")
    try:
        root = b64_strict(root_text)
    except ValueError as error:
        raise NoteError("a checkpoint's root is not strict base64") from error
    if len(root) != 32:
        raise NoteError("a checkpoint's root is not 32 bytes")
    return Note((head + "\n").encode(), origin, int(size_text), root, tail)


def check_note(
    note: Note, origin: str, keys: Sequence[CheckpointKey], verify: Verifier
) -> tuple[str, ...]:
    """The names of the keys that signed, when the note holds. Raises `NoteError` otherwise.

    Every line must be by a known key valid for that size, each key once, one of them an
    issuer's: a note that also carries a bad line is a bad note.
    """
    if note.origin != origin:
        raise NoteError(f"the origin line is {note.origin[:100]!r}, trusted is {origin!r}")
    used: set[bytes] = set()
    issuers = 0
    signatures = note.signatures
    for line in signatures:
        key = _key_of(line, note.size, keys)
        if key.public_key in used:
            raise NoteError(f"the key {line.name!r} signs twice")
        used.add(key.public_key)
        if not verify(key.public_key, note.text, line.signature):
            raise NoteError(f"the signature of {line.name!r} does not hold")
        issuers += key.role == "issuer"
    if issuers == 0:
        raise NoteError("no key of the issuer signed")
    return tuple(line.name for line in signatures)


def _key_of(line: SignatureLine, size: int, keys: Sequence[CheckpointKey]) -> CheckpointKey:
    for key in keys:
        if key.name == line.name and key_id(key.name, key.public_key) == line.key_id:
            if not key.valid_for(size):
                raise NoteError(f"the key {line.name!r} is not valid for size {size}")
            return key
    raise NoteError(f"the trust file knows no key {line.name!r} with that id")
