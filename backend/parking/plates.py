"""Plates: kept as a keyed hash to find them and sealed to read them, never in clear.

A misread plate is found again by comparison with the plates that are inside: one character that
differs, or one that is missing, is proposed to a person; nothing is matched by itself.
"""

import re
import unicodedata
from collections.abc import Iterable

from backend.kit.problems import Problem
from backend.kit.sm import hmac_sm3
from backend.kit.vault import Vault

_PLATE = re.compile(r"[\u4e00-\u9fffA-Z0-9]{4,10}")
_CONFUSED = str.maketrans("IOQ", "100")
"""A Chinese plate has no I and O; a camera that reads one saw a 1 or a 0."""


def normalised(plate: str) -> str:
    """A plate as it is hashed: width folded, upper case, no blanks, dots or hyphens.

    Raises Problem 422 `bad-plate`.
    """
    text = unicodedata.normalize("NFKC", plate).upper()
    text = re.sub(r"[\s.·•-]", "", text)
    if _PLATE.fullmatch(text) is None:
        raise Problem(422, "bad-plate", "车牌号须为 4 至 10 个汉字、字母或数字。")
    return text


class Plates:
    """Hashes and seals plates under this installation's keys."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._key = vault.secret("plate")

    def hash(self, plate: str) -> bytes:
        """32 bytes that stand for a plate here and nowhere else. Raises Problem `bad-plate`."""
        return hmac_sm3(self._key, b"tanhui-plate-v1\n" + normalised(plate).encode())

    def seal(self, plate: str, plate_hash: bytes) -> bytes:
        """The plate, SM4-GCM encrypted for the row of its hash."""
        return self._vault.seal(normalised(plate).encode(), b"plate/" + plate_hash)

    def open(self, sealed: bytes, plate_hash: bytes) -> str:
        """The plate in clear, for a person who has to compare it with a picture."""
        return self._vault.open_sealed(sealed, b"plate/" + plate_hash).decode()


def masked(plate: str) -> str:
    """A plate as screens show it: the first two and the last two characters."""
    return plate[:2] + "*" * max(1, len(plate) - 4) + plate[-2:]


def alike(read: str, known: Iterable[str]) -> list[str]:
    """The known plates that differ from a reading in one character at most, closest first."""
    close = [(_distance(read, each), each) for each in known]
    return [each for distance, each in sorted(close) if distance <= 1]


def _distance(left: str, right: str) -> int:
    """0 the same (also after I/1, O/0, Q/0), 1 one character differs or is missing, else 2."""
    left, right = left.translate(_CONFUSED), right.translate(_CONFUSED)
    if left == right:
        return 0
    if len(left) == len(right):
        return 1 if sum(a != b for a, b in zip(left, right, strict=True)) == 1 else 2
    short, long = sorted((left, right), key=len)
    if len(long) - len(short) == 1 and any(
        long[:at] + long[at + 1 :] == short for at in range(len(long))
    ):
        return 1
    return 2
