"""Leaves: salted commitments to the fields of one logged row (formats.md §4).

A leaf never changes and never shows its fields: its hash covers commitments only. Whoever holds
the disclosures `[salt, name, value]` can open them one by one. The salts of a leaf follow from
one random seed of 32 bytes, so that erasing the seed closes the leaf for ever.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backend.kit.canonical import NotCanonical, dumps, loads_strict
from backend.kit.sm import sm3
from backend.proof import merkle
from backend.proof.fields import check_fields
from backend.proof.shape import ShapeError

TRANSFER, ENACTMENT, AUDIT_HEAD = 1, 2, 3

FIELDS: dict[int, tuple[str, ...]] = {
    TRANSFER: (
        "act",
        "points",
        "method",
        "rule",
        "inputs",
        "stated",
        "occurrence",
        "event",
        "account",
    ),
    ENACTMENT: ("enactment",),
    AUDIT_HEAD: ("audit",),
}
"""The fields of each kind, in the order of their commitments."""

SHARED_FIELDS = 6
"""How many fields of a transfer the share form reveals; the rest say when, where and who."""

SALT_TEXT = re.compile(r"[A-Za-z0-9_-]{21}[AQgw]")
"""b64u of 16 bytes: 22 characters, the last one with four spare bits zero."""

_LEAF_HEAD = b"tanhui-leaf-v1\n"


@dataclass(frozen=True, slots=True)
class Leaf:
    """One leaf: its disclosures in order (CJ bytes), their commitments and the leaf hash."""

    kind: int
    disclosures: tuple[bytes, ...]
    commitments: tuple[bytes, ...]
    leaf_hash: bytes


def salts(seed: bytes, count: int) -> list[str]:
    """The salts of a leaf, field by field: b64u of SM3(seed ‖ u8 field number)[:16]."""
    return [
        urlsafe_b64encode(sm3(seed + bytes((field,)))[:16])[:22].decode() for field in range(count)
    ]


def build(kind: int, values: Mapping[str, Any], seed: bytes, city_tz: str) -> Leaf:
    """The leaf of a row whose fields are `values`; `seed` is 32 random bytes.

    Raises `ShapeError` when the fields are not exactly those of formats.md §4, or break one of
    its constraints.
    """
    names = FIELDS[kind]
    if len(seed) != 32:
        raise ShapeError("a leaf needs a seed of 32 bytes")
    if len(values) != len(names):
        raise ShapeError(f"a leaf of kind {kind} has the fields {', '.join(names)}")
    check_fields(kind, values, city_tz)
    try:
        disclosures = tuple(
            dumps([salt, name, values[name]])
            for salt, name in zip(salts(seed, len(names)), names, strict=True)
        )
    except NotCanonical as error:
        raise ShapeError(f"a field is not canonical JSON: {error.reason}") from error
    commitments = tuple(map(sm3, disclosures))
    return Leaf(kind, disclosures, commitments, leaf_hash(kind, commitments))


def leaf_data(kind: int, commitments: Sequence[bytes]) -> bytes:
    """What a leaf hash covers: head ‖ u8 kind ‖ u8 n ‖ commitments."""
    return _LEAF_HEAD + bytes((kind, len(commitments))) + b"".join(commitments)


def leaf_hash(kind: int, commitments: Sequence[bytes]) -> bytes:
    """H(0x00 ‖ leaf_data), 32 bytes."""
    return merkle.leaf_hash(leaf_data(kind, commitments))


def commitment(disclosure: bytes) -> bytes:
    """H(disclosure), 32 bytes."""
    return sm3(disclosure)


def open_disclosure(disclosure: bytes) -> tuple[str, str, Any]:
    """(salt, name, value) of a disclosure. Raises `ShapeError` when it is not one."""
    try:
        parts = loads_strict(disclosure)
    except NotCanonical as error:
        raise ShapeError(f"a disclosure is not canonical JSON: {error.reason}") from error
    if not isinstance(parts, list) or len(parts) != 3:
        raise ShapeError("a disclosure is [salt, name, value]")
    salt, name, value = parts
    if not isinstance(salt, str) or not SALT_TEXT.fullmatch(salt):
        raise ShapeError("a salt is not 16 bytes in base64url")
    if not isinstance(name, str):
        raise ShapeError("a disclosure's name is not a string")
    return salt, name, value


def salt_bytes(salt: str) -> bytes:
    """The 16 bytes of a salt's text."""
    return urlsafe_b64decode(salt + "==")


def open_fields(kind: int, disclosures: Sequence[bytes | None], city_tz: str) -> dict[str, Any]:
    """The revealed fields of a leaf by name; None stands for a hidden one.

    Raises `ShapeError` unless names stand in order, salts differ and every constraint of
    formats.md §4 that can be judged from what is revealed holds.
    """
    names = FIELDS[kind]
    if len(disclosures) != len(names):
        raise ShapeError(f"a leaf of kind {kind} has {len(names)} fields, not {len(disclosures)}")
    values: dict[str, Any] = {}
    seen: set[str] = set()
    for expected, disclosure in zip(names, disclosures, strict=True):
        if disclosure is None:
            continue
        salt, name, value = open_disclosure(disclosure)
        if name != expected:
            raise ShapeError(f"the field {name[:40]!r} stands where {expected!r} belongs")
        if salt in seen:
            raise ShapeError("two fields share a salt")
        seen.add(salt)
        values[name] = value
    check_fields(kind, values, city_tz)
    return values
