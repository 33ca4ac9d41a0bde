"""A person's accounts on chain: 20 bytes that only the holder of the secret can link to them."""

from collections.abc import Iterable
from uuid import UUID

from backend.citizens.people import secrets_of
from backend.kit.db import Tx
from backend.kit.sm import sm3
from backend.kit.vault import Vault

ACCOUNT_BYTES = 20


def account_of_secret(points_class: str, secret: bytes) -> bytes:
    r"""`H("tanhui-account-v1\n" ‖ class ‖ "\n" ‖ secret32)[0:20]` (formats.md §6)."""
    if len(secret) != 32:
        raise ValueError(f"a citizen's secret has 32 bytes, not {len(secret)}")
    return sm3(b"tanhui-account-v1\n" + points_class.encode() + b"\n" + secret)[:ACCOUNT_BYTES]


async def accounts_of(
    tx: Tx, vault: Vault, citizen_ids: Iterable[UUID], points_class: str
) -> dict[UUID, bytes]:
    """Account (20 bytes) of each citizen for one class, made where it does not exist yet.

    One read for those known, one read and one insert for the rest. A citizen whose secret
    was erased before the account existed is absent from the answer.
    """
    wanted = list(dict.fromkeys(citizen_ids))
    known = await _stored(tx, wanted, points_class)
    missing = [citizen_id for citizen_id in wanted if citizen_id not in known]
    if not missing:
        return known
    made = {
        citizen_id: account_of_secret(points_class, secret)
        for citizen_id, secret in (await secrets_of(tx, vault, missing)).items()
    }
    # Sorted, so that two workers who meet here wait for each other instead of deadlocking.
    ordered = sorted(made.items())
    await tx.execute(
        """INSERT INTO citizen_account (citizen_id, class, account)
           SELECT citizen_id, $1, account
           FROM unnest($2::uuid[], $3::bytea[]) AS new (citizen_id, account)
           ON CONFLICT (citizen_id, class) DO NOTHING""",
        points_class,
        [citizen_id for citizen_id, _ in ordered],
        [account for _, account in ordered],
    )
    return known | made


async def _stored(tx: Tx, citizen_ids: list[UUID], points_class: str) -> dict[UUID, bytes]:
    rows = await tx.fetch(
        """SELECT citizen_id, account FROM citizen_account
           WHERE class = $1 AND citizen_id = ANY($2::uuid[])""",
        points_class,
        citizen_ids,
    )
    return {row["citizen_id"]: row["account"] for row in rows}
