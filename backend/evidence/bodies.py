"""Bodies of events: encrypted together, readable and erasable one by one.

One keystream (SM4-CTR under the key of the day, a fresh nonce) covers all bodies of an upload; each
body begins at a 16-byte block, so that it opens alone. CTR gives no integrity: the event's digest,
which is never erased, does.
"""

import secrets
from collections.abc import Iterable, Sequence
from datetime import date

from backend.kit.db import Tx
from backend.kit.sm import sm4_ctr
from backend.kit.vault import Vault

BLOCK_BYTES = 16


async def day_key(tx: Tx, vault: Vault, day: date) -> bytes:
    """The key of a UTC day's bodies; the first call of a day makes its key and its partition."""
    sealed = await tx.fetchval("SELECT key_sealed FROM evidence_key WHERE day = $1", day)
    if sealed is None:
        await tx.execute("SELECT evidence_open_day($1)", day)
        await tx.execute(
            "INSERT INTO evidence_key (day, key_sealed) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            day,
            vault.seal(secrets.token_bytes(16), _context(day)),
        )
        sealed = await tx.fetchval("SELECT key_sealed FROM evidence_key WHERE day = $1", day)
    return vault.open_sealed(sealed, _context(day))


async def day_keys(tx: Tx, vault: Vault, days: Iterable[date]) -> dict[date, bytes]:
    """The keys of some days; a day whose key was erased is absent."""
    rows = await tx.fetch(
        "SELECT day, key_sealed FROM evidence_key WHERE day = ANY($1::date[])", list(set(days))
    )
    return {row["day"]: vault.open_sealed(row["key_sealed"], _context(row["day"])) for row in rows}


def encrypt_bodies(key: bytes, bodies: Sequence[bytes]) -> tuple[bytes, list[tuple[int, bytes]]]:
    """(nonce, [(position in blocks, encrypted body)]) in the order given: one cipher call."""
    nonce = secrets.token_bytes(BLOCK_BYTES)
    padded = [body + bytes(-len(body) % BLOCK_BYTES) for body in bodies]
    stream = sm4_ctr(key, nonce, b"".join(padded))
    encrypted: list[tuple[int, bytes]] = []
    at = 0
    for body, whole in zip(bodies, padded, strict=True):
        encrypted.append((at // BLOCK_BYTES, stream[at : at + len(body)]))
        at += len(whole)
    return nonce, encrypted


def decrypt_bodies(key: bytes, nonce: bytes, parts: Sequence[tuple[int, bytes]]) -> list[bytes]:
    """The bodies of some (position, encrypted body) under one nonce, in the order given.

    Neighbours are decrypted in one call; where bodies in between were erased, a new call begins.
    """
    order = sorted(range(len(parts)), key=lambda i: parts[i][0])
    plain: list[bytes] = [b""] * len(parts)
    start = 0
    while start < len(order):
        first = parts[order[start]][0]
        block, end, run = first, start, bytearray()
        while end < len(order) and parts[order[end]][0] == block:
            body = parts[order[end]][1]
            run += body + bytes(-len(body) % BLOCK_BYTES)
            block += -(-len(body) // BLOCK_BYTES)
            end += 1
        stream = sm4_ctr(key, nonce, bytes(run), block_offset=first)
        for i in order[start:end]:
            at = (parts[i][0] - first) * BLOCK_BYTES
            plain[i] = stream[at : at + len(parts[i][1])]
        start = end
    return plain


def _context(day: date) -> bytes:
    return f"evidence-key\n{day.isoformat()}".encode()
