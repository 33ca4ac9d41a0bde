"""Appeals and corrections: asked for from where the thing is shown, answered by a day."""

from datetime import date, datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from backend.cases import Case, Step, service
from backend.flows import decide_case
from backend.kit.db import Tx
from backend.kit.openapi import BAD_SHAPE, refusals
from backend.kit.problems import Problem
from backend.kit.services import Services
from miniapp_api.once import (
    SIGNED_OUT,
    WRITE_REFUSALS,
    Answer,
    IdempotencyKey,
    Once,
    Who,
)
from miniapp_api.reading import Cursor, Limit

STATES = {
    "open": "已受理,将在期限内答复。",
    "withdrawn": "您已撤回。",
    "upheld": "申诉成立。",
    "rejected": "申诉不成立。",
}
REMEDIES = {
    "none": None,
    "partner": "已通知合作平台更正;更正上报后会自动重新核算。",
    "refund": "积分已返还。",
    "reverse": "相应积分已追回。",
}


def _plain(text: str) -> str:
    if not all(each.isprintable() or each == "\n" for each in text) or not text.strip():
        raise ValueError("control characters, or nothing but blanks")
    return text


class AppealIn(BaseModel):
    """What it is about and why; `correction` asks for a change of one's own data."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "kind": "correction",
                    "about_kind": "data",
                    "about": None,
                    "words": "请更正我的出行记录归属。",
                }
            ]
        },
    )

    kind: Literal["appeal", "correction"] = "appeal"
    about_kind: Literal["activity", "redemption", "movement", "data"]
    about: UUID | None = None
    words: Annotated[str, Field(min_length=1, max_length=1_000), AfterValidator(_plain)]


class StepOut(BaseModel):
    """What happened to it. An official is named by office, not by name."""

    at: datetime
    by: Literal["citizen", "official"]
    act: str
    words: str | None


class AppealOut(BaseModel):
    """One appeal with its answer; `counter_movement` is the entry that followed from it."""

    appeal_id: UUID
    kind: Literal["appeal", "correction", "clawback"]
    about_kind: str
    about: UUID | None
    words: str | None
    state: Literal["open", "decided", "withdrawn"]
    state_text: str
    deadline: date
    opened_at: datetime
    outcome: Literal["upheld", "rejected"] | None
    reason: str | None
    remedy_text: str | None
    counter_movement: UUID | None
    decided_at: datetime | None


class AppealWithSteps(AppealOut):
    """The same with everything that happened to it."""

    steps: list[StepOut]


class AppealPage(BaseModel):
    """Appeals, newest first."""

    items: list[AppealOut]
    next_cursor: str | None


def add_appeals(door: APIRouter, services: Services, who: Who) -> None:
    """`POST|GET /appeals[/{id}]`, `DELETE /appeals/{id}`."""
    _add_opening(door, services, who)
    _add_reading(door, services, who)


def _add_opening(door: APIRouter, services: Services, who: Who) -> None:
    once = Once(services)

    @door.post(
        "/appeals",
        summary="Appeal against a decision, or ask for a correction of one's data",
        status_code=201,
        response_model=AppealOut,
        responses=refusals(SIGNED_OUT, *decide_case.OPENING, *WRITE_REFUSALS),
    )
    async def appeal(
        request: Request,
        asked: AppealIn,
        citizen_id: Annotated[UUID, Depends(who)],
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        async def write(tx: Tx) -> Answer:
            case = await decide_case.open_case(
                tx, services, citizen_id, asked.kind, asked.about_kind, asked.about, asked.words
            )
            return Answer(201, _appeal(case).model_dump_json().encode())

        return await once(request, citizen_id, idempotency_key, write)

    @door.delete(
        "/appeals/{appeal_id}",
        summary="Take an appeal back; again is no error",
        responses=refusals(
            SIGNED_OUT, decide_case.UNKNOWN_CASE, decide_case.CASE_CLOSED, BAD_SHAPE
        ),
    )
    async def withdraw(appeal_id: UUID, citizen_id: Annotated[UUID, Depends(who)]) -> AppealOut:
        async with services.db.transaction() as tx:
            return _appeal(await decide_case.withdraw_case(tx, services, citizen_id, appeal_id))


def _add_reading(door: APIRouter, services: Services, who: Who) -> None:
    @door.get(
        "/appeals", summary="Appeals, newest first", responses=refusals(SIGNED_OUT, BAD_SHAPE)
    )
    async def appeals(
        citizen_id: Annotated[UUID, Depends(who)], cursor: Cursor = None, limit: Limit = 50
    ) -> AppealPage:
        async with services.db.transaction(readonly=True) as tx:
            known = await service.cases_of(
                tx, services.vault, citizen_id, before=cursor, limit=limit + 1
            )
        items = [_appeal(each) for each in known[:limit]]
        after = str(items[-1].appeal_id) if len(known) > limit else None
        return AppealPage(items=items, next_cursor=after)

    @door.get(
        "/appeals/{appeal_id}",
        summary="One appeal with its steps",
        responses=refusals(SIGNED_OUT, decide_case.UNKNOWN_CASE, BAD_SHAPE),
    )
    async def one(appeal_id: UUID, citizen_id: Annotated[UUID, Depends(who)]) -> AppealWithSteps:
        async with services.db.transaction(readonly=True) as tx:
            case = await service.case_of(tx, services.vault, appeal_id, citizen_id=citizen_id)
            steps = await service.steps_of(tx, appeal_id)
        if case is None:
            raise Problem(*decide_case.UNKNOWN_CASE, appeal_id=str(appeal_id))
        return AppealWithSteps(**_appeal(case).model_dump(), steps=[_step(each) for each in steps])


def _appeal(case: Case) -> AppealOut:
    return AppealOut(
        appeal_id=case.case_id,
        kind=case.kind,
        about_kind=case.about_kind,
        about=case.about,
        words=case.words,
        state=case.state,
        state_text=STATES[case.outcome or case.state],
        deadline=case.deadline,
        opened_at=case.opened_at,
        outcome=case.outcome,
        reason=case.reason,
        remedy_text=None if case.remedy is None else REMEDIES[case.remedy],
        counter_movement=case.counter_transfer,
        decided_at=case.decided_at,
    )


def _step(step: Step) -> StepOut:
    by = "citizen" if step.actor == service.CITIZEN else "official"
    return StepOut(at=step.at, by=by, act=step.act, words=step.words)
