"""An operator's routes: lots, gates, prices, contracts, passes, remaining spaces, exceptions."""

import base64
import binascii
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from fastapi import APIRouter, Request

from backend import devices
from backend.flows.park_stay import (
    SignedBatch,
    correct_plate,
    operators_lot,
    propose_plates,
    record_passes,
)
from backend.flows.run_lot import publish_contract, publish_tariff
from backend.flows.share_space import confirm_space
from backend.kit.clock import instant_of, to_text
from backend.kit.db import Row
from backend.kit.openapi import Refusal
from backend.kit.problems import Problem
from backend.kit.services import Services
from backend.parking import Plates, assets, city_calendar, stays
from backend.partner_api.gate import Gate
from backend.partner_api.operations import Operation, add_operation, in_path, read_body
from backend.partner_api.signed import Signed

Count = Annotated[int, msgspec.Meta(ge=-1_000_000, le=1_000_000)]
Base64 = Annotated[str, msgspec.Meta(min_length=1, max_length=512)]

UNKNOWN_LOT: Refusal = (404, "unknown-lot", "没有这个停车场。")
DOCUMENT_REFUSED: tuple[Refusal, ...] = (
    UNKNOWN_LOT,
    (409, "version-taken", "该版本号已用于另一份文件;新的内容须使用新的版本号。"),
    (409, "versions-overlap", "生效日期与该停车场已有的版本重叠。"),
)


class LotBody(msgspec.Struct, forbid_unknown_fields=True):
    """What may be said of a lot."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    latitude_udeg: Annotated[int, msgspec.Meta(ge=-90_000_000, le=90_000_000)]
    longitude_udeg: Annotated[int, msgspec.Meta(ge=-180_000_000, le=180_000_000)]
    capacity: Annotated[int, msgspec.Meta(ge=1, le=100_000)]
    base_search_s: Annotated[int, msgspec.Meta(ge=1, le=486)]


class DeviceBody(msgspec.Struct, forbid_unknown_fields=True):
    """A device and its public key: base64 of 65 bytes 04 ‖ X ‖ Y."""

    lane: Annotated[str, msgspec.Meta(min_length=1, max_length=32)]
    purpose: Literal["gate", "sensor"]
    public_key: Base64


class DocumentBody(msgspec.Struct, forbid_unknown_fields=True):
    """A tariff or a contract (docs/parking.md)."""

    document: dict[str, Any]


class BatchBody(msgspec.Struct, forbid_unknown_fields=True):
    """The exact text a device signed, and its DER signature in base64."""

    device_id: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    payload: Annotated[str, msgspec.Meta(min_length=2, max_length=2_000_000)]
    signature: Base64


class PassesBody(msgspec.Struct, forbid_unknown_fields=True):
    """What gates said."""

    batches: Annotated[list[BatchBody], msgspec.Meta(min_length=1, max_length=100)]


class CountBody(msgspec.Struct, forbid_unknown_fields=True):
    """What a lot's counter said; counts below 0 and above capacity are kept as they are."""

    at: Annotated[str, msgspec.Meta(max_length=35)]
    occupied: Count
    capacity: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]


class CountsBody(msgspec.Struct, forbid_unknown_fields=True):
    """A push of remaining spaces."""

    counts: Annotated[list[CountBody], msgspec.Meta(min_length=1, max_length=5_000)]


class PlateBody(msgspec.Struct, forbid_unknown_fields=True):
    """A person's reading of a plate."""

    event_id: UUID
    plate: Annotated[str, msgspec.Meta(min_length=1, max_length=32)]


def add_parking(router: APIRouter, services: Services, gate: Gate) -> None:
    """The routes under `/parking/lots`, `/parking/devices` and `/parking/passes`."""
    operator = _Operator(services)
    for operation, handler in (
        (PUT_LOT, operator.put_lot),
        (PUT_DEVICE, operator.put_device),
        (END_DEVICE, operator.end_device),
        (POST_TARIFF, operator.post_tariff),
        (POST_CONTRACT, operator.post_contract),
        (POST_PASSES, operator.post_passes),
        (POST_OCCUPANCY, operator.post_occupancy),
        (GET_EXCEPTIONS, operator.get_exceptions),
        (GET_PLATES, operator.get_plates),
        (POST_PLATE, operator.post_plate),
        (POST_SPACE, operator.confirm_space),
    ):
        add_operation(router, services, gate, operation, handler)


