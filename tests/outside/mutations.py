"""Receipts changed in every way a stranger or a forger might: bytes, members, values, spellings."""

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

from backend.kit.canonical import dumps

Path = tuple[str | int, ...]

SUBSTITUTES: list[Any] = [
    None,
    True,
    0,
    1,
    2,
    -1,
    2**53 - 1,
    "",
    "x",
    "a" * 64,
    [],
    {},
    "2026-11-22",
]


def flipped_bytes(receipt: bytes, count: int, seed: int) -> Iterator[bytes]:
    """The receipt with one bit of one byte flipped, `count` times over its whole length."""
    chance = random.Random(seed)
    for n in range(count):
        at = len(receipt) * n // count
        yield receipt[:at] + bytes([receipt[at] ^ 1 << chance.randrange(8)]) + receipt[at + 1 :]


def spellings(receipt: bytes) -> Iterator[bytes]:
    """The same JSON in spellings that are not the canonical one, and bytes that are no receipt."""
    document = json.loads(receipt)
    yield json.dumps(document).encode()
    yield json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()[::-1]
    yield json.dumps(dict(reversed(document.items())), separators=(",", ":")).encode()
    yield receipt + b"\n"
    yield b"\xef\xbb\xbf" + receipt
    yield b" " + receipt
    yield receipt[:-1] + b',"issuer":"x"}'
    yield receipt[:-1] + b',"__proto__":{}}'
    yield receipt.replace(b'"index":', b'"index":0,"index":', 1)
    yield receipt.replace(b'"kind":1', b'"kind":1.0', 1)
    yield receipt.replace(b'"kind":1', b'"kind":1e0', 1)
    yield receipt.replace(b'"kind":1', b'"kind":-0', 1)
    yield receipt.replace(b"carbon", b"c\\u0061rbon", 1)
    yield receipt.replace(b"tanhui-receipt-v1", b"tanhui-receipt-v\\u0031", 1)
    yield receipt.replace(b"metro", b"\xff", 1)
    yield receipt[: len(receipt) // 2]
    yield receipt + b" " * (262_145 - len(receipt))
    yield from (b"", b"null", b"[]", b"{}", b'"x"', b"[" * 100_000, b'{"issuer":"metro"}')
    yield b'{"issuer":"' + b"m" * 262_200 + b'"}'


def places(value: Any, at: Path = ()) -> Iterator[Path]:
    """Where every member and element of a document stands."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for key, child in inner:
        yield (*at, key)
        if isinstance(child, dict | list):
            yield from places(child, (*at, key))


def changed(document: Any, at: Path, value: Any) -> Any:
    """A copy with one place holding another value."""
    copied = copy.deepcopy(document)
    home = copied
    for key in at[:-1]:
        home = home[key]
    home[at[-1]] = value
    return copied


def without(document: Any, at: Path) -> Any:
    """A copy with one place missing."""
    copied = copy.deepcopy(document)
    home = copied
    for key in at[:-1]:
        home = home[key]
    del home[at[-1]]
    return copied


def variants(document: Any, chance: random.Random, per_place: int) -> Iterator[Any]:
    """Every place of a document missing, doubled, beside a stranger, or with other values."""
    for at in places(document):
        yield without(document, at)
        held = document
        for key in at:
            held = held[key]
        others = list(SUBSTITUTES)
        if isinstance(held, int) and not isinstance(held, bool):
            others += [held + 1, held - 1, str(held)]
        if isinstance(held, str):
            others += [held + "0", held[:-1], held.upper(), held[::-1]]
        if isinstance(held, list):
            others += [held + held[:1], held[::-1]]
        if isinstance(held, dict):
            others += [held | {"stranger": 1}]
        for other in chance.sample(others, min(per_place, len(others))):
            if other != held or type(other) is not type(held):
                yield changed(document, at, other)


def structures(receipt: bytes, seed: int, per_place: int = 3) -> Iterator[bytes]:
    """Canonical receipts with one member changed, outside and inside the disclosures."""
    chance = random.Random(seed)
    document = json.loads(receipt)
    for variant in variants(document, chance, per_place):
        yield dumps(variant)
    for n, field in enumerate(document["leaf"]["fields"]):
        if "d" not in field:
            continue
        for variant in variants(json.loads(field["d"]), chance, per_place):
            disclosure = dumps(variant).decode()
            yield dumps(changed(document, ("leaf", "fields", n, "d"), disclosure))


def transplants(receipt: bytes, other: bytes) -> Iterator[bytes]:
    """Canonical receipts with one part taken from another receipt, and with swapped fields."""
    document, donor = json.loads(receipt), json.loads(other)
    for key in document:
        yield dumps({**document, key: donor[key]})
    fields = document["leaf"]["fields"]
    for n in range(len(fields) - 1):
        swapped = [*fields]
        swapped[n], swapped[n + 1] = swapped[n + 1], swapped[n]
        yield dumps(changed(document, ("leaf", "fields"), swapped))
    for n in range(min(len(fields), len(donor["leaf"]["fields"]))):
        yield dumps(changed(document, ("leaf", "fields", n), donor["leaf"]["fields"][n]))
