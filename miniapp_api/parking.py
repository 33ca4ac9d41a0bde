"""Parking for drivers: find a space, see when it is free, bind one's vehicles."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import AwareDatetime

from backend.kit.db import Tx
from backend.kit.openapi import BAD_SHAPE, Refusal, refusals
from backend.kit.problems import Problem
from backend.kit.services import Services
from backend.parking import Plates, assets, city_calendar, plates, search, windows
from miniapp_api import parking_shapes as shapes
from miniapp_api.once import SIGNED_OUT, WRITE_REFUSALS, Answer, IdempotencyKey, Once, Who
from miniapp_api.parking_booking import BAD_PLATE, UNKNOWN_SPACE, add_booking, answer_of, times
from miniapp_api.parking_owners import add_owners

UNKNOWN_LOT: Refusal = (404, "unknown-lot", "没有这个停车场。")
RADIUS_M_MAX = 10_000

Place = Annotated[
    str,
    Query(
        description="latitude,longitude in degrees",
        pattern=r"^-?[0-9]{1,2}(\.[0-9]{1,6})?,-?[0-9]{1,3}(\.[0-9]{1,6})?$",
        examples=["22.54,114.05"],
    ),
]
From = Annotated[AwareDatetime, Query(alias="from", examples=["2026-11-22T13:00:00+08:00"])]
To = Annotated[AwareDatetime, Query(alias="to", examples=["2026-11-22T15:00:00+08:00"])]


def add_parking(door: APIRouter, services: Services, who: Who) -> None:
    """Everything under `/parking`."""
    _add_search(door, services, who)
    _add_free_spaces(door, services, who)
    _add_windows(door, services, who)
    _add_vehicles(door, services, who)
    _add_unbinding(door, services, who)
    add_booking(door, services, who)
    add_owners(door, services, who)


def _add_search(door: APIRouter, services: Services, who: Who) -> None:
    calendar = city_calendar(services.settings.city_tz)

    @door.get(
        "/parking/lots",
        summary="Lots near a place with a free space for a time",
        responses=refusals(SIGNED_OUT, BAD_SHAPE),
    )
    async def lots(
        citizen_id: Annotated[UUID, Depends(who)],
        near: Place,
        starts_at: From,
        ends_at: To,
        radius_m: Annotated[int, Query(ge=50, le=RADIUS_M_MAX)] = 1_000,
        vehicle_class: shapes.VehicleClass = "small",
        space_class: shapes.SpaceClass | None = None,
        price_fen_max: Annotated[int | None, Query(ge=0, le=10_000_000)] = None,
        order: Literal["distance", "price"] = "distance",
        limit: Annotated[int, Query(ge=1, le=50)] = 20,
    ) -> shapes.LotPage:
        del citizen_id
        latitude_udeg, longitude_udeg = _udeg(near)
        sought = search.Sought(
            latitude_udeg,
            longitude_udeg,
            radius_m,
            *times(starts_at, ends_at),
            vehicle_class=vehicle_class,
            space_class=space_class,
            price_fen_max=price_fen_max,
            order=order,
        )
        async with services.db.transaction(readonly=True) as tx:
            found = await search.search(tx, sought, calendar, services.clock.now(), limit)
        return shapes.LotPage(items=[_lot_out(each) for each in found])


def _add_free_spaces(door: APIRouter, services: Services, who: Who) -> None:
    calendar = city_calendar(services.settings.city_tz)

    @door.get(
        "/parking/lots/{lot_id}/spaces",
        summary="Free spaces of a lot for a time",
        responses=refusals(SIGNED_OUT, UNKNOWN_LOT, BAD_SHAPE),
    )
    async def spaces(
        lot_id: str,
        citizen_id: Annotated[UUID, Depends(who)],
        starts_at: From,
        ends_at: To,
        vehicle_class: shapes.VehicleClass = "small",
        space_class: shapes.SpaceClass | None = None,
    ) -> shapes.SpacePage:
        del citizen_id
        begin, end = times(starts_at, ends_at)
        sought = search.Sought(
            0, 0, 0, begin, end, vehicle_class=vehicle_class, space_class=space_class
        )
        async with services.db.transaction(readonly=True) as tx:
            lot = await assets.find_lot(tx, lot_id.replace("\x00", ""))
            rows = await search.free_spaces(tx, lot.lot_no, sought, calendar, services.clock.now())
        return shapes.SpacePage(
            items=[
                shapes.SpaceOut(space_id=r["space_id"], label=r["label"], space_class=r["class"])
                for r in rows
            ]
        )


def _add_windows(door: APIRouter, services: Services, who: Who) -> None:
    calendar = city_calendar(services.settings.city_tz)

    @door.get(
        "/parking/spaces/{space_id}/windows",
        summary="When a space is open, and when it is taken",
        responses=refusals(SIGNED_OUT, UNKNOWN_SPACE, BAD_SHAPE),
    )
    async def space_windows(
        space_id: UUID,
        citizen_id: Annotated[UUID, Depends(who)],
        starts_at: From,
        ends_at: To,
    ) -> shapes.Windows:
        del citizen_id
        begin, end = times(starts_at, ends_at)
        async with services.db.transaction(readonly=True) as tx:
            space = await assets.find_space(tx, space_id)
            taken = await search.taken_spans(tx, space.space_no, begin, end, services.clock.now())
        opened: list[tuple[datetime, datetime]] = []
        if space.policy is not None and space.state == "offered":
            policy = windows.policy_of(space.policy)
            opened = windows.open_spans(policy, calendar, begin, end)
        return shapes.Windows(
            open=[shapes.Span(starts_at=a, ends_at=b) for a, b in opened],
            taken=[shapes.Span(starts_at=a, ends_at=b) for a, b in taken],
        )


def _add_vehicles(door: APIRouter, services: Services, who: Who) -> None:
    once, kept = Once(services), Plates(services.vault)

    @door.get("/parking/vehicles", summary="One's vehicles", responses=refusals(SIGNED_OUT))
    async def vehicles(citizen_id: Annotated[UUID, Depends(who)]) -> shapes.VehiclePage:
        async with services.db.transaction(readonly=True) as tx:
            rows = await assets.vehicles_of(tx, citizen_id)
        return shapes.VehiclePage(
            items=[
                shapes.VehicleOut(
                    vehicle_id=row["plate_hash"].hex(),
                    plate=plates.masked(kept.open(row["plate_sealed"], row["plate_hash"])),
                    vehicle_class=row["class"],
                    fuel=row["fuel"],
                )
                for row in rows
            ]
        )

    @door.post(
        "/parking/vehicles",
        summary="Bind a vehicle",
        status_code=201,
        response_model=shapes.VehicleOut,
        responses=refusals(
            SIGNED_OUT,
            BAD_PLATE,
            (409, "vehicle-of-another", "该车牌已由另一位市民绑定。"),
            *WRITE_REFUSALS,
        ),
    )
    async def bind(
        request: Request,
        asked: shapes.VehicleIn,
        citizen_id: Annotated[UUID, Depends(who)],
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        async def write(tx: Tx) -> Answer:
            plate_hash = await assets.bind_vehicle(
                tx,
                kept,
                citizen_id,
                asked.plate,
                vehicle_class=asked.vehicle_class,
                fuel=asked.fuel,
                now=services.clock.now(),
            )
            bound = shapes.VehicleOut(
                vehicle_id=plate_hash.hex(),
                plate=plates.masked(plates.normalised(asked.plate)),
                vehicle_class=asked.vehicle_class,
                fuel=asked.fuel,
            )
            return answer_of(201, bound)

        return await once(request, citizen_id, idempotency_key, write)


def _add_unbinding(door: APIRouter, services: Services, who: Who) -> None:
    @door.delete(
        "/parking/vehicles/{vehicle_id}",
        summary="Unbind a vehicle",
        status_code=204,
        response_class=Response,
        responses=refusals(SIGNED_OUT, (404, "unknown-vehicle", "您没有绑定这辆车。"), BAD_SHAPE),
    )
    async def unbind(vehicle_id: str, citizen_id: Annotated[UUID, Depends(who)]) -> Response:
        try:
            plate_hash = bytes.fromhex(vehicle_id)
        except ValueError:
            plate_hash = b""
        async with services.db.transaction() as tx:
            if not await assets.unbind_vehicle(tx, citizen_id, plate_hash, services.clock.now()):
                raise Problem(404, "unknown-vehicle", "您没有绑定这辆车。")
        return Response(status_code=204)


def _udeg(near: str) -> tuple[int, int]:
    latitude, longitude = (_millionths(part) for part in near.split(","))
    if abs(latitude) > 90_000_000 or abs(longitude) > 180_000_000:
        raise Problem(422, "bad-shape", "经纬度超出范围。")
    return latitude, longitude


def _millionths(degrees: str) -> int:
    """A decimal number of degrees in millionths, without going through a fraction."""
    whole, _, part = degrees.lstrip("-").partition(".")
    value = int(whole) * 1_000_000 + int(part.ljust(6, "0"))
    return -value if degrees.startswith("-") else value


def _lot_out(each: search.Found) -> shapes.LotOut:
    return shapes.LotOut(
        lot_id=each.lot.lot_id,
        name=each.lot.name,
        latitude_udeg=each.lot.latitude_udeg,
        longitude_udeg=each.lot.longitude_udeg,
        distance_m=each.distance_m,
        free=each.free,
        price_fen=each.price_fen,
    )
