"""The catalogue of rewards, its stock, and what the law of a place allows with points."""

from datetime import date
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import BaseModel, Field, model_validator

from backend.flows import keep_shop
from backend.gov_api.gate import GATED, Gate
from backend.gov_api.office import Office
from backend.gov_api.writing import KEY_NEEDED, WRITE, IdempotencyKey, In, Once, example
from backend.kit.openapi import BAD_SHAPE, refusals
from backend.officials import Session
from backend.rewards import Policy, Reward, catalogue

Id = Annotated[str, Path(pattern=r"^[a-z][a-z0-9.-]{0,31}$")]
Code = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[!-~]+$")]


class RewardIn(In):
    """All of a reward but its stock."""

    model_config = example(
        {
            "name": "地铁单程票 1 张",
            "kind": "transit",
            "supplier": "tickets",
            "points_class": "carbon",
            "price_points": 5,
            "face_fen": 300,
            "per_person": None,
            "valid_days": 90,
            "terms": "90 天内有效;未使用可退。",
            "day_from": "2026-01-01",
            "day_to": None,
            "refundable": True,
        }
    )

    name: Annotated[str, Field(min_length=1, max_length=60)]
    kind: Literal["coupon", "transit", "ecny", "tree"]
    supplier: Annotated[str, Field(pattern=r"^[a-z][a-z0-9.-]{0,31}$")]
    points_class: Annotated[str, Field(pattern=r"^[a-z][a-z0-9.-]{0,31}$")]
    price_points: Annotated[int, Field(ge=1, le=10**9)]
    face_fen: Annotated[int, Field(ge=1, le=10**9)] | None = None
    per_person: Annotated[int, Field(ge=1, le=10**6)] | None = None
    valid_days: Annotated[int, Field(ge=1, le=3_650)] | None = None
    terms: Annotated[str, Field(max_length=1_000)]
    day_from: date
    day_to: date | None = None
    refundable: bool

    @model_validator(mode="after")
    def _in_order(self) -> "RewardIn":
        if self.day_to is not None and self.day_to <= self.day_from:
            raise ValueError("day_to comes after day_from")
        return self


class RewardOut(BaseModel):
    """One reward with its stock."""

    reward_id: str
    name: str
    kind: str
    supplier: str
    points_class: str
    price_points: int
    face_fen: int | None
    stock: int
    per_person: int | None
    valid_days: int | None
    terms: str
    day_from: date
    day_to: date | None
    refundable: bool


class Rewards(BaseModel):
    """Every reward, also those not on offer today."""

    items: list[RewardOut]


class StockIn(In):
    """Codes to hand out, or how many more the supplier has promised."""

    model_config = example({"codes": [], "count": 100})

    codes: Annotated[list[Code], Field(max_length=500, default_factory=list)]
    count: Annotated[int, Field(ge=0, le=10**6)] = 0


class PolicyBody(In):
    """What the law of a place lets happen to points of a class."""

    model_config = example({"jurisdiction": "shenzhen", "debit": "holder", "cash_out": False})

    jurisdiction: Annotated[str, Field(min_length=1, max_length=60)]
    debit: Literal["holder", "nobody"]
    cash_out: bool


class PolicyOut(PolicyBody):
    """The policy of a class."""

    points_class: str


class Policies(BaseModel):
    """The policies that were set."""

    items: list[PolicyOut]


def router(office: Office) -> APIRouter:
    """The routes."""
    door = APIRouter()
    _add_reading(door, office)
    _add_keeping(door, office)
    _add_policy(door, office)
    return door


def _add_reading(door: APIRouter, office: Office) -> None:
    services, gate = office.services, Gate(office.services)

    @door.get("/rewards", summary="Every reward with its stock", responses=refusals(*GATED))
    async def listed(
        _session: Annotated[Session, Depends(gate.require("rewards.read"))],
    ) -> Rewards:
        async with services.db.transaction(readonly=True) as tx:
            return Rewards(items=[_reward(each) for each in await catalogue.all_rewards(tx)])

    @door.get(
        "/points-policies",
        summary="What points of each class may be used for",
        responses=refusals(*GATED),
    )
    async def allowed(
        _session: Annotated[Session, Depends(gate.require("rewards.read"))],
    ) -> Policies:
        async with services.db.transaction(readonly=True) as tx:
            known = await catalogue.policies(tx)
        return Policies(items=[_policy(known[name]) for name in sorted(known)])


def _add_keeping(door: APIRouter, office: Office) -> None:
    services, gate, once = office.services, Gate(office.services), Once(office.services)

    @door.put(
        "/rewards/{reward_id}",
        summary="Enter a reward, or change all of it but its stock",
        response_model=RewardOut,
        responses=refusals(*GATED, keep_shop.UNKNOWN_CLASS, *WRITE),
    )
    async def keep(
        request: Request,
        reward_id: Id,
        asked: RewardIn,
        session: Annotated[Session, Depends(gate.require("rewards.manage"))],
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        async def write() -> RewardOut:
            reward = Reward(reward_id=reward_id, stock=0, **asked.model_dump())
            return _reward(await keep_shop.keep_reward(services, session, reward))

        return await once(request, session.official.official_id, idempotency_key, write)

    @door.post(
        "/rewards/{reward_id}/stock",
        summary="More of a reward: codes to hand out, or what its supplier has promised",
        response_model=RewardOut,
        responses=refusals(
            *GATED,
            keep_shop.UNKNOWN_REWARD,
            keep_shop.NOT_OUR_STOCK,
            keep_shop.CODE_TWICE,
            KEY_NEEDED,
            *WRITE,
        ),
    )
    async def stock(
        request: Request,
        reward_id: Id,
        asked: StockIn,
        session: Annotated[Session, Depends(gate.require("rewards.manage"))],
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        async def write() -> RewardOut:
            return _reward(
                await keep_shop.add_stock(services, session, reward_id, asked.codes, asked.count)
            )

        user = session.official.official_id
        return await once(request, user, idempotency_key, write, compulsory=True)


def _add_policy(door: APIRouter, office: Office) -> None:
    services, gate = office.services, Gate(office.services)

    @door.put(
        "/points-policies/{points_class}",
        summary="Say what points of a class may be used for",
        responses=refusals(*GATED, keep_shop.UNKNOWN_CLASS, BAD_SHAPE),
    )
    async def allow(
        points_class: Id,
        asked: PolicyBody,
        session: Annotated[Session, Depends(gate.require("rewards.manage"))],
    ) -> PolicyOut:
        policy = Policy(points_class, asked.jurisdiction, asked.debit, asked.cash_out)
        await keep_shop.set_policy(services, session, policy)
        return _policy(policy)


def _policy(policy: Policy) -> PolicyOut:
    return PolicyOut(
        points_class=policy.points_class,
        jurisdiction=policy.jurisdiction,
        debit=policy.debit,
        cash_out=policy.cash_out,
    )


def _reward(known: Reward) -> RewardOut:
    return RewardOut(
        reward_id=known.reward_id,
        name=known.name,
        kind=known.kind,
        supplier=known.supplier,
        points_class=known.points_class,
        price_points=known.price_points,
        face_fen=known.face_fen,
        stock=known.stock,
        per_person=known.per_person,
        valid_days=known.valid_days,
        terms=known.terms,
        day_from=known.day_from,
        day_to=known.day_to,
        refundable=known.refundable,
    )
