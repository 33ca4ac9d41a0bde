"""Refused, confirmed, reversed → notice: what became of their events, for the partners to know.

Events are listed by the ids the partner gave and the ones we gave, never by person. Refusals and
reversals are told in the commit that makes them. Confirmations follow the newest final anchor
behind a bookmark, which moves in the commit that tells: none is left out, none told twice.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from backend import notices
from backend.evidence import Decision
from backend.kit.db import Database, Row, Tx
from backend.kit.logs import log
from backend.notices import Notice

LEAVES_MAX = 5_000
"""Leaves looked through in one commit."""

CONFIRMED = "award.confirmed"
REFUSED = "event.refused"
REVERSED = "award.reversed"


async def tell_refusals(tx: Tx, decisions: Iterable[Decision]) -> int:
    """Tell of the refused ones among `decisions`, grouped by upload; how many deliveries."""
    reasons = {d.evidence_id: d.reason for d in decisions if d.state == "refused"}
    listening = await notices.listeners(tx, REFUSED) if reasons else frozenset[str]()
    if not listening:
        return 0
    rows = await tx.fetch(
        """SELECT partner_id, upload_id, source, event_id, evidence_id FROM evidence
           WHERE evidence_id = ANY($1::uuid[]) AND partner_id = ANY($2::text[])
           ORDER BY evidence_id""",
        list(reasons),
        list(listening),
    )
    by_upload: defaultdict[tuple[str, UUID], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        event = {**_named(row), "reason": reasons[row["evidence_id"]]}
        by_upload[row["partner_id"], row["upload_id"]].append(event)
    return await notices.tell_many(
        tx,
        [
            Notice(partner_id, REFUSED, {"upload_id": str(upload_id)}, events)
            for (partner_id, upload_id), events in by_upload.items()
        ],
    )


async def tell_reversals(tx: Tx, of_transfers: Sequence[UUID], reason: str) -> int:
    """Tell of awards taken back in this commit, by the transfers they were; how many deliveries.

    `reason` is a kebab-case name, such as `corrected`.
    """
    listening = await notices.listeners(tx, REVERSED) if of_transfers else frozenset[str]()
    if not listening:
        return 0
    rows = await tx.fetch(
        """SELECT e.partner_id, e.source, e.event_id, e.evidence_id, a.class, a.amount,
                  a.programme_id
           FROM award AS a JOIN evidence AS e USING (evidence_id)
           WHERE a.transfer_id = ANY($1::uuid[]) AND e.partner_id = ANY($2::text[])
           ORDER BY a.award_id""",
        list(of_transfers),
        list(listening),
    )
    by_partner: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        by_partner[row["partner_id"]].append(_paid(row))
    return await notices.tell_many(
        tx,
        [
            Notice(partner_id, REVERSED, {"reason": reason}, events)
            for partner_id, events in by_partner.items()
        ],
    )


async def tell_confirmed(db: Database) -> int:
    """Tell of awards whose leaves a final anchor covers by now; how many leaves were passed.

    0 when there is no news, or another process is at it.
    """
    async with db.transaction() as tx:
        told = await tx.fetchval(
            """SELECT leaf_index FROM notice_bookmark WHERE name = $1
               FOR UPDATE SKIP LOCKED""",
            CONFIRMED,
        )
        confirmed = await tx.fetchval("SELECT max(size) FROM anchor WHERE final_at IS NOT NULL")
        if told is None or confirmed is None or told >= confirmed:
            return 0
        listening = await notices.listeners(tx, CONFIRMED)
        # What nobody listened for when it was confirmed is not told to those who come later.
        upto = min(confirmed, told + LEAVES_MAX) if listening else confirmed
        made = await _tell_leaves(tx, told, upto, confirmed, listening)
        await tx.execute(
            "UPDATE notice_bookmark SET leaf_index = $2 WHERE name = $1", CONFIRMED, upto
        )
    if made:
        log("confirmations_told", leaf_from=told, leaf_to=upto, deliveries=made)
    return upto - told


async def _tell_leaves(
    tx: Tx, leaf_from: int, leaf_to: int, confirmed: int, listening: frozenset[str]
) -> int:
    if not listening:
        return 0
    rows = await tx.fetch(
        """SELECT e.partner_id, e.source, e.event_id, e.evidence_id, a.class, a.amount,
                  a.programme_id, l.index AS leaf_index
           FROM leaf AS l JOIN award AS a ON a.transfer_id = l.ref
           JOIN evidence AS e USING (evidence_id)
           WHERE l.index >= $1 AND l.index < $2 AND l.kind = 1 AND l.act = 'award'
             AND e.partner_id = ANY($3::text[])
           ORDER BY l.index""",
        leaf_from,
        leaf_to,
        list(listening),
    )
    by_partner: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        event = {**_paid(row), "leaf_index": row["leaf_index"]}
        by_partner[row["partner_id"]].append(event)
    return await notices.tell_many(
        tx,
        [
            Notice(partner_id, CONFIRMED, {"checkpoint_size": confirmed}, events)
            for partner_id, events in by_partner.items()
        ],
    )


def _named(row: Row) -> dict[str, Any]:
    return {
        "event_id": row["event_id"],
        "source": row["source"],
        "evidence_id": str(row["evidence_id"]),
    }


def _paid(row: Row) -> dict[str, Any]:
    return {
        **_named(row),
        "programme": row["programme_id"],
        "class": row["class"],
        "points": row["amount"],
    }
