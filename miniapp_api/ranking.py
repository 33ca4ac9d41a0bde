"""A month's ranking among those who chose it, by pseudonym, and only where ten or more did."""

import time
from dataclasses import dataclass, field
from datetime import date
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from backend import views
from backend.kit.clock import city_day
from backend.kit.openapi import BAD_SHAPE, refusals
from backend.kit.problems import Problem
from backend.kit.services import Services
from backend.kit.sm import hmac_sm3
from miniapp_api.account import FUTURE_DAY, Month, months_before
from miniapp_api.once import SIGNED_OUT, Who

PEOPLE_MIN = 10
"""Fewer would let somebody be recognised by what they know of the others."""
SHOWN = 10
KEPT_S = 300
ROUNDED_MG = 100_000
"""What is shown of others is rounded down to 100 g."""

Table = list[tuple[UUID, int]]


class Place(BaseModel):
    """One place; `me` marks one's own."""

    rank: int
    name: str
    reduction_mg: int = Field(description="Rounded down to 100 g")
    me: bool


class Ranking(BaseModel):
    """The first ten and one's own place; empty where fewer than ten people take part."""

    month: str
    people: int | None
    items: list[Place]
    mine: Place | None


@dataclass(slots=True)
class _Kept:
    """Tables of months as this process read them last."""

    by_month: dict[date, tuple[float, Table]] = field(
        default_factory=dict[date, tuple[float, Table]]
    )

    async def table(self, services: Services, first: date) -> Table:
        """A month's table, at most five minutes old."""
        known = self.by_month.get(first)
        if known is not None and time.monotonic() - known[0] < KEPT_S:
            return known[1]
        async with services.db.transaction(readonly=True) as tx:
            table = await views.ranking(tx, first, months_before(first, -1))
        self.by_month = {first: (time.monotonic(), table)}
        return table


def add_ranking(door: APIRouter, services: Services, who: Who) -> None:
    """`GET /ranking`."""
    kept, secret = _Kept(), services.vault.secret("pseudonyms")

    @door.get(
        "/ranking",
        summary="A month's ranking among those who chose it, by pseudonym",
        responses=refusals(SIGNED_OUT, FUTURE_DAY, BAD_SHAPE),
    )
    async def ranking(
        citizen_id: Annotated[UUID, Depends(who)],
        month: Annotated[Month | None, Query(description="Default: this month")] = None,
    ) -> Ranking:
        today = city_day(services.clock.now(), services.settings.city_tz)
        first = today.replace(day=1) if month is None else date.fromisoformat(f"{month}-01")
        if first > today:
            raise Problem(*FUTURE_DAY)
        table = await kept.table(services, first)
        if len(table) < PEOPLE_MIN:
            return Ranking(month=f"{first:%Y-%m}", people=None, items=[], mine=None)
        places = [
            Place(
                rank=rank,
                name=_pseudonym(secret, first, person),
                reduction_mg=reduction_mg // ROUNDED_MG * ROUNDED_MG,
                me=person == citizen_id,
            )
            for rank, (person, reduction_mg) in enumerate(table, 1)
            if rank <= SHOWN or person == citizen_id
        ]
        return Ranking(
            month=f"{first:%Y-%m}",
            people=len(table),
            items=places[:SHOWN],
            mine=next((place for place in places if place.me), None),
        )


def _pseudonym(secret: bytes, month: date, citizen_id: UUID) -> str:
    """Another name every month, so that nobody is followed from one to the next."""
    mac = hmac_sm3(secret, f"tanhui-pseudonym-v1\n{month}\n".encode() + citizen_id.bytes)
    return f"低碳市民 {mac[:3].hex().upper()}"
