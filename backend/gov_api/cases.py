"""Appeals and corrections answered, and points taken back by two persons."""

from datetime import date, datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field

from backend import citizens
from backend.cases import Case, Step, service
from backend.flows import decide_case
from backend.flows.redeem_points import Shop
from backend.gov_api.gate import GATED, Gate
from backend.gov_api.office import Office
from backend.gov_api.writing import KEY_NEEDED, WRITE, IdempotencyKey, In, Once, example
from backend.kit.clock import city_day
from backend.kit.openapi import BAD_SHAPE, refusals
from backend.kit.problems import Problem
from backend.officials import Session

Reason = Annotated[str, Field(min_length=2, max_length=500)]


class DecisionIn(In):
    """How it ends and why; the citizen reads the reason."""

    model_config = example({"outcome": "rejected", "reason": "上报里程与闸机记录一致。"})

    outcome: Literal["upheld", "rejected"]
    reason: Reason
    remedy: Literal["none", "partner", "refund"] = "none"


class ClawbackIn(In):
    """Which award is to be taken back and why."""

    model_config = example(
        {"transfer_id": "01a20468-f985-7c89-82db-b37a48ef72d8", "reason": "同一行程重复上报。"}
    )

    transfer_id: UUID
    reason: Reason


class SecondIn(In):
    """The second person's word."""

    model_config = example({"agree": True, "reason": "复核属实。"})

    agree: bool
    reason: Reason


class CaseOut(BaseModel):
    """One case as an official sees it; `overdue` past its deadline."""

    case_id: UUID
    kind: Literal["appeal", "correction", "clawback"]
    citizen_id: UUID
    about_kind: str
    about: UUID | None
    words: str | None
    state: Literal["open", "decided", "withdrawn"]
    officer: str | None
    deadline: date
    overdue: bool
    opened_at: datetime
    outcome: Literal["upheld", "rejected"] | None
    reason: str | None
    remedy: str | None
    counter_transfer: UUID | None
    decided_at: datetime | None


class StepOut(BaseModel):
    """What happened to a case, and by whom."""

    at: datetime
    actor: str
    act: str
    words: str | None


class CaseWithSteps(CaseOut):
    """The same with everything that happened to it."""

    steps: list[StepOut]


class CasePage(BaseModel):
    """Cases, newest first."""

    items: list[CaseOut]
    next_cursor: str | None


def router(office: Office) -> APIRouter:
    """The routes."""
    door = APIRouter()
    _add_reading(door, office)
    _add_deciding(door, office)
    _add_clawback(door, office)
    return door


def _add_reading(door: APIRouter, office: Office) -> None:
    services, gate = office.services, Gate(office.services)

    @door.get("/cases", summary="Cases by state", responses=refusals(*GATED, BAD_SHAPE))
    async def listed(
        _session: Annotated[Session, Depends(gate.require("cases.read"))],
        state: Literal["open", "decided", "withdrawn"] = "open",
        cursor: Annotated[
            UUID | None, Query(description="`next_cursor` of the page before")
        ] = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
    ) -> CasePage:
        async with services.db.transaction(readonly=True) as tx:
            known = await service.cases_by_state(
                tx, services.vault, state, before=cursor, limit=limit + 1
            )
        # A list shows what waits, not what anybody wrote: reading that is noted, case by case.
        items = [_case(each, office, words=False) for each in known[:limit]]
        after = str(items[-1].case_id) if len(known) > limit else None
        return CasePage(items=items, next_cursor=after)

    @door.get(
        "/cases/{case_id}",
        summary="One case with the citizen's words; the citizen sees that it was read",
        responses=refusals(*GATED, decide_case.UNKNOWN_CASE, BAD_SHAPE),
    )
    async def one(
        case_id: UUID, session: Annotated[Session, Depends(gate.require("cases.read"))]
    ) -> CaseWithSteps:
        async with services.db.transaction() as tx:
            case = await service.case_of(tx, services.vault, case_id)
            if case is None:
                raise Problem(*decide_case.UNKNOWN_CASE, case_id=str(case_id))
            steps = await service.steps_of(tx, case_id)
            roles = "、".join(session.official.roles)
            await citizens.access.note_access(
                tx, case.citizen_id, roles, "申诉内容", f"办理申诉 {case_id}", services.clock.now()
            )
        shown = _case(case, office, words=True).model_dump()
        return CaseWithSteps(**shown, steps=[_step(each) for each in steps])


