"""Identifiers made by us before anything is stored, so that a retry meets its own first try."""

import os
import secrets
import time
from typing import Any, cast
from uuid import UUID

from asyncpg.pgproto import pgproto  # pyright: ignore[reportMissingTypeStubs]

_DriverUUID = cast("type[Any]", pgproto.UUID)


def new_id() -> UUID:
    """One UUIDv7 (RFC 9562 §5.7): ordered by time, so that indexes grow at one end."""
    return new_ids(1)[0]


def new_ids(count: int) -> list[UUID]:
    """`count` UUIDv7 of the same millisecond, ascending in the order of the list."""
    milliseconds = time.time_ns() // 1_000_000
    # One random start per call, then steps of one: unique inside the call by construction, and
    # unique between calls by 73 random bits. The top bit of the last field stays free for carries.
    rand = int.from_bytes(os.urandom(10))
    rand_a, rand_b = rand & ((1 << 12) - 1), rand >> 12 & ((1 << 61) - 1)
    head = (milliseconds & ((1 << 48) - 1)) << 80 | 0x7 << 76
    first = head | rand_a << 64 | 0b10 << 62 | rand_b
    # The driver's own subclass of uuid.UUID is made and encoded ten times faster.
    return [_DriverUUID(number.to_bytes(16)) for number in range(first, first + count)]


def token(bits: int = 256) -> str:
    """An unguessable token as unpadded base64url: 43 characters for 256 bits."""
    return secrets.token_urlsafe(bits // 8)
