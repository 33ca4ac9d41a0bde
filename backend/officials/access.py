"""Signing in: a password (scrypt), a TOTP code that counts once, a short session.

Whoever tries a name is counted before anything is checked, so that parallel tries cannot outrun
the lock; the count stands at the name whether or not somebody has it.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from pyotp import random_base32
from pyotp.totp import TOTP

from backend.kit.db import Tx
from backend.kit.ids import new_id, token
from backend.kit.problems import Problem
from backend.kit.sm import sm3
from backend.kit.vault import Vault
from backend.officials.service import NAME, Official, find

PASSWORD_CHARACTERS_MIN = 12
PASSWORD_CHARACTERS_MAX = 128
SESSION_IDLE = timedelta(minutes=30)
SESSION_LIFE = timedelta(hours=8)
TRIES_MAX = 5
LOCKED = timedelta(minutes=15)
TOTP_STEP_S = 30
TOTP_DRIFT_STEPS = 1
"""How many steps of 30 s a person's clock may be off."""

_SCRYPT_LOG_N, _SCRYPT_R, _SCRYPT_P = 15, 8, 3  # 32 MiB, about 0.2 s for each try
_SCRYPT_BYTES_MAX = 96 * 1024 * 1024
_UNUSABLE = "none"

# $1 name, $2 now, $3 how long a lock lasts, $4 tries. No row comes back while the name is locked.
_RESERVE = """
    INSERT INTO sign_in_guard AS g (user_name, tries, tried_at) VALUES ($1, 1, $2)
    ON CONFLICT (user_name) DO UPDATE SET
        tries = CASE WHEN g.locked_until IS NOT NULL OR g.tried_at <= $2 - $3::interval
                     THEN 1 ELSE g.tries + 1 END,
        locked_until = CASE WHEN g.locked_until IS NOT NULL OR g.tried_at <= $2 - $3::interval
                                 OR g.tries + 1 < $4
                            THEN NULL ELSE $2 + $3::interval END,
        tried_at = $2
    WHERE g.locked_until IS NULL OR g.locked_until <= $2
    RETURNING tries
"""


@dataclass(frozen=True, slots=True)
class Access:
    """What a try is checked against; `password_hash` of an unknown name is one nobody knows."""

    official_id: str
    password_hash: str
    totp_secret: str


@dataclass(frozen=True, slots=True)
class Session:
    """A sign-in that stands."""

    session_id: UUID
    official: Official
    expires_at: datetime


def check_password_rules(official_id: str, password: str) -> None:
    """Raise Problem 422 `weak-password` unless the password is long enough and not the name."""
    length_ok = PASSWORD_CHARACTERS_MIN <= len(password) <= PASSWORD_CHARACTERS_MAX
    if not length_ok or official_id in password.lower() or len(set(password)) < 5:
        raise Problem(
            422,
            "weak-password",
            f"口令须为 {PASSWORD_CHARACTERS_MIN} 至 {PASSWORD_CHARACTERS_MAX} 个字符,"
            "不得含有用户名,也不得只重复几个字符。",
        )


def hash_password(password: str) -> str:
    """`scrypt$log2 n$r$p$salt$hash`. Takes about 0.2 s and 32 MiB: call it in a thread."""
    salt = secrets.token_bytes(16)
    made = _scrypt(password, salt, _SCRYPT_LOG_N, _SCRYPT_R, _SCRYPT_P)
    parts = (_SCRYPT_LOG_N, _SCRYPT_R, _SCRYPT_P, _text(salt), _text(made))
    return "$".join(("scrypt", *map(str, parts)))


def password_matches(password: str, stored: str) -> bool:
    """Whether a password is the stored one; as slow for an unknown person as for a known one."""
    try:
        _, log_n, r, p, salt, made = stored.split("$")
        cost = (int(log_n), int(r), int(p))
        known = base64.b64decode(made)
        given = _scrypt(password, base64.b64decode(salt), *cost)
    except (ValueError, binascii.Error):
        _scrypt(password, bytes(16), _SCRYPT_LOG_N, _SCRYPT_R, _SCRYPT_P)
        return False
    return hmac.compare_digest(known, given)


def new_totp_secret() -> str:
    """A fresh TOTP secret, base32."""
    return random_base32()


def totp_uri(official_id: str, totp_secret: str, issuer: str) -> str:
    """The `otpauth://` address an authenticator app reads, usually as a QR code."""
    return TOTP(totp_secret).provisioning_uri(name=official_id, issuer_name=issuer)


def totp_step(totp_secret: str, code: str, at: datetime) -> int | None:
    """The step of 30 s a code belongs to, now or one step off; None for a wrong code."""
    present = int(at.timestamp()) // TOTP_STEP_S
    maker = TOTP(totp_secret)
    found = None
    for step in range(present - TOTP_DRIFT_STEPS, present + TOTP_DRIFT_STEPS + 1):
        if hmac.compare_digest(maker.at(step * TOTP_STEP_S).encode(), code.encode()):
            found = step
    return found


async def reserve_try(tx: Tx, user: str, at: datetime) -> None:
    """Count a try at a name before it is checked; the caller commits that first.

    Raises Problem: 429 `locked-out` while five tries in a row have failed, 401 `sign-in-refused`
    for what can be nobody's name.
    """
    if NAME.fullmatch(user) is None:
        raise refused()
    row = await tx.fetchrow(_RESERVE, user, at, LOCKED, TRIES_MAX)
    if row is None:
        until = await tx.fetchval(
            "SELECT locked_until FROM sign_in_guard WHERE user_name = $1", user
        )
        wait_s = max(1, int((until - at).total_seconds())) if until is not None else 1
        raise Problem(
            429,
            "locked-out",
            f"连续 {TRIES_MAX} 次未通过,请稍后再试。",
            headers={"Retry-After": str(wait_s)},
        )


