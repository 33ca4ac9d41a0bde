"""`/programmes` and their budgets: the chain's cap is raised first and lowered last."""

from datetime import date
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import BaseModel, Field

from backend import incentive
from backend.flows import keep_programmes
from backend.flows.fund_programme import Envelope
from backend.gov_api.gate import GATED, Gate
from backend.gov_api.office import Office
from backend.gov_api.writing import (
    KEY_NEEDED,
    ON_CHAIN,
    WRITE,
    IdempotencyKey,
    In,
    Once,
    example,
)
from backend.incentive import BudgetState, Programme
from backend.kit.openapi import Refusal, refusals
from backend.kit.problems import Problem
from backend.officials import Session

EXISTS: Refusal = (409, "programme-exists", "激励活动已有别的设定。")
UNKNOWN: Refusal = (404, "unknown-programme", "没有这个激励活动。")
BELOW: Refusal = (409, "budget-below-issued", "预算不能低于已发放的积分。")
BAD_PERIOD: Refusal = (422, "bad-period", "预算期间与激励活动的设定不符。")
BAD_TERMS: Refusal = (422, "bad-terms", "条款不合规定。")
FORBIDDEN: Refusal = (422, "jurisdiction-forbids", "当地规定不允许这样的条款。")
BAD_WINDOW: Refusal = (422, "bad-window", "开始日须早于结束日。")

ProgrammeId = Annotated[str, Path(pattern=r"^[a-z][a-z0-9.-]{0,31}$")]
POINTS_MAX = 2**53 - 1


class ProgrammeIn(In):
    """A programme; nothing of it is changed later, and `day_to` is the day after the last."""

    model_config = example(
        {
            "name": "地铁出行激励",
            "class": "carbon",
            "day_from": "2027-01-01",
            "day_to": None,
            "budget_period": "year",
            "expiry_months": 24,
        }
    )

    name: Annotated[str, Field(min_length=1, max_length=100)]
    points_class: Annotated[str, Field(alias="class", pattern=r"^[a-z][a-z0-9.-]{0,31}$")]
    day_from: date
    day_to: date | None = None
    budget_period: Literal["total", "year"] = "total"
    expiry_months: Annotated[int, Field(ge=1, le=120)] = 24


class BudgetIn(In):
    """The envelope of the period, in whole points."""

    model_config = example({"points": 10_000_000})

    points: Annotated[int, Field(ge=0, le=POINTS_MAX)]


class TermsIn(In):
    """Terms of the programme from a city day on: jurisdiction, organiser, eligibility, policy."""

    model_config = example(
        {
            "day_from": "2027-01-01",
            "terms": {"jurisdiction": "cn.shenzhen", "organiser": "市生态环境局", "notice_days": 7},
        }
    )

    day_from: date
    terms: dict[str, Any]


class TermsOut(BaseModel):
    """The version of terms that was laid down."""

    programme_id: str
    version: int
    day_from: date
    jurisdiction: str
    notice_days: int


class BudgetOut(BaseModel):
    """A period's envelope and what was issued from it, in whole points."""

    period: str
    envelope: int
    issued: int
    closed: bool


class ProgrammeOut(BaseModel):
    """A programme with its budgets."""

    programme_id: str
    name: str
    points_class: str = Field(serialization_alias="class")
    day_from: date
    day_to: date | None
    budget_period: str
    expiry_months: int
    budgets: list[BudgetOut]


class ProgrammePage(BaseModel):
    """Every programme, by id."""

    items: list[ProgrammeOut]
    next_cursor: None = None


def router(office: Office) -> APIRouter:
    """The routes."""
    door = APIRouter()
    _add_programmes(door, office)
    _add_budgets(door, office)
    _add_terms(door, office)
    return door


