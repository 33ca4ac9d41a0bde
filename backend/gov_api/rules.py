"""`/rules` and `/methods`: draft, submit, approve, notice, enact, stop. One file for both."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from backend import incentive, methodology, views
from backend.flows import rule_life
from backend.flows.enact_rule import What
from backend.flows.own_key import unlock
from backend.flows.rule_life import Life
from backend.flows.rule_words import rule_card
from backend.gov_api import rule_shapes as shapes
from backend.gov_api.accounts import LOCKED, REFUSED
from backend.gov_api.gate import GATED, Gate
from backend.gov_api.office import Office
from backend.gov_api.writing import NOT_DEPLOYED, ON_CHAIN, WRITE, IdempotencyKey, Once
from backend.kit.canonical import loads_strict
from backend.kit.openapi import BAD_SHAPE, Refusal, refusals
from backend.kit.problems import Problem
from backend.kit.services import Services
from backend.officials import Session, life

UNKNOWN: Refusal = (404, "unknown-document", "没有这个版本的文件。")
WRONG_STATE: Refusal = (409, "wrong-state", "这一版现在的状态不能做这一步。")
SUBMITTED: Refusal = (409, "already-submitted", "这一版已提交或已发布,请另起新版本。")
NOT_SIMULATED: Refusal = (409, "not-simulated", "请先对这一版试算,再提交审批。")
OTHER_DIGEST: Refusal = (409, "digest-differs", "文件已变动,请重新查看后再审批。")
OWN_DRAFT: Refusal = (403, "own-draft", "起草人不能审批自己起草的文件。")
NOT_APPROVER: Refusal = (403, "not-an-approver", "只有登记的审批人可以审批。")
WRONG_KEY: Refusal = (403, "wrong-key", "签名密钥不属于这位人员,或签的不是这一版文件。")
NO_KEY: Refusal = (409, "no-key-kept", "系统里没有您的签名密钥。")
NOT_SUBMITTED: Refusal = (409, "not-submitted", "文件尚未提交审批。")
TOO_SHORT: Refusal = (422, "notice-too-short", "公示天数少于规定。")
TOO_EARLY: Refusal = (422, "window-too-early", "生效日须在将来(公示截止之后)。")
NOTICE_OPEN: Refusal = (409, "notice-open", "公示尚未结束。")
OBJECTION_OPEN: Refusal = (409, "objection-open", "还有异议未答复。")
OBJECTION_UPHELD: Refusal = (409, "objection-upheld", "有异议成立,请修改后另起新版本。")
BAD_DOCUMENT: Refusal = (422, "bad-expression", "文件不合规定。")
UNSIGNED: Refusal = (422, "signature-missing", "请给出口令与动态码,或在别处作出的签名。")

SIGNING: tuple[Refusal, ...] = (
    REFUSED, LOCKED, NOT_APPROVER, WRONG_KEY, NO_KEY, UNSIGNED, NOT_DEPLOYED,
)  # fmt: skip
"""What signing with one's own key can answer."""

Name = Annotated[str, Path(pattern=r"^[a-z][a-z0-9.-]{0,31}$")]
Version = Annotated[int, Path(ge=1, le=2**31 - 1)]
Cursor = Annotated[
    str | None,
    Query(pattern=r"^[a-z][a-z0-9.-]{0,31}/[0-9]{1,9}$", description="`next_cursor` before"),
]
Limit = Annotated[int, Query(ge=1, le=100)]

_DOCUMENT_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"type": "object", "description": "A document of formats.md §9"}
            }
        },
    }
}


def router(office: Office) -> APIRouter:
    """The routes."""
    door = APIRouter()
    paths: dict[What, str] = {"rule": "/rules", "method": "/methods"}
    for what, path in paths.items():
        kind = APIRouter(prefix=path)
        _add_reading(kind, office, what)
        _add_drafting(kind, office, what)
        _add_approving(kind, office, what)
        _add_enacting(kind, office, what)
        door.include_router(kind)
    return door


