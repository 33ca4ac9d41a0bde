"""A person's own data: everything in one signed file, and the end of all of it."""

import json
from datetime import date
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field

from backend.flows.erase_person import UNDER_WAY, ask_erasure
from backend.flows.export_person import export_person
from backend.kit.db import Tx
from backend.kit.openapi import refusals
from backend.kit.services import Services
from miniapp_api.once import SIGNED_OUT, WRITE_REFUSALS, Answer, IdempotencyKey, Once, Who

ERASURE_TEXT = (
    "已退出所有设备并撤回全部授权,剩余积分已注销。注销凭证上链后,系统将删除您的身份、"
    "密钥、上报内容与回执盐值;公开日志只留无法还原的摘要。您已下载的回执仍可核验。"
)


class RetiredPoints(BaseModel):
    """Points of one class that were retired."""

    points_class: str = Field(serialization_alias="class")
    points: int


class ErasureOut(BaseModel):
    """What happens now. After `backups_end` no backup holds the data either."""

    retired: list[RetiredPoints]
    backups_end: date
    text: str


class ExportOut(BaseModel):
    """A signed file: SM2 with SM3 over `text`, by the key that signs the log's heads.

    `sm3` is over `document` as canonical JSON (formats.md §1).
    """

    export_id: UUID
    document: dict[str, Any]
    sm3: str
    text: str
    signature: str = Field(description="b64 of DER")
    public_key: str = Field(description="b64 of 65 bytes; stands in trust.json")


def add_own_data(door: APIRouter, services: Services, who: Who) -> None:
    """`DELETE /me` and `GET /export`."""
    once = Once(services)
    _add_export(door, services, who)

    @door.delete(
        "/me",
        summary="Erase me: points are retired on chain first, then all that names me is deleted",
        status_code=202,
        response_model=ErasureOut,
        responses=refusals(SIGNED_OUT, UNDER_WAY, *WRITE_REFUSALS),
    )
    async def erase(
        request: Request,
        citizen_id: Annotated[UUID, Depends(who)],
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        async def write(tx: Tx) -> Answer:
            begun = await ask_erasure(tx, services.clock, services.settings, citizen_id)
            said = ErasureOut(
                retired=[
                    RetiredPoints(points_class=name, points=points)
                    for name, points in begun.points_retired.items()
                ],
                backups_end=begun.backups_end,
                text=ERASURE_TEXT,
            )
            return Answer(202, said.model_dump_json(by_alias=True).encode())

        return await once(request, citizen_id, idempotency_key, write)


def _add_export(door: APIRouter, services: Services, who: Who) -> None:
    @door.get(
        "/export",
        summary="Everything held of me, in one signed file",
        responses=refusals(SIGNED_OUT),
    )
    async def export(citizen_id: Annotated[UUID, Depends(who)]) -> ExportOut:
        async with services.db.transaction(isolation="repeatable_read", readonly=True) as tx:
            made = await export_person(tx, services, citizen_id)
        return ExportOut(
            export_id=made.export_id,
            document=json.loads(made.document),
            sm3=made.sm3,
            text=made.text,
            signature=made.signature,
            public_key=made.public_key,
        )
