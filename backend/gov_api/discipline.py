"""`/alarms`, `/violations`, `/blacklistings`: what stands out, is noted, and is taken back."""

from datetime import date, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, Field

from backend import incentive
from backend.flows import discipline
from backend.gov_api.gate import GATED, Gate
from backend.gov_api.office import Office
from backend.gov_api.writing import WRITE, IdempotencyKey, In, Once, example
from backend.kit.clock import city_day
from backend.kit.openapi import BAD_SHAPE, Refusal, refusals
from backend.officials import Session

UNKNOWN_PROGRAMME: Refusal = (404, "unknown-programme", "没有这个激励活动。")
UNKNOWN_RECORD: Refusal = (404, "unknown-record", "没有这条记录。")
UNKNOWN_VIOLATION: Refusal = (404, "unknown-violation", "没有这条有效的违规记录。")
UNKNOWN_LISTING: Refusal = (404, "unknown-blacklisting", "没有这条有效的黑名单记录。")

ProgrammeId = Annotated[str, Path(pattern=r"^[a-z][a-z0-9.-]{0,31}$")]


class AlarmOut(BaseModel):
    """One alarm; `detail` differs by kind (docs/rules.md) and names nobody."""

    alarm_id: UUID
    programme_id: str
    kind: str = Field(description="budget, velocity or concentration")
    city_day: date
    detail: dict[str, Any]
    raised_at: datetime


class AlarmPage(BaseModel):
    """Alarms, latest first."""

    items: list[AlarmOut]
    next_cursor: None = None


class ViolationIn(In):
    """A breach of the programme's terms by the person of a record."""

    model_config = example(
        {"evidence_id": "01890000-0000-7000-8000-000000000000", "kind": "预约未到"}
    )

    evidence_id: UUID
    kind: Annotated[str, Field(min_length=1, max_length=100)]


class ViolationOut(BaseModel):
    """The violation, how many of the person stand, and the blacklisting it led to."""

    violation_id: UUID
    violations: int
    blacklisting_id: UUID | None


class ReasonIn(In):
    """Why something is taken back."""

    model_config = example({"reason": "申诉成立"})

    reason: Annotated[str, Field(min_length=1, max_length=500)]


class DoneOut(BaseModel):
    """What was taken back."""

    id: UUID


def router(office: Office) -> APIRouter:
    """The routes."""
    door = APIRouter()
    _add_alarms(door, office)
    _add_violations(door, office)
    _add_lifting(door, office)
    return door


def _add_alarms(door: APIRouter, office: Office) -> None:
    services = office.services
    gate = Gate(services)

    @door.get(
        "/alarms",
        summary="Budgets near their end, people too fast, points with too few people",
        responses=refusals(*GATED, BAD_SHAPE),
    )
    async def alarms(
        _session: Annotated[Session, Depends(gate.require("programmes.read"))],
        days: Annotated[int, Query(ge=1, le=365)] = 30,
    ) -> AlarmPage:
        today = city_day(services.clock.now(), services.settings.city_tz)
        async with services.db.transaction(readonly=True) as tx:
            found = await incentive.alarms(tx, today - timedelta(days=days))
        names = AlarmOut.model_fields
        return AlarmPage(
            items=[AlarmOut(**{name: getattr(each, name) for name in names}) for each in found]
        )


def _add_violations(door: APIRouter, office: Office) -> None:
    services = office.services
    once, gate = Once(services), Gate(services)

    @door.post(
        "/programmes/{programme_id}/violations",
        summary="Note a violation by the person of a record; the terms say how many blacklist",
        status_code=201,
        response_model=ViolationOut,
        responses=refusals(*GATED, UNKNOWN_PROGRAMME, UNKNOWN_RECORD, *WRITE),
    )
    async def violation(
        request: Request,
        programme_id: ProgrammeId,
        asked: ViolationIn,
        session: Annotated[Session, Depends(gate.require("cases.decide"))],
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        async def write() -> ViolationOut:
            noted = await discipline.note_violation(
                services, session, programme_id, asked.evidence_id, asked.kind
            )
            return ViolationOut(
                violation_id=noted.violation_id,
                violations=noted.violations,
                blacklisting_id=noted.blacklisting_id,
            )

        user = session.official.official_id
        return await once(request, user, idempotency_key, write, status=201)


def _add_lifting(door: APIRouter, office: Office) -> None:
    services = office.services
    once, gate = Once(services), Gate(services)

    @door.post(
        "/violations/{violation_id}/withdraw",
        summary="Take a violation back, as an appeal decided",
        response_model=DoneOut,
        responses=refusals(*GATED, UNKNOWN_VIOLATION, *WRITE),
    )
    async def withdraw(
        request: Request,
        violation_id: UUID,
        asked: ReasonIn,
        session: Annotated[Session, Depends(gate.require("cases.decide"))],
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        async def write() -> DoneOut:
            await discipline.withdraw_violation(services, session, violation_id, asked.reason)
            return DoneOut(id=violation_id)

        return await once(request, session.official.official_id, idempotency_key, write)

    @door.post(
        "/blacklistings/{blacklisting_id}/lift",
        summary="End a blacklisting, as an appeal decided",
        response_model=DoneOut,
        responses=refusals(*GATED, UNKNOWN_LISTING, *WRITE),
    )
    async def lift(
        request: Request,
        blacklisting_id: UUID,
        asked: ReasonIn,
        session: Annotated[Session, Depends(gate.require("cases.decide"))],
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        async def write() -> DoneOut:
            await discipline.lift_blacklisting(services, session, blacklisting_id, asked.reason)
            return DoneOut(id=blacklisting_id)

        return await once(request, session.official.official_id, idempotency_key, write)
