"""The registry of officials. An address belongs to one official for ever."""

import re
from dataclasses import dataclass

from backend.kit.clock import Clock
from backend.kit.db import Tx
from backend.kit.problems import Problem

ROLES = ("approver", "auditor", "operator")
_ID = re.compile(r"[a-z][a-z0-9.-]{0,31}")
_ADDRESS = re.compile(r"0x[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class Official:
    """One official; `address` is lower-case hex with 0x."""

    official_id: str
    name: str
    role: str
    address: str


async def register(
    tx: Tx, official_id: str, name: str, role: str, address: str, clock: Clock
) -> Official:
    """Add an official. Registering the same person with the same address again is no change.

    Raises Problem: 422 `bad-official`, 409 `official-conflict` (the id or the address is taken).
    """
    if _ID.fullmatch(official_id) is None or role not in ROLES:
        raise Problem(422, "bad-official", "人员标识或角色不合规定。", official_id=official_id)
    if _ADDRESS.fullmatch(address) is None:
        raise Problem(422, "bad-official", "签名地址应为小写的 0x 加 40 位十六进制。")
    await tx.execute(
        """INSERT INTO official (official_id, name, role, address, created_at)
           VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING""",
        official_id,
        name,
        role,
        address,
        clock.now(),
    )
    stored = await find(tx, official_id)
    if stored is None or (stored.role, stored.address) != (role, address):
        raise Problem(
            409,
            "official-conflict",
            "人员标识或签名地址已另有登记。",
            official_id=official_id,
            address=address,
        )
    return stored


async def find(tx: Tx, official_id: str) -> Official | None:
    """One official, or None."""
    row = await tx.fetchrow(
        "SELECT official_id, name, role, address FROM official WHERE official_id = $1",
        official_id,
    )
    return None if row is None else Official(**row)


async def listed(tx: Tx) -> list[Official]:
    """All officials, by id."""
    rows = await tx.fetch(
        "SELECT official_id, name, role, address FROM official ORDER BY official_id"
    )
    return [Official(**row) for row in rows]
