"""Parking for drivers: hold a space, come or cancel, see what a stay cost, pay."""

from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel

from backend import views
from backend.flows.pay_stay import pay_in_sandbox
from backend.flows.reserve_space import Wish, cancel_reservation, reserve_space, standing_of
from backend.kit.db import Tx
from backend.kit.openapi import BAD_SHAPE, Refusal, refusals
from backend.kit.problems import Problem
from backend.kit.services import Services
from backend.parking import Plates, city_calendar, reservations, windows
from backend.payments import SandboxRail
from miniapp_api import parking_shapes as shapes
from miniapp_api.once import (
    KEY_NEEDED,
    SIGNED_OUT,
    WRITE_REFUSALS,
    Answer,
    IdempotencyKey,
    NeededKey,
    Once,
    Who,
)
from miniapp_api.pages import page_of
from miniapp_api.reading import Cursor, Limit

UNKNOWN_SPACE: Refusal = (404, "unknown-space", "没有这个车位。")
UNKNOWN_RESERVATION: Refusal = (404, "unknown-reservation", "没有这项预约。")
RESERVATION_OVER: Refusal = (409, "reservation-over", "该预约已结束。")
BAD_PLATE: Refusal = (422, "bad-plate", "车牌号须为 4 至 10 个汉字、字母或数字。")
NO_RAIL: Refusal = (501, "rail-not-available", "正式环境的支付渠道尚未接入。")


def add_booking(door: APIRouter, services: Services, who: Who) -> None:
    """`/parking/reservations`, `/parking/stays` and `/parking/standing`."""
    _add_reserving(door, services, who)
    _add_reserved(door, services, who)
    _add_confirming(door, services, who)
    _add_cancelling(door, services, who)
    _add_stays(door, services, who)
    _add_paying(door, services, who)
    _add_standing(door, services, who)


