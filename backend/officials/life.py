"""The life of a rule or method as rows: steps, notices, objections and answers, stops.

`what` is 1 for a rule, 2 for a method, as on chain. Everything is written once; where a version
stands follows from what is there.
"""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal
from uuid import UUID

from backend.kit.db import Row, Tx
from backend.kit.ids import new_id
from backend.kit.vault import Vault

Step = Literal["drafted", "submitted", "returned"]
Key = tuple[int, str, int]
"""(what, id, version)"""


@dataclass(frozen=True, slots=True)
class StepTaken:
    """One step: who, when, with which digest; `reason` of a return."""

    step: Step
    digest: bytes
    actor: str
    at: datetime
    reason: str | None


@dataclass(frozen=True, slots=True)
class Notice:
    """A public notice of one version and digest."""

    notice_id: UUID
    what: int
    id: str
    version: int
    digest: bytes
    opens_at: datetime
    closes_at: datetime
    given_by: str

    def takes_objections(self, at: datetime) -> bool:
        """Until it closes; one without days stays open until the version is enacted."""
        return at < self.closes_at or self.closes_at == self.opens_at


@dataclass(frozen=True, slots=True)
class ObjectionFiled:
    """An objection and, once there is one, its answer."""

    objection_id: UUID
    notice_id: UUID
    text: str
    contact: str | None
    filed_at: datetime
    answer: str | None
    upheld: bool | None
    answered_by: str | None
    answered_at: datetime | None


@dataclass(frozen=True, slots=True)
class Stop:
    """An order to end a version at `day_to`."""

    stop_id: UUID
    what: int
    id: str
    version: int
    digest: bytes
    day_to: date
    reason: str
    asked_by: str
    asked_at: datetime


async def add_step(
    tx: Tx, key: Key, digest: bytes, step: Step, actor: str, at: datetime, reason: str | None = None
) -> None:
    """Note a step."""
    await tx.execute(
        """INSERT INTO document_step (step_id, what, id, version, digest, step, actor, at, reason)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)""",
        new_id(),
        *key,
        digest,
        step,
        actor,
        at,
        reason,
    )


async def steps(tx: Tx, key: Key) -> list[StepTaken]:
    """The steps of a version, in order; none for one that was not drafted by an official here."""
    rows = await tx.fetch(
        """SELECT step, digest, actor, at, reason FROM document_step
           WHERE what = $1 AND id = $2 AND version = $3 ORDER BY step_id""",
        *key,
    )
    return [StepTaken(**row) for row in rows]


async def give_notice(
    tx: Tx, key: Key, digest: bytes, opens_at: datetime, closes_at: datetime, by: str
) -> Notice:
    """Put a version on public notice."""
    notice = Notice(new_id(), *key, digest, opens_at, closes_at, by)
    await tx.execute(
        """INSERT INTO public_notice (notice_id, what, id, version, digest, opens_at, closes_at,
               given_by) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)""",
        notice.notice_id,
        *key,
        digest,
        opens_at,
        closes_at,
        by,
    )
    return notice


async def notice_for(tx: Tx, key: Key, digest: bytes) -> Notice | None:
    """The notice of a version with this digest, or None."""
    row = await tx.fetchrow(
        f"{_NOTICES} WHERE what = $1 AND id = $2 AND version = $3 AND digest = $4", *key, digest
    )
    return None if row is None else Notice(**row)


async def notice_of(tx: Tx, notice_id: UUID) -> Notice | None:
    """A notice by its id."""
    row = await tx.fetchrow(f"{_NOTICES} WHERE notice_id = $1", notice_id)
    return None if row is None else Notice(**row)


async def lock_notice(tx: Tx, notice_id: UUID) -> None:
    """An enactment and an objection to the same notice take turns."""
    await tx.lock(int.from_bytes(notice_id.bytes[8:], signed=True))


async def notices(tx: Tx, *, before: UUID | None = None, limit: int = 100) -> list[Notice]:
    """Notices, newest first."""
    rows = await tx.fetch(
        f"""{_NOTICES} WHERE $1::uuid IS NULL OR notice_id < $1
            ORDER BY notice_id DESC LIMIT $2""",
        before,
        limit,
    )
    return [Notice(**row) for row in rows]


async def object_to(
    tx: Tx, vault: Vault, notice_id: UUID, text: str, contact: str | None, at: datetime
) -> UUID:
    """File an objection; its id."""
    objection_id = new_id()
    await tx.execute(
        """INSERT INTO objection (objection_id, notice_id, text_sealed, contact_sealed, filed_at)
           VALUES ($1, $2, $3, $4, $5)""",
        objection_id,
        notice_id,
        vault.seal(text.encode(), _context(objection_id, "text")),
        None
        if contact is None
        else vault.seal(contact.encode(), _context(objection_id, "contact")),
        at,
    )
    return objection_id


