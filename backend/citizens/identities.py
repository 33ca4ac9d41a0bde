"""What names a person, sealed: the provider's openid, a phone; and what they said of their age."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from backend.kit.clock import Clock
from backend.kit.db import Tx
from backend.kit.openapi import Refusal
from backend.kit.problems import Problem
from backend.kit.sm import hmac_sm3
from backend.kit.vault import Vault

PHONE_TAKEN: Refusal = (409, "phone-bound", "这个手机号已绑定另一个账号。")
GUARDIAN_NEEDED: Refusal = (
    403,
    "guardian-needed",
    "未满十四周岁须由监护人同意;监护人同意渠道开通前,不能授权或兑换。",
)


@dataclass(frozen=True, slots=True)
class Named:
    """What we may show a person of it: the phone masked, the age as they declared it."""

    phone: str | None
    under_14: bool | None
    declared_at: datetime | None


def _openid_context(citizen_id: UUID) -> bytes:
    return f"citizen-openid/{citizen_id}".encode()


def _phone_context(citizen_id: UUID) -> bytes:
    return f"citizen-phone/{citizen_id}".encode()


async def keep_openid(tx: Tx, vault: Vault, citizen_id: UUID, openid: str) -> None:
    """Remember whom messages to a person are addressed to."""
    await tx.execute(
        """INSERT INTO citizen_identity (citizen_id, openid_sealed) VALUES ($1, $2)
           ON CONFLICT (citizen_id) DO UPDATE SET openid_sealed = $2""",
        citizen_id,
        vault.seal(openid.encode(), _openid_context(citizen_id)),
    )


async def openid_of(tx: Tx, vault: Vault, citizen_id: UUID) -> str | None:
    """The openid, opened; None where there is none."""
    sealed = await tx.fetchval(
        "SELECT openid_sealed FROM citizen_identity WHERE citizen_id = $1", citizen_id
    )
    if sealed is None:
        return None
    return vault.open_sealed(sealed, _openid_context(citizen_id)).decode()


async def bind_phone(tx: Tx, vault: Vault, citizen_id: UUID, number: str, clock: Clock) -> None:
    """The person's phone, in place of an earlier one. Raises Problem 409 `phone-bound`."""
    hashed = hmac_sm3(vault.secret("provider-ref"), b"tanhui-phone-v1\n" + number.encode())
    owner = await tx.fetchval(
        "SELECT citizen_id FROM citizen_identity WHERE phone_hash = $1", hashed
    )
    if owner is not None and owner != citizen_id:
        raise Problem(*PHONE_TAKEN)
    await tx.execute(
        """INSERT INTO citizen_identity (citizen_id, phone_sealed, phone_hash, phone_bound_at)
           VALUES ($1, $2, $3, $4)
           ON CONFLICT (citizen_id) DO UPDATE
           SET phone_sealed = $2, phone_hash = $3, phone_bound_at = $4""",
        citizen_id,
        vault.seal(number.encode(), _phone_context(citizen_id)),
        hashed,
        clock.now(),
    )


async def declare_age(tx: Tx, citizen_id: UUID, *, under_14: bool, clock: Clock) -> None:
    """What a person says of their age. Who said under 14 does not grow up by saying so again."""
    await tx.execute(
        """INSERT INTO citizen_identity (citizen_id, under_14, declared_at) VALUES ($1, $2, $3)
           ON CONFLICT (citizen_id) DO UPDATE
           SET under_14 = coalesce(citizen_identity.under_14 OR $2, $2), declared_at = $3""",
        citizen_id,
        under_14,
        clock.now(),
    )


async def refuse_children(tx: Tx, citizen_id: UUID) -> None:
    """Raise Problem 403 `guardian-needed` for who said that they are under 14."""
    if await tx.fetchval("SELECT under_14 FROM citizen_identity WHERE citizen_id = $1", citizen_id):
        raise Problem(*GUARDIAN_NEEDED)


async def named(tx: Tx, vault: Vault, citizen_id: UUID) -> Named:
    """What we hold of a person's name, as it may be shown to them."""
    row = await tx.fetchrow(
        "SELECT phone_sealed, under_14, declared_at FROM citizen_identity WHERE citizen_id = $1",
        citizen_id,
    )
    if row is None:
        return Named(None, None, None)
    phone = None
    if row["phone_sealed"] is not None:
        number = vault.open_sealed(row["phone_sealed"], _phone_context(citizen_id)).decode()
        phone = f"{number[:3]}****{number[-4:]}" if len(number) >= 9 else f"****{number[-2:]}"
    return Named(phone, row["under_14"], row["declared_at"])
