"""The routes of the partners' door. Each checks the signature before anything else."""

from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from backend import citizens, evidence
from backend.flows.record_events import StatesOf, Terms, record_events
from backend.kit.clock import to_text
from backend.kit.db import Row
from backend.kit.problems import Problem
from backend.kit.services import Services
from backend.partner_api import documents
from backend.partner_api.bodies import SENT_BYTES_MAX, inflate, within_bounds
from backend.partner_api.gate import Gate
from backend.partner_api.signed import answering_problems, signed_request
from backend.partner_api.statements import add_statements

BINDING_BYTES_MAX = 4_096

PartnerId = Annotated[str, Path(description="The partner's id", examples=["metro"])]


class _BindingRequest(msgspec.Struct, forbid_unknown_fields=True):
    code: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    user_ref: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


_decode_binding = msgspec.json.Decoder(_BindingRequest).decode
_decode_answer = msgspec.json.Decoder(dict[str, Any]).decode


def make_router(services: Services, terms: Terms, gate: Gate) -> APIRouter:
    """The door's routes over the open tools of this process."""
    router = APIRouter(prefix="/partner/v1/{partner_id}", tags=["partner"])
    _add_events(router, services, terms, gate)
    _add_bindings(router, services, gate)
    _add_event(router, services, gate, terms.states_of)
    _add_uploads(router, services, gate, terms.states_of)
    add_statements(router, services, gate)
    return router


def _add_events(router: APIRouter, services: Services, terms: Terms, gate: Gate) -> None:
    @router.post(
        "/events",
        status_code=202,
        response_class=Response,
        responses=documents.EVENTS_RESPONSES,
        openapi_extra=documents.EVENTS_EXTRA,
        summary="Report activities",
    )
    @answering_problems
    async def report_events(request: Request, partner_id: PartnerId) -> Response:
        """Record one signed CloudEvent or an array of them; answered once they are durable."""
        with gate.holding_bytes() as held:
            signed = await signed_request(
                services, request, partner_id, held, bytes_max=SENT_BYTES_MAX, gzip_allowed=True
            )
            async with gate.recording():
                data = inflate(signed.sent) if signed.gzipped else within_bounds(signed.sent)
                answer = await record_events(
                    services.db,
                    services.vault,
                    services.clock,
                    terms,
                    signed.partner,
                    signed.request,
                    sent=signed.sent,
                    data=data,
                )
        return Response(answer, status_code=202, media_type="application/json")


def _add_bindings(router: APIRouter, services: Services, gate: Gate) -> None:
    @router.post(
        "/bindings",
        status_code=201,
        response_class=Response,
        responses=documents.BINDINGS_RESPONSES,
        openapi_extra=documents.BINDINGS_EXTRA,
        summary="Exchange a citizen's binding code for a binding token",
    )
    @answering_problems
    async def bind(request: Request, partner_id: PartnerId) -> Response:
        """Exchange the one-time code a citizen was shown for the token that names them to you."""
        with gate.holding_bytes() as held:
            signed = await signed_request(
                services, request, partner_id, held, bytes_max=BINDING_BYTES_MAX
            )
        try:
            asked = _decode_binding(signed.sent)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise Problem(422, "bad-shape", "请求体须为 {code, user_ref},均为非空字符串") from error
        async with services.db.transaction() as tx:
            token = await citizens.exchange_code(
                tx,
                services.vault,
                signed.partner.partner_id,
                asked.code,
                asked.user_ref,
                services.clock,
            )
        return _json({"binding_token": token}, 201)


def _add_event(router: APIRouter, services: Services, gate: Gate, states_of: StatesOf) -> None:
    @router.get(
        "/events/{event_id:path}",
        response_class=Response,
        responses=documents.EVENT_RESPONSES,
        openapi_extra=documents.READING_EXTRA,
        summary="What became of an event",
    )
    @answering_problems
    async def read_event(
        request: Request,
        partner_id: PartnerId,
        event_id: Annotated[str, Path(description="Percent-encoded, slashes included")],
        source: Annotated[
            str | None, Query(description="Needed when two sources share the id")
        ] = None,
    ) -> Response:
        """The state of one event, with the reason if it was refused."""
        with gate.holding_bytes() as held:
            await signed_request(services, request, partner_id, held)
        # PostgreSQL text holds no NUL, so no event has one in its id.
        sought = "\x00" not in event_id and "\x00" not in (source or "")
        async with services.db.transaction(readonly=True) as tx:
            found = await evidence.find_events(tx, partner_id, event_id, source) if sought else []
            if not found:
                raise Problem(404, "unknown-event", "没有这条事件", event_id=event_id[:512])
            if len(found) > 1:
                raise Problem(
                    409,
                    "source-needed",
                    "同一 id 有多个来源,请在查询参数中给出 source",
                    event_id=event_id,
                )
            row = found[0]
            states = await states_of(tx, [row["evidence_id"]])
        return _json(_event_status(row, states[row["evidence_id"]]))


def _add_uploads(router: APIRouter, services: Services, gate: Gate, states_of: StatesOf) -> None:
    @router.get(
        "/uploads/{upload_id}",
        response_class=Response,
        responses=documents.UPLOAD_RESPONSES,
        openapi_extra=documents.READING_EXTRA,
        summary="What became of an upload",
    )
    @answering_problems
    async def read_upload(
        request: Request,
        partner_id: PartnerId,
        upload_id: Annotated[str, Path(description="As the 202 named it")],
    ) -> Response:
        """The answer an upload got, with the present state of each of its events."""
        with gate.holding_bytes() as held:
            await signed_request(services, request, partner_id, held)
        async with services.db.transaction(readonly=True) as tx:
            row = None
            wanted = _uuid(upload_id)
            if wanted is not None:
                row = await evidence.find_upload(tx, partner_id, wanted)
            if row is None:
                raise Problem(404, "unknown-upload", "没有这次上报", upload_id=upload_id[:64])
            answer = _decode_answer(row["answer"])
            ids = [UUID(e["evidence_id"]) for e in answer["events"]]
            states = await states_of(tx, ids)
            fates = await evidence.fates_of(tx, ids)
        for event, evidence_id in zip(answer["events"], ids, strict=True):
            fate = fates[evidence_id]
            event["state"] = states[evidence_id]
            event["reason"] = fate.reason
            event["duplicate"] = fate.upload_id != wanted
        answer["webhook_id"] = row["webhook_id"]
        answer["received_at"] = to_text(row["received_at"])
        answer["event_count"] = row["event_count"]
        return _json(answer)


def _event_status(row: Row, state: str) -> dict[str, Any]:
    return {
        "event_id": row["event_id"],
        "source": row["source"],
        "evidence_id": row["evidence_id"],
        "upload_id": row["upload_id"],
        "type": row["scenario"],
        "time": row["occurred_text"],
        "originaltime": row["originaltime"],
        "city_day": row["city_day"],
        "event_digest": row["event_digest"].hex(),
        "origin": row["origin"],
        "evidence_level": row["evidence_level"],
        "recorded_at": to_text(row["recorded_at"]),
        "state": state,
        "reason": row["reason"],
        "reduction_mg": row["reduction_mg"],
        "stands_instead": None
        if row["instead_id"] is None
        else {
            "evidence_id": row["instead_id"],
            "partner_id": row["instead_partner"],
            "event_id": row["instead_event"],
        },
    }


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _json(document: dict[str, Any], status: int = 200) -> Response:
    return Response(msgspec.json.encode(document), status, media_type="application/json")