def _add_reading(door: APIRouter, office: Office, what: What) -> None:
    services = office.services
    reads = Gate(services).require("rules.read")

    @door.get(
        "",
        summary=f"Every version of every {what} and where it stands",
        operation_id=f"gov_list_{what}s",
        responses=refusals(*GATED, BAD_SHAPE),
    )
    async def listed(  # pyright: ignore[reportUnusedFunction]
        _session: Annotated[Session, Depends(reads)], cursor: Cursor = None, limit: Limit = 50
    ) -> shapes.DocumentPage:
        after = ("", 0)
        if cursor is not None:
            head, _, tail = cursor.partition("/")
            after = (head, int(tail))
        async with services.db.transaction(isolation="repeatable_read", readonly=True) as tx:
            found = await views.documents_listed(tx, what, after=after, limit=limit + 1)
            lives = [
                await rule_life.life_of(tx, services, what, each.id, each.version, lock=False)
                for each in found[:limit]
            ]
        last = found[limit - 1] if len(found) > limit else None
        return shapes.DocumentPage(
            items=[shapes.DocumentListed(**listed_fields(each)) for each in lives],
            next_cursor=None if last is None else f"{last.id}/{last.version}",
        )

    @door.get(
        "/{name}/{version}",
        summary=f"One version of a {what}: document, card, steps, what approvers sign",
        operation_id=f"gov_read_{what}",
        responses=refusals(*GATED, UNKNOWN, BAD_SHAPE),
    )
    async def whole(  # pyright: ignore[reportUnusedFunction]
        name: Name, version: Version, _session: Annotated[Session, Depends(reads)]
    ) -> shapes.DocumentWhole:
        return await whole_of(services, what, name, version)


