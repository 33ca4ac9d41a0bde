"""Bindings: the one-time code a citizen hands over, and the token a partner then reports with."""

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from backend.citizens.people import secrets_of
from backend.kit.clock import Clock
from backend.kit.db import Tx
from backend.kit.ids import new_id, token
from backend.kit.problems import Problem
from backend.kit.sm import hmac_sm3, sm3
from backend.kit.vault import Vault

CODE_LIFE = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class BindingCode:
    """A code shown to the citizen once; only its hash is stored."""

    code: str
    expires_at: datetime


async def new_binding_code(
    tx: Tx, citizen_id: UUID, consent_id: UUID, partner_id: str, clock: Clock
) -> BindingCode:
    """A fresh code (128 random bits, valid 10 minutes, one use) for this partner only."""
    made = BindingCode(token(128), clock.now() + CODE_LIFE)
    await tx.execute(
        """INSERT INTO binding_code (code_hash, consent_id, citizen_id, partner_id, expires_at)
           VALUES ($1, $2, $3, $4, $5)""",
        sm3(made.code.encode()),
        consent_id,
        citizen_id,
        partner_id,
        made.expires_at,
    )
    return made


async def exchange_code(
    tx: Tx, vault: Vault, partner_id: str, code: str, user_ref: str, clock: Clock
) -> str:
    """The binding token by which this partner reports its user `user_ref` from now on.

    The token is an HMAC-SM3 (256 bits) under the citizen's secret, so a partner and user_ref
    have one token for ever: consenting to a second scenario does not silence events that
    already carry it. Stored as its SM3 only.
    Raises Problem: 404 `unknown-code` (unknown or another partner's), 410 `code-spent` (used,
    expired, consent withdrawn), 409 `user-ref-bound` (bound to another citizen).
    """
    row = await tx.fetchrow(
        """SELECT b.citizen_id, b.expires_at, b.used_at, c.withdrawn_at
           FROM binding_code AS b LEFT JOIN consent AS c USING (consent_id)
           WHERE b.code_hash = $1 AND b.partner_id = $2 FOR UPDATE OF b""",
        sm3(code.encode()),
        partner_id,
    )
    if row is None:
        raise Problem(404, "unknown-code", "没有这个绑定码,请让市民重新获取。")
    if row["used_at"] is not None or row["withdrawn_at"] is not None:
        raise Problem(410, "code-spent", "绑定码已经使用或授权已撤回,请让市民重新获取。")
    if row["expires_at"] <= clock.now():
        raise Problem(410, "code-spent", "绑定码已过期(10 分钟),请让市民重新获取。")
    citizen_id: UUID = row["citizen_id"]
    await tx.execute(
        "UPDATE binding_code SET used_at = $2 WHERE code_hash = $1",
        sm3(code.encode()),
        clock.now(),
    )
    return await _bind(tx, vault, partner_id, citizen_id, user_ref, clock)


async def _bind(
    tx: Tx, vault: Vault, partner_id: str, citizen_id: UUID, user_ref: str, clock: Clock
) -> str:
    secret = (await secrets_of(tx, vault, [citizen_id])).get(citizen_id)
    if secret is None:
        raise Problem(410, "code-spent", "这位市民已注销。")
    ref_hash = sm3(f"tanhui-user-ref-v1\n{partner_id}\n{user_ref}".encode())
    mac = hmac_sm3(secret, b"tanhui-binding-v1\n" + partner_id.encode() + b"\n" + ref_hash)
    made = base64.urlsafe_b64encode(mac).rstrip(b"=").decode()
    owner = await tx.fetchval(
        """INSERT INTO binding
               (binding_id, partner_id, citizen_id, token_hash, user_ref_hash, created_at)
           VALUES ($1, $2, $3, $4, $5, $6)
           ON CONFLICT (partner_id, user_ref_hash) DO UPDATE SET token_hash = binding.token_hash
           RETURNING citizen_id""",
        new_id(),
        partner_id,
        citizen_id,
        sm3(made.encode()),
        ref_hash,
        clock.now(),
    )
    if owner != citizen_id:
        raise Problem(409, "user-ref-bound", "这个用户标识已绑定另一位市民。")
    return made


class Reporter(NamedTuple):
    """Whom a binding token stands for, and what they consented to, by scenario.

    A consent is (given_at, withdrawn_at): the standing one, else the one withdrawn last.
    """

    citizen_id: UUID
    consents: dict[str, tuple[datetime, datetime | None]]


async def reporters_of(
    tx: Tx, partner_id: str, token_hashes: Iterable[bytes]
) -> dict[bytes, Reporter]:
    """Who this partner's binding tokens (as SM3) stand for; unknown ones are absent.

    One query for both registries: recording asks for every event of every upload.
    """
    rows = await tx.fetch(
        """SELECT b.token_hash, b.citizen_id, c.scenario, c.given_at, c.withdrawn_at
           FROM binding AS b
           LEFT JOIN consent AS c ON c.citizen_id = b.citizen_id AND c.partner_id = b.partner_id
           WHERE b.partner_id = $1 AND b.token_hash = ANY($2::bytea[])""",
        partner_id,
        list(set(token_hashes)),
    )
    reporters: dict[bytes, Reporter] = {}
    for token_hash, citizen_id, scenario, given_at, withdrawn_at in (row.values() for row in rows):
        reporter = reporters.get(token_hash)
        if reporter is None:
            reporter = reporters[token_hash] = Reporter(citizen_id, {})
        if scenario is None:
            continue
        other = reporter.consents.get(scenario)
        if other is None or _stands_longer(withdrawn_at, other[1]):
            reporter.consents[scenario] = (given_at, withdrawn_at)
    return reporters


def _stands_longer(withdrawn_at: datetime | None, other: datetime | None) -> bool:
    return other is not None and (withdrawn_at is None or withdrawn_at > other)
