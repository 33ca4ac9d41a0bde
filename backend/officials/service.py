"""The registry of officials. An address belongs to one official for ever."""

import re
from dataclasses import dataclass
from datetime import datetime

from backend.kit.clock import Clock
from backend.kit.db import Row, Tx
from backend.kit.problems import Problem
from backend.kit.vault import Vault
from backend.officials.roles import ROLES, conflict, kind_of

NAME = re.compile(r"[a-z][a-z0-9.-]{0,31}")
"""How an official's id is spelled."""

_ADDRESS = re.compile(r"0x[0-9a-f]{40}")

_OFFICIALS = """
    SELECT o.official_id, o.name, o.kind, o.created_at, o.suspended_at, k.address,
           k.keystore_sealed IS NOT NULL AS key_kept,
           coalesce((SELECT array_agg(r.role ORDER BY r.role) FROM official_role AS r
                     WHERE r.official_id = o.official_id), '{}') AS roles
    FROM official AS o
    LEFT JOIN official_key AS k ON k.official_id = o.official_id AND k.ended_at IS NULL
"""


@dataclass(frozen=True, slots=True)
class Official:
    """One official. `address` is that of the signing key that stands, lower-case hex with 0x.

    `key_kept` says whether its keystore is in our keeping.
    """

    official_id: str
    name: str
    kind: str
    roles: tuple[str, ...]
    address: str | None
    key_kept: bool
    created_at: datetime
    suspended_at: datetime | None

    @property
    def acts(self) -> bool:
        """Whether this official may act at all."""
        return self.suspended_at is None


async def register(
    tx: Tx, official_id: str, name: str, role: str, address: str | None, clock: Clock
) -> Official:
    """Add an official with a role and, if any, a signing address. The same again is no change.

    Raises Problem: 422 `bad-official`, 409 `official-conflict` (the id or the address is taken).
    """
    if NAME.fullmatch(official_id) is None or role not in ROLES or not name.strip():
        raise Problem(
            422, "bad-official", "人员标识、姓名或角色不合规定。", official_id=official_id
        )
    now = clock.now()
    await tx.execute(
        """INSERT INTO official (official_id, name, kind, created_at)
           VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING""",
        official_id,
        name,
        kind_of(role),
        now,
    )
    stored = await find(tx, official_id)
    if stored is not None and not stored.roles:
        await add_role(tx, official_id, role, now)
    if address is not None and stored is not None and stored.address is None:
        await add_key(tx, official_id, address, None, now)
    stored = await find(tx, official_id)
    if stored is None or role not in stored.roles or stored.address != address:
        raise _conflict(official_id, address)
    return stored


async def add_role(tx: Tx, official_id: str, role: str, at: datetime) -> None:
    """Give an official one more role. Raises Problem 409 `role-conflict`: see `roles.conflict`."""
    kind = await tx.fetchval("SELECT kind FROM official WHERE official_id = $1", official_id)
    held = await tx.fetch("SELECT role FROM official_role WHERE official_id = $1", official_id)
    reason = conflict(kind, [row["role"] for row in held], role)
    if reason is not None:
        raise Problem(409, "role-conflict", reason, official_id=official_id, role=role)
    await tx.execute(
        """INSERT INTO official_role (official_id, role, kind, granted_at)
           VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING""",
        official_id,
        role,
        kind,
        at,
    )


async def remove_role(tx: Tx, official_id: str, role: str) -> None:
    """Take a role away; without it nothing happens."""
    await tx.execute(
        "DELETE FROM official_role WHERE official_id = $1 AND role = $2", official_id, role
    )


async def suspend(tx: Tx, official_id: str, at: datetime | None) -> None:
    """Suspend an official at an instant, or with None restore them."""
    await tx.execute(
        "UPDATE official SET suspended_at = $2 WHERE official_id = $1", official_id, at
    )


async def add_key(
    tx: Tx, official_id: str, address: str, keystore_sealed: bytes | None, at: datetime
) -> None:
    """Register a signing address, with its keystore if we keep it; one stands at a time.

    Raises Problem: 422 `bad-official`, 409 `official-conflict` (an address is taken, or one of
    this official stands).
    """
    if _ADDRESS.fullmatch(address) is None:
        raise Problem(422, "bad-official", "签名地址应为小写的 0x 加 40 位十六进制。")
    added = await tx.fetchval(
        """INSERT INTO official_key (address, official_id, keystore_sealed, added_at)
           VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING RETURNING address""",
        address,
        official_id,
        keystore_sealed,
        at,
    )
    if added is None:
        raise _conflict(official_id, address)


async def end_key(tx: Tx, official_id: str, at: datetime) -> str | None:
    """End the signing key that stands; its address, or None where there was none."""
    return await tx.fetchval(
        """UPDATE official_key SET ended_at = $2, keystore_sealed = NULL
           WHERE official_id = $1 AND ended_at IS NULL RETURNING address""",
        official_id,
        at,
    )


async def keep_keystore(tx: Tx, vault: Vault, official_id: str, keystore: bytes) -> None:
    """Take a standing key's keystore, itself encrypted by its owner's password, into keeping."""
    await tx.execute(
        """UPDATE official_key SET keystore_sealed = $2
           WHERE official_id = $1 AND ended_at IS NULL""",
        official_id,
        seal_keystore(vault, official_id, keystore),
    )


def seal_keystore(vault: Vault, official_id: str, keystore: bytes) -> bytes:
    """A keystore as it is stored: under its owner's password and under our master key."""
    return vault.seal(keystore, _context(official_id))


async def keystore_of(tx: Tx, vault: Vault, official_id: str) -> bytes | None:
    """The keystore of the key that stands, still encrypted by its owner's password."""
    sealed = await tx.fetchval(
        """SELECT keystore_sealed FROM official_key
           WHERE official_id = $1 AND ended_at IS NULL""",
        official_id,
    )
    return None if sealed is None else vault.open_sealed(sealed, _context(official_id))


async def find(tx: Tx, official_id: str) -> Official | None:
    """One official, or None."""
    row = await tx.fetchrow(f"{_OFFICIALS} WHERE o.official_id = $1", official_id)
    return None if row is None else _official(row)


async def listed(tx: Tx) -> list[Official]:
    """All officials, by id."""
    return [_official(row) for row in await tx.fetch(f"{_OFFICIALS} ORDER BY o.official_id")]


def _official(row: Row) -> Official:
    return Official(
        row["official_id"],
        row["name"],
        row["kind"],
        tuple(row["roles"]),
        row["address"],
        row["key_kept"],
        row["created_at"],
        row["suspended_at"],
    )


def _conflict(official_id: str, address: str | None) -> Problem:
    return Problem(
        409,
        "official-conflict",
        "人员标识或签名地址已另有登记。",
        official_id=official_id,
        address=address,
    )


def _context(official_id: str) -> bytes:
    return f"official-keystore\n{official_id}".encode()
