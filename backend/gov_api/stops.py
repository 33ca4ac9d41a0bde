"""Stops of rules and methods, and the answers to objections."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from backend.flows import hear_objections, stop_rule
from backend.flows.enact_rule import What
from backend.gov_api import rule_shapes as shapes
from backend.gov_api.gate import GATED, Gate
from backend.gov_api.office import Office
from backend.gov_api.rules import SIGNING, UNKNOWN, WRONG_STATE, Name, signed_by
from backend.gov_api.writing import NOT_DEPLOYED, ON_CHAIN, WRITE, IdempotencyKey, Once
from backend.kit.openapi import BAD_SHAPE, Refusal, refusals
from backend.kit.problems import Problem
from backend.officials import Session, life

UNKNOWN_STOP: Refusal = (404, "unknown-stop", "没有这项停用令。")
STOP_EARLY: Refusal = (422, "stop-too-early", "早于可以停用的第一天。")
STOP_LATE: Refusal = (422, "stop-not-earlier", "这一版本来就更早结束。")
UNKNOWN_NOTICE: Refusal = (404, "unknown-notice", "没有这项公示。")
UNKNOWN_OBJECTION: Refusal = (404, "unknown-objection", "没有这件异议。")
ANSWERED: Refusal = (409, "already-answered", "这件异议已经答复。")


def router(office: Office) -> APIRouter:
    """The routes."""
    door = APIRouter()
    _add_stop(door, office, "rule", "/rules/{name}/stop")
    _add_stop(door, office, "method", "/methods/{name}/stop")
    _add_signing(door, office)
    _add_objections(door, office)
    return door


def _add_stop(door: APIRouter, office: Office, what: What, path: str) -> None:
    services = office.services
    once, gate = Once(services), Gate(services)

    @door.post(
        path,
        summary=f"Order a {what} to stop, with the reason; two approvers then sign",
        operation_id=f"stop_{what}",
        status_code=201,
        response_model=shapes.Stop,
        responses=refusals(
            *GATED, UNKNOWN, WRONG_STATE, STOP_EARLY, STOP_LATE, NOT_DEPLOYED, *WRITE
        ),
    )
    async def order(  # pyright: ignore[reportUnusedFunction]
        request: Request,
        name: Name,
        asked: shapes.StopIn,
        session: Annotated[Session, Depends(gate.require("rules.stop"))],
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        async def write() -> shapes.Stop:
            stop, typed = await stop_rule.order_stop(
                services, session, what, name, asked.version, asked.reason, asked.day_to
            )
            return _stop_out(stop, typed_data=typed)

        user = session.official.official_id
        return await once(request, user, idempotency_key, write, status=201)


def _add_signing(door: APIRouter, office: Office) -> None:
    services = office.services
    once, gate = Once(services), Gate(services)

    @door.post(
        "/stops/{stop_id}/sign",
        summary="Sign a stop with one's own key; the second signature closes the window",
        response_model=shapes.Stop,
        responses=refusals(
            *GATED, UNKNOWN_STOP, WRONG_STATE, STOP_EARLY, *SIGNING, *ON_CHAIN, *WRITE
        ),
    )
    async def sign(
        request: Request,
        stop_id: UUID,
        asked: shapes.SignIn,
        session: Annotated[Session, Depends(gate.require("rules.stop"))],
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        async def write() -> shapes.Stop:
            signed = await signed_by(services, session, asked)
            found = await stop_rule.sign_stop(services, office.government, session, stop_id, signed)
            if found.reason is not None and not found.stopped:
                raise Problem(502, "chain-refused", f"链上未接受:{found.reason}")
            return _stop_out(found.stop, list(found.approvers), stopped=found.stopped)

        return await once(request, session.official.official_id, idempotency_key, write)


def _add_objections(door: APIRouter, office: Office) -> None:
    services = office.services
    once, gate = Once(services), Gate(services)

    @door.get(
        "/notices/{notice_id}/objections",
        summary="The objections to a notice, contact included",
        responses=refusals(*GATED, UNKNOWN_NOTICE, BAD_SHAPE),
    )
    async def filed(
        notice_id: UUID, _session: Annotated[Session, Depends(gate.require("rules.answer"))]
    ) -> shapes.ObjectionPage:
        async with services.db.transaction(readonly=True) as tx:
            if await life.notice_of(tx, notice_id) is None:
                raise Problem(*UNKNOWN_NOTICE)
            found = await life.objections(tx, services.vault, notice_id)
        return shapes.ObjectionPage(items=[objection_out(each) for each in found])

    @door.post(
        "/objections/{objection_id}/answer",
        summary="Answer an objection in public; an upheld one sends the document back",
        response_model=shapes.Objection,
        responses=refusals(*GATED, UNKNOWN_OBJECTION, ANSWERED, *WRITE),
    )
    async def answer(
        request: Request,
        objection_id: UUID,
        asked: shapes.AnswerIn,
        session: Annotated[Session, Depends(gate.require("rules.answer"))],
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        async def write() -> shapes.Objection:
            return objection_out(
                await hear_objections.answer_objection(
                    services, session, objection_id, asked.answer, upheld=asked.upheld
                )
            )

        return await once(request, session.official.official_id, idempotency_key, write)


def objection_out(found: life.ObjectionFiled) -> shapes.Objection:
    """An objection as officials see it."""
    return shapes.Objection(
        objection_id=found.objection_id,
        notice_id=found.notice_id,
        text=found.text,
        contact=found.contact,
        filed_at=found.filed_at,
        answer=found.answer,
        upheld=found.upheld,
        answered_by=found.answered_by,
        answered_at=found.answered_at,
    )


def _stop_out(
    stop: life.Stop,
    approvers: list[str] | None = None,
    *,
    stopped: bool = False,
    typed_data: dict[str, object] | None = None,
) -> shapes.Stop:
    return shapes.Stop(
        stop_id=stop.stop_id,
        day_to=stop.day_to,
        reason=stop.reason,
        asked_by=stop.asked_by,
        asked_at=stop.asked_at,
        approvers=approvers or [],
        stopped=stopped,
        typed_data=typed_data,
    )
