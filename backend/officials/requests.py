"""Changes to accounts: one administrator asks, another settles, nobody about themselves.

A new or reset account is opened by an activation code of two halves, one shown to each of the two
administrators: neither can set somebody's password alone.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from backend.kit.clock import Clock
from backend.kit.db import Row, Tx
from backend.kit.ids import new_id
from backend.kit.problems import Problem
from backend.kit.sm import sm3
from backend.kit.vault import Vault
from backend.officials import access, service
from backend.officials.roles import ROLES

Act = Literal["enrol", "grant", "revoke", "reset", "suspend", "restore"]
ACTS: tuple[Act, ...] = ("enrol", "grant", "revoke", "reset", "suspend", "restore")
ADMINISTRATORS_MIN = 2
ACTIVATION_LIFE = timedelta(hours=72)
DISTRUST = timedelta(hours=72)
"""How long an account does not count beside the one who made, re-roled or reset it."""


@dataclass(frozen=True, slots=True)
class Request:
    """A change somebody asked for."""

    request_id: UUID
    act: Act
    official_id: str
    name: str | None
    role: str | None
    reason: str
    asked_by: str
    asked_at: datetime
    state: str
    settled_by: str | None
    settled_at: datetime | None


@dataclass(frozen=True, slots=True)
class Settled:
    """A settled request; `code_half` goes to the confirming administrator, shown once."""

    request: Request
    code_half: str | None


@dataclass(frozen=True, slots=True)
class Activation:
    """An account waiting for its owner: the TOTP secret they set up."""

    activation_id: UUID
    official_id: str
    totp_secret: str
    totp_sealed: bytes


async def ask(
    tx: Tx,
    clock: Clock,
    *,
    act: Act,
    official_id: str,
    asked_by: str,
    reason: str,
    role: str | None = None,
    name: str | None = None,
) -> tuple[Request, str | None]:
    """Ask for a change; with it the asker's half of the activation code, where there is one.

    Raises Problem: 422 `bad-request-of-account`, 403 `not-about-yourself`, 404 `unknown-official`,
    409 `official-conflict`, `role-conflict`.
    """
    if asked_by == official_id:
        raise _yourself(official_id)
    if (role is not None and role not in ROLES) or (role is None) == (
        act in ("enrol", "grant", "revoke")
    ):
        raise Problem(422, "bad-request-of-account", "角色缺失、多余或不存在。", role=role)
    if (name is None) == (act == "enrol"):
        raise Problem(422, "bad-request-of-account", "登记新人员须写明姓名,其他申请不写。")
    known = await service.find(tx, official_id)
    if act == "enrol" and known is not None:
        raise Problem(409, "official-conflict", "人员标识已另有登记。", official_id=official_id)
    if act != "enrol" and known is None:
        raise _unknown(official_id)
    half = _half() if act in ("enrol", "reset") else None
    request_id = new_id()
    await tx.execute(
        """INSERT INTO official_request (request_id, act, official_id, name, role, reason,
               asker_half, asked_by, asked_at, state)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'open')""",
        request_id,
        act,
        official_id,
        name,
        role,
        reason,
        None if half is None else sm3(half.encode()),
        asked_by,
        clock.now(),
    )
    return await request_of(tx, request_id), half


async def settle(
    tx: Tx, vault: Vault, clock: Clock, request_id: UUID, *, by: str, confirm: bool
) -> Settled:
    """Confirm or refuse a request; a confirmed one takes effect in this commit.

    Raises Problem: 404 `unknown-request`, 409 `request-settled`, `official-conflict`,
    `role-conflict`, `last-administrators`, 403 `not-about-yourself`, `second-person-needed`.
    """
    row = await tx.fetchrow(
        "SELECT * FROM official_request WHERE request_id = $1 FOR UPDATE", request_id
    )
    if row is None:
        raise Problem(404, "unknown-request", "没有这项申请。", request_id=str(request_id))
    if row["state"] != "open":
        raise Problem(409, "request-settled", "这项申请已经办结。", request_id=str(request_id))
    if by == row["official_id"]:
        raise _yourself(by)
    if confirm and by == row["asked_by"]:
        raise Problem(
            403, "second-person-needed", "须由另一位管理员确认,申请人不能确认自己的申请。"
        )
    now = clock.now()
    if by != row["asked_by"] or confirm:
        await tx.execute(
            """UPDATE official_request SET state = $2, settled_by = $3, settled_at = $4
               WHERE request_id = $1""",
            request_id,
            "confirmed" if confirm else "refused",
            by,
            now,
        )
    else:
        raise Problem(403, "second-person-needed", "申请须由另一位管理员办结。")
    half = await _take_effect(tx, vault, clock, row) if confirm else None
    return Settled(await request_of(tx, request_id), half)


async def _take_effect(tx: Tx, vault: Vault, clock: Clock, row: Row) -> str | None:
    act, official_id, role, now = row["act"], row["official_id"], row["role"], clock.now()
    if act == "enrol":
        if await service.find(tx, official_id) is not None:
            raise Problem(409, "official-conflict", "人员标识已另有登记。", official_id=official_id)
        await service.register(tx, official_id, row["name"], role, None, clock)
        return await _open_activation(tx, vault, official_id, row["asker_half"], now)
    if act == "grant":
        await service.add_role(tx, official_id, role, now)
    elif act == "revoke":
        await service.remove_role(tx, official_id, role)
    elif act == "suspend":
        await service.suspend(tx, official_id, now)
    elif act == "restore":
        await service.suspend(tx, official_id, None)
    await access.revoke_sessions(tx, official_id, now)
    half = None
    if act == "reset":
        await access.close_access(tx, official_id, now)
        standing = await service.find(tx, official_id)
        # Nobody opens a kept keystore without the old password; a key kept elsewhere stays good.
        if standing is not None and standing.key_kept:
            await service.end_key(tx, official_id, now)
        half = await _open_activation(tx, vault, official_id, row["asker_half"], now)
    await _keep_administrators(tx)
    return half


async def _keep_administrators(tx: Tx) -> None:
    """Two who can settle each other's requests must remain."""
    left = await tx.fetchval(
        """SELECT count(DISTINCT official_id) FROM official_role JOIN official USING (official_id)
           WHERE role IN ('system_admin', 'security_admin') AND suspended_at IS NULL"""
    )
    if left < ADMINISTRATORS_MIN:
        raise Problem(
            409, "last-administrators", "至少须保留两位可以互相确认的管理员(系统、安全)。"
        )


