"""A person asks to be erased: points retired on chain first, then everything that names them.

Asked, the person is signed out, every consent is withdrawn and what points are left are retired by
a transfer of act erase, in one commit. Once an anchor covers the last leaf of theirs, the eraser's
role deletes identity, secret, bodies and salts. What stays is a pseudonym: hashes in the log, sums
in the books, which balance as before; receipts the person kept still verify.
"""

import secrets
from dataclasses import dataclass
from datetime import date, timedelta
from uuid import UUID

from backend import citizens, ledger, proof, views
from backend.flows.expire_points import expire_in
from backend.flows.notice_withdrawal import withdraw_consent
from backend.flows.person_lock import lock_people
from backend.kit.clock import Clock, city_day
from backend.kit.db import Database, Tx
from backend.kit.logs import log
from backend.kit.openapi import Refusal
from backend.kit.problems import Problem
from backend.kit.settings import Settings
from backend.proof import leaves

UNDER_WAY: Refusal = (
    409,
    "redemption-under-way",
    "有一笔兑换还在等待供应方答复,完成后才能注销,请稍后再试。",
)


@dataclass(frozen=True, slots=True)
class Erasure:
    """What was agreed: points retired by class, and the day backups will have forgotten too."""

    citizen_id: UUID
    points_retired: dict[str, int]
    backups_end: date


async def ask_erasure(tx: Tx, clock: Clock, settings: Settings, citizen_id: UUID) -> Erasure:
    """Begin a person's erasure in the caller's commit; asking again changes nothing.

    Raises Problem 409 `redemption-under-way` while points are held.
    """
    now = clock.now()
    day = city_day(now, settings.city_tz)
    await lock_people(tx, [citizen_id])
    await expire_in(tx, [citizen_id], day, now)
    try:
        retired = await ledger.retire_all(tx, citizen_id, day, now)
    except ledger.LedgerError as error:
        raise Problem(*UNDER_WAY) from error
    if retired:
        await proof.queue(tx, leaves.TRANSFER, [each.transfer_id for each in retired])
    for consent_id in await citizens.standing_consents(tx, citizen_id):
        await withdraw_consent(tx, citizen_id, consent_id, now)
    await citizens.logins.sign_out_everywhere(tx, citizen_id, clock)
    await tx.execute(
        """INSERT INTO erasure (citizen_id, state, asked_at, retired_at)
           VALUES ($1, 'retired', $2, $2) ON CONFLICT DO NOTHING""",
        citizen_id,
        now,
    )
    log("erasure_asked", citizen_id=citizen_id)
    return Erasure(
        citizen_id,
        {each.points_class: each.amount for each in retired},
        day + timedelta(days=settings.backup_days),
    )


async def erase_due(db: Database, eraser: Database, clock: Clock) -> int:
    """Erase those whose every transfer lies under a final anchor; how many people.

    `eraser` is the database under the role that may delete what names a person.
    """
    async with db.transaction(isolation="repeatable_read", readonly=True) as tx:
        confirmed = (await views.edges(tx)).confirmed
        rows = await tx.fetch(
            """SELECT e.citizen_id FROM erasure AS e
               WHERE e.state = 'retired' AND NOT EXISTS (
                   SELECT FROM transfer AS t LEFT JOIN leaf AS l ON l.ref = t.transfer_id
                   WHERE t.citizen_id = e.citizen_id AND (l.index IS NULL OR l.index >= $1))
               ORDER BY e.asked_at LIMIT 100""",
            confirmed,
        )
    for row in rows:
        async with eraser.transaction() as tx:
            await _erase(tx, row["citizen_id"], clock)
        log("person_erased", citizen_id=row["citizen_id"])
    return len(rows)


async def _erase(tx: Tx, citizen_id: UUID, clock: Clock) -> None:
    """Delete whatever names the person, in one commit of the eraser."""
    for table in await tx.fetch(_NAMING_TABLES):
        # Names come from the catalogue, which quotes them.
        await tx.execute(f"DELETE FROM {table['name']} WHERE citizen_id = $1", citizen_id)  # noqa: S608
    for statement in _NAMELESS:
        await tx.execute(statement, citizen_id)
    await tx.execute("DELETE FROM idempotent_answer WHERE starts_with(scope, $1)", f"{citizen_id} ")
    await tx.execute(
        "UPDATE citizen SET provider_ref_hash = $2, erased_at = $3 WHERE citizen_id = $1",
        citizen_id,
        secrets.token_bytes(32),
        clock.now(),
    )
    await tx.execute(
        "UPDATE erasure SET state = 'erased', erased_at = $2 WHERE citizen_id = $1",
        citizen_id,
        clock.now(),
    )


# A room says what of a person goes by letting the eraser delete it: every table with a
# `citizen_id` that this role may delete from.
_NAMING_TABLES = """
    SELECT c.oid::regclass::text AS name
    FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
    WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace
      AND a.attname = 'citizen_id' AND NOT a.attisdropped
      AND has_table_privilege(c.oid, 'DELETE')
    ORDER BY 1"""

# What belongs to a person without naming them in its own row: bodies, salts, codes.
_NAMELESS = (
    """DELETE FROM evidence_body AS b USING evidence AS e
       WHERE e.citizen_id = $1 AND b.evidence_id = e.evidence_id
         AND b.recorded_day = (e.recorded_at AT TIME ZONE 'UTC')::date""",
    """DELETE FROM leaf_secret AS s USING leaf AS l, transfer AS t
       WHERE t.citizen_id = $1 AND l.ref = t.transfer_id AND s.index = l.index""",
    """DELETE FROM reward_code WHERE redemption_id IN (
           SELECT redemption_id FROM redemption WHERE citizen_id = $1)""",
    "UPDATE case_file SET words_sealed = NULL WHERE citizen_id = $1",
    "UPDATE redemption SET code_sealed = NULL, supplier_ref = NULL WHERE citizen_id = $1",
)
