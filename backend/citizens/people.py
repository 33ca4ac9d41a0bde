"""A citizen's row and the sealed secret behind their accounts."""

import secrets
from uuid import UUID

from backend.kit.clock import Clock
from backend.kit.db import Tx
from backend.kit.ids import new_id
from backend.kit.sm import hmac_sm3
from backend.kit.vault import Vault

SECRET_BYTES = 32


def provider_ref_hash(vault: Vault, provider: str, provider_ref: str) -> bytes:
    """What we keep of a provider's name for a person: an HMAC-SM3 under a key of the vault.

    Keyed, because names and phone numbers are few enough to try them all.
    """
    return hmac_sm3(
        vault.secret("provider-ref"), f"tanhui-provider-ref-v1\n{provider}\n{provider_ref}".encode()
    )


def secret_context(citizen_id: UUID) -> bytes:
    """What a sealed secret is bound to: it cannot be moved to another person's row."""
    return f"citizen-secret/{citizen_id}".encode()


async def find(tx: Tx, vault: Vault, provider: str, provider_ref: str) -> UUID | None:
    """The citizen a provider means, or None. Erased people are nobody's."""
    return await tx.fetchval(
        """SELECT citizen_id FROM citizen
           WHERE provider = $1 AND provider_ref_hash = $2 AND erased_at IS NULL""",
        provider,
        provider_ref_hash(vault, provider, provider_ref),
    )


async def provider_of(tx: Tx, citizen_id: UUID) -> str | None:
    """By which provider a citizen signs in, or None."""
    return await tx.fetchval("SELECT provider FROM citizen WHERE citizen_id = $1", citizen_id)


async def create_or_get(
    tx: Tx, vault: Vault, provider: str, provider_ref: str, clock: Clock
) -> UUID:
    """The citizen a provider means; made, with a fresh 32-byte secret, when first seen."""
    known = await find(tx, vault, provider, provider_ref)
    if known is not None:
        return known
    citizen_id = new_id()
    made = await tx.fetchval(
        """INSERT INTO citizen (citizen_id, provider, provider_ref_hash, created_at)
           VALUES ($1, $2, $3, $4) ON CONFLICT (provider, provider_ref_hash) DO NOTHING
           RETURNING citizen_id""",
        citizen_id,
        provider,
        provider_ref_hash(vault, provider, provider_ref),
        clock.now(),
    )
    if made is None:
        # Another transaction was first and has committed by now: its row is the person's.
        other = await find(tx, vault, provider, provider_ref)
        if other is None:
            raise LookupError(f"citizen {provider} was created and erased at the same time")
        return other
    await tx.execute(
        "INSERT INTO citizen_secret (citizen_id, secret_sealed) VALUES ($1, $2)",
        citizen_id,
        vault.seal(secrets.token_bytes(SECRET_BYTES), secret_context(citizen_id)),
    )
    return citizen_id


async def secrets_of(tx: Tx, vault: Vault, citizen_ids: list[UUID]) -> dict[UUID, bytes]:
    """The opened secrets of those citizens who still have one."""
    rows = await tx.fetch(
        """SELECT citizen_id, secret_sealed FROM citizen_secret
           WHERE citizen_id = ANY($1::uuid[])""",
        citizen_ids,
    )
    return {
        row["citizen_id"]: vault.open_sealed(
            row["secret_sealed"], secret_context(row["citizen_id"])
        )
        for row in rows
    }