class _Operator:
    """What an operator may do; the signed request says which one asks."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._plates = Plates(services.vault)
        self._calendar = city_calendar(services.settings.city_tz)

    async def put_lot(self, signed: Signed, request: Request) -> Any:
        """Enter a lot, or change what may change."""
        body, lot_id = read_body(signed, LotBody), in_path(request, "lot_id")
        async with self._services.db.transaction() as tx:
            await assets.put_lot(
                tx,
                lot_id,
                operator_id=signed.partner.partner_id,
                now=self._services.clock.now(),
                **msgspec.structs.asdict(body),
            )
        return {"lot_id": lot_id, **msgspec.structs.asdict(body)}

    async def put_device(self, signed: Signed, request: Request) -> Any:
        """Register a gate or sensor with its own key; another key needs another id."""
        body, device_id = read_body(signed, DeviceBody), in_path(request, "device_id")
        operator_id = signed.partner.partner_id
        async with self._services.db.transaction() as tx:
            lot = await operators_lot(tx, operator_id, in_path(request, "lot_id"))
            await devices.register_device(
                tx,
                device_id,
                operator_id=operator_id,
                place=lot.lot_id,
                lane=body.lane,
                purpose=body.purpose,
                public_key=decode_base64(body.public_key),
                now=self._services.clock.now(),
            )
        return {"device_id": device_id, "lot_id": lot.lot_id, "lane": body.lane}

    async def end_device(self, signed: Signed, request: Request) -> Any:
        """Revoke a device: what it signs from now on counts for nothing."""
        device_id = in_path(request, "device_id")
        async with self._services.db.transaction() as tx:
            ended = await devices.revoke_device(
                tx, signed.partner.partner_id, device_id, self._services.clock.now()
            )
        return {"device_id": device_id, "revoked_at": to_text(ended)}

    async def post_tariff(self, signed: Signed, request: Request) -> Any:
        """Publish a version of the lot's prices; it follows the one before."""
        made = await publish_tariff(
            self._services.db,
            signed.partner.partner_id,
            in_path(request, "lot_id"),
            read_body(signed, DocumentBody).document,
            self._services.clock.now(),
        )
        return {"lot_id": made.lot, "version": made.version, "digest": made.digest.hex()}

    async def post_contract(self, signed: Signed, request: Request) -> Any:
        """Publish a version of who gets what; refused with a proposal if no rail can execute it."""
        made = await publish_contract(
            self._services.db,
            signed.partner.partner_id,
            in_path(request, "lot_id"),
            read_body(signed, DocumentBody).document,
            self._services.clock.now(),
        )
        return {"lot_id": made.lot, "version": made.version, "digest": made.digest.hex()}

    async def post_passes(self, signed: Signed, request: Request) -> Any:
        """Hand in what gates signed, in any order and as often as needed."""
        del request
        answers: list[dict[str, Any]] = []
        for each in read_body(signed, PassesBody).batches:
            batch = SignedBatch(
                each.device_id, each.payload.encode(), decode_base64(each.signature)
            )
            answer: dict[str, Any] = {"device_id": each.device_id}
            try:
                passed = await record_passes(
                    self._services.db,
                    self._plates,
                    self._calendar,
                    signed.partner.partner_id,
                    batch,
                    self._services.clock.now(),
                )
            except Problem as problem:
                # One device's fault is its own: the other batches count.
                answer["problem"] = problem.name
            else:
                answer |= {
                    "stored": passed.stored,
                    "known": passed.known,
                    "turned": [
                        {"index": one.place, "problem": one.problem} for one in passed.turned
                    ],
                }
            answers.append(answer)
        return {"batches": answers}

    async def post_occupancy(self, signed: Signed, request: Request) -> Any:
        """Push how full a lot was; the last word for an instant counts."""
        body = read_body(signed, CountsBody)
        counts = [(_instant(each.at), each.occupied, each.capacity) for each in body.counts]
        async with self._services.db.transaction() as tx:
            lot = await operators_lot(tx, signed.partner.partner_id, in_path(request, "lot_id"))
            await assets.count_spaces(tx, lot, counts)
        return {"lot_id": lot.lot_id, "counted": len(counts)}

    async def get_exceptions(self, signed: Signed, request: Request) -> Any:
        """What made no charged stay or needs a person, oldest first, 200 at a time."""
        async with self._services.db.transaction(readonly=True) as tx:
            lot = await operators_lot(tx, signed.partner.partner_id, in_path(request, "lot_id"))
            rows = await stays.open_exceptions(tx, lot.lot_no, limit=200)
        return {"items": [exception_out(row) for row in rows]}

    async def get_plates(self, signed: Signed, request: Request) -> Any:
        """What a camera read, and the plates inside that look like it: a person decides."""
        try:
            event_id = UUID(in_path(request, "event_id"))
        except ValueError:
            raise Problem(404, "unknown-gate-event", "没有这条过闸记录。") from None
        read, alike = await propose_plates(
            self._services.db,
            self._plates,
            signed.partner.partner_id,
            in_path(request, "lot_id"),
            event_id,
        )
        return {"read": read, "alike": alike}

    async def post_plate(self, signed: Signed, request: Request) -> Any:
        """Confirm what a camera misread; the stays follow."""
        body = read_body(signed, PlateBody)
        followed = await correct_plate(
            self._services.db,
            self._plates,
            self._calendar,
            signed.partner.partner_id,
            in_path(request, "lot_id"),
            body.event_id,
            body.plate,
            self._services.clock.now(),
        )
        return {
            "stays": [
                {"stay_id": str(s.stay_id), "state": s.state, "charge_fen": s.charge_fen}
                for s in followed
            ]
        }

    async def confirm_space(self, signed: Signed, request: Request) -> Any:
        """Confirm that a space is its owner's: from now on it is offered."""
        space = await confirm_space(
            self._services.db,
            signed.partner.partner_id,
            in_path(request, "lot_id"),
            in_path(request, "label"),
        )
        return {"space_id": str(space.space_id), "label": space.label, "state": space.state}


