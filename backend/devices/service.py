"""Register, revoke and look up devices; check what one signed."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from backend.kit.db import Tx
from backend.kit.problems import Problem
from backend.kit.sm import Sm2PublicKey

Purpose = Literal["gate", "sensor"]

_DEVICE_ID = re.compile(r"[a-z][a-z0-9.-]{0,63}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Device:
    """A device as it is registered; `place` is where it stands, `public_key` its 65-byte point."""

    device_id: str
    operator_id: str
    place: str
    lane: str
    purpose: Purpose
    public_key: bytes
    registered_at: datetime
    revoked_at: datetime | None


async def register_device(
    tx: Tx,
    device_id: str,
    *,
    operator_id: str,
    place: str,
    lane: str,
    purpose: Purpose,
    public_key: bytes,
    now: datetime,
) -> None:
    """Enter a device; the very same again changes nothing.

    Raises Problem 422 `bad-device` (id or key), 409 `device-id-taken` (another key, place or
    purpose: what replaces a device is another device).
    """
    if _DEVICE_ID.fullmatch(device_id) is None:
        raise Problem(422, "bad-device", "设备编号须为小写字母开头的 1 至 64 个字符。")
    try:
        Sm2PublicKey(public_key)
    except ValueError as error:
        raise Problem(422, "bad-device", f"设备公钥不是 SM2 曲线上的点:{error}") from error
    await tx.execute(
        """INSERT INTO device (device_id, operator_id, place, lane, purpose, public_key,
                               registered_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (device_id) DO NOTHING""",
        device_id,
        operator_id,
        place,
        lane,
        purpose,
        public_key,
        now,
    )
    stands = await find_device(tx, device_id)
    asked = (operator_id, place, lane, purpose, public_key)
    if stands is None or asked != (
        *(stands.operator_id, stands.place, stands.lane, stands.purpose, stands.public_key),
    ):
        raise Problem(
            409,
            "device-id-taken",
            "该设备编号已登记为另一台设备;更换设备须使用新的编号。",
            device_id=device_id,
        )


async def revoke_device(tx: Tx, operator_id: str, device_id: str, now: datetime) -> datetime:
    """End a device of this operator from now on; the instant at which it ended, the first one.

    Raises Problem 404 `unknown-device`.
    """
    revoked_at = await tx.fetchval(
        """UPDATE device SET revoked_at = coalesce(revoked_at, $3)
           WHERE device_id = $1 AND operator_id = $2 RETURNING revoked_at""",
        device_id,
        operator_id,
        now,
    )
    if revoked_at is None:
        raise Problem(404, "unknown-device", "没有登记这台设备。", device_id=device_id[:64])
    return revoked_at


async def find_device(tx: Tx, device_id: str) -> Device | None:
    """A device by id, revoked ones included; None if there is no such device."""
    row = await tx.fetchrow("SELECT * FROM device WHERE device_id = $1", device_id)
    return None if row is None else Device(**dict(row))


async def devices_at(tx: Tx, place: str) -> list[Device]:
    """Every device that stands or stood at a place, in the order of their ids."""
    rows = await tx.fetch("SELECT * FROM device WHERE place = $1 ORDER BY device_id", place)
    return [Device(**dict(row)) for row in rows]


def signed_text(device_id: str, payload: bytes) -> bytes:
    """What a device signs over the exact bytes of a payload."""
    return b"tanhui-device-v1\n" + device_id.encode() + b"\n" + payload


async def check_signed(
    tx: Tx, device_id: str, purpose: Purpose, payload: bytes, signature: bytes, now: datetime
) -> Device:
    """The device whose key signed these bytes (SM2 with SM3, strict DER).

    Raises Problem 401: `unknown-device`, `device-revoked`, `device-of-another-purpose`,
    `bad-device-signature`.
    """
    device = await find_device(tx, device_id)
    if device is None:
        raise _refused("unknown-device", "没有登记这台设备。", device_id)
    if device.revoked_at is not None and device.revoked_at <= now:
        raise _refused("device-revoked", "该设备已注销,其上报不再采信。", device_id)
    if device.purpose != purpose:
        raise _refused("device-of-another-purpose", "该设备登记的用途与上报内容不符。", device_id)
    if not Sm2PublicKey(device.public_key).verify_der(signature, signed_text(device_id, payload)):
        raise _refused("bad-device-signature", "设备签名与上报内容不符。", device_id)
    return device


def _refused(name: str, detail: str, device_id: str) -> Problem:
    return Problem(401, name, detail, device_id=device_id[:64])
