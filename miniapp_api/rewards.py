"""Rewards: the catalogue, redeeming, what was handed over, and its receipt."""

from datetime import date, datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from backend.flows.issue_receipt import issue_receipt
from backend.flows.redeem_points import REFUSALS, Shop, agree_redemption, hand_over
from backend.flows.refund_redemption import CITIZENS_REFUSALS, give_back
from backend.kit.clock import city_day
from backend.kit.db import Tx
from backend.kit.openapi import BAD_SHAPE, Refusal, refusals
from backend.kit.problems import Problem
from backend.kit.services import Services
from backend.rewards import Policy, Redemption, Reward, catalogue, redemptions
from miniapp_api.once import (
    KEY_NEEDED,
    SIGNED_OUT,
    WRITE_REFUSALS,
    Answer,
    NeededKey,
    Once,
    Who,
)
from miniapp_api.reading import ERASED, NOT_CONFIRMED, Cursor, Limit
from miniapp_api.shapes import Id

UNKNOWN_REDEMPTION: Refusal = (404, "unknown-redemption", "没有这笔兑换。")

STATES = {
    "held": "积分已预扣,正在向供应方取货,通常几秒内完成。",
    "unknown": "供应方暂未答复,系统会继续查询;积分仍为您保留,不会重复扣减。",
    "posted": "兑换成功。",
    "voided": "未能兑换,预扣的积分已退回。",
    "refunded": "已退回,积分已返还。",
}


class RewardOut(BaseModel):
    """One reward. `refused` names why points of this class cannot buy it here, if so."""

    reward_id: str
    name: str
    kind: Literal["coupon", "transit", "ecny", "tree"]
    points_class: str = Field(serialization_alias="class")
    price_points: int
    face_fen: int | None
    stock: int
    per_person: int | None
    valid_days: int | None
    terms: str
    day_to: date | None
    refundable: bool
    refused: str | None


class RewardPage(BaseModel):
    """The catalogue of today, in the order of ids."""

    items: list[RewardOut]
    next_cursor: str | None


