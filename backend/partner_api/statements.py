"""The partner's daily statements: what was received, digest by digest, and the co-signature."""

import base64
import binascii
import re
from datetime import date
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from backend import proof
from backend.flows.cosign_statement import StatedDay, close_day, cosign_statement, state_day
from backend.kit.clock import to_text
from backend.kit.problems import Problem
from backend.kit.services import Services
from backend.partner_api import statement_documents as documents
from backend.partner_api.gate import Gate
from backend.partner_api.signed import answering_problems, signed_request
from backend.proof import Cosignature, statements

COSIGNATURE_BYTES_MAX = 1_024
PAGE_MAX = statements.PART_DIGESTS

_DAY = re.compile(r"20[0-9]{2}-[0-9]{2}-[0-9]{2}", re.ASCII)
_CURSOR = re.compile(r"0|[1-9][0-9]{0,11}", re.ASCII)

PartnerId = Annotated[str, Path(description="The partner's id", examples=["metro"])]
Day = Annotated[str, Path(description="A city_day that is over", examples=["2026-11-21"])]


class _CosigningRequest(msgspec.Struct, forbid_unknown_fields=True):
    signature: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


_decode = msgspec.json.Decoder(_CosigningRequest).decode


def add_statements(router: APIRouter, services: Services, gate: Gate) -> None:
    """The routes under `/statements/{day}`."""
    _add_statement(router, services, gate)
    _add_digests(router, services, gate)
    _add_cosigning(router, services, gate)


def _add_statement(router: APIRouter, services: Services, gate: Gate) -> None:
    @router.get(
        "/statements/{day}",
        response_class=Response,
        responses=documents.STATEMENT_RESPONSES,
        openapi_extra=documents.READING_EXTRA,
        summary="What was received on a day",
    )
    @answering_problems
    async def read_statement(request: Request, partner_id: PartnerId, day: Day) -> Response:
        """Count and root of a day that is over, and what its events came to as of now."""
        with gate.holding_bytes() as held:
            await signed_request(services, request, partner_id, held)
        wanted = _day(day)
        async with gate.stating():
            stated = await state_day(
                services.db, services.clock, services.settings.city_tz, partner_id, wanted
            )
        return _json(_statement(stated))


def _add_digests(router: APIRouter, services: Services, gate: Gate) -> None:
    @router.get(
        "/statements/{day}/digests",
        response_class=Response,
        responses=documents.DIGESTS_RESPONSES,
        openapi_extra=documents.READING_EXTRA,
        summary="The event digests under a day's root",
    )
    @answering_problems
    async def read_digests(
        request: Request,
        partner_id: PartnerId,
        day: Day,
        cursor: Annotated[str, Query(description="As the page before named it")] = "0",
        limit: Annotated[int, Query(ge=1, le=PAGE_MAX, description="A page may hold fewer")] = (
            PAGE_MAX
        ),
    ) -> Response:
        """The digests in the order of the tree: compare them with what you sent, then sign."""
        with gate.holding_bytes() as held:
            await signed_request(services, request, partner_id, held)
        wanted = _day(day)
        if not _CURSOR.fullmatch(cursor):
            raise Problem(422, "bad-shape", "cursor 须为上一页给出的值")
        n, place = divmod(int(cursor), statements.PART_DIGESTS)
        async with gate.stating():
            closed = await close_day(
                services.db, services.clock, services.settings.city_tz, partner_id, wanted
            )
        async with services.db.transaction(readonly=True) as tx:
            part = await statements.statement_part(tx, partner_id, wanted, min(n, 2**31 - 1))
        digests = [] if part is None else part.listed[place : place + limit]
        after = int(cursor) + len(digests)
        more = bool(digests) and after < closed.count
        return _json(
            {
                "items": [digest.hex() for digest in digests],
                "next_cursor": str(after) if more else None,
            }
        )


def _add_cosigning(router: APIRouter, services: Services, gate: Gate) -> None:
    @router.post(
        "/statements/{day}/cosignature",
        status_code=201,
        response_class=Response,
        responses=documents.COSIGNATURE_RESPONSES,
        openapi_extra=documents.COSIGNATURE_EXTRA,
        summary="Co-sign a day's statement",
    )
    @answering_problems
    async def cosign(request: Request, partner_id: PartnerId, day: Day) -> Response:
        """Keep your SM2 signature over the statement's text; from then on receipts show it."""
        with gate.holding_bytes() as held:
            signed = await signed_request(
                services, request, partner_id, held, bytes_max=COSIGNATURE_BYTES_MAX
            )
        wanted = _day(day)
        signature = _signature(signed.sent)
        async with gate.stating():
            stands = await cosign_statement(
                services.db,
                services.clock,
                services.settings.city_tz,
                partner_id,
                wanted,
                signature,
            )
        return _json({"partner_id": partner_id, "day": day, **_cosignature(stands)}, 201)


def _day(text: str) -> date:
    try:
        if not _DAY.fullmatch(text):
            raise ValueError(text)
        return date.fromisoformat(text)
    except ValueError:
        raise Problem(422, "bad-shape", "日期须写作 YYYY-MM-DD,年份 2000 至 2099") from None


def _signature(sent: bytes) -> bytes:
    try:
        spelled = _decode(sent).signature
        signature = base64.b64decode(spelled, validate=True)
        if base64.b64encode(signature).decode("ascii") != spelled:
            raise ValueError("spare bits are not zero")
    except (msgspec.MsgspecError, binascii.Error, ValueError) as error:
        raise Problem(
            422, "bad-shape", "请求体须为 {signature},值为 DER 签名的标准 base64"
        ) from error
    return signature


def _statement(stated: StatedDay) -> dict[str, Any]:
    statement = stated.statement
    kept = [each for each in stated.sums if each.state == "awarded"]
    points: dict[str, int] = {}
    for each in kept:
        for points_class, amount in each.points.items():
            points[points_class] = points.get(points_class, 0) + amount
    return {
        "partner_id": statement.partner_id,
        "day": statement.day,
        "count": statement.count,
        "root": statement.root.hex(),
        "text": statement.text.decode(),
        "reduction_mg": sum(each.reduction_mg for each in kept),
        "points": points,
        "sums": [
            {
                "scenario": each.scenario,
                "state": each.state,
                "count": each.count,
                "reduction_mg": each.reduction_mg,
                "points": each.points,
            }
            for each in stated.sums
        ],
        "cosignature": None if stated.cosignature is None else _cosignature(stated.cosignature),
    }


def _cosignature(stands: Cosignature) -> dict[str, Any]:
    return {
        "key_id": stands.key_id,
        "signature": proof.trust.key_text(stands.signature),
        "cosigned_at": to_text(stands.cosigned_at),
    }


def _json(document: dict[str, Any], status: int = 200) -> Response:
    return Response(msgspec.json.encode(document), status, media_type="application/json")