def _add_drafting(door: APIRouter, office: Office, what: What) -> None:
    services = office.services
    once, gate = Once(services), Gate(services)

    @door.post(
        "",
        summary=f"Draft a version of a {what}, or draft it anew while it is not submitted",
        operation_id=f"draft_{what}",
        status_code=201,
        response_model=shapes.DocumentWhole,
        responses=refusals(*GATED, BAD_DOCUMENT, SUBMITTED, *WRITE),
        openapi_extra=_DOCUMENT_BODY,
    )
    async def drafted(  # pyright: ignore[reportUnusedFunction]
        request: Request,
        session: Annotated[Session, Depends(gate.require("rules.draft"))],
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        text = await request.body()

        async def write() -> shapes.DocumentWhole:
            made = await rule_life.save_draft(services, session, what, text)
            return await whole_of(services, what, made.id, made.version)

        user = session.official.official_id
        return await once(request, user, idempotency_key, write, status=201)

    @door.post(
        "/{name}/submit",
        summary="Put a draft before the approvers",
        operation_id=f"submit_{what}",
        response_model=shapes.DocumentWhole,
        responses=refusals(*GATED, UNKNOWN, WRONG_STATE, NOT_SIMULATED, *WRITE),
    )
    async def submitted(  # pyright: ignore[reportUnusedFunction]
        request: Request,
        name: Name,
        asked: shapes.VersionIn,
        session: Annotated[Session, Depends(gate.require("rules.submit"))],
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        async def write() -> shapes.DocumentWhole:
            await rule_life.submit(services, session, what, name, asked.version)
            return await whole_of(services, what, name, asked.version)

        return await once(request, session.official.official_id, idempotency_key, write)


def _add_approving(door: APIRouter, office: Office, what: What) -> None:
    services = office.services
    once, gate = Once(services), Gate(services)

    @door.post(
        "/{name}/approve",
        summary="Approve the exact digest with one's own key; two persons' approvals count",
        operation_id=f"approve_{what}",
        response_model=shapes.DocumentWhole,
        responses=refusals(
            *GATED, UNKNOWN, OWN_DRAFT, WRONG_STATE, NOT_SUBMITTED, OTHER_DIGEST, *SIGNING, *WRITE
        ),
    )
    async def approved(  # pyright: ignore[reportUnusedFunction]
        request: Request,
        name: Name,
        asked: shapes.ApproveIn,
        session: Annotated[Session, Depends(gate.require("rules.approve"))],
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        async def write() -> shapes.DocumentWhole:
            await rule_life.approve(
                services,
                session,
                what,
                name,
                asked.version,
                bytes.fromhex(asked.digest),
                await signed_by(services, session, asked),
            )
            return await whole_of(services, what, name, asked.version)

        return await once(request, session.official.official_id, idempotency_key, write)

    @door.post(
        "/{name}/return",
        summary="Send a submitted version back to its drafter",
        operation_id=f"return_{what}",
        response_model=shapes.DocumentWhole,
        responses=refusals(*GATED, UNKNOWN, WRONG_STATE, *WRITE),
    )
    async def returned(  # pyright: ignore[reportUnusedFunction]
        request: Request,
        name: Name,
        asked: shapes.ReturnIn,
        session: Annotated[Session, Depends(gate.require("rules.return"))],
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        async def write() -> shapes.DocumentWhole:
            await rule_life.return_to_drafter(
                services, session, what, name, asked.version, asked.reason
            )
            return await whole_of(services, what, name, asked.version)

        return await once(request, session.official.official_id, idempotency_key, write)


def _add_enacting(door: APIRouter, office: Office, what: What) -> None:
    services = office.services
    once, gate = Once(services), Gate(services)

    @door.post(
        "/{name}/notice",
        summary="Put an approved version on public notice",
        operation_id=f"notice_{what}",
        response_model=shapes.DocumentWhole,
        responses=refusals(*GATED, UNKNOWN, WRONG_STATE, TOO_SHORT, TOO_EARLY, *WRITE),
    )
    async def noticed(  # pyright: ignore[reportUnusedFunction]
        request: Request,
        name: Name,
        asked: shapes.NoticeIn,
        session: Annotated[Session, Depends(gate.require("rules.notice"))],
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        async def write() -> shapes.DocumentWhole:
            await rule_life.give_notice(services, session, what, name, asked.version, asked.days)
            return await whole_of(services, what, name, asked.version)

        return await once(request, session.official.official_id, idempotency_key, write)

    @door.post(
        "/{name}/enact",
        summary="Carry both signatures to the chain once the notice has closed",
        operation_id=f"enact_{what}",
        response_model=shapes.DocumentWhole,
        responses=refusals(
            *GATED,
            UNKNOWN,
            WRONG_STATE,
            NOTICE_OPEN,
            OBJECTION_OPEN,
            OBJECTION_UPHELD,
            TOO_EARLY,
            *ON_CHAIN,
            *WRITE,
        ),
    )
    async def enacted(  # pyright: ignore[reportUnusedFunction]
        request: Request,
        name: Name,
        asked: shapes.VersionIn,
        session: Annotated[Session, Depends(gate.require("rules.enact"))],
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        async def write() -> shapes.DocumentWhole:
            await rule_life.enact(services, office.government, session, what, name, asked.version)
            return await whole_of(services, what, name, asked.version)

        return await once(request, session.official.official_id, idempotency_key, write)


async def signed_by(services: Services, session: Session, asked: shapes.SignIn) -> Any:
    """The official's unlocked key, or the signature they made elsewhere.

    Raises Problem 422 `signature-missing`, and those of `flows.own_key.unlock`.
    """
    if asked.signature is not None:
        return bytes.fromhex(asked.signature[2:])
    if asked.password is None or asked.totp is None:
        raise Problem(*UNSIGNED)
    return await unlock(services, session.official.official_id, asked.password, asked.totp)


async def whole_of(services: Services, what: What, name: str, version: int) -> shapes.DocumentWhole:
    """One version as the door shows it. Raises Problem 404 `unknown-document`."""
    async with services.db.transaction(isolation="repeatable_read", readonly=True) as tx:
        at = await rule_life.life_of(tx, services, what, name, version, lock=False)
        stored = incentive.document_of if what == "rule" else methodology.document_of
        document = await stored(tx, name, version)
        stops = await life.stops(tx, at.version.key)
        signing = await rule_life.to_sign(tx, at.version)
    if document is None:
        raise Problem(*UNKNOWN)
    findings = incentive.review(incentive.read_rule(document)) if what == "rule" else []
    return shapes.DocumentWhole(
        **listed_fields(at),
        document=loads_strict(document),  # pyright: ignore[reportArgumentType]
        card=rule_card(document) if what == "rule" else methodology.card(document),
        steps=[
            shapes.Step(
                step=each.step,
                actor=each.actor,
                at=each.at,
                digest=each.digest.hex(),
                reason=each.reason,
            )
            for each in at.steps
        ],
        stops=[
            shapes.Stop(
                stop_id=each.stop_id,
                day_to=each.day_to,
                reason=each.reason,
                asked_by=each.asked_by,
                asked_at=each.asked_at,
                stopped=at.state == "stopped",
            )
            for each in stops
        ],
        findings=[
            shapes.Finding(name=each.name, rows=list(each.rows), text=str(each))
            for each in findings
        ],
        signing=signing,
    )


def listed_fields(at: Life) -> dict[str, Any]:
    """The members of `DocumentListed`."""
    notice = None
    if at.notice is not None:
        notice = shapes.Notice(
            notice_id=at.notice.notice_id,
            opens_at=at.notice.opens_at,
            closes_at=at.notice.closes_at,
            open_objections=at.open_objections,
            upheld_objections=at.upheld_objections,
        )
    return {
        "id": at.version.id,
        "version": at.version.version,
        "state": at.state,
        "digest": at.version.digest.hex(),
        "day_from": at.version.day_from,
        "day_to": at.version.day_to,
        "drafters": list(at.drafters),
        "approvals": [
            shapes.Approval(
                user=row["official_id"], address=row["address"], approved_at=row["approved_at"]
            )
            for row in at.approvals
        ],
        "notice": notice,
        "refused": at.refused,
    }
