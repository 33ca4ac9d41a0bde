"""What the sample city's points buy, as its operator would enter it. Again changes nothing."""

import secrets
from datetime import date

from backend.kit.db import Tx
from backend.kit.services import Services
from backend.rewards import Policy, Reward, catalogue

_OPENED = date(2026, 1, 1)
_COFFEES = 200

REWARDS = (
    Reward(
        reward_id="metro-single",
        name="地铁单程票 1 张",
        kind="transit",
        supplier="sandbox",
        points_class="carbon",
        price_points=5,
        face_fen=300,
        stock=5_000,
        per_person=None,
        valid_days=90,
        terms="全线网单程使用一次,90 天内有效;未使用可退。",
        day_from=_OPENED,
        day_to=None,
        refundable=True,
    ),
    Reward(
        reward_id="coffee",
        name="社区咖啡 1 杯",
        kind="coupon",
        supplier=catalogue.OWN_CODES,
        points_class="carbon",
        price_points=10,
        face_fen=1_500,
        stock=0,
        per_person=20,
        valid_days=60,
        terms="合作门店出示券码,自带杯优先;券码一经领取不退。",
        day_from=_OPENED,
        day_to=None,
        refundable=False,
    ),
    Reward(
        reward_id="tree",
        name="种下一棵梭梭树",
        kind="tree",
        supplier="sandbox",
        points_class="carbon",
        price_points=60,
        face_fen=None,
        stock=1_000,
        per_person=None,
        valid_days=None,
        terms="由公益合作方在次年春季种植,编号可查。",
        day_from=_OPENED,
        day_to=None,
        refundable=False,
    ),
    Reward(
        reward_id="ecny-1",
        name="数字人民币 1 元(沙箱)",
        kind="ecny",
        supplier="sandbox",
        points_class="carbon",
        price_points=13,
        face_fen=100,
        stock=10_000,
        per_person=50,
        valid_days=None,
        terms="示例:约 1,250 克减排量兑换 1 元;沙箱,不产生真实资金。",
        day_from=_OPENED,
        day_to=None,
        refundable=False,
    ),
    Reward(
        reward_id="parking-hour",
        name="共享停车 1 小时券",
        kind="coupon",
        supplier="sandbox",
        points_class="congestion",
        price_points=3,
        face_fen=500,
        stock=500,
        per_person=None,
        valid_days=30,
        terms="示范停车场使用,30 天内有效;未使用可退。",
        day_from=_OPENED,
        day_to=None,
        refundable=True,
    ),
)

POLICIES = (
    Policy("carbon", "demo", "holder", cash_out=True),
    Policy("congestion", "demo", "holder", cash_out=False),
)


async def open_shop(services: Services) -> None:
    """Enter the policies, the rewards, and once the codes of those we hand out ourselves."""
    now = services.clock.now()
    async with services.db.transaction() as tx:
        for policy in POLICIES:
            await catalogue.set_policy(tx, policy, now)
        for reward in REWARDS:
            known = await catalogue.reward_of(tx, reward.reward_id)
            await catalogue.offer(tx, reward, now)
            if known is None and reward.supplier == catalogue.OWN_CODES:
                await _load(tx, services, reward.reward_id)


async def _load(tx: Tx, services: Services, reward_id: str) -> None:
    codes = [f"{reward_id.upper()}-{secrets.token_hex(4).upper()}" for _ in range(_COFFEES)]
    await catalogue.load_codes(tx, services.vault, reward_id, codes, services.clock.now())