class RedemptionIn(BaseModel):
    """Which reward."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [{"reward_id": "metro-day-ticket"}]},
    )

    reward_id: Id


class RedemptionOut(BaseModel):
    """One redemption. `code` is what was handed over, from `posted` on."""

    redemption_id: UUID
    reward_id: str
    points_class: str = Field(serialization_alias="class")
    price_points: int
    state: Literal["held", "unknown", "posted", "voided", "refunded"]
    state_text: str
    reason: str | None
    code: str | None
    valid_to: date | None
    created_at: datetime
    settled_at: datetime | None


class RedemptionPage(BaseModel):
    """Redemptions, newest first."""

    items: list[RedemptionOut]
    next_cursor: str | None


def add_rewards(door: APIRouter, services: Services, who: Who) -> None:
    """`GET /rewards`, `POST|GET /redemptions[/{id}]`, its receipt and its refund."""
    shop = Shop.of(services)
    _add_catalogue(door, services, who)
    _add_redeeming(door, services, who, shop)
    _add_redeemed(door, services, who)
    _add_receipt(door, services, who)
    _add_refund(door, services, who, shop)


def _add_catalogue(door: APIRouter, services: Services, who: Who) -> None:
    @door.get(
        "/rewards", summary="What points buy today", responses=refusals(SIGNED_OUT, BAD_SHAPE)
    )
    async def rewards(
        citizen_id: Annotated[UUID, Depends(who)],
        cursor: Annotated[Id | None, Query(description="`next_cursor` of the page before")] = None,
        limit: Limit = 50,
    ) -> RewardPage:
        del citizen_id
        today = city_day(services.clock.now(), services.settings.city_tz)
        async with services.db.transaction(isolation="repeatable_read", readonly=True) as tx:
            known = await catalogue.rewards_on_offer(tx, today, after=cursor, limit=limit + 1)
            laws = await catalogue.policies(tx)
        items = [_reward(each, laws.get(each.points_class)) for each in known[:limit]]
        after = items[-1].reward_id if len(known) > limit else None
        return RewardPage(items=items, next_cursor=after)


def _add_redeeming(door: APIRouter, services: Services, who: Who, shop: Shop) -> None:
    once = Once(services)

    @door.post(
        "/redemptions",
        summary="Buy a reward: points are set aside, then it is handed over",
        status_code=201,
        response_model=RedemptionOut,
        responses=refusals(SIGNED_OUT, KEY_NEEDED, *REFUSALS, *WRITE_REFUSALS),
    )
    async def redeem(
        request: Request,
        asked: RedemptionIn,
        citizen_id: Annotated[UUID, Depends(who)],
        idempotency_key: NeededKey = None,
    ) -> Response:
        """The answer tells the state at the moment of agreement; `GET` tells what came of it."""
        agreed: list[UUID] = []

        async def write(tx: Tx) -> Answer:
            redemption = await agree_redemption(tx, shop, citizen_id, asked.reward_id)
            agreed.append(redemption.redemption_id)
            return Answer(
                201, _redemption(redemption, None).model_dump_json(by_alias=True).encode()
            )

        answer = await once(request, citizen_id, idempotency_key, write, needed=True)
        for redemption_id in agreed:
            # The supplier is asked at once; what it leaves open, the worker resolves.
            await hand_over(shop, redemption_id)
        return answer


def _add_redeemed(door: APIRouter, services: Services, who: Who) -> None:
    @door.get(
        "/redemptions",
        summary="Redemptions, newest first",
        responses=refusals(SIGNED_OUT, BAD_SHAPE),
    )
    async def redeemed(
        citizen_id: Annotated[UUID, Depends(who)], cursor: Cursor = None, limit: Limit = 50
    ) -> RedemptionPage:
        async with services.db.transaction(readonly=True) as tx:
            known = await redemptions.redemptions_of(tx, citizen_id, before=cursor, limit=limit + 1)
        items = [_redemption(each, each.code(services.vault)) for each in known[:limit]]
        after = str(items[-1].redemption_id) if len(known) > limit else None
        return RedemptionPage(items=items, next_cursor=after)

    @door.get(
        "/redemptions/{redemption_id}",
        summary="One redemption with what was handed over",
        responses=refusals(SIGNED_OUT, UNKNOWN_REDEMPTION, BAD_SHAPE),
    )
    async def redemption(
        redemption_id: UUID, citizen_id: Annotated[UUID, Depends(who)]
    ) -> RedemptionOut:
        async with services.db.transaction(readonly=True) as tx:
            known = await _mine(tx, redemption_id, citizen_id)
        return _redemption(known, known.code(services.vault))


def _add_receipt(door: APIRouter, services: Services, who: Who) -> None:
    @door.get(
        "/redemptions/{redemption_id}/receipt",
        summary="The receipt of a redemption, canonical JSON anyone can verify",
        response_class=Response,
        responses={
            200: {
                "description": "tanhui-receipt-v1",
                "content": {"application/json": {"schema": {"type": "object"}}},
            },
            **refusals(SIGNED_OUT, UNKNOWN_REDEMPTION, NOT_CONFIRMED, ERASED, BAD_SHAPE),
        },
    )
    async def receipt(
        redemption_id: UUID,
        citizen_id: Annotated[UUID, Depends(who)],
        form: Literal["full", "share"] = "full",
    ) -> Response:
        async with services.db.transaction(isolation="repeatable_read", readonly=True) as tx:
            await _mine(tx, redemption_id, citizen_id)
            document = await issue_receipt(tx, services.settings, redemption_id, form)
        return Response(document, media_type="application/json")


def _add_refund(door: APIRouter, services: Services, who: Who, shop: Shop) -> None:
    @door.post(
        "/redemptions/{redemption_id}/refund",
        summary="Give an unused reward back; the points return to the lots they came from",
        responses=refusals(
            SIGNED_OUT, UNKNOWN_REDEMPTION, KEY_NEEDED, *CITIZENS_REFUSALS, *WRITE_REFUSALS
        ),
    )
    async def refund(
        redemption_id: UUID,
        citizen_id: Annotated[UUID, Depends(who)],
        idempotency_key: NeededKey = None,
    ) -> RedemptionOut:
        """A redemption comes back at most once, so the same request again is answered the same."""
        if idempotency_key is None:
            raise Problem(*KEY_NEEDED)
        async with services.db.transaction(readonly=True) as tx:
            await _mine(tx, redemption_id, citizen_id)
        given_back = await give_back(shop, redemption_id)
        return _redemption(given_back, None)


async def _mine(tx: Tx, redemption_id: UUID, citizen_id: UUID) -> Redemption:
    known = await redemptions.redemption_of(tx, redemption_id, citizen_id=citizen_id)
    if known is None:
        raise Problem(*UNKNOWN_REDEMPTION, redemption_id=str(redemption_id))
    return known


def _reward(known: Reward, policy: Policy | None) -> RewardOut:
    return RewardOut(
        reward_id=known.reward_id,
        name=known.name,
        kind=known.kind,
        points_class=known.points_class,
        price_points=known.price_points,
        face_fen=known.face_fen,
        stock=known.stock,
        per_person=known.per_person,
        valid_days=known.valid_days,
        terms=known.terms,
        day_to=known.day_to,
        refundable=known.refundable,
        refused=catalogue.refusal_of(known, policy),
    )


def _redemption(known: Redemption, code: str | None) -> RedemptionOut:
    return RedemptionOut(
        redemption_id=known.redemption_id,
        reward_id=known.reward_id,
        points_class=known.points_class,
        price_points=known.price_points,
        state=known.state,
        state_text=STATES[known.state],
        # Why a supplier is silent is the operator's matter; why it refused is the citizen's.
        reason=None if known.state == "unknown" else known.reason,
        code=code if known.state == "posted" else None,
        valid_to=known.valid_to,
        created_at=known.created_at,
        settled_at=known.settled_at,
    )