def refused() -> Problem:
    """What everybody is told whose sign-in fails, whatever was wrong."""
    return Problem(401, "sign-in-refused", "用户名、口令或动态码不正确,或动态码已用过。")


async def forgive_tries(tx: Tx, user: str) -> None:
    """A try succeeded: the count begins anew."""
    await tx.execute("DELETE FROM sign_in_guard WHERE user_name = $1", user)


async def access_of(tx: Tx, vault: Vault, user: str) -> Access | None:
    """What this name is checked against; None for an unknown, suspended or not yet active one."""
    row = await tx.fetchrow(
        """SELECT a.official_id, a.password_hash, a.totp_sealed
           FROM official_access AS a JOIN official AS o USING (official_id)
           WHERE official_id = $1 AND o.suspended_at IS NULL""",
        user,
    )
    if row is None:
        return None
    secret = vault.open_sealed(row["totp_sealed"], totp_context(user)).decode()
    return Access(user, row["password_hash"], secret)


async def spend_totp(tx: Tx, official_id: str, step: int) -> bool:
    """Use up a TOTP step, and with it every earlier one; False when it was used before."""
    spent = await tx.fetchval(
        """UPDATE official_access SET totp_step_last = $2
           WHERE official_id = $1 AND totp_step_last < $2 RETURNING official_id""",
        official_id,
        step,
    )
    return spent is not None


async def set_access(
    tx: Tx, official_id: str, password_hash: str, totp_sealed: bytes, step: int, at: datetime
) -> None:
    """Let an official sign in from now on; what stood before counts no more."""
    await tx.execute(
        """INSERT INTO official_access (official_id, password_hash, totp_sealed, totp_step_last,
               set_at) VALUES ($1, $2, $3, $4, $5)
           ON CONFLICT (official_id) DO UPDATE SET password_hash = $2, totp_sealed = $3,
               totp_step_last = $4, set_at = $5""",
        official_id,
        password_hash,
        totp_sealed,
        step,
        at,
    )


async def change_password_hash(
    tx: Tx, official_id: str, before: str, made: str, at: datetime
) -> None:
    """Replace the password that was just proven. Raises Problem 409 `password-changed`."""
    changed = await tx.fetchval(
        """UPDATE official_access SET password_hash = $3, set_at = $4
           WHERE official_id = $1 AND password_hash = $2 RETURNING official_id""",
        official_id,
        before,
        made,
        at,
    )
    if changed is None:
        raise Problem(409, "password-changed", "口令刚刚在别处被修改。", official_id=official_id)


async def close_access(tx: Tx, official_id: str, at: datetime) -> None:
    """End every session and make the password unusable, until it is set anew."""
    await revoke_sessions(tx, official_id, at)
    await tx.execute(
        "UPDATE official_access SET password_hash = $2, set_at = $3 WHERE official_id = $1",
        official_id,
        _UNUSABLE,
        at,
    )


async def open_session(tx: Tx, official_id: str, at: datetime) -> tuple[str, datetime]:
    """A new session: (its token, until when it stands unused)."""
    secret = token(256)
    expires_at = at + SESSION_IDLE
    await tx.execute(
        """INSERT INTO official_session (session_id, official_id, token_hash, created_at,
               expires_at) VALUES ($1, $2, $3, $4, $5)""",
        new_id(),
        official_id,
        sm3(secret.encode()),
        at,
        expires_at,
    )
    return secret, expires_at


async def session_of(tx: Tx, secret: str, at: datetime) -> Session | None:
    """Whose session this token is; None when unknown, expired, revoked or its owner suspended."""
    row = await tx.fetchrow(
        """SELECT session_id, official_id, created_at, expires_at FROM official_session
           WHERE token_hash = $1 AND expires_at > $2 AND revoked_at IS NULL""",
        sm3(secret.encode()),
        at,
    )
    official = None if row is None else await find(tx, row["official_id"])
    if row is None or official is None or not official.acts:
        return None
    expires_at = min(at + SESSION_IDLE, row["created_at"] + SESSION_LIFE)
    if expires_at - row["expires_at"] > timedelta(minutes=1):
        await tx.execute(
            "UPDATE official_session SET expires_at = $2 WHERE session_id = $1",
            row["session_id"],
            expires_at,
        )
    return Session(row["session_id"], official, max(expires_at, row["expires_at"]))


async def revoke_session(tx: Tx, session_id: UUID, at: datetime) -> None:
    """End one session."""
    await tx.execute(
        """UPDATE official_session SET revoked_at = $2
           WHERE session_id = $1 AND revoked_at IS NULL""",
        session_id,
        at,
    )


async def revoke_sessions(tx: Tx, official_id: str, at: datetime) -> None:
    """End every session of an official."""
    await tx.execute(
        """UPDATE official_session SET revoked_at = $2
           WHERE official_id = $1 AND revoked_at IS NULL""",
        official_id,
        at,
    )


def totp_context(official_id: str) -> bytes:
    """What a sealed TOTP secret belongs to, so that it opens nowhere else."""
    return f"official-totp\n{official_id}".encode()


def _scrypt(password: str, salt: bytes, log_n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(
        password.encode(), salt=salt, n=1 << log_n, r=r, p=p, maxmem=_SCRYPT_BYTES_MAX, dklen=32
    )


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
