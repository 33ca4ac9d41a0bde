"""Endpoints: where each partner wants its notices, and the secrets that we sign them with."""

import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from backend.kit.db import Tx
from backend.kit.ids import new_id
from backend.kit.vault import Vault
from backend.notices.signing import spell_secret
from backend.notices.telling import PING, delivery_row, envelope, store

SECRET_BYTES = 32
OVERLAP = timedelta(hours=24)
"""How long the secret before still signs, beside the new one."""

SIGNATURES_MAX = 3
"""Secrets that sign at once: with more rotations within the overlap the oldest ends early."""


@dataclass(frozen=True, slots=True)
class SecretWindow:
    """When a secret signs; the secret itself is shown once, by the call that made it."""

    secret_id: UUID
    valid_from: datetime
    valid_to: datetime | None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A partner's endpoint as it stands."""

    url: str
    types: tuple[str, ...]
    state: Literal["active", "stopped"]
    updated_at: datetime
    verified_at: datetime | None
    stopped_at: datetime | None
    quiet_until: datetime | None
    secrets: tuple[SecretWindow, ...]


@dataclass(frozen=True, slots=True)
class Entered:
    """What entering an endpoint made: the new secret (`whsec_…`) if it was rotated, a ping."""

    secret: str | None
    ping_id: UUID


async def put_endpoint(
    tx: Tx,
    vault: Vault,
    partner_id: str,
    *,
    url: str,
    types: Collection[str],
    rotate: bool,
    now: datetime,
) -> Entered:
    """Enter or change an endpoint whose URL has been judged, and send a ping there.

    A stopped endpoint starts again. With `rotate`, or where no secret stands, a new secret is
    made and the one before signs for `OVERLAP` more.
    """
    await tx.execute(
        """INSERT INTO webhook_endpoint (partner_id, url, types, state, updated_at)
           VALUES ($1, $2, $3, 'active', $4)
           ON CONFLICT (partner_id) DO UPDATE SET url = excluded.url, types = excluded.types,
               state = 'active', updated_at = excluded.updated_at, stopped_at = NULL,
               quiet_until = NULL,
               verified_at = CASE WHEN webhook_endpoint.url = excluded.url
                                  THEN webhook_endpoint.verified_at END""",
        partner_id,
        url,
        sorted(set(types)),
        now,
    )
    standing = await _valid_secrets(tx, partner_id, now)
    secret = None
    if rotate or not standing:
        secret = await _rotate(tx, vault, partner_id, now)
    ping_id = new_id()
    body = envelope(ping_id, partner_id, PING, {"types": sorted(set(types))}, now)
    await store(tx, [delivery_row(ping_id, partner_id, PING, body, now)])
    return Entered(secret, ping_id)


async def read_endpoint(tx: Tx, partner_id: str, now: datetime) -> Endpoint | None:
    """A partner's endpoint with its present secrets, newest first, or None."""
    row = await tx.fetchrow(
        """SELECT url, types, state, updated_at, verified_at, stopped_at, quiet_until
           FROM webhook_endpoint WHERE partner_id = $1""",
        partner_id,
    )
    if row is None:
        return None
    return Endpoint(
        url=row["url"],
        types=tuple(row["types"]),
        state=row["state"],
        updated_at=row["updated_at"],
        verified_at=row["verified_at"],
        stopped_at=row["stopped_at"],
        quiet_until=row["quiet_until"],
        secrets=tuple(await _valid_secrets(tx, partner_id, now)),
    )


async def signing_secrets(
    tx: Tx, vault: Vault, partner_ids: Collection[str], now: datetime
) -> dict[str, Sequence[bytes]]:
    """The secrets that sign now for each partner, newest first, at most `SIGNATURES_MAX`."""
    rows = await tx.fetch(
        """SELECT secret_id, partner_id, secret_sealed FROM webhook_secret
           WHERE partner_id = ANY($1::text[]) AND (valid_to IS NULL OR valid_to > $2)
           ORDER BY partner_id, secret_id DESC""",
        list(partner_ids),
        now,
    )
    found: dict[str, list[bytes]] = {}
    for row in rows:
        of_partner = found.setdefault(row["partner_id"], [])
        if len(of_partner) < SIGNATURES_MAX:
            context = _context(row["partner_id"], row["secret_id"])
            of_partner.append(vault.open_sealed(row["secret_sealed"], context))
    return dict(found)


async def _valid_secrets(tx: Tx, partner_id: str, now: datetime) -> list[SecretWindow]:
    rows = await tx.fetch(
        """SELECT secret_id, valid_from, valid_to FROM webhook_secret
           WHERE partner_id = $1 AND (valid_to IS NULL OR valid_to > $2)
           ORDER BY secret_id DESC LIMIT $3""",
        partner_id,
        now,
        SIGNATURES_MAX,
    )
    return [SecretWindow(**dict(row)) for row in rows]


async def _rotate(tx: Tx, vault: Vault, partner_id: str, now: datetime) -> str:
    await tx.execute(
        """UPDATE webhook_secret SET valid_to = $2 WHERE partner_id = $1 AND valid_to IS NULL""",
        partner_id,
        now + OVERLAP,
    )
    secret_id, secret = new_id(), secrets.token_bytes(SECRET_BYTES)
    await tx.execute(
        """INSERT INTO webhook_secret (secret_id, partner_id, secret_sealed, valid_from)
           VALUES ($1, $2, $3, $4)""",
        secret_id,
        partner_id,
        vault.seal(secret, _context(partner_id, secret_id)),
        now,
    )
    return spell_secret(secret)


def _context(partner_id: str, secret_id: UUID) -> bytes:
    """What a sealed secret belongs to, so that it opens nowhere else."""
    return f"webhook-secret\n{partner_id}\n{secret_id}".encode()