def _add_deciding(door: APIRouter, office: Office) -> None:
    services, gate, once = office.services, Gate(office.services), Once(office.services)
    shop = Shop.of(services)

    @door.post(
        "/cases/{case_id}/decision",
        summary="Decide what a citizen asked for; a refund follows in the same commit",
        response_model=CaseOut,
        responses=refusals(*GATED, *decide_case.DECIDING, KEY_NEEDED, *WRITE),
    )
    async def decide(
        request: Request,
        case_id: UUID,
        asked: DecisionIn,
        session: Annotated[Session, Depends(gate.require("cases.decide"))],
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        async def write() -> CaseOut:
            case = await decide_case.decide(
                services, shop, session, case_id, asked.outcome, asked.reason, asked.remedy
            )
            return _case(case, office, words=False)

        user = session.official.official_id
        return await once(request, user, idempotency_key, write, compulsory=True)


def _add_clawback(door: APIRouter, office: Office) -> None:
    services, gate, once = office.services, Gate(office.services), Once(office.services)

    @door.post(
        "/clawbacks",
        summary="Ask for an award to be taken back; a second approver must agree",
        status_code=201,
        response_model=CaseOut,
        responses=refusals(
            *GATED, decide_case.NOT_AN_AWARD, decide_case.CASE_OPEN, KEY_NEEDED, *WRITE
        ),
    )
    async def ask(
        request: Request,
        asked: ClawbackIn,
        session: Annotated[Session, Depends(gate.require("cases.clawback"))],
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        async def write() -> CaseOut:
            case = await decide_case.ask_clawback(
                services, session, asked.transfer_id, asked.reason
            )
            return _case(case, office, words=False)

        user = session.official.official_id
        return await once(request, user, idempotency_key, write, status=201, compulsory=True)

    @door.post(
        "/cases/{case_id}/second",
        summary="A second person agrees to a claw-back, or does not",
        response_model=CaseOut,
        responses=refusals(
            *GATED, decide_case.SAME_PERSON, *decide_case.DECIDING, KEY_NEEDED, *WRITE
        ),
    )
    async def second(
        request: Request,
        case_id: UUID,
        asked: SecondIn,
        session: Annotated[Session, Depends(gate.require("cases.clawback"))],
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        async def write() -> CaseOut:
            case = await decide_case.settle_clawback(
                services, session, case_id, asked.reason, agree=asked.agree
            )
            return _case(case, office, words=False)

        user = session.official.official_id
        return await once(request, user, idempotency_key, write, compulsory=True)


def _case(case: Case, office: Office, *, words: bool) -> CaseOut:
    today = city_day(office.services.clock.now(), office.services.settings.city_tz)
    return CaseOut(
        case_id=case.case_id,
        kind=case.kind,
        citizen_id=case.citizen_id,
        about_kind=case.about_kind,
        about=case.about,
        words=case.words if words else None,
        state=case.state,
        officer=case.officer,
        deadline=case.deadline,
        overdue=case.state == "open" and case.deadline < today,
        opened_at=case.opened_at,
        outcome=case.outcome,
        reason=case.reason,
        remedy=case.remedy,
        counter_transfer=case.counter_transfer,
        decided_at=case.decided_at,
    )


def _step(step: Step) -> StepOut:
    return StepOut(at=step.at, actor=step.actor, act=step.act, words=step.words)
