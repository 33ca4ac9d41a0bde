"""`/partners`: who reports, their keys over time, the notices they were sent."""

import base64
import binascii
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, Field

from backend import notices, partners
from backend.flows import keep_partners
from backend.flows.keep_partners import NewKey
from backend.gov_api.gate import GATED, Gate
from backend.gov_api.office import Office
from backend.gov_api.writing import WRITE, IdempotencyKey, In, Once, example
from backend.kit.openapi import BAD_SHAPE, Refusal, refusals
from backend.kit.problems import Problem
from backend.officials import Session
from backend.partners import KeyEntry

UNKNOWN: Refusal = (404, "unknown-partner", "没有这个合作平台。")
UNKNOWN_KEY: Refusal = (404, "unknown-key", "没有这把密钥。")
UNKNOWN_DELIVERY: Refusal = (404, "unknown-delivery", "没有这次通知。")
UNKNOWN_SCENARIO: Refusal = (422, "unknown-scenario", "没有这个场景。")
NO_REPLAY: Refusal = (422, "replay-in-production", "正式环境不接受历史数据回放。")
KEY_TAKEN: Refusal = (409, "key-id-taken", "该合作平台已有同名密钥。")
TOO_MANY: Refusal = (409, "too-many-keys", "同一时刻最多两把有效密钥。")
BAD_KEY: Refusal = (422, "bad-key", "密钥不合规定。")
WAITING: Refusal = (409, "delivery-waiting", "这次通知仍在按计划投递。")
STOPPED: Refusal = (409, "endpoint-stopped", "通知地址已停用。")

PartnerId = Annotated[str, Path(pattern=r"^[a-z][a-z0-9.-]{0,31}$")]
KeyId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
Hours = Annotated[int, Field(ge=0, le=24 * 90)]
Limit = Annotated[int, Query(ge=1, le=200)]


class PartnerIn(In):
    """A partner as it shall stand from now on."""

    model_config = example(
        {
            "name": "示范地铁",
            "required_scheme": "v1s2",
            "scenarios": ["transit.metro.trip"],
            "replay": False,
        }
    )

    name: Annotated[str, Field(min_length=1, max_length=100)]
    required_scheme: Literal["v1", "v1sm", "v1s2"]
    scenarios: Annotated[list[str], Field(min_length=1, max_length=100)]
    replay: bool = False


class KeyIn(In):
    """A new key. With `overlap_hours` the keys of its purpose end after that time: a rotation."""

    model_config = example(
        {"key_id": "metro-2", "scheme": "v1", "purpose": "webhook", "overlap_hours": 24}
    )

    key_id: KeyId
    scheme: Literal["v1", "v1sm", "v1s2"]
    purpose: Literal["webhook", "statement"] = "webhook"
    public_key: Annotated[str, Field(max_length=128)] | None = Field(
        default=None, description="Of an SM2 key: b64 of the 65-byte point"
    )
    overlap_hours: Hours | None = None


class EndIn(In):
    """After how many hours the key stops counting."""

    model_config = example({"after_hours": 0})

    after_hours: Hours = 0


class KeyOut(BaseModel):
    """A key that stands or stood; a shared secret is never shown again."""

    key_id: str
    scheme: str
    purpose: str
    public_key: str | None
    valid_from: datetime
    valid_to: datetime | None


class KeyMade(BaseModel):
    """A new key; `secret` is shown once and goes to the partner."""

    key_id: str
    secret: str | None
    ended: list[str]


class KeyEnded(BaseModel):
    """When a key stops counting."""

    key_id: str
    ends_at: datetime


class PartnerOut(BaseModel):
    """A partner with its keys."""

    partner_id: str
    name: str
    required_scheme: str
    scenarios: list[str]
    replay: bool
    created_at: datetime
    keys: list[KeyOut]


class PartnerPage(BaseModel):
    """Every partner, by id."""

    items: list[PartnerOut]
    next_cursor: None = None


class DeliveryOut(BaseModel):
    """A notice to a partner; `dead` was given up and can be sent again."""

    delivery_id: UUID
    type: str
    state: str
    told_at: datetime
    tries: int
    last_status: int | None
    last_error: str | None
    settled_at: datetime | None


class DeliveryPage(BaseModel):
    """Notices, newest first."""

    items: list[DeliveryOut]
    next_cursor: UUID | None


def router(office: Office) -> APIRouter:
    """The routes."""
    door = APIRouter()
    _add_partners(door, office)
    _add_keys(door, office)
    _add_deliveries(door, office)
    return door


