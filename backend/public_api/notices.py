"""Public notices of rules and methods, and objections anyone may file."""

import time
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from backend.flows.hear_objections import object_to
from backend.kit.openapi import BAD_SHAPE, Refusal, refusals
from backend.kit.problems import Problem
from backend.kit.services import Services
from backend.officials import life
from backend.public_api.rpc import CALLS_PER_MINUTE_MAX, take_calls

OBJECTIONS_PER_MINUTE_MAX = 10

UNKNOWN_NOTICE: Refusal = (404, "unknown-notice", "没有这项公示。")
CLOSED: Refusal = (409, "notice-closed", "公示已经结束。")
FULL: Refusal = (409, "too-many-objections", "异议已达上限,请联系主管部门。")
TOO_MANY: Refusal = (429, "too-many-calls", "提交过于频繁,请稍后再试。")
TOO_LARGE: Refusal = (413, "body-too-large", "请求体过大。")

Cursor = Annotated[UUID | None, Query(description="`next_cursor` before")]
Limit = Annotated[int, Query(ge=1, le=100)]


class ObjectionIn(BaseModel):
    """What speaks against the version on notice; a contact is for the answer and is not shown."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"text": "每日上限对倒班职工不公平。", "contact": "13800000000"}]
        },
    )

    text: Annotated[str, Field(min_length=1, max_length=4_000)]
    contact: Annotated[str, Field(min_length=1, max_length=200)] | None = None


class ObjectionOut(BaseModel):
    """An objection; its text is shown once an official has answered it."""

    objection_id: UUID
    filed_at: datetime
    text: str | None
    answer: str | None
    upheld: bool | None
    answered_at: datetime | None


class NoticeListed(BaseModel):
    """A version on public notice. `document` is the path of the whole document."""

    notice_id: UUID
    what: Literal["rule", "method"]
    id: str
    version: int
    digest: str
    document: str
    opens_at: datetime
    closes_at: datetime


class NoticeWhole(NoticeListed):
    """The notice with its objections."""

    objections: list[ObjectionOut]


class NoticePage(BaseModel):
    """Notices, newest first."""

    items: list[NoticeListed]
    next_cursor: UUID | None


def add_notices(public: APIRouter, services: Services) -> None:
    """`/notices` and their objections."""
    _add_reading(public, services)

    @public.post(
        "/notices/{notice_id}/objections",
        summary="File an objection to a version on public notice",
        status_code=201,
        responses=refusals(UNKNOWN_NOTICE, CLOSED, FULL, TOO_MANY, TOO_LARGE, BAD_SHAPE),
    )
    async def file(  # pyright: ignore[reportUnusedFunction]
        request: Request, notice_id: UUID, asked: ObjectionIn
    ) -> ObjectionOut:
        caller = "" if request.client is None else request.client.host
        calls = CALLS_PER_MINUTE_MAX // OBJECTIONS_PER_MINUTE_MAX
        async with services.db.transaction() as tx:
            free = await take_calls(tx, f"objection {caller}", calls, int(time.time()))
        if not free:
            raise Problem(*TOO_MANY, headers={"Retry-After": "30"})
        return _objection_out(await object_to(services, notice_id, asked.text, asked.contact))


def _add_reading(public: APIRouter, services: Services) -> None:
    @public.get("/notices", summary="Versions on public notice", responses=refusals(BAD_SHAPE))
    async def listed(  # pyright: ignore[reportUnusedFunction]
        cursor: Cursor = None, limit: Limit = 50
    ) -> NoticePage:
        async with services.db.transaction(readonly=True) as tx:
            found = await life.notices(tx, before=cursor, limit=limit + 1)
        return NoticePage(
            items=[_listed_out(each) for each in found[:limit]],
            next_cursor=found[limit - 1].notice_id if len(found) > limit else None,
        )

    @public.get(
        "/notices/{notice_id}",
        summary="One notice with its objections and their answers",
        responses=refusals(UNKNOWN_NOTICE, BAD_SHAPE),
    )
    async def whole(notice_id: UUID) -> NoticeWhole:  # pyright: ignore[reportUnusedFunction]
        async with services.db.transaction(isolation="repeatable_read", readonly=True) as tx:
            notice = await life.notice_of(tx, notice_id)
            if notice is None:
                raise Problem(*UNKNOWN_NOTICE)
            filed = await life.objections(tx, services.vault, notice_id)
        return NoticeWhole(
            **_listed_out(notice).model_dump(),
            objections=[_objection_out(each) for each in filed],
        )


def _listed_out(notice: life.Notice) -> NoticeListed:
    path = "rules" if notice.what == 1 else "methodologies"
    return NoticeListed(
        notice_id=notice.notice_id,
        what="rule" if notice.what == 1 else "method",
        id=notice.id,
        version=notice.version,
        digest=notice.digest.hex(),
        document=f"/public/v1/{path}/{notice.id}/{notice.version}",
        opens_at=notice.opens_at,
        closes_at=notice.closes_at,
    )


def _objection_out(filed: life.ObjectionFiled) -> ObjectionOut:
    return ObjectionOut(
        objection_id=filed.objection_id,
        filed_at=filed.filed_at,
        # What strangers write is shown to strangers only after an official has read it.
        text=None if filed.answer is None else filed.text,
        answer=filed.answer,
        upheld=filed.upheld,
        answered_at=filed.answered_at,
    )
