"""An award taken back: a counter-entry with a reason, never an edit.

The points leave the award's own lot first, then the lots that lapse first; what was spent already
becomes a debt that later awards repay. Caps, counters and the budget keep what they counted.
"""

from uuid import UUID

from backend import ledger, proof
from backend.flows.notice_awards import tell_reversals
from backend.flows.person_lock import lock_people
from backend.kit import canonical
from backend.kit.clock import Clock, city_day
from backend.kit.db import Database, Tx
from backend.kit.ids import new_id
from backend.kit.logs import log
from backend.kit.sm import sm3
from backend.proof import leaves

NOTE_CHARACTERS_MAX = 500


async def reverse_points(
    db: Database,
    clock: Clock,
    *,
    of_transfer: UUID,
    note: str,
    city_tz: str,
    transfer_id: UUID | None = None,
    idempotency_key: str | None = None,
) -> ledger.Reversal:
    """Reverse the award that `of_transfer` is, in one commit with the row that asks for its leaf.

    `transfer_id` and `idempotency_key` are the client's own, so that a retry meets its first try;
    the key is `reverse:<of_transfer>` unless given. `note` says why, without personal data.
    Raises LedgerError: `bad-note`, `unknown-transfer`, `not-an-award`, `already-reversed`,
    `idempotency-conflict`. A refusal changes nothing.
    """
    async with db.transaction() as tx:
        reversal = await reverse_in(
            tx,
            clock,
            of_transfer=of_transfer,
            note=note,
            city_tz=city_tz,
            transfer_id=transfer_id,
            idempotency_key=idempotency_key,
        )
        if not reversal.repeated:
            await tell_reversals(tx, [of_transfer], "official-correction")
    log("points_reversed", transfer_id=reversal.transfer_id, of_transfer=of_transfer)
    return reversal


async def reverse_in(
    tx: Tx,
    clock: Clock,
    *,
    of_transfer: UUID,
    note: str,
    city_tz: str,
    transfer_id: UUID | None = None,
    idempotency_key: str | None = None,
) -> ledger.Reversal:
    """The same in the caller's commit, who also tells whoever is to hear of it."""
    if not note.strip() or len(note) > NOTE_CHARACTERS_MAX:
        raise ledger.LedgerError("bad-note", f"1 to {NOTE_CHARACTERS_MAX} characters say why")
    body = canonical.dumps({"act": "reverse", "note": note, "of": str(of_transfer)})
    await lock_people(tx, await ledger.owners_of(tx, [of_transfer]))
    now = clock.now()
    reversal = await ledger.reverse_award(
        tx,
        transfer_id=transfer_id or new_id(),
        of_transfer=of_transfer,
        city_day=city_day(now, city_tz),
        idempotency_key=idempotency_key or f"reverse:{of_transfer}",
        body_digest=sm3(body),
        note=note,
        at=now,
    )
    if not reversal.repeated:
        await proof.queue(tx, leaves.TRANSFER, [reversal.transfer_id])
    return reversal
