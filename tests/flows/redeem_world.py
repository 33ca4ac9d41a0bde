"""A shop in a world where people have points."""

from datetime import date
from typing import Any
from uuid import UUID

from backend import ledger
from backend.flows.redeem_points import Shop, agree_redemption, hand_over
from backend.kit.ids import new_id
from backend.rewards import Redemption, Reward, catalogue, redemptions
from backend.rewards.suppliers import SandboxSupplier, Supplier
from tests.flows.award_world import World, rows


def a_reward(**changes: Any) -> Reward:
    values: dict[str, Any] = {
        "reward_id": "metro-ticket",
        "name": "地铁单程票",
        "kind": "transit",
        "supplier": "sandbox",
        "points_class": "carbon",
        "price_points": 10,
        "face_fen": 500,
        "stock": 1_000,
        "per_person": None,
        "valid_days": 90,
        "terms": "90 天内有效。",
        "day_from": date(2026, 1, 1),
        "day_to": None,
        "refundable": True,
    }
    return Reward(**values | changes)


async def open_shop(world: World, *rewards: Reward, **suppliers: Supplier) -> Shop:
    shop = Shop(
        world.db,
        world.vault,
        world.clock,
        "Asia/Shanghai",
        {"sandbox": SandboxSupplier(bytes(32))} | suppliers,
    )
    async with world.db.transaction() as tx:
        for reward in rewards or (a_reward(),):
            await catalogue.offer(tx, reward, world.clock.now())
    return shop


async def give_points(
    world: World, person: int, amount: int, *, month: date = date(2028, 11, 1)
) -> UUID:
    """An award without evidence behind it, for what does not look there."""
    async with world.db.transaction() as tx:
        transfer_id = new_id()
        award = ledger.PointAward(
            transfer_id=transfer_id,
            citizen_id=world.people[person],
            points_class="carbon",
            amount=amount,
            programme_id="green-travel-2026",
            rule_id="metro-points",
            rule_version=1,
            city_day=date(2026, 11, 21),
            expiry_month=month,
        )
        await ledger.award_points(tx, [award], world.clock.now())
    return transfer_id


async def agree(shop: Shop, citizen_id: UUID, reward_id: str = "metro-ticket") -> Redemption:
    async with shop.db.transaction() as tx:
        return await agree_redemption(tx, shop, citizen_id, reward_id)


async def redeem(shop: Shop, citizen_id: UUID, reward_id: str = "metro-ticket") -> Redemption:
    """Agreed and handed over, as far as the supplier does."""
    agreed = await agree(shop, citizen_id, reward_id)
    await hand_over(shop, agreed.redemption_id)
    return await state_of(shop, agreed.redemption_id)


async def state_of(shop: Shop, redemption_id: UUID) -> Redemption:
    async with shop.db.transaction(readonly=True) as tx:
        found = await redemptions.redemption_of(tx, redemption_id)
    assert found is not None
    return found


async def balance(world: World, person: int = 0) -> tuple[int, int, int]:
    """(available, held, debt)"""
    async with world.db.transaction(readonly=True) as tx:
        found = await ledger.balance_of(tx, world.people[person], "carbon")
    return found.available, found.held, found.debt


async def laws_broken(world: World) -> list[Any]:
    async with world.db.transaction(isolation="repeatable_read", readonly=True) as tx:
        return await ledger.replay(tx)


async def unsealed(world: World) -> set[UUID]:
    return {row["ref"] for row in await rows(world.db, "SELECT ref FROM unsealed")}
