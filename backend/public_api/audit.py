"""Heads of the audit log in public: how many acts in office a day had, sealed in the log."""

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel

from backend import proof
from backend.flows.close_audit_day import head_id_of
from backend.flows.issue_receipt import issue_receipt
from backend.kit.openapi import BAD_SHAPE, Refusal, refusals
from backend.kit.services import Services
from backend.officials import audit

NOT_CLOSED: Refusal = (404, "day-not-closed", "这一天的审计日志还没有结账。")
NOT_CONFIRMED: Refusal = (409, "not-confirmed", "尚未上链存证,请稍后再取回执。")


class HeadOut(BaseModel):
    """A day's head: `head` is the root over its `count` acts; `index` its place in the log."""

    day: date
    count: int
    head: str
    index: int | None


class HeadPage(BaseModel):
    """Closed days, newest first."""

    items: list[HeadOut]
    next_cursor: str | None


def add_audit(public: APIRouter, services: Services) -> None:
    """`/audit` and the receipt of each day."""

    @public.get(
        "/audit",
        summary="Daily heads of the audit log of acts in office",
        responses=refusals(BAD_SHAPE),
    )
    async def listed(  # pyright: ignore[reportUnusedFunction]
        cursor: Annotated[date | None, Query(description="`next_cursor` before")] = None,
        limit: Annotated[int, Query(ge=1, le=100)] = 50,
    ) -> HeadPage:
        async with services.db.transaction(isolation="repeatable_read", readonly=True) as tx:
            known = [e for e in await audit.closed_days(tx) if cursor is None or e.day < cursor]
            found = known[::-1][: limit + 1]
            items: list[HeadOut] = []
            for each in found[:limit]:
                leaf = await proof.leaf_of(tx, each.head_id)
                items.append(
                    HeadOut(
                        day=each.day,
                        count=each.count,
                        head=each.head.hex(),
                        index=None if leaf is None else leaf.index,
                    )
                )
        more = len(found) > limit
        return HeadPage(items=items, next_cursor=str(items[-1].day) if more else None)

    @public.get(
        "/audit/{day}/receipt",
        summary="The receipt of a day's head, to be verified like any other",
        response_class=Response,
        responses={
            200: {
                "description": "tanhui-receipt-v1",
                "content": {"application/json": {"schema": {"type": "object"}}},
            },
            **refusals(NOT_CLOSED, NOT_CONFIRMED, BAD_SHAPE),
        },
    )
    async def receipt(day: date) -> Response:  # pyright: ignore[reportUnusedFunction]
        async with services.db.transaction(isolation="repeatable_read", readonly=True) as tx:
            closed = await head_id_of(tx, day)
            document = await issue_receipt(tx, services.settings, closed.head_id)
        return Response(document, media_type="application/json")
