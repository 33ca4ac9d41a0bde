"""A redemption given back: the supplier takes it back first, then the points return."""

from uuid import UUID

from backend import citizens, ledger, proof
from backend.flows.person_lock import lock_people
from backend.flows.redeem_points import Shop
from backend.kit.clock import city_day
from backend.kit.db import Tx
from backend.kit.ids import new_id
from backend.kit.logs import log
from backend.kit.openapi import Refusal
from backend.kit.problems import Problem
from backend.proof import leaves
from backend.rewards import Redemption, catalogue, redemptions, suppliers

NOT_REFUNDABLE: Refusal = (409, "not-refundable", "这个兑换品不支持退回;如有质量问题请申诉。")
NOT_POSTED: Refusal = (409, "not-posted", "这笔兑换还没有完成,不能退回。")
USED: Refusal = (409, "already-used", "供应方答复已使用,不能退回。")
SUPPLIER_AWAY: Refusal = (503, "supplier-away", "供应方暂未答复,请稍后再试;没有任何变动。")

CITIZENS_REFUSALS = (NOT_REFUNDABLE, NOT_POSTED, USED, SUPPLIER_AWAY)


async def give_back(shop: Shop, redemption_id: UUID) -> Redemption:
    """A citizen gives a reward back: only where the catalogue says so and the supplier takes it.

    Giving back twice answers the same. Raises Problem, one of `CITIZENS_REFUSALS`.
    """
    async with shop.db.transaction(readonly=True) as tx:
        redemption = await redemptions.redemption_of(tx, redemption_id)
        reward = None if redemption is None else await catalogue.reward_of(tx, redemption.reward_id)
    if redemption is None or reward is None:
        raise LookupError(f"no redemption {redemption_id}")
    if redemption.state == "refunded":
        return redemption
    if redemption.state != "posted":
        raise Problem(*NOT_POSTED, redemption_id=str(redemption_id))
    supplier = shop.suppliers.get(reward.supplier)
    if not reward.refundable or supplier is None:
        raise Problem(*NOT_REFUNDABLE, redemption_id=str(redemption_id))
    outcome = await supplier.cancel(redemption_id)
    if isinstance(outcome, suppliers.Refused):
        raise Problem(*USED, redemption_id=str(redemption_id), reason=outcome.reason)
    if not isinstance(outcome, suppliers.Cancelled):
        raise Problem(*SUPPLIER_AWAY, headers={"Retry-After": "30"})
    async with shop.db.transaction() as tx:
        await refund_in(tx, shop, redemption_id, "given-back", restock=True)
        given_back = await redemptions.redemption_of(tx, redemption_id)
    if given_back is None:
        raise LookupError(f"no redemption {redemption_id}")
    return given_back


async def refund_in(
    tx: Tx, shop: Shop, redemption_id: UUID, note: str, *, restock: bool
) -> UUID | None:
    """Return the points of a posted redemption in the caller's commit, with a leaf of its own.

    Returns the refund's transfer, None if it was refunded before. `note` says why, without
    personal data.
    """
    redemption = await redemptions.redemption_of(tx, redemption_id)
    if redemption is None:
        raise LookupError(f"no redemption {redemption_id}")
    await lock_people(tx, [redemption.citizen_id])
    redemption = await redemptions.redemption_of(tx, redemption_id, lock=True)
    if redemption is None or redemption.state != "posted":
        return None
    now = shop.clock.now()
    transfer_id = new_id()
    spent = await ledger.refund_redemption(
        tx,
        transfer_id=transfer_id,
        of_transfer=redemption_id,
        city_day=city_day(now, shop.city_tz),
        note=note,
        at=now,
    )
    await proof.queue(tx, leaves.TRANSFER, [transfer_id])
    await redemptions.mark(tx, redemption_id, "refunded", note, now)
    facts = {"points": spent.amount, "reward": redemption.reward_id}
    await citizens.notices.tell(
        tx, redemption.citizen_id, "redemption.refunded", redemption_id, facts, now
    )
    if restock:
        await catalogue.give_to_stock(tx, redemption.reward_id)
    log("points_refunded", redemption_id=redemption_id, transfer_id=transfer_id)
    return transfer_id