def exception_out(row: Row) -> dict[str, Any]:
    """An open exception as the doors show it."""
    return {
        "kind": row["kind"],
        "subject": str(row["subject"]),
        "occurred_at": to_text(row["occurred_at"]),
        "detail": row["detail"],
        "opened_at": to_text(row["opened_at"]),
    }


def decode_base64(text: str) -> bytes:
    """Strict base64. Raises Problem 422 `bad-shape`."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Problem(422, "bad-shape", "须为标准 base64。") from error


def _instant(text: str) -> datetime:
    try:
        return instant_of(text)
    except ValueError as error:
        raise Problem(422, "bad-shape", f"时刻的写法不合规定:{error}") from error


_LOT = {
    "name": "示范广场",
    "latitude_udeg": 22_540_000,
    "longitude_udeg": 114_050_000,
    "capacity": 120,
    "base_search_s": 396,
}
_KEY = "BA" + "A" * 85 + "="
_DIGEST = "a0203afdd8fe258b80397b2f044bcdac42d435a2193e81a9668f4291bf47418d"
_DOCUMENT = {"document": {"format": "tanhui-tariff-v1", "lot": "plaza", "version": 1}}

PUT_LOT = Operation(
    "PUT",
    "/parking/lots/{lot_id}",
    "Enter or change a lot",
    {"lot_id": "plaza", **_LOT},
    LotBody,
    _LOT,
    ((409, "lot-of-another-operator", "该停车场由另一家运营方登记。"),),
)
PUT_DEVICE = Operation(
    "PUT",
    "/parking/lots/{lot_id}/devices/{device_id}",
    "Register a device",
    {"device_id": "gate-1", "lot_id": "plaza", "lane": "1"},
    DeviceBody,
    {"lane": "1", "purpose": "gate", "public_key": _KEY},
    (
        UNKNOWN_LOT,
        (409, "device-id-taken", "该设备编号已登记为另一台设备。"),
        (422, "bad-device", "设备编号或公钥不合规定。"),
    ),
)
END_DEVICE = Operation(
    "DELETE",
    "/parking/devices/{device_id}",
    "Revoke a device",
    {"device_id": "gate-1", "revoked_at": "2026-11-22T04:00:00Z"},
    refusals=((404, "unknown-device", "没有登记这台设备。"),),
)
POST_TARIFF = Operation(
    "POST",
    "/parking/lots/{lot_id}/tariffs",
    "Publish prices",
    {"lot_id": "plaza", "version": 1, "digest": _DIGEST},
    DocumentBody,
    _DOCUMENT,
    (*DOCUMENT_REFUSED, (422, "bad-tariff", "收费标准的内容不合规定。")),
)
POST_CONTRACT = Operation(
    "POST",
    "/parking/lots/{lot_id}/contracts",
    "Publish shares",
    {"lot_id": "plaza", "version": 1, "digest": _DIGEST},
    DocumentBody,
    _DOCUMENT,
    (
        *DOCUMENT_REFUSED,
        (409, "rail-cannot-execute", "支付渠道无法执行该合同,附可执行的方案。"),
        (422, "bad-contract", "分账合同的内容不合规定。"),
        (422, "shares-not-whole", "各方份额合计须为 100%。"),
        (422, "unknown-party", "合同中有未登记的一方。"),
    ),
)
POST_PASSES = Operation(
    "POST",
    "/parking/passes",
    "Hand in what gates signed",
    {"batches": [{"device_id": "gate-1", "stored": 2, "known": 0, "turned": []}]},
    PassesBody,
    {
        "batches": [
            {
                "device_id": "gate-1",
                "payload": '{"device_id":"gate-1","events":[{"seq":1,"direction":"in",'
                '"time":"2026-11-22T09:00:00+08:00","plate":"粤B12345"}]}',
                "signature": "MEUCIQDx…",
            }
        ]
    },
    bytes_max=4_194_304,
)
POST_OCCUPANCY = Operation(
    "POST",
    "/parking/lots/{lot_id}/occupancy",
    "Push remaining spaces",
    {"lot_id": "plaza", "counted": 1},
    CountsBody,
    {"counts": [{"at": "2026-11-22T09:00:00+08:00", "occupied": 96, "capacity": 120}]},
    (UNKNOWN_LOT,),
    bytes_max=1_048_576,
)
GET_EXCEPTIONS = Operation(
    "GET",
    "/parking/lots/{lot_id}/exceptions",
    "The list of exceptions",
    {"items": []},
    refusals=(UNKNOWN_LOT,),
)
GET_PLATES = Operation(
    "GET",
    "/parking/lots/{lot_id}/plates/{event_id}",
    "Plates that look like a misread one",
    {"read": "粤B1234S", "alike": ["粤B12345"]},
    refusals=(UNKNOWN_LOT, (404, "unknown-gate-event", "没有这条过闸记录。")),
)
POST_PLATE = Operation(
    "POST",
    "/parking/lots/{lot_id}/plates",
    "Confirm a misread plate",
    {"stays": []},
    PlateBody,
    {"event_id": "019ab8f0-3c00-7a10-8000-000000000001", "plate": "粤B12345"},
    (
        UNKNOWN_LOT,
        (404, "unknown-gate-event", "没有这条过闸记录。"),
        (409, "plate-corrected", "这条记录的车牌已由人工更正过。"),
        (422, "bad-plate", "车牌号须为 4 至 10 个汉字、字母或数字。"),
    ),
)
POST_SPACE = Operation(
    "POST",
    "/parking/lots/{lot_id}/spaces/{label}/confirmation",
    "Confirm an owner's space",
    {"space_id": "019ab8f0-3c00-7a10-8000-000000000001", "label": "A-01", "state": "offered"},
    refusals=(UNKNOWN_LOT, (404, "unknown-space", "没有这个车位。")),
)