def _add_reserving(door: APIRouter, services: Services, who: Who) -> None:
    once, kept = Once(services), Plates(services.vault)
    calendar = city_calendar(services.settings.city_tz)

    @door.post(
        "/parking/reservations",
        summary="Hold or reserve a space",
        status_code=201,
        response_model=shapes.ReservationOut,
        responses=refusals(
            SIGNED_OUT,
            UNKNOWN_SPACE,
            BAD_PLATE,
            (409, "vehicle-not-bound", "请先绑定这辆车的车牌。"),
            (409, "arrears", "您有逾期未付的停车费,付清后即可预约。"),
            (409, "shut-out", "您在该停车场多次违规,暂不能预约。"),
            (409, "space-not-offered", "该车位目前未开放共享。"),
            (409, "outside-window", "这段时间不在该车位的共享时段内。"),
            (409, "gate-closed", "该车位此时闸口关闭,不能在这个时刻进场或离场。"),
            (409, "class-not-allowed", "该车位不接待这类车辆。"),
            (409, "too-many-reservations", "每人同时最多 3 项有效预约。"),
            (409, "window-taken", "该车位在这段时间已被预约,请换一个时段或车位。"),
            (422, "bad-times", "预约时长须在 15 分钟至 7 天之间,30 天以内开始。"),
            *WRITE_REFUSALS,
        ),
    )
    async def reserve(
        request: Request,
        asked: shapes.ReservationIn,
        citizen_id: Annotated[UUID, Depends(who)],
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        wish = Wish(
            asked.space_id,
            asked.plate,
            *times(asked.starts_at, asked.ends_at),
            confirmed=asked.confirm,
        )

        async def write(tx: Tx) -> Answer:
            made = await reserve_space(tx, kept, calendar, citizen_id, wish, services.clock.now())
            return answer_of(201, await _reservation(tx, citizen_id, made.reservation_id))

        return await once(request, citizen_id, idempotency_key, write)


def _add_reserved(door: APIRouter, services: Services, who: Who) -> None:
    @door.get(
        "/parking/reservations",
        summary="One's reservations, newest first",
        responses=refusals(SIGNED_OUT, BAD_SHAPE),
    )
    async def listed(
        citizen_id: Annotated[UUID, Depends(who)], cursor: Cursor = None, limit: Limit = 50
    ) -> shapes.ReservationPage:
        async with services.db.transaction(readonly=True) as tx:
            rows = await reservations.reservations_of(
                tx, citizen_id, before=cursor, limit=limit + 1
            )
        items = [_reservation_out(row) for row in rows]
        after = page_of(items, limit, [row["reservation_id"] for row in rows])
        return shapes.ReservationPage(items=items[:limit], next_cursor=after)


def _add_confirming(door: APIRouter, services: Services, who: Who) -> None:
    once = Once(services)

    @door.post(
        "/parking/reservations/{reservation_id}/confirm",
        summary="Confirm a hold",
        response_model=shapes.ReservationOut,
        responses=refusals(
            SIGNED_OUT,
            UNKNOWN_RESERVATION,
            RESERVATION_OVER,
            (410, "hold-expired", "预留已超时,请重新预约。"),
            *WRITE_REFUSALS,
        ),
    )
    async def confirm(
        request: Request,
        reservation_id: UUID,
        citizen_id: Annotated[UUID, Depends(who)],
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        async def write(tx: Tx) -> Answer:
            await reservations.confirm(tx, citizen_id, reservation_id, services.clock.now())
            return answer_of(200, await _reservation(tx, citizen_id, reservation_id))

        return await once(request, citizen_id, idempotency_key, write)

    @door.post(
        "/parking/reservations/{reservation_id}/arrival",
        summary="The phone has come within 300 m of the lot",
        status_code=204,
        response_class=Response,
        responses=refusals(SIGNED_OUT, UNKNOWN_RESERVATION, BAD_SHAPE),
    )
    async def arrive(reservation_id: UUID, citizen_id: Annotated[UUID, Depends(who)]) -> Response:
        async with services.db.transaction() as tx:
            await reservations.arrive(tx, citizen_id, reservation_id, services.clock.now())
        return Response(status_code=204)


def _add_cancelling(door: APIRouter, services: Services, who: Who) -> None:
    once, calendar = Once(services), city_calendar(services.settings.city_tz)

    @door.delete(
        "/parking/reservations/{reservation_id}",
        summary="Cancel a reservation",
        response_model=shapes.CancelledOut,
        responses=refusals(SIGNED_OUT, UNKNOWN_RESERVATION, RESERVATION_OVER, *WRITE_REFUSALS),
    )
    async def cancel(
        request: Request,
        reservation_id: UUID,
        citizen_id: Annotated[UUID, Depends(who)],
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        async def write(tx: Tx) -> Answer:
            fee_fen = await cancel_reservation(
                tx, calendar, citizen_id, reservation_id, services.clock.now()
            )
            return answer_of(
                200, shapes.CancelledOut(reservation_id=reservation_id, fee_fen=fee_fen)
            )

        return await once(request, citizen_id, idempotency_key, write)


def _add_stays(door: APIRouter, services: Services, who: Who) -> None:
    @door.get(
        "/parking/stays",
        summary="One's stays, newest first",
        responses=refusals(SIGNED_OUT, BAD_SHAPE),
    )
    async def stays(
        citizen_id: Annotated[UUID, Depends(who)], cursor: Cursor = None, limit: Limit = 50
    ) -> shapes.StayPage:
        async with services.db.transaction(readonly=True) as tx:
            rows = await views.stays_of(tx, citizen_id, before=cursor, limit=limit + 1)
        items = [shapes.StayOut(**row) for row in rows]
        after = page_of(items, limit, [row["stay_id"] for row in rows])
        return shapes.StayPage(items=items[:limit], next_cursor=after)


def _add_paying(door: APIRouter, services: Services, who: Who) -> None:
    once = Once(services)

    @door.post(
        "/parking/stays/{stay_id}/pay",
        summary="Pay for a stay",
        response_model=shapes.PayOut,
        responses=refusals(
            SIGNED_OUT,
            (404, "unknown-stay", "没有这次停车。"),
            (409, "nothing-to-pay", "这次停车目前没有应付金额。"),
            NO_RAIL,
            KEY_NEEDED,
            *WRITE_REFUSALS,
        ),
    )
    async def pay(
        request: Request,
        stay_id: UUID,
        citizen_id: Annotated[UUID, Depends(who)],
        idempotency_key: NeededKey = None,
    ) -> Response:
        if services.settings.profile == "production":
            raise Problem(*NO_RAIL)

        async def write(tx: Tx) -> Answer:
            order = await pay_in_sandbox(
                tx, SandboxRail(), citizen_id, stay_id, services.clock.now()
            )
            state = "paid" if order.state == "paid" else "open"
            made = shapes.PayOut(order_id=order.order_id, amount_fen=order.amount_fen, state=state)
            return answer_of(200, made)

        return await once(request, citizen_id, idempotency_key, write, needed=True)


def _add_standing(door: APIRouter, services: Services, who: Who) -> None:
    @door.get(
        "/parking/standing",
        summary="Whether one may leave first and pay later, and why not",
        responses=refusals(SIGNED_OUT),
    )
    async def standing(citizen_id: Annotated[UUID, Depends(who)]) -> shapes.StandingOut:
        async with services.db.transaction(readonly=True) as tx:
            known = await standing_of(tx, citizen_id, services.clock.now())
        return shapes.StandingOut(
            trusted=known.trusted,
            limit_fen=known.limit_fen,
            owed_fen=known.owed_fen,
            reasons=list(known.reasons),
            appeal="对停车记录有异议,可向停车场运营方提出更正,或在“申诉”中提交。",
        )


async def _reservation(tx: Tx, citizen_id: UUID, reservation_id: UUID) -> shapes.ReservationOut:
    return _reservation_out(await reservations.reservation_card(tx, citizen_id, reservation_id))


def _reservation_out(row: Any) -> shapes.ReservationOut:
    return shapes.ReservationOut(
        reservation_id=row["reservation_id"],
        lot_id=row["lot_id"],
        label=row["label"],
        starts_at=row["starts_at"],
        ends_at=row["ends_at"],
        state=row["state"],
        held_until=row["held_until"],
    )


def times(starts_at: datetime, ends_at: datetime) -> tuple[datetime, datetime]:
    """Times a calendar can hold, in order. Raises Problem 422 `bad-shape`."""
    known = 2000 < starts_at.year < 2099 and 2000 < ends_at.year < 2099
    if not known or not timedelta(0) < ends_at - starts_at <= windows.BOOKED_MAX:
        raise Problem(422, "bad-shape", "起止时刻须先后有序,相差不超过 32 天。")
    return starts_at, ends_at


def answer_of(status: int, made: BaseModel) -> Answer:
    """A shape as the answer that is kept under an Idempotency-Key."""
    return Answer(status, made.model_dump_json(by_alias=True).encode())