async def found_administrator(
    tx: Tx, vault: Vault, clock: Clock, official_id: str, name: str, role: str
) -> str:
    """The first administrators, before there are two who could ask and confirm; their whole code.

    Again before the account is opened makes a new code. Raises Problem 409 `already-founded` once
    two administrators stand, or this one has opened the account.
    """
    opened = await tx.fetchval("SELECT 1 FROM official_access WHERE official_id = $1", official_id)
    standing = await tx.fetchval(
        """SELECT count(DISTINCT official_id) FROM official_role
           WHERE role IN ('system_admin', 'security_admin') AND official_id <> $1""",
        official_id,
    )
    allowed = role in ("system_admin", "security_admin")
    if opened or standing >= ADMINISTRATORS_MIN or not allowed:
        raise Problem(409, "already-founded", "管理员已设立,请由两位管理员在系统内办理。")
    await service.register(tx, official_id, name, role, None, clock)
    half = _half()
    return f"{half}-" + await _open_activation(
        tx, vault, official_id, sm3(half.encode()), clock.now()
    )


async def requests(tx: Tx, *, before: UUID | None = None, limit: int = 100) -> list[Request]:
    """Requests, newest first."""
    rows = await tx.fetch(
        f"""{_REQUESTS} WHERE $1::uuid IS NULL OR request_id < $1
            ORDER BY request_id DESC LIMIT $2""",
        before,
        limit,
    )
    return [Request(**row) for row in rows]


async def request_of(tx: Tx, request_id: UUID) -> Request:
    """One request. Raises Problem 404 `unknown-request`."""
    row = await tx.fetchrow(f"{_REQUESTS} WHERE request_id = $1", request_id)
    if row is None:
        raise Problem(404, "unknown-request", "没有这项申请。", request_id=str(request_id))
    return Request(**row)


async def open_activation(
    tx: Tx, vault: Vault, clock: Clock, official_id: str, code: str
) -> Activation:
    """The activation a whole code opens; the row stays locked until `tx` ends.

    Raises Problem 410 `activation-refused` for an unknown, used or expired one.
    """
    first, _, second = code.strip().partition("-")
    row = await tx.fetchrow(
        """SELECT activation_id, totp_sealed FROM official_activation
           WHERE official_id = $1 AND code_hash = $2 AND used_at IS NULL AND expires_at > $3
           FOR UPDATE""",
        official_id,
        _code_hash(sm3(first.encode()), second),
        clock.now(),
    )
    if row is None:
        raise Problem(410, "activation-refused", "激活码不正确、已使用或已过期。")
    sealed = row["totp_sealed"]
    secret = vault.open_sealed(sealed, access.totp_context(official_id)).decode()
    return Activation(row["activation_id"], official_id, secret, sealed)


async def use_activation(tx: Tx, activation: Activation, at: datetime) -> None:
    """The code has done its work; every other code of this account ends with it."""
    await tx.execute(
        """UPDATE official_activation SET used_at = $2
           WHERE official_id = $1 AND used_at IS NULL""",
        activation.official_id,
        at,
    )


async def touched_by(tx: Tx, official_id: str, other: str, at: datetime) -> bool:
    """Whether `other` took part in making, re-roling or resetting this account within 72 hours."""
    return bool(
        await tx.fetchval(
            """SELECT EXISTS (SELECT FROM official_request
                   WHERE official_id = $1 AND state = 'confirmed' AND settled_at > $3
                     AND act IN ('enrol', 'grant', 'revoke', 'reset', 'restore')
                     AND (asked_by = $2 OR settled_by = $2))""",
            official_id,
            other,
            at - DISTRUST,
        )
    )


_REQUESTS = """
    SELECT request_id, act, official_id, name, role, reason, asked_by, asked_at, state, settled_by,
           settled_at
    FROM official_request
"""


async def _open_activation(
    tx: Tx, vault: Vault, official_id: str, asker_half: bytes, at: datetime
) -> str:
    half = _half()
    secret = access.new_totp_secret()
    await tx.execute(
        """INSERT INTO official_activation (activation_id, official_id, code_hash, totp_sealed,
               made_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6)""",
        new_id(),
        official_id,
        _code_hash(asker_half, half),
        vault.seal(secret.encode(), access.totp_context(official_id)),
        at,
        at + ACTIVATION_LIFE,
    )
    return half


def _half() -> str:
    """80 bits, in letters and digits that are easy to read out."""
    return "".join(secrets.choice("abcdefghjkmnpqrstuvwxyz23456789") for _ in range(16))


def _code_hash(asker_half: bytes, confirmer_half: str) -> bytes:
    return sm3(b"tanhui-activation-v1\n" + asker_half + confirmer_half.encode())


def _yourself(official_id: str) -> Problem:
    return Problem(
        403, "not-about-yourself", "不能办理关于自己账号的申请。", official_id=official_id
    )


def _unknown(official_id: str) -> Problem:
    return Problem(404, "unknown-official", "没有这位人员。", official_id=official_id)
