"""`/figures` and `/exports`: what officials steer by, and what leaves the platform signed."""

from base64 import b64encode
from datetime import date
from enum import IntEnum
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field

from backend import views
from backend.flows.export_records import export_records
from backend.gov_api.gate import GATED, Gate
from backend.gov_api.office import Office
from backend.gov_api.writing import WRITE, IdempotencyKey, In, Once, example
from backend.kit.clock import city_day
from backend.kit.openapi import BAD_SHAPE, Refusal, refusals
from backend.officials import Session

TOO_MANY: Refusal = (422, "too-many-rows", "这一区间的记录过多,请缩短区间。")


class Days(IntEnum):
    """The spans that can be asked for: fixed, so that no two differ by one person's day."""

    WEEK = 7
    MONTH = 30
    YEAR = 365


class CellOut(BaseModel):
    """One cell; its figures are null where fewer than ten people stand behind it."""

    name: str
    people: int | None
    awards: int | None
    reduction_mg: int | None
    points: int | None


class RefusedOut(BaseModel):
    """How many events were refused for a reason, of ten people or more."""

    reason: str
    events: int


class Figures(BaseModel):
    """The figures of city days in [day_from, day_to)."""

    day_from: date
    day_to: date
    total: CellOut
    by_day: list[CellOut]
    by_scenario: list[CellOut]
    by_partner: list[CellOut]
    by_level: list[CellOut]
    by_status: list[CellOut]
    by_class: list[CellOut]
    refused: list[RefusedOut]


class ExportIn(In):
    """What is exported: of the last 7, 30 or 365 days, as CSV or JSON."""

    model_config = example({"what": "effects", "format": "csv", "days": 30})

    what: Literal["figures", "effects", "budgets", "rules", "audit"]
    format: Literal["csv", "json"] = "csv"
    days: Days = Days.MONTH


class ExportOut(BaseModel):
    """A signed file: SM2 with SM3 over `text`, by the key that signs the log's heads."""

    export_id: UUID
    name: str
    media_type: str
    content: str = Field(description="b64 of the file")
    sm3: str
    text: str
    signature: str = Field(description="b64 of DER")
    public_key: str


def router(office: Office) -> APIRouter:
    """The routes."""
    services, door = office.services, APIRouter()
    once, gate = Once(services), Gate(services)

    @door.get(
        "/figures",
        summary="People, reduction and points by day, scenario, partner and evidence level",
        description="Spans are fixed and cells of fewer than ten people withheld.",
        responses=refusals(*GATED, BAD_SHAPE),
    )
    async def figures(
        _session: Annotated[Session, Depends(gate.require("figures.read"))],
        days: Annotated[Days, Query(description="The last 7, 30 or 365 days")] = Days.MONTH,
    ) -> Figures:
        today = city_day(services.clock.now(), services.settings.city_tz)
        async with services.db.transaction(isolation="repeatable_read", readonly=True) as tx:
            found = await views.cockpit(tx, today, days)
        lists = {
            name: [CellOut.model_validate(e, from_attributes=True) for e in getattr(found, name)]
            for name in Figures.model_fields
            if name.startswith("by_")
        }
        return Figures(
            day_from=found.day_from,
            day_to=found.day_to,
            total=CellOut.model_validate(found.total, from_attributes=True),
            refused=[RefusedOut(reason=reason, events=n) for reason, n in found.refused],
            **lists,
        )

    @door.post(
        "/exports",
        summary="Export figures or records: watermarked, signed, noted in the audit log",
        status_code=201,
        response_model=ExportOut,
        responses=refusals(*GATED, TOO_MANY, *WRITE),
    )
    async def export(
        request: Request,
        asked: ExportIn,
        session: Annotated[Session, Depends(gate.require("exports.make"))],
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        async def write() -> ExportOut:
            made = await export_records(services, session, asked.what, asked.format, asked.days)
            return ExportOut(
                export_id=made.export_id,
                name=made.name,
                media_type=made.media_type,
                content=b64encode(made.content).decode(),
                sm3=made.sm3,
                text=made.text,
                signature=made.signature,
                public_key=made.public_key,
            )

        user = session.official.official_id
        return await once(request, user, idempotency_key, write, status=201)

    return door
