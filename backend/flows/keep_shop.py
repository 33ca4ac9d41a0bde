"""An official keeps the shop: rewards, codes of our own stock, what a place's law allows."""

from collections.abc import Sequence

from backend import officials
from backend.kit.openapi import Refusal
from backend.kit.problems import Problem
from backend.kit.services import Services
from backend.officials import Session
from backend.rewards import Policy, Reward, catalogue

UNKNOWN_REWARD: Refusal = (404, "unknown-reward", "没有这个兑换品。")
NOT_OUR_STOCK: Refusal = (409, "not-our-stock", "这个兑换品的库存由供应方掌握,不能导入券码。")
CODE_TWICE: Refusal = (422, "code-twice", "同一批券码中有重复。")
UNKNOWN_CLASS: Refusal = (404, "unknown-class", "没有这类积分。")


async def keep_reward(services: Services, by: Session, reward: Reward) -> Reward:
    """Enter a reward, or change all of it but its stock. Raises Problem 404 `unknown-class`."""
    async with services.db.transaction() as tx:
        issued = await tx.fetchval(
            "SELECT EXISTS (SELECT FROM programme WHERE class = $1)", reward.points_class
        )
        if not issued:
            raise Problem(*UNKNOWN_CLASS, points_class=reward.points_class)
        now = services.clock.now()
        await catalogue.offer(tx, reward, now)
        kept = await catalogue.reward_of(tx, reward.reward_id)
        await officials.note(
            tx,
            actor=by.official.official_id,
            act="reward.keep",
            about=reward.reward_id,
            detail={"price_points": reward.price_points, "day_to": reward.day_to},
            at=now,
        )
    if kept is None:
        raise LookupError(f"reward {reward.reward_id} was just written")
    return kept


async def add_stock(
    services: Services, by: Session, reward_id: str, codes: Sequence[str], count: int
) -> Reward:
    """More of a reward: codes of our own stock, or so many more that its supplier has promised.

    Raises Problem: 404 `unknown-reward`, 409 `not-our-stock`, 422 `code-twice`.
    """
    if len(set(codes)) != len(codes):
        raise Problem(*CODE_TWICE)
    async with services.db.transaction() as tx:
        reward = await catalogue.reward_of(tx, reward_id)
        if reward is None:
            raise Problem(*UNKNOWN_REWARD, reward_id=reward_id)
        now = services.clock.now()
        if (reward.supplier == catalogue.OWN_CODES) != bool(codes):
            raise Problem(*NOT_OUR_STOCK, reward_id=reward_id)
        if codes:
            await catalogue.load_codes(tx, services.vault, reward_id, codes, now)
        else:
            await catalogue.give_to_stock(tx, reward_id, count)
        await officials.note(
            tx,
            actor=by.official.official_id,
            act="reward.stock",
            about=reward_id,
            detail={"count": len(codes) or count},
            at=now,
        )
        kept = await catalogue.reward_of(tx, reward_id)
    if kept is None:
        raise LookupError(f"reward {reward_id} was just written")
    return kept


async def set_policy(services: Services, by: Session, policy: Policy) -> None:
    """Say what may happen to points of a class. Raises Problem 404 `unknown-class`."""
    async with services.db.transaction() as tx:
        issued = await tx.fetchval(
            "SELECT EXISTS (SELECT FROM programme WHERE class = $1)", policy.points_class
        )
        if not issued:
            raise Problem(*UNKNOWN_CLASS, points_class=policy.points_class)
        now = services.clock.now()
        await catalogue.set_policy(tx, policy, now)
        await officials.note(
            tx,
            actor=by.official.official_id,
            act="policy.set",
            about=policy.points_class,
            detail={
                "jurisdiction": policy.jurisdiction,
                "debit": policy.debit,
                "cash_out": policy.cash_out,
            },
            at=now,
        )
