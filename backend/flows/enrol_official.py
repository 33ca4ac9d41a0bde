"""An official enters the registry, and their address the list of approvers on chain."""

from backend import officials
from backend.flows import seat_approver
from backend.flows.government_lane import Government, deployed, settle, terms_now
from backend.kit.problems import Problem
from backend.officials import Official


async def enrol_official(
    government: Government, official_id: str, name: str, role: str, address: str
) -> Official:
    """Register an official; an approver's address is registered on chain too, and waited for.

    Doing it again changes nothing. Raises Problem: 422 `bad-official`, 409 `official-conflict`,
    `not-deployed`, 502 `chain-refused`, 503 `chain-away`.
    """
    if role != "approver":
        async with government.db.transaction() as tx:
            return await officials.register(tx, official_id, name, role, address, government.clock)
    terms = await terms_now(government)
    async with government.db.transaction() as tx:
        place = await deployed(tx)
        official = await officials.register(tx, official_id, name, role, address, government.clock)
        await tx.fetchval("SELECT 1 FROM official WHERE official_id = $1 FOR UPDATE", official_id)
        await seat_approver.align(tx, government, terms, place, official_id)
    await settle(government, seat_approver.purposes())
    async with government.db.transaction(readonly=True) as tx:
        reason = await seat_approver.failed(tx, official_id)
    if reason is not None:
        raise Problem(502, "chain-refused", f"链上登记审批人失败:{reason}", address=address)
    return official
