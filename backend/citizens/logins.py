"""Logins: a short access token and a refresh token that changes with every use.

A refresh token that comes back after it was used was copied by somebody, so the whole family
of tokens that grew from one sign-in is revoked.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from backend.kit.clock import Clock
from backend.kit.db import Tx
from backend.kit.ids import new_id, token
from backend.kit.sm import sm3

ACCESS_LIFE = timedelta(minutes=30)
REFRESH_LIFE = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Device:
    """One sign-in that still works: the family of tokens that grew from it."""

    family_id: UUID
    device: str | None
    signed_in_at: datetime
    last_seen_at: datetime


@dataclass(frozen=True, slots=True)
class Tokens:
    """A pair of tokens as the citizen's device gets it; we keep their SM3 only."""

    access_token: str
    expires_at: datetime
    refresh_token: str


async def open_login(
    tx: Tx,
    citizen_id: UUID,
    clock: Clock,
    *,
    family_id: UUID | None = None,
    device: str | None = None,
) -> Tokens:
    """A new pair of tokens; a pair that follows a refresh stays in its family.

    `device` is what the device calls itself.
    """
    now = clock.now()
    tokens = Tokens(token(256), now + ACCESS_LIFE, token(256))
    login_id = new_id()
    await tx.execute(
        """INSERT INTO login (login_id, family_id, citizen_id, access_hash, refresh_hash,
               access_expires_at, refresh_expires_at, created_at, device)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)""",
        login_id,
        family_id if family_id is not None else login_id,
        citizen_id,
        sm3(tokens.access_token.encode()),
        sm3(tokens.refresh_token.encode()),
        tokens.expires_at,
        now + REFRESH_LIFE,
        now,
        device,
    )
    return tokens


async def citizen_of(tx: Tx, access_token: str, clock: Clock) -> UUID | None:
    """Whose access token this is; None when unknown, expired or revoked."""
    return await tx.fetchval(
        """SELECT l.citizen_id FROM login AS l JOIN citizen AS c USING (citizen_id)
           WHERE l.access_hash = $1 AND l.access_expires_at > $2 AND l.revoked_at IS NULL
             AND c.erased_at IS NULL""",
        sm3(access_token.encode()),
        clock.now(),
    )


async def holder_of(tx: Tx, refresh_token: str) -> UUID | None:
    """The citizen a refresh token was given to, whatever became of it."""
    return await tx.fetchval(
        "SELECT citizen_id FROM login WHERE refresh_hash = $1", sm3(refresh_token.encode())
    )


async def refresh(tx: Tx, refresh_token: str, clock: Clock) -> Tokens | None:
    """The next pair of tokens, or None when the token is unknown, expired, revoked or used.

    A used one revokes its family; the caller must commit that before it answers.
    """
    now = clock.now()
    row = await tx.fetchrow(
        """SELECT login_id, family_id, citizen_id, refresh_expires_at, refreshed_at, revoked_at,
                  device
           FROM login WHERE refresh_hash = $1 FOR UPDATE""",
        sm3(refresh_token.encode()),
    )
    if row is None or row["revoked_at"] is not None or row["refresh_expires_at"] <= now:
        return None
    if row["refreshed_at"] is not None:
        await revoke_family(tx, row["family_id"], clock)
        return None
    await tx.execute("UPDATE login SET refreshed_at = $2 WHERE login_id = $1", row["login_id"], now)
    return await open_login(
        tx, row["citizen_id"], clock, family_id=row["family_id"], device=row["device"]
    )


async def revoke_family(tx: Tx, family_id: UUID, clock: Clock) -> None:
    """End every token that grew from one sign-in."""
    await tx.execute(
        "UPDATE login SET revoked_at = $2 WHERE family_id = $1 AND revoked_at IS NULL",
        family_id,
        clock.now(),
    )


async def log_out(tx: Tx, access_token: str, clock: Clock) -> bool:
    """End the family of this access token; False when there never was such a token."""
    family_id = await tx.fetchval(
        "SELECT family_id FROM login WHERE access_hash = $1", sm3(access_token.encode())
    )
    if family_id is None:
        return False
    await revoke_family(tx, family_id, clock)
    return True


async def sign_out_everywhere(tx: Tx, citizen_id: UUID, clock: Clock) -> None:
    """End every token of a person, on all devices."""
    await tx.execute(
        "UPDATE login SET revoked_at = $2 WHERE citizen_id = $1 AND revoked_at IS NULL",
        citizen_id,
        clock.now(),
    )


async def devices_of(tx: Tx, citizen_id: UUID, clock: Clock) -> list[Device]:
    """Where a person is signed in, last seen first. Seen is when tokens were last made."""
    rows = await tx.fetch(
        """SELECT family_id, max(device) AS device, min(created_at) AS signed_in_at,
                  max(created_at) AS last_seen_at
           FROM login WHERE citizen_id = $1 AND revoked_at IS NULL
           GROUP BY family_id HAVING max(refresh_expires_at) > $2
           ORDER BY last_seen_at DESC LIMIT 100""",
        citizen_id,
        clock.now(),
    )
    return [Device(**row) for row in rows]


async def family_of(tx: Tx, access_token: str) -> UUID | None:
    """The sign-in that an access token grew from."""
    return await tx.fetchval(
        "SELECT family_id FROM login WHERE access_hash = $1", sm3(access_token.encode())
    )


async def sign_out_device(tx: Tx, citizen_id: UUID, family_id: UUID, clock: Clock) -> bool:
    """End one of a person's sign-ins; False if they have no such sign-in."""
    known = await tx.fetchval(
        "SELECT EXISTS (SELECT FROM login WHERE citizen_id = $1 AND family_id = $2)",
        citizen_id,
        family_id,
    )
    if known:
        await revoke_family(tx, family_id, clock)
    return bool(known)