async def answer(
    tx: Tx, objection_id: UUID, text: str, *, upheld: bool, by: str, at: datetime
) -> bool:
    """Answer an objection once; False if it was answered before."""
    done = await tx.fetchval(
        """INSERT INTO objection_answer (objection_id, answer, upheld, answered_by, answered_at)
           VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING RETURNING objection_id""",
        objection_id,
        text,
        upheld,
        by,
        at,
    )
    return done is not None


async def objections(tx: Tx, vault: Vault, notice_id: UUID) -> list[ObjectionFiled]:
    """The objections to a notice, in the order in which they came."""
    rows = await tx.fetch(
        f"{_OBJECTIONS} WHERE o.notice_id = $1 ORDER BY o.objection_id", notice_id
    )
    return [_objection(vault, row) for row in rows]


async def objection_of(tx: Tx, vault: Vault, objection_id: UUID) -> ObjectionFiled | None:
    """One objection, or None."""
    row = await tx.fetchrow(f"{_OBJECTIONS} WHERE o.objection_id = $1", objection_id)
    return None if row is None else _objection(vault, row)


async def objections_standing(tx: Tx, notice_id: UUID) -> tuple[int, int]:
    """(not answered, upheld)."""
    row = await tx.fetchrow(
        """SELECT count(*) FILTER (WHERE a.objection_id IS NULL) AS open,
                  count(*) FILTER (WHERE a.upheld) AS upheld
           FROM objection AS o LEFT JOIN objection_answer AS a USING (objection_id)
           WHERE o.notice_id = $1""",
        notice_id,
    )
    return (0, 0) if row is None else (row["open"], row["upheld"])


async def order_stop(
    tx: Tx, key: Key, digest: bytes, day_to: date, reason: str, by: str, at: datetime
) -> Stop:
    """Order a stop."""
    stop = Stop(new_id(), *key, digest, day_to, reason, by, at)
    await tx.execute(
        """INSERT INTO stop_order (stop_id, what, id, version, digest, day_to, reason, asked_by,
               asked_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)""",
        stop.stop_id,
        *key,
        digest,
        day_to,
        reason,
        by,
        at,
    )
    return stop


async def stops(tx: Tx, key: Key) -> list[Stop]:
    """The stops ordered of a version, newest first."""
    rows = await tx.fetch(
        f"{_STOPS} WHERE what = $1 AND id = $2 AND version = $3 ORDER BY stop_id DESC", *key
    )
    return [Stop(**row) for row in rows]


async def stop_of(tx: Tx, stop_id: UUID) -> Stop | None:
    """A stop by its id."""
    row = await tx.fetchrow(f"{_STOPS} WHERE stop_id = $1", stop_id)
    return None if row is None else Stop(**row)


async def sign_stop(
    tx: Tx, stop_id: UUID, official_id: str, address: str, signature: bytes, at: datetime
) -> None:
    """Keep an approver's signature under a stop; the same approver again changes nothing."""
    await tx.execute(
        """INSERT INTO stop_approval (stop_id, address, official_id, signature, approved_at)
           VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING""",
        stop_id,
        address,
        official_id,
        signature,
        at,
    )


async def stop_signatures(tx: Tx, stop_id: UUID) -> list[Row]:
    """Signatures under a stop: official_id, address, signature, approved_at, in order."""
    return await tx.fetch(
        """SELECT official_id, address, signature, approved_at FROM stop_approval
           WHERE stop_id = $1 ORDER BY approved_at, address""",
        stop_id,
    )


_NOTICES = """
    SELECT notice_id, what, id, version, digest, opens_at, closes_at, given_by FROM public_notice
"""
_OBJECTIONS = """
    SELECT o.objection_id, o.notice_id, o.text_sealed, o.contact_sealed, o.filed_at, a.answer,
           a.upheld, a.answered_by, a.answered_at
    FROM objection AS o LEFT JOIN objection_answer AS a USING (objection_id)
"""
_STOPS = """
    SELECT stop_id, what, id, version, digest, day_to, reason, asked_by, asked_at FROM stop_order
"""


def _objection(vault: Vault, row: Row) -> ObjectionFiled:
    objection_id = row["objection_id"]
    contact = row["contact_sealed"]
    if contact is not None:
        contact = vault.open_sealed(contact, _context(objection_id, "contact")).decode()
    return ObjectionFiled(
        objection_id,
        row["notice_id"],
        vault.open_sealed(row["text_sealed"], _context(objection_id, "text")).decode(),
        contact,
        row["filed_at"],
        row["answer"],
        row["upheld"],
        row["answered_by"],
        row["answered_at"],
    )


def _context(objection_id: UUID, field: str) -> bytes:
    return f"objection\n{objection_id}\n{field}".encode()
