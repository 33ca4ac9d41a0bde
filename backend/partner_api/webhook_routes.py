"""A partner's own endpoint: where notices go, what became of each, and sending one again."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from backend import notices
from backend.citizens import answers
from backend.kit.clock import to_text
from backend.kit.db import Row, Tx
from backend.kit.problems import Problem
from backend.kit.services import Services
from backend.notices import DeliveryState, EndpointRefused, NoticeType, Policy
from backend.partner_api import webhook_documents as documents
from backend.partner_api.gate import Gate
from backend.partner_api.signed import Signed, answering_problems, signed_request

ENDPOINT_BYTES_MAX = 8_192
PAGE_DEFAULT = 50
PAGE_MAX = 200

PartnerId = Annotated[str, Path(description="The partner's id", examples=["metro"])]
DeliveryId = Annotated[
    str, Path(description="`delivery_id`, or the `webhook-id` your endpoint was shown")
]


class _EndpointRequest(msgspec.Struct, forbid_unknown_fields=True):
    url: str
    types: list[NoticeType] = msgspec.field(default_factory=lambda: list(notices.TYPES))
    rotate: bool = True


_decode = msgspec.json.Decoder(_EndpointRequest).decode


def add_webhook(router: APIRouter, services: Services, gate: Gate) -> None:
    """The routes `/webhook` and `/deliveries`."""
    _add_reading(router, services, gate)
    _add_entering(router, services, gate)
    _add_listing(router, services, gate)
    _add_delivery(router, services, gate)
    _add_replay(router, services, gate)


def _add_reading(router: APIRouter, services: Services, gate: Gate) -> None:
    @router.get(
        "/webhook",
        response_class=Response,
        responses=documents.READ_RESPONSES,
        openapi_extra=documents.READING_EXTRA,
        summary="Your endpoint as it stands",
    )
    @answering_problems
    async def read_webhook(request: Request, partner_id: PartnerId) -> Response:
        """Where notices go, whether a ping has been answered there, when each secret ends."""
        with gate.holding_bytes() as held:
            await signed_request(services, request, partner_id, held)
        async with services.db.transaction(readonly=True) as tx:
            return _json(await _endpoint(tx, services, partner_id))


def _add_entering(router: APIRouter, services: Services, gate: Gate) -> None:
    policy = Policy.of(services.settings)

    @router.put(
        "/webhook",
        response_class=Response,
        responses=documents.PUT_RESPONSES,
        openapi_extra=documents.PUT_EXTRA,
        summary="Enter or change your endpoint; makes a new secret and sends a ping",
    )
    @answering_problems
    async def put_webhook(request: Request, partner_id: PartnerId) -> Response:
        """The new secret is in this answer and nowhere else; the one before signs 24 h more."""
        with gate.holding_bytes() as held:
            signed = await signed_request(
                services, request, partner_id, held, bytes_max=ENDPOINT_BYTES_MAX
            )
        asked = _endpoint_request(signed.sent)
        try:
            await notices.judge(policy, asked.url)
        except EndpointRefused as refused:
            raise Problem(422, refused.name, refused.detail) from None

        async def put(tx: Tx) -> answers.Answer:
            entered = await notices.put_endpoint(
                tx,
                services.vault,
                partner_id,
                url=asked.url,
                types=asked.types,
                rotate=asked.rotate,
                now=services.clock.now(),
            )
            made = {"secret": entered.secret, "ping_delivery_id": entered.ping_id}
            return _answer(await _endpoint(tx, services, partner_id) | made)

        return await _once(services, request, signed, put)


def _add_listing(router: APIRouter, services: Services, gate: Gate) -> None:
    @router.get(
        "/deliveries",
        response_class=Response,
        responses=documents.LIST_RESPONSES,
        openapi_extra=documents.READING_EXTRA,
        summary="What was sent to you, newest first",
    )
    @answering_problems
    async def list_deliveries(
        request: Request,
        partner_id: PartnerId,
        state: Annotated[
            DeliveryState | None, Query(description="`dead`: given up, to be replayed")
        ] = None,
        cursor: Annotated[str | None, Query(description="As the page before named it")] = None,
        limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = PAGE_DEFAULT,
    ) -> Response:
        """Every delivery with its state; those given up are the dead letters."""
        with gate.holding_bytes() as held:
            await signed_request(services, request, partner_id, held)
        before = None if cursor is None else _uuid(cursor)
        if cursor is not None and before is None:
            raise Problem(422, "bad-shape", "cursor 须为上一页给出的值")
        async with services.db.transaction(readonly=True) as tx:
            rows = await notices.list_deliveries(
                tx, partner_id, state=state, before=before, limit=limit + 1
            )
        shown = [_delivery(row) for row in rows[:limit]]
        more = len(rows) > limit
        return _json({"items": shown, "next_cursor": shown[-1]["delivery_id"] if more else None})


def _add_delivery(router: APIRouter, services: Services, gate: Gate) -> None:
    @router.get(
        "/deliveries/{delivery_id}",
        response_class=Response,
        responses=documents.DELIVERY_RESPONSES,
        openapi_extra=documents.READING_EXTRA,
        summary="One delivery with its content and every attempt",
    )
    @answering_problems
    async def read_delivery(
        request: Request, partner_id: PartnerId, delivery_id: DeliveryId
    ) -> Response:
        """What was sent, when each attempt was made and what your endpoint answered."""
        with gate.holding_bytes() as held:
            await signed_request(services, request, partner_id, held)
        wanted = _delivery_id(delivery_id)
        async with services.db.transaction(readonly=True) as tx:
            found = await notices.read_delivery(tx, partner_id, wanted)
        if found is None:
            raise _unknown(delivery_id)
        row, attempts = found
        tried = [
            {**each, "started_at": to_text(each["started_at"])} for each in map(dict, attempts)
        ]
        return _json(_delivery(row) | {"body": msgspec.Raw(row["body"]), "attempts": tried})


def _add_replay(router: APIRouter, services: Services, gate: Gate) -> None:
    @router.post(
        "/deliveries/{delivery_id}/replay",
        status_code=202,
        response_class=Response,
        responses=documents.REPLAY_RESPONSES,
        openapi_extra=documents.REPLAY_EXTRA,
        summary="Send a delivery again",
    )
    @answering_problems
    async def replay(request: Request, partner_id: PartnerId, delivery_id: DeliveryId) -> Response:
        """From the start of the schedule, with the same `webhook-id` and content. No body."""
        with gate.holding_bytes() as held:
            signed = await signed_request(services, request, partner_id, held)
        wanted = _delivery_id(delivery_id)

        async def again(tx: Tx) -> answers.Answer:
            row = await notices.replay(tx, partner_id, wanted, services.clock.now())
            return _answer(_delivery(row), 202)

        return await _once(services, request, signed, again)


async def _once(
    services: Services,
    request: Request,
    signed: Signed,
    write: Callable[[Tx], Awaitable[answers.Answer]],
) -> Response:
    """The write in one commit, and once for each Idempotency-Key of a partner and route."""
    asked = answers.Request(
        scope=f"partner {signed.partner.partner_id} {request.method} {request.url.path}",
        key=request.headers.get("idempotency-key"),
        body=signed.sent,
    )
    async with services.db.transaction() as tx:

        async def make() -> answers.Answer:
            return await write(tx)

        answer = await answers.once(tx, services.vault, services.clock, asked, make)
    # The answer may hold a secret: nobody on the way keeps it.
    return Response(
        answer.body,
        answer.status,
        media_type="application/json",
        headers={"Cache-Control": "no-store"},
    )


def _endpoint_request(sent: bytes) -> _EndpointRequest:
    try:
        return _decode(sent)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Problem(
            422,
            "bad-shape",
            f"请求体须为 {{url, types, rotate}};types 可取 {'、'.join(notices.TYPES)}",
        ) from error


async def _endpoint(tx: Tx, services: Services, partner_id: str) -> dict[str, Any]:
    stands = await notices.read_endpoint(tx, partner_id, services.clock.now())
    if stands is None:
        raise Problem(404, "no-webhook", "尚未登记通知地址,请先 PUT", partner_id=partner_id)
    return {
        "partner_id": partner_id,
        "url": stands.url,
        "types": stands.types,
        "state": stands.state,
        "updated_at": to_text(stands.updated_at),
        "verified_at": _text(stands.verified_at),
        "stopped_at": _text(stands.stopped_at),
        "quiet_until": _text(stands.quiet_until),
        "secrets": [
            {"valid_from": to_text(each.valid_from), "valid_to": _text(each.valid_to)}
            for each in stands.secrets
        ],
    }


def _delivery(row: Row | dict[str, Any]) -> dict[str, Any]:
    delivery_id: UUID = row["delivery_id"]
    return {
        "delivery_id": str(delivery_id),
        "webhook_id": notices.message_id(delivery_id),
        "type": row["type"],
        "state": row["state"],
        "told_at": to_text(row["told_at"]),
        "next_attempt_at": to_text(row["due_at"]) if row["state"] == "waiting" else None,
        "tries": row["tries"],
        "last_status": row["last_status"],
        "last_error": row["last_error"],
        "settled_at": _text(row["settled_at"]),
    }


def _delivery_id(text: str) -> UUID:
    found = _uuid(text.removeprefix("msg_"))
    if found is None:
        raise _unknown(text)
    return found


def _unknown(text: str) -> Problem:
    return Problem(404, "unknown-delivery", "没有这次通知", delivery_id=text[:64])


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _text(instant: Any) -> str | None:
    return None if instant is None else to_text(instant)


def _answer(document: dict[str, Any], status: int = 200) -> answers.Answer:
    return answers.Answer(status, msgspec.json.encode(document))


def _json(document: dict[str, Any]) -> Response:
    return Response(msgspec.json.encode(document), media_type="application/json")