def _add_programmes(door: APIRouter, office: Office) -> None:
    services = office.services
    once, gate = Once(services), Gate(services)

    @door.get("/programmes", summary="Every programme with its budgets", responses=refusals(*GATED))
    async def listed(
        _session: Annotated[Session, Depends(gate.require("programmes.read"))],
    ) -> ProgrammePage:
        return ProgrammePage(items=await _programmes(office))

    @door.put(
        "/programmes/{programme_id}",
        summary="Open a programme; its points class becomes known to the chain first",
        response_model=ProgrammeOut,
        responses=refusals(*GATED, EXISTS, BAD_WINDOW, *ON_CHAIN, *WRITE),
    )
    async def open_(
        request: Request,
        programme_id: ProgrammeId,
        asked: ProgrammeIn,
        session: Annotated[Session, Depends(gate.require("programmes.open"))],
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        if asked.day_to is not None and asked.day_to <= asked.day_from:
            raise Problem(*BAD_WINDOW)
        made = Programme(
            programme_id,
            asked.name,
            asked.points_class,
            asked.day_from,
            asked.day_to,
            asked.budget_period,
            asked.expiry_months,
        )

        async def write() -> ProgrammeOut:
            await keep_programmes.order_programme(services, office.government, session, made)
            return (await _programmes(office, programme_id))[0]

        return await once(request, session.official.official_id, idempotency_key, write)


def _add_budgets(door: APIRouter, office: Office) -> None:
    services = office.services
    once, gate = Once(services), Gate(services)

    @door.put(
        "/programmes/{programme_id}/budgets/{period}",
        summary="Set a period's envelope; `total` or a year, as the programme says",
        response_model=ProgrammeOut,
        responses=refusals(*GATED, KEY_NEEDED, UNKNOWN, BELOW, BAD_PERIOD, *ON_CHAIN, *WRITE),
    )
    async def budget(
        request: Request,
        programme_id: ProgrammeId,
        period: Annotated[str, Path(pattern=r"^(total|20[0-9]{2})$")],
        asked: BudgetIn,
        session: Annotated[Session, Depends(gate.require("budgets.set"))],
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        async def write() -> ProgrammeOut:
            envelope = Envelope(programme_id, period, asked.points)
            await keep_programmes.order_budget(services, office.government, session, envelope)
            return (await _programmes(office, programme_id))[0]

        user = session.official.official_id
        return await once(request, user, idempotency_key, write, compulsory=True)


def _add_terms(door: APIRouter, office: Office) -> None:
    services = office.services
    once, gate = Once(services), Gate(services)

    @door.post(
        "/programmes/{programme_id}/terms",
        summary="Lay down the programme's next terms, which the law of its place must allow",
        status_code=201,
        response_model=TermsOut,
        responses=refusals(*GATED, UNKNOWN, BAD_TERMS, FORBIDDEN, *WRITE),
    )
    async def terms(
        request: Request,
        programme_id: ProgrammeId,
        asked: TermsIn,
        session: Annotated[Session, Depends(gate.require("programmes.open"))],
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        async def write() -> TermsOut:
            made = await keep_programmes.lay_down_terms(
                services, session, programme_id, asked.terms, asked.day_from
            )
            return TermsOut(
                programme_id=programme_id,
                version=made.version,
                day_from=made.day_from,
                jurisdiction=made.jurisdiction,
                notice_days=made.notice_days,
            )

        user = session.official.official_id
        return await once(request, user, idempotency_key, write, status=201)


async def _programmes(office: Office, programme_id: str | None = None) -> list[ProgrammeOut]:
    async with office.services.db.transaction(isolation="repeatable_read", readonly=True) as tx:
        rows = await tx.fetch(
            """SELECT programme_id, name, class AS points_class, day_from, day_to, budget_period,
                      expiry_months
               FROM programme WHERE $1::text IS NULL OR programme_id = $1
               ORDER BY programme_id""",
            programme_id,
        )
        budgets = await incentive.budgets(tx)
    return [
        ProgrammeOut(
            **row,
            budgets=[_budget(e) for e in budgets if e.programme_id == row["programme_id"]],
        )
        for row in rows
    ]


def _budget(state: BudgetState) -> BudgetOut:
    return BudgetOut(
        period=state.period, envelope=state.envelope, issued=state.issued, closed=state.closed
    )
