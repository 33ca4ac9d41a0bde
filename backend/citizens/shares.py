"""Shared receipts: ciphertext we cannot read, under an id, for a while (formats.md §15)."""

import base64
import secrets
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from backend.kit.db import Tx
from backend.kit.sm import sm4_gcm_encrypt

_NONCE_BYTES = 12


@dataclass(frozen=True, slots=True)
class Shared:
    """A share as its owner sees it; the key is not among what we know."""

    share_id: str
    transfer_id: UUID
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class NewShare:
    """A share just made: its link ends in `#<share_id>.<key>` and is shown once."""

    share_id: str
    key: str
    ciphertext: bytes


def seal_receipt(receipt: bytes) -> NewShare:
    """A share receipt under a fresh id and a fresh key of 16 random bytes each."""
    share_id, key, nonce = _b64u(16), secrets.token_bytes(16), secrets.token_bytes(_NONCE_BYTES)
    context = b"tanhui-share-v1\n" + share_id.encode()
    ciphertext = nonce + sm4_gcm_encrypt(key, nonce, receipt, context)
    return NewShare(share_id, base64.urlsafe_b64encode(key).rstrip(b"=").decode(), ciphertext)


def _b64u(size: int) -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(size)).rstrip(b"=").decode()


async def keep_share(
    tx: Tx,
    made: NewShare,
    *,
    citizen_id: UUID,
    transfer_id: UUID,
    at: datetime,
    expires_at: datetime,
) -> None:
    """Store the ciphertext until it expires."""
    await tx.execute(
        """INSERT INTO share (share_id, citizen_id, transfer_id, ciphertext, created_at, expires_at)
           VALUES ($1, $2, $3, $4, $5, $6)""",
        made.share_id,
        citizen_id,
        transfer_id,
        made.ciphertext,
        at,
        expires_at,
    )


async def shares_of(tx: Tx, citizen_id: UUID, *, before: str | None, limit: int) -> list[Shared]:
    """A citizen's shares, newest first, made before the share `before`."""
    rows = await tx.fetch(
        """SELECT share_id, transfer_id, created_at, expires_at, revoked_at FROM share
           WHERE citizen_id = $1 AND ($2::text IS NULL OR (created_at, share_id) < (
               SELECT created_at, share_id FROM share WHERE share_id = $2 AND citizen_id = $1))
           ORDER BY created_at DESC, share_id DESC LIMIT $3""",
        citizen_id,
        before,
        limit,
    )
    return [Shared(**row) for row in rows]


async def revoke_share(tx: Tx, citizen_id: UUID, share_id: str, at: datetime) -> Shared | None:
    """End a share of this citizen and forget its ciphertext; None if they have no such share."""
    row = await tx.fetchrow(
        """UPDATE share SET ciphertext = NULL, revoked_at = coalesce(revoked_at, $3)
           WHERE share_id = $1 AND citizen_id = $2
           RETURNING share_id, transfer_id, created_at, expires_at, revoked_at""",
        share_id,
        citizen_id,
        at,
    )
    return None if row is None else Shared(**row)


async def ciphertext_of(tx: Tx, share_id: str, at: datetime) -> tuple[bool, bytes | None]:
    """(whether there is such a share, its ciphertext unless it expired or was revoked)."""
    row = await tx.fetchrow(
        "SELECT ciphertext, expires_at FROM share WHERE share_id = $1", share_id
    )
    if row is None:
        return False, None
    return True, row["ciphertext"] if row["expires_at"] > at else None


async def forget_expired(tx: Tx, at: datetime) -> int:
    """Drop the ciphertexts of expired shares; how many."""
    tag = await tx.execute(
        "UPDATE share SET ciphertext = NULL WHERE expires_at <= $1 AND ciphertext IS NOT NULL", at
    )
    return int(tag.rpartition(" ")[2])
