"""An official enters the registry, and their address the list of approvers on chain."""

from backend import officials
from backend.chain import Purpose, contracts, explain_failure
from backend.flows.government_lane import (
    Call,
    Government,
    deployed,
    nothing_more,
    outcome,
    prepare,
    settle,
    standing,
    terms_now,
)
from backend.kit.problems import Problem
from backend.officials import Official

PURPOSE = "register-approver"
_GAS = 120_000


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
        if not await standing(tx, PURPOSE, address):
            data = contracts.register_approver_input(address)
            call = Call(PURPOSE, address, place.rule_registry, data, _GAS)
            await prepare(tx, government, terms, call)
    await settle(government, {PURPOSE: approver_purpose()})
    async with government.db.transaction(readonly=True) as tx:
        state = await outcome(tx, PURPOSE, address)
    if state is not None and state[0] == "failed":
        raise Problem(502, "chain-refused", f"链上登记审批人失败:{state[1]}", address=address)
    return official


def approver_purpose() -> Purpose:
    """Registering an approver changes only the chain."""
    return Purpose(on_settled=nothing_more, explain=explain_failure)
