"""A notice lies open, anyone objects, an official answers; an open objection blocks enactment."""

from uuid import UUID

from backend import officials
from backend.flows.enact_rule import PURPOSE
from backend.flows.government_lane import standing
from backend.kit.problems import Problem
from backend.kit.services import Services
from backend.officials import Session, life

OBJECTIONS_MAX = 10_000
"""How many objections one notice takes."""


async def object_to(
    services: Services, notice_id: UUID, text: str, contact: str | None
) -> life.ObjectionFiled:
    """File an objection. Text and contact are sealed; the text is shown with its answer.

    Raises Problem: 404 `unknown-notice`, 409 `notice-closed`, `too-many-objections`.
    """
    async with services.db.transaction() as tx:
        notice = await life.notice_of(tx, notice_id)
        if notice is None:
            raise Problem(404, "unknown-notice", "没有这项公示。", notice_id=str(notice_id))
        await life.lock_notice(tx, notice_id)
        now, kind = services.clock.now(), "rule" if notice.what == 1 else "method"
        ref = f"{kind}/{notice.id}/{notice.version}"
        if not notice.takes_objections(now) or await standing(tx, PURPOSE, ref):
            raise Problem(409, "notice-closed", "公示已经结束。", notice_id=str(notice_id))
        count = await tx.fetchval("SELECT count(*) FROM objection WHERE notice_id = $1", notice_id)
        if count >= OBJECTIONS_MAX:
            raise Problem(409, "too-many-objections", "异议已达上限,请联系主管部门。")
        objection_id = await life.object_to(tx, services.vault, notice_id, text, contact, now)
        filed = await life.objection_of(tx, services.vault, objection_id)
    if filed is None:
        raise LookupError(f"objection {objection_id} was filed and is gone")
    return filed


async def answer_objection(
    services: Services, by: Session, objection_id: UUID, answer: str, *, upheld: bool
) -> life.ObjectionFiled:
    """Answer an objection; the answer is public. An upheld one sends the document back.

    Raises Problem: 404 `unknown-objection`, 409 `already-answered`.
    """
    user = by.official.official_id
    async with services.db.transaction() as tx:
        found = await life.objection_of(tx, services.vault, objection_id)
        if found is None:
            raise Problem(
                404, "unknown-objection", "没有这件异议。", objection_id=str(objection_id)
            )
        now = services.clock.now()
        if not await life.answer(tx, objection_id, answer, upheld=upheld, by=user, at=now):
            raise Problem(
                409, "already-answered", "这件异议已经答复。", objection_id=str(objection_id)
            )
        await officials.note(
            tx,
            actor=user,
            act="objection.answer",
            about=str(objection_id),
            detail={"notice_id": found.notice_id, "upheld": upheld},
            at=now,
        )
        answered = await life.objection_of(tx, services.vault, objection_id)
    if answered is None:
        raise LookupError(f"objection {objection_id} was answered and is gone")
    return answered
