"""`/audit`: every act in office, and the closed days whose heads are in the public log."""

from datetime import date, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel

from backend import officials
from backend.gov_api.gate import GATED, Gate
from backend.gov_api.office import Office
from backend.kit.openapi import BAD_SHAPE, refusals
from backend.officials import Session

Cursor = Annotated[UUID | None, Query(description="`next_cursor` before")]
Limit = Annotated[int, Query(ge=1, le=200)]
Filter = Annotated[str | None, Query(max_length=200)]


class EntryOut(BaseModel):
    """One act: who did what to what."""

    entry_id: UUID
    at: datetime
    actor: str
    act: str
    about: str
    detail: dict[str, Any]


class EntryPage(BaseModel):
    """Acts, newest first."""

    items: list[EntryOut]
    next_cursor: UUID | None


class DayOut(BaseModel):
    """A closed day: `head` is the root over its entries, sealed as a leaf of the public log."""

    day: date
    count: int
    head: str


class DayPage(BaseModel):
    """Closed days, ascending."""

    items: list[DayOut]
    next_cursor: None = None


def router(office: Office) -> APIRouter:
    """The routes."""
    services, door = office.services, APIRouter()
    reads = Gate(services).require("audit.read")

    @door.get("/audit", summary="The audit log", responses=refusals(*GATED, BAD_SHAPE))
    async def entries(
        _session: Annotated[Session, Depends(reads)],
        cursor: Cursor = None,
        limit: Limit = 50,
        actor: Filter = None,
        act: Annotated[
            str | None, Query(max_length=200, description="An act or the beginning of one")
        ] = None,
        about: Filter = None,
    ) -> EntryPage:
        async with services.db.transaction(readonly=True) as tx:
            found = await officials.audit.entries(
                tx, before=cursor, limit=limit + 1, actor=actor, act=act, about=about
            )
        more = len(found) > limit
        return EntryPage(
            items=[
                EntryOut(
                    entry_id=each.entry_id,
                    at=each.at,
                    actor=each.actor,
                    act=each.act,
                    about=each.about,
                    detail=each.detail,
                )
                for each in found[:limit]
            ],
            next_cursor=found[limit - 1].entry_id if more else None,
        )

    @door.get("/audit/days", summary="Closed days of the audit log", responses=refusals(*GATED))
    async def days(_session: Annotated[Session, Depends(reads)]) -> DayPage:
        async with services.db.transaction(readonly=True) as tx:
            found = await officials.audit.closed_days(tx)
        return DayPage(
            items=[DayOut(day=each.day, count=each.count, head=each.head.hex()) for each in found]
        )

    return door
