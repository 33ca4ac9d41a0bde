"""The partners' registry: who may report what, and the keys they sign with."""

import base64
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import cast

from backend.kit.clock import city_day
from backend.kit.db import Row, Tx
from backend.kit.problems import Problem
from backend.kit.sm import Sm2PublicKey
from backend.kit.vault import Vault
from backend.partners.signatures import Partner, Purpose, Scheme, WebhookKey, decode_secret

VALID_KEYS_MAX = 2
"""Keys of one purpose that may be valid at the same instant: the old and the new one."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A partner's public key as it is published. `public_key` is the 65-byte point."""

    partner_id: str
    key_id: str
    purpose: Purpose
    public_key: bytes
    valid_from: datetime
    valid_to: datetime | None

    def days(self, city_tz: str) -> tuple[date, date | None]:
        """The city_days `[from_day, to_day)` it speaks for; none where both are the same."""
        end = None if self.valid_to is None else city_day(self.valid_to, city_tz)
        return city_day(self.valid_from, city_tz), end

    def valid_on(self, day: date, city_tz: str) -> bool:
        """Whether it may speak for that city_day."""
        from_day, to_day = self.days(city_tz)
        return from_day <= day and (to_day is None or day < to_day)


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """One key in a partner's history. A shared secret has no `public_key` and is never shown."""

    partner_id: str
    key_id: str
    scheme: Scheme
    purpose: Purpose
    public_key: bytes | None
    valid_from: datetime
    valid_to: datetime | None


