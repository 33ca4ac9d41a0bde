"""A case from the citizen's words to a decision, and to the counter-entry that follows from it.

A decision's reason is read by the citizen and stands beside the counter-entry. One official decides
what a citizen asked for; taking points back needs a second one.
"""

from datetime import timedelta
from typing import Any
from uuid import UUID

from backend import cases, citizens, officials, views
from backend.cases import AboutKind, Case, Kind, Outcome, Remedy, service
from backend.flows.notice_awards import tell_reversals
from backend.flows.redeem_points import Shop
from backend.flows.refund_redemption import refund_in
from backend.flows.reverse_points import reverse_in
from backend.kit.clock import city_day
from backend.kit.db import Tx
from backend.kit.openapi import Refusal
from backend.kit.problems import Problem
from backend.kit.services import Services
from backend.ledger import LedgerError
from backend.officials import Session
from backend.rewards import redemptions

OPEN_MAX = 20
"""How many cases of one citizen may be open."""

UNKNOWN_SUBJECT: Refusal = (404, "unknown-subject", "没有这项活动、兑换或变动。")
CASE_OPEN: Refusal = (409, "case-open", "同一事项已有一件正在处理的申诉。")
TOO_MANY: Refusal = (409, "too-many-cases", "正在处理的申诉已达上限,请等待答复。")
UNKNOWN_CASE: Refusal = (404, "unknown-case", "没有这件申诉。")
CASE_CLOSED: Refusal = (409, "case-closed", "这件申诉已经办结。")
BAD_REMEDY: Refusal = (422, "bad-remedy", "这种处理方式不适用于这件申诉。")
SAME_PERSON: Refusal = (403, "second-person-needed", "追回积分须由另一位审批人复核。")
NOT_AN_AWARD: Refusal = (409, "not-an-award", "这笔变动不是可以追回的积分发放。")

OPENING = (UNKNOWN_SUBJECT, CASE_OPEN, TOO_MANY)
DECIDING = (UNKNOWN_CASE, CASE_CLOSED, BAD_REMEDY, NOT_AN_AWARD)


async def open_case(
    tx: Tx,
    services: Services,
    citizen_id: UUID,
    kind: Kind,
    about_kind: AboutKind,
    about: UUID | None,
    words: str,
) -> Case:
    """A citizen opens a case about something of theirs, in the caller's commit.

    Raises Problem, one of `OPENING`.
    """
    if not await _is_theirs(tx, citizen_id, about_kind, about):
        raise Problem(*UNKNOWN_SUBJECT)
    if await service.count_open(tx, citizen_id) >= OPEN_MAX:
        raise Problem(*TOO_MANY)
    case_id = await _open(tx, services, citizen_id, kind, about_kind, about, words)
    now = services.clock.now()
    await service.add_step(tx, case_id, service.CITIZEN, "opened", None, now)
    return await _case(tx, services, case_id)


async def withdraw_case(tx: Tx, services: Services, citizen_id: UUID, case_id: UUID) -> Case:
    """The citizen takes a case back; again is no error. Raises Problem 404, 409 `case-closed`."""
    case = await service.case_of(tx, services.vault, case_id, citizen_id=citizen_id, lock=True)
    if case is None:
        raise Problem(*UNKNOWN_CASE, case_id=str(case_id))
    if case.state == "withdrawn":
        return case
    if case.state != "open" or case.kind == "clawback":
        raise Problem(*CASE_CLOSED, case_id=str(case_id))
    now = services.clock.now()
    await service.end(
        tx, case_id, outcome=None, reason=None, remedy=None, counter_transfer=None, at=now
    )
    await service.add_step(tx, case_id, service.CITIZEN, "withdrawn", None, now)
    return await _case(tx, services, case_id)


async def decide(
    services: Services,
    shop: Shop,
    by: Session,
    case_id: UUID,
    outcome: Outcome,
    reason: str,
    remedy: Remedy,
) -> Case:
    """An official decides what a citizen asked for, and what follows from it, in one commit.

    `refund` gives a redemption's points back; `partner` says that the partner is asked to correct
    its report, whose correction then earns. Raises Problem, one of `DECIDING`.
    """
    user = by.official.official_id
    async with services.db.transaction() as tx:
        case = await _open_one(tx, services, case_id)
        fits = {"none"} | {
            "activity": {"partner"},
            "redemption": {"refund"},
            "movement": set[str](),
            "data": set[str](),
        }[case.about_kind]
        if case.kind == "clawback" or remedy not in (fits if outcome == "upheld" else {"none"}):
            raise Problem(*BAD_REMEDY, remedy=remedy)
        counter = None
        if remedy == "refund" and case.about is not None:
            counter = await refund_in(tx, shop, case.about, reason, restock=False)
            if counter is None:
                raise Problem(*BAD_REMEDY, remedy=remedy)
        await _end(tx, services, case, user, outcome, reason, remedy, counter)
        return await _case(tx, services, case_id)


