"""Further keys → posting lanes: paid for by the government's key, admitted through the timelock.

Who may post is the timelock's to say, so a lane added to a running city is announced first and
admitted once the delay is over; lanes that have a key before the contracts are deployed post from
the beginning. Each step looks at the chain, so it can be killed and run again at any moment.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from backend.chain import (
    ChainKeys,
    Lane,
    Purpose,
    contracts,
    explain_failure,
    lanes_of,
    planned_timelock,
    timelock,
)
from backend.flows import timelocked
from backend.flows.government_lane import (
    Call,
    Deployed,
    Government,
    deployed,
    execute,
    nothing_more,
    terms_now,
)
from backend.kit.ids import new_id

BATCHES_FUNDED = 1_000
"""A fresh lane gets the gas money of that many full batches."""

WAIT_S_MAX = 30
"""A shorter delay of the timelock is waited for."""

FUND_PURPOSE = "fund-lane"
_TRANSFER_GAS = 50_000
_POLL_S = 0.5


@dataclass(frozen=True, slots=True)
class OpenedLanes:
    """Every posting lane, and when what is announced can take effect (unix time, 0 = nothing)."""

    lanes: Sequence[Lane]
    ready_at: int


async def open_lanes(government: Government, keys: ChainKeys) -> OpenedLanes:
    """Take every lane that has a key as far as it gets now; run again when `ready_at` has come.

    Raises Problem: 409 `not-deployed`, 502 `chain-refused`, 503 `chain-away`; NodeAway.
    """
    async with government.db.transaction(readonly=True) as tx:
        place = await deployed(tx)
    waits = await timelock.delay_s(government.client, planned_timelock(keys)) <= WAIT_S_MAX
    deadline = asyncio.get_running_loop().time() + WAIT_S_MAX
    while True:
        ready_at = await _advance(government, keys, place)
        lanes = await lanes_of(government.client, keys, place.carbon_points)
        in_time = asyncio.get_running_loop().time() < deadline
        if all(lane.admitted for lane in lanes) or not (waits and in_time):
            return OpenedLanes(lanes, ready_at)
        await asyncio.sleep(_POLL_S)


def purposes() -> dict[str, Purpose]:
    """Paying for a lane changes only the chain."""
    return {FUND_PURPOSE: Purpose(on_settled=nothing_more, explain=explain_failure)}


async def _advance(government: Government, keys: ChainKeys, place: Deployed) -> int:
    """One step for each lane; when the last announcement can take effect, 0 if none waits."""
    ready_at = 0
    for lane in await lanes_of(government.client, keys, place.carbon_points):
        if lane.balance_wei == 0:
            await _fund(government, lane.address)
        if not lane.admitted:
            ready_at = max(ready_at, await _admit(government, keys, place, lane.address))
    return ready_at


async def _fund(government: Government, address: str) -> None:
    terms, profile = await terms_now(government), government.client.profile
    wei = BATCHES_FUNDED * profile.tx_gas_max * terms.gas_price_wei
    if wei:
        call = Call(FUND_PURPOSE, f"{address}/{new_id()}", address, b"", _TRANSFER_GAS, wei)
        await execute(government, call, purposes())


async def _admit(government: Government, keys: ChainKeys, place: Deployed, address: str) -> int:
    """Announce the lane, or admit it once the delay is over; when that is, 0 if it is done."""
    grant = contracts.role_input("grantRole", contracts.CHAIN_SENDER, address)
    operation = timelock.Operation([(place.carbon_points, grant)])
    found = await timelocked.advance(
        government, planned_timelock(keys), operation, f"lane/{address}"
    )
    return found.ready_at