def new_webhook_secret() -> str:
    """A fresh shared secret of 32 bytes in the spelling of Standard Webhooks."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode("ascii")


async def register_partner(
    tx: Tx,
    partner_id: str,
    name: str,
    *,
    required_scheme: Scheme,
    scenarios: Collection[str],
    now: datetime,
    replay: bool = False,
) -> None:
    """Enter a partner, or change what it may do if it is known already. Keys stay as they are."""
    await tx.execute(
        """INSERT INTO partner (partner_id, name, required_scheme, scenarios, replay, created_at)
           VALUES ($1, $2, $3, $4, $5, $6)
           ON CONFLICT (partner_id) DO UPDATE SET name = excluded.name,
               required_scheme = excluded.required_scheme, scenarios = excluded.scenarios,
               replay = excluded.replay""",
        partner_id,
        name,
        required_scheme,
        sorted(scenarios),
        replay,
        now,
    )


async def add_key(
    tx: Tx,
    vault: Vault,
    partner_id: str,
    key_id: str,
    *,
    scheme: Scheme,
    valid_from: datetime,
    secret: str | None = None,
    public_key: bytes | None = None,
    purpose: Purpose = "webhook",
    valid_to: datetime | None = None,
) -> None:
    """Enter a key: `secret` (`whsec_…`) for the HMAC schemes, a 65-byte `public_key` for `v1s2`.

    Raises ValueError on a key that does not fit its scheme, `Problem` 409 `key-id-taken` or
    `too-many-keys` (a third key of a purpose that would be valid at the same instant).
    """
    if scheme == "v1s2":
        if public_key is None or secret is not None:
            raise ValueError("an SM2 scheme takes a public key and no secret")
        Sm2PublicKey(public_key)  # refuses what is not a point of the curve
    elif secret is None or public_key is not None or purpose != "webhook":
        raise ValueError("an HMAC scheme takes a shared secret, for webhooks only")
    # Two officials who add keys at once must not both see only one.
    await tx.fetchval("SELECT 1 FROM partner WHERE partner_id = $1 FOR UPDATE", partner_id)
    others = await tx.fetch(
        """SELECT key_id, purpose, valid_from, valid_to FROM partner_key
           WHERE partner_id = $1""",
        partner_id,
    )
    if any(other["key_id"] == key_id for other in others):
        raise Problem(
            409,
            "key-id-taken",
            "该合作平台已有同名密钥,请换一个 key_id",
            partner_id=partner_id,
            key_id=key_id,
        )
    starts = [valid_from] + [other["valid_from"] for other in others]
    windows = [other for other in others if other["purpose"] == purpose]
    for start in starts:
        inside = start >= valid_from and (valid_to is None or start < valid_to)
        if inside and sum(_covers(window, start) for window in windows) >= VALID_KEYS_MAX:
            raise Problem(
                409,
                "too-many-keys",
                "同一时刻最多两把有效密钥;请先让旧密钥到期",
                partner_id=partner_id,
                key_id=key_id,
            )
    sealed = None
    if secret is not None:
        sealed = vault.seal(decode_secret(secret), _context(partner_id, key_id))
    await tx.execute(
        """INSERT INTO partner_key
           (partner_id, key_id, scheme, purpose, secret_sealed, public_key, valid_from, valid_to)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8)""",
        partner_id,
        key_id,
        scheme,
        purpose,
        sealed,
        public_key,
        valid_from,
        valid_to,
    )


async def end_keys(
    tx: Tx,
    partner_id: str,
    *,
    now: datetime,
    overlap: timedelta = timedelta(0),
    purpose: Purpose = "webhook",
) -> list[str]:
    """Let the keys of a purpose that are valid now end after `overlap`; their ids.

    A rotation is `end_keys(…, overlap=…)` followed by `add_key(…)`: until the overlap is over both
    keys count. Without overlap the keys stop counting at once.
    """
    rows = await tx.fetch(
        """UPDATE partner_key SET valid_to = least(coalesce(valid_to, $3), $3)
           WHERE partner_id = $1 AND purpose = $2 AND valid_from <= $4
             AND (valid_to IS NULL OR valid_to > $4)
           RETURNING key_id""",
        partner_id,
        purpose,
        now + overlap,
        now,
    )
    return sorted(row["key_id"] for row in rows)


async def end_key(
    tx: Tx, partner_id: str, key_id: str, *, now: datetime, overlap: timedelta = timedelta(0)
) -> datetime:
    """Let one key end after `overlap`; the instant at which it ends, never later than before.

    Raises `Problem` 404 `unknown-key`.
    """
    ends = await tx.fetchval(
        """UPDATE partner_key
           SET valid_to = greatest(valid_from, least(coalesce(valid_to, $3), $3))
           WHERE partner_id = $1 AND key_id = $2 RETURNING valid_to""",
        partner_id,
        key_id,
        now + overlap,
    )
    if ends is None:
        raise Problem(
            404, "unknown-key", "没有这把密钥", partner_id=partner_id[:64], key_id=key_id[:64]
        )
    return ends


async def load_partner(tx: Tx, vault: Vault, partner_id: str) -> Partner | None:
    """A partner with all its keys unsealed, or None if it is unknown."""
    rows = await tx.fetch(
        """SELECT p.partner_id, p.name, p.required_scheme, p.scenarios, p.replay, k.key_id,
                  k.scheme, k.purpose, k.secret_sealed, k.public_key, k.valid_from, k.valid_to
           FROM partner p LEFT JOIN partner_key k USING (partner_id)
           WHERE p.partner_id = $1""",
        partner_id,
    )
    if not rows:
        return None
    first = rows[0]
    return Partner(
        partner_id=first["partner_id"],
        name=first["name"],
        required_scheme=first["required_scheme"],
        scenarios=frozenset(cast("list[str]", first["scenarios"])),
        replay=first["replay"],
        keys=tuple(_key(vault, row) for row in rows if row["key_id"] is not None),
    )


async def public_keys(tx: Tx) -> list[PublicKey]:
    """Every public key of every partner, past ones included, in the order of their names."""
    rows = await tx.fetch(
        """SELECT partner_id, key_id, purpose, public_key, valid_from, valid_to FROM partner_key
           WHERE public_key IS NOT NULL ORDER BY partner_id, key_id"""
    )
    return [PublicKey(**dict(row)) for row in rows]


async def statement_keys(tx: Tx, partner_id: str, day: date, city_tz: str) -> list[PublicKey]:
    """The keys with which a partner may co-sign the statement of that city_day."""
    return [
        key
        for key in await public_keys(tx)
        if (key.partner_id, key.purpose) == (partner_id, "statement") and key.valid_on(day, city_tz)
    ]


async def key_history(tx: Tx, partner_id: str | None = None) -> list[KeyEntry]:
    """Every key that ever stood, of one partner or of all; no secret leaves this room."""
    rows = await tx.fetch(
        """SELECT partner_id, key_id, scheme, purpose, public_key, valid_from, valid_to
           FROM partner_key WHERE $1::text IS NULL OR partner_id = $1
           ORDER BY partner_id, purpose, valid_from, key_id""",
        partner_id,
    )
    return [KeyEntry(**dict(row)) for row in rows]


def _covers(window: Row, instant: datetime) -> bool:
    return window["valid_from"] <= instant and (
        window["valid_to"] is None or instant < window["valid_to"]
    )


def _key(vault: Vault, row: Row) -> WebhookKey:
    sealed = row["secret_sealed"]
    secret = None
    if sealed is not None:
        secret = vault.open_sealed(sealed, _context(row["partner_id"], row["key_id"]))
    return WebhookKey(
        key_id=row["key_id"],
        scheme=row["scheme"],
        purpose=row["purpose"],
        valid_from=row["valid_from"],
        valid_to=row["valid_to"],
        secret=secret,
        public_key=row["public_key"],
    )


def _context(partner_id: str, key_id: str) -> bytes:
    """What a sealed secret belongs to, so that it opens nowhere else."""
    return f"partner-key\n{partner_id}\n{key_id}".encode()
