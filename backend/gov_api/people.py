"""`/officials` and `/requests`: who holds office, and changes that two administrators settle."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field

from backend import officials
from backend.flows import change_official
from backend.gov_api.accounts import OfficialOut, User, official_out
from backend.gov_api.gate import GATED, Gate
from backend.gov_api.office import Office
from backend.gov_api.writing import ON_CHAIN, WRITE, IdempotencyKey, In, Once, example
from backend.kit.openapi import BAD_SHAPE, Refusal, refusals
from backend.officials import Session

NOT_YOURSELF: Refusal = (403, "not-about-yourself", "不能办理关于自己账号的申请。")
SECOND: Refusal = (403, "second-person-needed", "须由另一位管理员确认。")
UNKNOWN_OFFICIAL: Refusal = (404, "unknown-official", "没有这位人员。")
UNKNOWN_REQUEST: Refusal = (404, "unknown-request", "没有这项申请。")
CONFLICT: Refusal = (409, "official-conflict", "人员标识已另有登记。")
ROLE_CONFLICT: Refusal = (409, "role-conflict", "管理类角色与业务角色不得由同一人担任。")
SETTLED: Refusal = (409, "request-settled", "这项申请已经办结。")
LAST: Refusal = (409, "last-administrators", "至少须保留两位可以互相确认的管理员。")
BAD_REQUEST: Refusal = (422, "bad-request-of-account", "角色缺失、多余或不存在。")

Cursor = Annotated[UUID | None, Query(description="`next_cursor` before")]
Limit = Annotated[int, Query(ge=1, le=200)]


class RequestIn(In):
    """A change to an account. `role` for enrol, grant and revoke; `name` for enrol alone."""

    model_config = example(
        {
            "act": "enrol",
            "user": "li-ming",
            "name": "李明",
            "role": "drafter",
            "reason": "新任规则起草人",
        }
    )

    act: Literal["enrol", "grant", "revoke", "reset", "suspend", "restore"]
    user: User
    role: Annotated[str, Field(max_length=32)] | None = None
    name: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    reason: Annotated[str, Field(min_length=1, max_length=500)]


class RequestOut(BaseModel):
    """A request for a change to an account, open or settled.

    `code_half` is shown once: the asker's with the asking, the confirmer's with the confirmation;
    the person concerned needs both, joined by a hyphen.
    """

    request_id: UUID
    act: str
    user: str
    name: str | None
    role: str | None
    reason: str
    state: Literal["open", "confirmed", "refused"]
    asked_by: str
    asked_at: datetime
    settled_by: str | None
    settled_at: datetime | None
    code_half: str | None = None


class OfficialPage(BaseModel):
    """Everyone, by id."""

    items: list[OfficialOut]
    next_cursor: None = None


class RequestPage(BaseModel):
    """Requests, newest first."""

    items: list[RequestOut]
    next_cursor: UUID | None


def router(office: Office) -> APIRouter:
    """The routes."""
    door = APIRouter()
    _add_reading(door, office)
    _add_requests(door, office)
    return door


def _add_reading(door: APIRouter, office: Office) -> None:
    services = office.services
    reads = Gate(services).require("officials.read")

    @door.get("/officials", summary="Everyone in office", responses=refusals(*GATED))
    async def listed(_session: Annotated[Session, Depends(reads)]) -> OfficialPage:
        async with services.db.transaction(readonly=True) as tx:
            found = await officials.listed(tx)
        return OfficialPage(items=[official_out(each) for each in found])

    @door.get(
        "/requests",
        summary="Account changes asked for and settled",
        responses=refusals(*GATED, BAD_SHAPE),
    )
    async def asked(
        _session: Annotated[Session, Depends(reads)], cursor: Cursor = None, limit: Limit = 50
    ) -> RequestPage:
        async with services.db.transaction(readonly=True) as tx:
            found = await officials.requests.requests(tx, before=cursor, limit=limit + 1)
        more = len(found) > limit
        return RequestPage(
            items=[request_out(each) for each in found[:limit]],
            next_cursor=found[limit - 1].request_id if more else None,
        )


def _add_requests(door: APIRouter, office: Office) -> None:
    services = office.services
    once, gate = Once(services), Gate(services)

    @door.post(
        "/requests",
        summary="Ask for a change to an account; another administrator settles it",
        status_code=201,
        response_model=RequestOut,
        responses=refusals(*GATED, NOT_YOURSELF, UNKNOWN_OFFICIAL, CONFLICT, BAD_REQUEST, *WRITE),
    )
    async def ask(
        request: Request,
        asked: RequestIn,
        session: Annotated[Session, Depends(gate.require("officials.request"))],
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        async def write() -> RequestOut:
            made, half = await change_official.ask(
                services,
                session,
                asked.act,
                asked.user,
                asked.reason,
                role=asked.role,
                name=asked.name,
            )
            return request_out(made, half)

        user = session.official.official_id
        return await once(request, user, idempotency_key, write, status=201)

    for confirm, verb in ((True, "confirm"), (False, "refuse")):
        _add_settling(door, office, once, gate, verb=verb, confirm=confirm)


def _add_settling(
    door: APIRouter, office: Office, once: Once, gate: Gate, *, verb: str, confirm: bool
) -> None:
    @door.post(
        f"/requests/{{request_id}}/{verb}",
        summary=f"{verb.capitalize()} what another administrator asked for",
        operation_id=f"{verb}_request",
        response_model=RequestOut,
        responses=refusals(
            *GATED,
            NOT_YOURSELF,
            SECOND,
            UNKNOWN_REQUEST,
            SETTLED,
            CONFLICT,
            ROLE_CONFLICT,
            LAST,
            *ON_CHAIN,
            *WRITE,
        ),
    )
    async def settle(  # pyright: ignore[reportUnusedFunction]
        request: Request,
        request_id: UUID,
        session: Annotated[Session, Depends(gate.require("officials.settle"))],
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        async def write() -> RequestOut:
            settled = await change_official.settle_request(
                office.services, office.government, session, request_id, confirm=confirm
            )
            return request_out(settled.request, settled.code_half)

        return await once(request, session.official.official_id, idempotency_key, write)


def request_out(request: officials.requests.Request, half: str | None = None) -> RequestOut:
    """A request as the door shows it."""
    return RequestOut(
        request_id=request.request_id,
        act=request.act,
        user=request.official_id,
        name=request.name,
        role=request.role,
        reason=request.reason,
        state=request.state,  # pyright: ignore[reportArgumentType]
        asked_by=request.asked_by,
        asked_at=request.asked_at,
        settled_by=request.settled_by,
        settled_at=request.settled_at,
        code_half=half,
    )