def _add_partners(door: APIRouter, office: Office) -> None:
    services = office.services
    once, gate = Once(services), Gate(services)

    @door.get("/partners", summary="Every partner with its keys", responses=refusals(*GATED))
    async def listed(
        _session: Annotated[Session, Depends(gate.require("partners.read"))],
    ) -> PartnerPage:
        return PartnerPage(items=await _partners(office))

    @door.put(
        "/partners/{partner_id}",
        summary="Enter a partner, or change its name, scheme and scenarios",
        response_model=PartnerOut,
        responses=refusals(*GATED, UNKNOWN_SCENARIO, NO_REPLAY, *WRITE),
    )
    async def enter(
        request: Request,
        partner_id: PartnerId,
        asked: PartnerIn,
        session: Annotated[Session, Depends(gate.require("partners.manage"))],
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        async def write() -> PartnerOut:
            await keep_partners.enter_partner(
                services,
                session,
                partner_id,
                asked.name,
                asked.required_scheme,
                asked.scenarios,
                replay=asked.replay,
            )
            return (await _partners(office, partner_id))[0]

        return await once(request, session.official.official_id, idempotency_key, write)


def _add_keys(door: APIRouter, office: Office) -> None:
    services = office.services
    once, gate = Once(services), Gate(services)

    @door.post(
        "/partners/{partner_id}/keys",
        summary="Enter a key, or rotate to it; an HMAC secret is shown once",
        status_code=201,
        response_model=KeyMade,
        responses=refusals(*GATED, UNKNOWN, KEY_TAKEN, TOO_MANY, BAD_KEY, *WRITE),
    )
    async def add(
        request: Request,
        partner_id: PartnerId,
        asked: KeyIn,
        session: Annotated[Session, Depends(gate.require("partners.manage"))],
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        async def write() -> KeyMade:
            overlap = None if asked.overlap_hours is None else timedelta(hours=asked.overlap_hours)
            key = NewKey(asked.key_id, asked.scheme, asked.purpose, _point(asked.public_key))
            secret, ended = await keep_partners.add_key(services, session, partner_id, key, overlap)
            return KeyMade(key_id=asked.key_id, secret=secret, ended=ended)

        user = session.official.official_id
        return await once(request, user, idempotency_key, write, status=201)

    @door.post(
        "/partners/{partner_id}/keys/{key_id}/end",
        summary="Let one key end; what it signed stays signed",
        response_model=KeyEnded,
        responses=refusals(*GATED, UNKNOWN_KEY, *WRITE),
    )
    async def end(
        request: Request,
        partner_id: PartnerId,
        key_id: Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")],
        asked: EndIn,
        session: Annotated[Session, Depends(gate.require("partners.manage"))],
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        async def write() -> KeyEnded:
            ends = await keep_partners.end_key(
                services, session, partner_id, key_id, timedelta(hours=asked.after_hours)
            )
            return KeyEnded(key_id=key_id, ends_at=ends)

        return await once(request, session.official.official_id, idempotency_key, write)


def _add_deliveries(door: APIRouter, office: Office) -> None:
    services = office.services
    once, gate = Once(services), Gate(services)

    @door.get(
        "/partners/{partner_id}/deliveries",
        summary="The notices a partner was sent; `state=dead` are the dead letters",
        responses=refusals(*GATED, BAD_SHAPE),
    )
    async def deliveries(
        partner_id: PartnerId,
        _session: Annotated[Session, Depends(gate.require("partners.read"))],
        state: Literal["waiting", "delivered", "dead"] | None = None,
        cursor: Annotated[UUID | None, Query(description="`next_cursor` before")] = None,
        limit: Limit = 50,
    ) -> DeliveryPage:
        async with services.db.transaction(readonly=True) as tx:
            rows = await notices.list_deliveries(
                tx, partner_id, state=state, before=cursor, limit=limit + 1
            )
        items = [_delivery(row) for row in rows[:limit]]
        more = len(rows) > limit
        return DeliveryPage(items=items, next_cursor=items[-1].delivery_id if more else None)

    @door.post(
        "/partners/{partner_id}/deliveries/{delivery_id}/replay",
        summary="Send a settled notice again",
        status_code=202,
        response_model=DeliveryOut,
        responses=refusals(*GATED, UNKNOWN_DELIVERY, WAITING, STOPPED, *WRITE),
    )
    async def replay(
        request: Request,
        partner_id: PartnerId,
        delivery_id: UUID,
        session: Annotated[Session, Depends(gate.require("partners.manage"))],
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        async def write() -> DeliveryOut:
            return _delivery(await keep_partners.replay(services, session, partner_id, delivery_id))

        user = session.official.official_id
        return await once(request, user, idempotency_key, write, status=202)


async def _partners(office: Office, partner_id: str | None = None) -> list[PartnerOut]:
    async with office.services.db.transaction(readonly=True) as tx:
        rows = await tx.fetch(
            """SELECT partner_id, name, required_scheme, scenarios, replay, created_at FROM partner
               WHERE $1::text IS NULL OR partner_id = $1 ORDER BY partner_id""",
            partner_id,
        )
        keys = await partners.key_history(tx, partner_id)
    return [
        PartnerOut(
            **row, keys=[_key(each) for each in keys if each.partner_id == row["partner_id"]]
        )
        for row in rows
    ]


def _key(key: KeyEntry) -> KeyOut:
    point = key.public_key
    return KeyOut(
        key_id=key.key_id,
        scheme=key.scheme,
        purpose=key.purpose,
        public_key=None if point is None else base64.b64encode(point).decode(),
        valid_from=key.valid_from,
        valid_to=key.valid_to,
    )


def _point(text: str | None) -> bytes | None:
    if text is None:
        return None
    try:
        point = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Problem(*BAD_KEY) from error
    if len(point) != 65:
        raise Problem(*BAD_KEY)
    return point


def _delivery(row: Any) -> DeliveryOut:
    return DeliveryOut(**{name: row[name] for name in DeliveryOut.model_fields})
