"""Parking for owners: offer a space, say when it is open, see what it earned."""

from datetime import date
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from backend import views
from backend.flows.share_space import offer_space, open_windows, set_standing
from backend.kit.db import Tx
from backend.kit.openapi import BAD_SHAPE, Refusal, refusals
from backend.kit.services import Services
from miniapp_api.once import SIGNED_OUT, WRITE_REFUSALS, Answer, IdempotencyKey, Once, Who
from miniapp_api.parking_booking import UNKNOWN_SPACE, answer_of
from miniapp_api.parking_shapes import SpaceClass
from miniapp_api.shapes import Id, ShownText

BAD_POLICY: Refusal = (422, "bad-policy", "共享时段的写法不合规定。")


class SpaceIn(BaseModel):
    """A space of one's own in a lot; the lot's operator confirms it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    lot_id: Id
    label: ShownText
    space_class: SpaceClass = Field(default="standard", alias="class")


class WindowsIn(BaseModel):
    """A window policy (docs/parking.md)."""

    model_config = ConfigDict(extra="forbid")

    policy: dict[str, Any]


class StandingIn(BaseModel):
    """Offer the space again, or take it back for now."""

    model_config = ConfigDict(extra="forbid", strict=True)

    state: Literal["offered", "suspended"]


class OwnSpace(BaseModel):
    """A space of one's own. `policy` is the SM3 digest that the space registry keeps."""

    space_id: UUID
    lot_id: str
    label: str
    space_class: SpaceClass = Field(serialization_alias="class")
    state: Literal["offered", "suspended", "withdrawn"]
    policy: str | None


class OwnSpaces(BaseModel):
    """One's spaces."""

    items: list[OwnSpace]
    next_cursor: None = None


class IncomeDay(BaseModel):
    """What a lot's day brought: shares less what was taken back, and where it stands on chain."""

    day: date
    lot_id: str
    part: int
    lines: int
    total_fen: int
    root: str
    tx: str | None


class Income(BaseModel):
    """What one's spaces brought: waiting for the payout, owed, and day by day."""

    payable_fen: int
    debt_fen: int
    paid_fen: int
    items: list[IncomeDay]
    next_cursor: None = None


def add_owners(door: APIRouter, services: Services, who: Who) -> None:
    """`/parking/spaces` of an owner and `/parking/income`."""
    _add_offering(door, services, who)
    _add_opening(door, services, who)
    _add_income(door, services, who)


def _add_offering(door: APIRouter, services: Services, who: Who) -> None:
    once = Once(services)

    @door.get("/parking/spaces", summary="One's own spaces", responses=refusals(SIGNED_OUT))
    async def mine(citizen_id: Annotated[UUID, Depends(who)]) -> OwnSpaces:
        async with services.db.transaction(readonly=True) as tx:
            rows = await views.spaces_of_citizen(tx, citizen_id)
        return OwnSpaces(items=[_space_out(row) for row in rows])

    @door.post(
        "/parking/spaces",
        summary="Enter a space of one's own",
        status_code=201,
        response_model=OwnSpace,
        responses=refusals(
            SIGNED_OUT,
            (404, "unknown-lot", "没有这个停车场。"),
            (409, "space-taken", "该停车场已有同号车位。"),
            *WRITE_REFUSALS,
        ),
    )
    async def offer(
        request: Request,
        asked: SpaceIn,
        citizen_id: Annotated[UUID, Depends(who)],
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        async def write(tx: Tx) -> Answer:
            space_id = await offer_space(
                tx, citizen_id, asked.lot_id, asked.label, asked.space_class, services.clock.now()
            )
            return answer_of(201, await _own(tx, citizen_id, space_id))

        return await once(request, citizen_id, idempotency_key, write)


def _add_opening(door: APIRouter, services: Services, who: Who) -> None:
    once = Once(services)

    @door.put(
        "/parking/spaces/{space_id}/windows",
        summary="Say when a space is open to others",
        response_model=OwnSpace,
        responses=refusals(SIGNED_OUT, UNKNOWN_SPACE, BAD_POLICY, *WRITE_REFUSALS),
    )
    async def put_windows(
        request: Request,
        space_id: UUID,
        asked: WindowsIn,
        citizen_id: Annotated[UUID, Depends(who)],
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        async def write(tx: Tx) -> Answer:
            await open_windows(tx, citizen_id, space_id, asked.policy)
            return answer_of(200, await _own(tx, citizen_id, space_id))

        return await once(request, citizen_id, idempotency_key, write)

    @door.put(
        "/parking/spaces/{space_id}/state",
        summary="Take a space back for now, or offer it again",
        response_model=OwnSpace,
        responses=refusals(
            SIGNED_OUT,
            UNKNOWN_SPACE,
            (409, "space-not-confirmed", "该车位尚待停车场运营方确认。"),
            *WRITE_REFUSALS,
        ),
    )
    async def put_state(
        request: Request,
        space_id: UUID,
        asked: StandingIn,
        citizen_id: Annotated[UUID, Depends(who)],
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        async def write(tx: Tx) -> Answer:
            await set_standing(tx, citizen_id, space_id, asked.state)
            return answer_of(200, await _own(tx, citizen_id, space_id))

        return await once(request, citizen_id, idempotency_key, write)


def _add_income(door: APIRouter, services: Services, who: Who) -> None:
    @door.get(
        "/parking/income",
        summary="What one's spaces brought",
        responses=refusals(SIGNED_OUT, BAD_SHAPE),
    )
    async def income(
        citizen_id: Annotated[UUID, Depends(who)],
        limit: Annotated[int, Query(ge=1, le=366)] = 31,
    ) -> Income:
        async with services.db.transaction(isolation="repeatable_read", readonly=True) as tx:
            known = await views.income_of_citizen(tx, citizen_id, limit)
        return Income(
            payable_fen=known.payable_fen,
            debt_fen=known.debt_fen,
            paid_fen=known.paid_fen,
            items=[IncomeDay.model_validate(dict(row)) for row in known.days],
        )


async def _own(tx: Tx, citizen_id: UUID, space_id: UUID) -> OwnSpace:
    rows = await views.spaces_of_citizen(tx, citizen_id)
    return _space_out(next(row for row in rows if row["space_id"] == space_id))


def _space_out(row: Any) -> OwnSpace:
    return OwnSpace(
        space_id=row["space_id"],
        lot_id=row["lot_id"],
        label=row["label"],
        space_class=row["class"],
        state=row["state"],
        policy=row["policy"],
    )
