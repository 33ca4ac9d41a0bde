"""points → reward: hold, hand over, post; or void. Unknown outcomes are asked for, never guessed.

The points are set aside in one commit; then the supplier is asked without any transaction open;
then what it said is written in one commit: handed over, the hold is posted as a redemption with
its leaf; refused, the hold is voided. Where nobody knows what the supplier did, it is asked again
under the same order id until it says. A process killed anywhere leaves a redemption that the
next call takes up.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from backend import citizens, ledger, proof
from backend.flows.expire_points import expire_in
from backend.flows.person_lock import lock_people
from backend.kit.clock import Clock, city_day
from backend.kit.db import Database, Tx
from backend.kit.ids import new_id
from backend.kit.logs import log
from backend.kit.openapi import Refusal
from backend.kit.problems import Problem
from backend.kit.services import Services
from backend.kit.settings import Settings
from backend.kit.vault import Vault
from backend.proof import leaves
from backend.rewards import Redemption, Reward, catalogue, redemptions, suppliers

GIVE_UP_AFTER = timedelta(hours=1)
"""An order that its supplier never saw is taken back after this long."""

SANDBOX = "sandbox"

UNKNOWN_REWARD: Refusal = (404, "unknown-reward", "没有这个兑换品。")
NOT_ON_OFFER: Refusal = (409, "not-on-offer", "这个兑换品目前不在兑换期内。")
SOLD_OUT: Refusal = (409, "sold-out", "已兑完,下次早点来。")
LIMIT_REACHED: Refusal = (409, "limit-reached", "您已达到这个兑换品的兑换上限。")
POINTS_SHORT: Refusal = (409, "points-short", "可用积分不足。")
NOT_REDEEMABLE: Refusal = (
    409,
    "class-not-redeemable",
    "按本地规定,这类积分不得由应用扣减,不能兑换。",
)
NO_CASH_OUT: Refusal = (409, "no-cash-out", "按本地规定,这类积分不具有货币属性,不能兑换为人民币。")
NO_SUPPLIER: Refusal = (503, "supplier-not-available", "兑换渠道暂未开通,请稍后再试。")

REFUSALS = (
    citizens.identities.GUARDIAN_NEEDED,
    UNKNOWN_REWARD,
    NOT_ON_OFFER,
    SOLD_OUT,
    LIMIT_REACHED,
    POINTS_SHORT,
    NOT_REDEEMABLE,
    NO_CASH_OUT,
    NO_SUPPLIER,
)
_POLICY = {each[1]: each for each in (NOT_REDEEMABLE, NO_CASH_OUT)}


@dataclass(frozen=True, slots=True)
class Shop:
    """What redeeming needs: the database, the vault, the clock, the city, and who hands over."""

    db: Database
    vault: Vault
    clock: Clock
    city_tz: str
    suppliers: Mapping[str, suppliers.Supplier]

    @classmethod
    def of(cls, services: Services) -> "Shop":
        """The shop of an installation; the sandbox is among its suppliers except in production."""
        known = _suppliers(services.settings, services.vault, services.clock)
        return cls(
            services.db,
            services.vault,
            services.clock,
            services.settings.city_tz,
            known,
        )


def _suppliers(settings: Settings, vault: Vault, clock: Clock) -> dict[str, suppliers.Supplier]:
    found: dict[str, suppliers.Supplier] = {
        name: suppliers.HttpSupplier(url, vault.secret(f"supplier-{name}"), clock)
        for name, url in settings.supplier_urls.items()
    }
    if settings.profile != "production":
        found[SANDBOX] = suppliers.SandboxSupplier(vault.secret("supplier-sandbox"))
    return found


async def agree_redemption(tx: Tx, shop: Shop, citizen_id: UUID, reward_id: str) -> Redemption:
    """Set the price aside and promise one of the stock, in the caller's commit.

    Raises Problem, one of `REFUSALS`; a refusal changes nothing.
    """
    now = shop.clock.now()
    day = city_day(now, shop.city_tz)
    await lock_people(tx, [citizen_id])
    await citizens.identities.refuse_children(tx, citizen_id)
    reward = await catalogue.reward_of(tx, reward_id)
    if reward is None:
        raise Problem(*UNKNOWN_REWARD, reward_id=reward_id)
    await _refuse_reward(tx, shop, reward, citizen_id)
    if not reward.on_offer(day):
        raise Problem(*NOT_ON_OFFER, reward_id=reward_id)
    # What lapsed is no longer spent, however late the job that retires it comes round.
    await expire_in(tx, [citizen_id], day, now)
    redemption_id = new_id()
    try:
        await ledger.hold_points(
            tx,
            hold_id=redemption_id,
            citizen_id=citizen_id,
            points_class=reward.points_class,
            amount=reward.price_points,
            at=now,
        )
    except ledger.LedgerError as error:
        raise Problem(*POINTS_SHORT, price_points=reward.price_points) from error
    redemption = await redemptions.agree(
        tx,
        redemption_id=redemption_id,
        citizen_id=citizen_id,
        reward_id=reward_id,
        points_class=reward.points_class,
        price_points=reward.price_points,
        at=now,
    )
    if not await catalogue.take_from_stock(tx, reward_id):
        raise Problem(*SOLD_OUT, reward_id=reward_id)
    return redemption


async def _refuse_reward(tx: Tx, shop: Shop, reward: Reward, citizen_id: UUID) -> None:
    """Raise Problem where law, limit or supplier stand against it."""
    policy = (await catalogue.policies(tx)).get(reward.points_class)
    refusal = catalogue.refusal_of(reward, policy)
    if refusal is not None:
        raise Problem(*_POLICY[refusal], reward_id=reward.reward_id)
    if reward.supplier != catalogue.OWN_CODES and reward.supplier not in shop.suppliers:
        raise Problem(*NO_SUPPLIER, reward_id=reward.reward_id)
    if reward.per_person is not None:
        bought = await redemptions.count_bought(tx, citizen_id, reward.reward_id)
        if bought >= reward.per_person:
            raise Problem(*LIMIT_REACHED, reward_id=reward.reward_id, limit=reward.per_person)


async def hand_over(shop: Shop, redemption_id: UUID | None = None) -> int:
    """Ask the supplier of one redemption that is due and write what it said; 0 if none is due.

    With an id that one only. Never raises for what a supplier does or does not do.
    """
    async with shop.db.transaction() as tx:
        redemption = await redemptions.claim(tx, shop.clock.now(), redemption_id)
        if redemption is None:
            return 0
        reward = await catalogue.reward_of(tx, redemption.reward_id)
    if reward is None:
        raise LookupError(f"redemption {redemption.redemption_id} names no reward")
    if reward.supplier == catalogue.OWN_CODES:
        outcome = None
    else:
        outcome = await _ask(shop, redemption, reward)
    async with shop.db.transaction() as tx:
        state = await _write(tx, shop, redemption, reward, outcome)
    log("points_redeemed", redemption_id=redemption.redemption_id, state=state)
    return 1


async def _ask(shop: Shop, redemption: Redemption, reward: Reward) -> suppliers.Outcome:
    """The first try places the order; later ones look for it first, since it may have arrived."""
    supplier = shop.suppliers.get(reward.supplier)
    if supplier is None:
        return suppliers.Unknown(f"no supplier {reward.supplier}")
    order_id = redemption.redemption_id
    if redemption.tries > 1:
        found = await supplier.find(order_id)
        if not isinstance(found, suppliers.Absent):
            return found
        if shop.clock.now() - redemption.created_at >= GIVE_UP_AFTER:
            return await supplier.cancel(order_id)
    return await supplier.place(
        suppliers.Order(order_id, reward.reward_id, reward.kind, reward.face_fen)
    )


async def _write(
    tx: Tx, shop: Shop, asked: Redemption, reward: Reward, outcome: suppliers.Outcome | None
) -> str:
    """What the supplier said, in one commit; `outcome` None: draw from our own codes."""
    await lock_people(tx, [asked.citizen_id])
    redemption = await redemptions.redemption_of(tx, asked.redemption_id, lock=True)
    if redemption is None or redemption.state not in ("held", "unknown"):
        return "settled-before"
    if outcome is None:
        code = await catalogue.draw_code(tx, shop.vault, reward.reward_id, redemption.redemption_id)
        outcome = (
            suppliers.Refused("sold-out")
            if code is None
            else suppliers.Handed(code, catalogue.OWN_CODES)
        )
    now = shop.clock.now()
    if isinstance(outcome, suppliers.Handed):
        await _post(tx, shop, redemption, reward, outcome)
        return "posted"
    if isinstance(outcome, suppliers.Refused | suppliers.Cancelled):
        reason = outcome.reason if isinstance(outcome, suppliers.Refused) else "supplier-away"
        await ledger.void_hold(tx, redemption.redemption_id, now)
        await redemptions.mark(tx, redemption.redemption_id, "voided", reason, now)
        await citizens.notices.tell(
            tx,
            redemption.citizen_id,
            "redemption.voided",
            redemption.redemption_id,
            {"reward": reward.name, "points": redemption.price_points},
            now,
        )
        if reason != "sold-out":
            await catalogue.give_to_stock(tx, reward.reward_id)
        return "voided"
    error = outcome.error if isinstance(outcome, suppliers.Unknown) else "absent"
    await redemptions.mark_unknown(tx, redemption, error, now)
    return "unknown"


async def _post(
    tx: Tx, shop: Shop, redemption: Redemption, reward: Reward, handed: suppliers.Handed
) -> None:
    now = shop.clock.now()
    day = city_day(now, shop.city_tz)
    await ledger.post_hold(tx, redemption.redemption_id, day, now)
    await proof.queue(tx, leaves.TRANSFER, [redemption.redemption_id])
    valid_to = None if reward.valid_days is None else day + timedelta(days=reward.valid_days)
    await redemptions.mark_posted(
        tx,
        shop.vault,
        redemption,
        code=handed.code,
        supplier_ref=handed.ref,
        valid_to=valid_to,
        at=now,
    )
    await citizens.notices.tell(
        tx,
        redemption.citizen_id,
        "redemption.posted",
        redemption.redemption_id,
        {"reward": reward.name, "points": redemption.price_points},
        now,
    )


async def resolve_due(shop: Shop) -> int:
    """Take up redemptions whose supplier has to be asked (again); how many were."""
    done = 0
    while done < 50 and await hand_over(shop):
        done += 1
    return done
