"""Identifiers made by us before anything is stored, so that a retry meets its own first try."""

import os
import secrets
import time
from uuid import UUID


def new_id() -> UUID:
    """One UUIDv7 (RFC 9562 §5.7): ordered by time, so that indexes grow at one end."""
    return new_ids(1)[0]


def new_ids(count: int) -> list[UUID]:
    """`count` UUIDv7 of the same millisecond, ascending in the order of the list."""
    milliseconds = time.time_ns() // 1_000_000
    head = (milliseconds & ((1 << 48) - 1)) << 80 | 0x7 << 76
    # One random start per call, then steps of one: unique inside the call by
    # construction, and unique between calls by 73 random bits.
    start = int.from_bytes(os.urandom(10)) & ((1 << 73) - 1)
    ids: list[UUID] = []
    for step in range(count):
        bits = (start + step) & ((1 << 74) - 1)
        rand_a, rand_b = bits >> 62, bits & ((1 << 62) - 1)
        ids.append(UUID(int=head | rand_a << 64 | 0b10 << 62 | rand_b))
    return ids


def token(bits: int = 256) -> str:
    """An unguessable token as unpadded base64url: 43 characters for 256 bits."""
    return secrets.token_urlsafe(bits // 8)