async def ask_clawback(services: Services, by: Session, of_transfer: UUID, reason: str) -> Case:
    """An official asks for an award to be taken back; nothing moves before a second one agrees.

    Raises Problem: 409 `not-an-award`, `case-open`.
    """
    user = by.official.official_id
    async with services.db.transaction() as tx:
        row = await tx.fetchrow(
            "SELECT act, citizen_id FROM transfer WHERE transfer_id = $1", of_transfer
        )
        if row is None or row["act"] != "award":
            raise Problem(*NOT_AN_AWARD, transfer_id=str(of_transfer))
        case_id = await _open(
            tx, services, row["citizen_id"], "clawback", "movement", of_transfer, None
        )
        now = services.clock.now()
        await service.assign(tx, case_id, user)
        await service.add_step(tx, case_id, user, "proposed", reason, now)
        await _note(tx, services, user, "case.propose", case_id, {"transfer": of_transfer})
        return await _case(tx, services, case_id)


async def settle_clawback(
    services: Services, by: Session, case_id: UUID, reason: str, *, agree: bool
) -> Case:
    """A second official agrees, and the award is reversed; or does not, and nothing moves.

    Raises Problem: 403 `second-person-needed`, or one of `DECIDING`.
    """
    user = by.official.official_id
    async with services.db.transaction() as tx:
        case = await _open_one(tx, services, case_id)
        if case.kind != "clawback" or case.about is None:
            raise Problem(*BAD_REMEDY)
        if case.officer == user:
            raise Problem(*SAME_PERSON, case_id=str(case_id))
        counter = None
        if agree:
            try:
                reversal = await reverse_in(
                    tx,
                    services.clock,
                    of_transfer=case.about,
                    note=reason,
                    city_tz=services.settings.city_tz,
                )
            except LedgerError as error:
                raise Problem(*NOT_AN_AWARD, transfer_id=str(case.about)) from error
            await tell_reversals(tx, [case.about], "official-correction")
            counter = reversal.transfer_id
        outcome: Outcome = "upheld" if agree else "rejected"
        await _end(
            tx, services, case, user, outcome, reason, "reverse" if agree else "none", counter
        )
        return await _case(tx, services, case_id)


async def _is_theirs(tx: Tx, citizen_id: UUID, about_kind: AboutKind, about: UUID | None) -> bool:
    if about_kind == "data" or about is None:
        return about_kind == "data" and about is None
    if about_kind == "activity":
        return await views.activity_of(tx, citizen_id, about) is not None
    if about_kind == "redemption":
        return await redemptions.redemption_of(tx, about, citizen_id=citizen_id) is not None
    return bool(
        await tx.fetchval(
            "SELECT EXISTS (SELECT FROM transfer WHERE transfer_id = $1 AND citizen_id = $2)",
            about,
            citizen_id,
        )
    )


async def _open(
    tx: Tx,
    services: Services,
    citizen_id: UUID,
    kind: Kind,
    about_kind: AboutKind,
    about: UUID | None,
    words: str | None,
) -> UUID:
    now = services.clock.now()
    today = city_day(now, services.settings.city_tz)
    case_id = await service.open_case(
        tx,
        services.vault,
        kind=kind,
        citizen_id=citizen_id,
        about_kind=about_kind,
        about=about,
        words=words,
        deadline=today + timedelta(days=services.settings.case_days),
        at=now,
    )
    if case_id is None:
        raise Problem(*CASE_OPEN, about=str(about))
    return case_id


async def _open_one(tx: Tx, services: Services, case_id: UUID) -> Case:
    case = await service.case_of(tx, services.vault, case_id, lock=True)
    if case is None:
        raise Problem(*UNKNOWN_CASE, case_id=str(case_id))
    if case.state != "open":
        raise Problem(*CASE_CLOSED, case_id=str(case_id))
    return case


async def _end(
    tx: Tx,
    services: Services,
    case: Case,
    user: str,
    outcome: Outcome,
    reason: str,
    remedy: Remedy,
    counter: UUID | None,
) -> None:
    now = services.clock.now()
    if case.kind != "clawback":
        await service.assign(tx, case.case_id, user)
    await service.end(
        tx,
        case.case_id,
        outcome=outcome,
        reason=reason,
        remedy=remedy,
        counter_transfer=counter,
        at=now,
    )
    await service.add_step(tx, case.case_id, user, "decided", reason, now)
    detail = {"outcome": outcome, "remedy": remedy, "counter": counter}
    await _note(tx, services, user, "case.decide", case.case_id, detail)
    topic = f"{'clawback' if case.kind == 'clawback' else 'case'}.{outcome}"
    if topic != "clawback.rejected":
        await citizens.notices.tell(
            tx, case.citizen_id, topic, case.case_id, {"reason": reason, "remedy": remedy}, now
        )


async def _note(
    tx: Tx, services: Services, user: str, act: str, case_id: UUID, detail: dict[str, Any]
) -> None:
    await officials.note(
        tx, actor=user, act=act, about=str(case_id), detail=detail, at=services.clock.now()
    )


async def _case(tx: Tx, services: Services, case_id: UUID) -> Case:
    case = await cases.service.case_of(tx, services.vault, case_id)
    if case is None:
        raise LookupError(f"case {case_id} was just written")
    return case
