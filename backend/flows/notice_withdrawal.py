"""Consent withdrawn → notice: the partner stops sending what would only be refused."""

from datetime import datetime
from uuid import UUID

from backend import citizens, notices
from backend.citizens import Consent
from backend.kit.clock import to_text
from backend.kit.db import Tx


async def withdraw_consent(
    tx: Tx, citizen_id: UUID, consent_id: UUID, now: datetime
) -> Consent | None:
    """End a consent of this citizen and tell the partner; None if there is no such consent.

    The partner finds the person by the SM3 of the binding tokens it holds: we keep nothing else
    of them. Withdrawing twice keeps the first instant and tells nothing more.
    """
    stood = await tx.fetchval(
        """SELECT withdrawn_at IS NULL FROM consent
           WHERE consent_id = $1 AND citizen_id = $2 FOR UPDATE""",
        consent_id,
        citizen_id,
    )
    consent = await citizens.withdraw_consent(tx, citizen_id, consent_id, now)
    if consent is not None and stood:
        tokens = await tx.fetch(
            """SELECT token_hash FROM binding WHERE partner_id = $1 AND citizen_id = $2
               ORDER BY created_at DESC, binding_id DESC LIMIT 100""",
            consent.partner_id,
            citizen_id,
        )
        await notices.tell(
            tx,
            consent.partner_id,
            "consent.withdrawn",
            {
                "consent_id": str(consent.consent_id),
                "scenario": consent.scenario,
                "withdrawn_at": to_text(now),
                "subjects_sm3": [row["token_hash"].hex() for row in tokens],
            },
        )
    return consent
