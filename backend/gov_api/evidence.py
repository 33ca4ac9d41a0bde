"""`/evidence` and `/corrections`: one record from raw to block; what took the place of what."""

from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel

from backend import views
from backend.flows.trace_evidence import trace_evidence
from backend.gov_api.gate import GATED, Gate
from backend.gov_api.office import Office
from backend.kit.openapi import BAD_SHAPE, Refusal, refusals
from backend.officials import Session

UNKNOWN: Refusal = (404, "unknown-evidence", "没有这条佐证。")

Cursor = Annotated[UUID | None, Query(description="`next_cursor` before")]
Limit = Annotated[int, Query(ge=1, le=200)]
Id = Annotated[str | None, Query(pattern=r"^[a-z][a-z0-9.-]{0,63}$")]


class FoundOut(BaseModel):
    """An event; no person is named."""

    evidence_id: UUID
    partner_id: str
    source: str
    event_id: str
    scenario: str
    city_day: date
    recorded_at: datetime
    state: str
    reason: str | None
    reduction_mg: int | None
    points: int | None


class FoundPage(BaseModel):
    """Events, last recorded first."""

    items: list[FoundOut]
    next_cursor: UUID | None


class StepOut(BaseModel):
    """A step of the way, checked now: `failed` means rows and proofs differ."""

    step: Literal["recorded", "quantified", "awarded", "logged", "confirmed", "posted"]
    verdict: Literal["ok", "failed", "waiting", "none"]
    about: str
    facts: dict[str, Any]


class Trail(BaseModel):
    """One event from its record to its block."""

    evidence_id: UUID
    ok: bool
    steps: list[StepOut]


class CorrectionOut(BaseModel):
    """An event that another took the place of."""

    evidence_id: UUID
    partner_id: str
    event_id: str
    scenario: str
    city_day: date
    reason: str
    by_evidence_id: UUID | None
    by_partner: str | None
    by_event: str | None


class CorrectionPage(BaseModel):
    """Corrections, latest first."""

    items: list[CorrectionOut]
    next_cursor: UUID | None


def router(office: Office) -> APIRouter:
    """The routes."""
    services, door = office.services, APIRouter()
    gate = Gate(services)

    @door.get("/evidence", summary="Search recorded events", responses=refusals(*GATED, BAD_SHAPE))
    async def search(
        _session: Annotated[Session, Depends(gate.require("evidence.read"))],
        partner_id: Id = None,
        event_id: Annotated[str | None, Query(max_length=200)] = None,
        evidence_id: UUID | None = None,
        scenario: Id = None,
        city_day: date | None = None,
        cursor: Cursor = None,
        limit: Limit = 50,
    ) -> FoundPage:
        async with services.db.transaction(readonly=True) as tx:
            found = await views.search_evidence(
                tx,
                partner_id=partner_id,
                event_id=None if event_id is None else event_id.replace("\0", ""),
                evidence_id=evidence_id,
                scenario=scenario,
                city_day=city_day,
                before=cursor,
                limit=limit + 1,
            )
        items = [FoundOut.model_validate(each, from_attributes=True) for each in found[:limit]]
        more = len(found) > limit
        return FoundPage(items=items, next_cursor=items[-1].evidence_id if more else None)

    @door.get(
        "/evidence/{evidence_id}",
        summary="One event from its record to its block, each step checked again now",
        description="Opening a record is noted in the audit log.",
        responses=refusals(*GATED, UNKNOWN, BAD_SHAPE),
    )
    async def trail(
        evidence_id: UUID, session: Annotated[Session, Depends(gate.require("evidence.read"))]
    ) -> Trail:
        steps = await trace_evidence(services, session, evidence_id)
        return Trail(
            evidence_id=evidence_id,
            ok=all(each.verdict != "failed" for each in steps),
            steps=[StepOut.model_validate(each, from_attributes=True) for each in steps],
        )

    @door.get(
        "/corrections",
        summary="Events that were corrected, retracted or contradicted",
        responses=refusals(*GATED, BAD_SHAPE),
    )
    async def corrected(
        _session: Annotated[Session, Depends(gate.require("corrections.read"))],
        cursor: Cursor = None,
        limit: Limit = 50,
    ) -> CorrectionPage:
        async with services.db.transaction(readonly=True) as tx:
            found = await views.corrections(tx, before=cursor, limit=limit + 1)
        items = [CorrectionOut.model_validate(each) for each in found[:limit]]
        more = len(found) > limit
        return CorrectionPage(items=items, next_cursor=items[-1].evidence_id if more else None)

    return door
