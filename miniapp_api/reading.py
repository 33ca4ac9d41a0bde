"""What citizens read: who they are, what they consented to, hold, moved, and did."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response

from backend import citizens, views
from backend.flows.issue_receipt import issue_receipt
from backend.kit.openapi import BAD_SHAPE, Refusal, refusals
from backend.kit.problems import Problem
from backend.kit.services import Services
from miniapp_api import shapes
from miniapp_api.once import SIGNED_OUT, Who
from miniapp_api.pages import activity_out, holding_out, movement_out, page_of

UNKNOWN_ACTIVITY: Refusal = (404, "unknown-activity", "没有这项活动。")
NO_RECEIPT: Refusal = (409, "no-points-no-receipt", "这项活动没有产生积分,没有回执。")
NOT_CONFIRMED: Refusal = (409, "not-confirmed", "尚未上链存证,请稍后再取回执")
ERASED: Refusal = (410, "receipt-erased", "该回执的披露信息已按本人要求删除")

Cursor = Annotated[UUID | None, Query(description="`next_cursor` of the page before")]
Limit = Annotated[int, Query(ge=1, le=200)]


def add_reading(door: APIRouter, services: Services, who: Who) -> None:
    """Every GET of the door."""
    _add_person(door, services, who)
    _add_points(door, services, who)
    _add_activities(door, services, who)
    _add_receipt(door, services, who)


def _add_person(door: APIRouter, services: Services, who: Who) -> None:
    @door.get("/me", summary="The citizen as we know them", responses=refusals(SIGNED_OUT))
    async def me(citizen_id: Annotated[UUID, Depends(who)]) -> shapes.Me:
        async with services.db.transaction(readonly=True) as tx:
            person = await views.person_of(tx, citizen_id)
            named = await citizens.identities.named(tx, services.vault, citizen_id)
        if person is None:
            raise Problem(*SIGNED_OUT)
        return shapes.Me(
            citizen_id=person.citizen_id,
            provider=person.provider,
            created_at=person.created_at,
            accounts=[
                shapes.Account(points_class=name, account=account.hex())
                for name, account in person.accounts.items()
            ],
            phone=named.phone,
            under_14=named.under_14,
        )

    @door.get(
        "/consents",
        summary="Consents, newest first",
        responses=refusals(SIGNED_OUT, BAD_SHAPE),
    )
    async def consents(
        citizen_id: Annotated[UUID, Depends(who)], cursor: Cursor = None, limit: Limit = 50
    ) -> shapes.ConsentPage:
        async with services.db.transaction(readonly=True) as tx:
            known = await citizens.consents_of_citizen(
                tx, citizen_id, before=cursor, limit=limit + 1
            )
            partners = await views.partner_cards(tx)
        items = [
            shapes.ConsentOut(
                consent_id=each.consent_id,
                partner_id=each.partner_id,
                partner_name=partners[each.partner_id].name
                if each.partner_id in partners
                else None,
                scenario=each.scenario,
                given_at=each.given_at,
                withdrawn_at=each.withdrawn_at,
            )
            for each in known
        ]
        after = page_of(items, limit, [each.consent_id for each in known])
        return shapes.ConsentPage(items=items[:limit], next_cursor=after)


def _add_points(door: APIRouter, services: Services, who: Who) -> None:
    @door.get("/points", summary="Points held, by class", responses=refusals(SIGNED_OUT))
    async def points(citizen_id: Annotated[UUID, Depends(who)]) -> shapes.Points:
        async with services.db.transaction(isolation="repeatable_read", readonly=True) as tx:
            held = await views.holdings_of(tx, citizen_id)
        return shapes.Points(items=[holding_out(each) for each in held])

    @door.get(
        "/movements",
        summary="What changed the balance, newest first",
        responses=refusals(SIGNED_OUT, BAD_SHAPE),
    )
    async def movements(
        citizen_id: Annotated[UUID, Depends(who)], cursor: Cursor = None, limit: Limit = 50
    ) -> shapes.MovementPage:
        async with services.db.transaction(readonly=True) as tx:
            known = await views.movements_of(tx, citizen_id, before=cursor, limit=limit + 1)
        items = [movement_out(each) for each in known]
        after = page_of(items, limit, [each.movement_id for each in known])
        return shapes.MovementPage(items=items[:limit], next_cursor=after)


def _add_activities(door: APIRouter, services: Services, who: Who) -> None:
    @door.get(
        "/activities",
        summary="Activities with their state, reduction, points, or the reason and what to do",
        responses=refusals(SIGNED_OUT, BAD_SHAPE),
    )
    async def activities(
        citizen_id: Annotated[UUID, Depends(who)], cursor: Cursor = None, limit: Limit = 50
    ) -> shapes.ActivityPage:
        async with services.db.transaction(isolation="repeatable_read", readonly=True) as tx:
            known = await views.activities_of(tx, citizen_id, before=cursor, limit=limit + 1)
        items = [activity_out(each) for each in known]
        after = page_of(items, limit, [each.activity_id for each in known])
        return shapes.ActivityPage(items=items[:limit], next_cursor=after)

    @door.get(
        "/activities/{activity_id}",
        summary="One activity",
        responses=refusals(SIGNED_OUT, UNKNOWN_ACTIVITY, BAD_SHAPE),
    )
    async def activity(
        activity_id: UUID, citizen_id: Annotated[UUID, Depends(who)]
    ) -> shapes.ActivityOut:
        async with services.db.transaction(isolation="repeatable_read", readonly=True) as tx:
            known = await views.activity_of(tx, citizen_id, activity_id)
        if known is None:
            raise Problem(*UNKNOWN_ACTIVITY, activity_id=str(activity_id))
        return activity_out(known)


def _add_receipt(door: APIRouter, services: Services, who: Who) -> None:
    @door.get(
        "/activities/{activity_id}/receipt",
        summary="The receipt of an activity's points, canonical JSON anyone can verify",
        response_class=Response,
        responses={
            200: {
                "description": "tanhui-receipt-v1",
                "content": {"application/json": {"schema": {"type": "object"}}},
            },
            **refusals(SIGNED_OUT, UNKNOWN_ACTIVITY, NO_RECEIPT, NOT_CONFIRMED, ERASED, BAD_SHAPE),
        },
    )
    async def receipt(
        activity_id: UUID,
        citizen_id: Annotated[UUID, Depends(who)],
        form: Literal["full", "share"] = "full",
        programme: Annotated[
            str | None,
            Query(
                description="When an activity earned points of several programmes",
                pattern="^[a-z][a-z0-9.-]{0,31}$",
            ),
        ] = None,
    ) -> Response:
        async with services.db.transaction(isolation="repeatable_read", readonly=True) as tx:
            known = await views.activity_of(tx, citizen_id, activity_id)
            if known is None:
                raise Problem(*UNKNOWN_ACTIVITY, activity_id=str(activity_id))
            transfer = await views.transfer_of_activity(tx, activity_id, programme)
            if transfer is None and known.state == "recorded":
                raise Problem(*NOT_CONFIRMED, activity_id=str(activity_id), next_step="retry")
            if transfer is None:
                raise Problem(*NO_RECEIPT, activity_id=str(activity_id))
            document = await issue_receipt(tx, services.settings, transfer, form)
        return Response(document, media_type="application/json")
