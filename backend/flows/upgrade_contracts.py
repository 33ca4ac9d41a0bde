"""Another code behind the contracts' proxies: planned, announced, in force, written down.

Balances, batches, rights and roles stay where they are: the proxies keep their state and address.
Run again at any moment, after any kill, it goes on from what the chain shows.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from backend.chain import (
    ChainKeys,
    Deployment,
    DeploymentDiffers,
    contracts,
    record_implementation,
    recorded_deployments,
    require_chain,
    upgrade,
)
from backend.flows import timelocked
from backend.flows.government_lane import Government
from backend.kit.logs import log

ABOUT = "upgrade"
_POLL_S = 0.5

State = Literal["nothing", "planned", "waiting", "done"]


@dataclass(frozen=True, slots=True)
class Upgrade:
    """What would change and how far it is; `ready_at` in unix seconds, 0 when nothing waits."""

    plan: upgrade.UpgradePlan
    state: State
    ready_at: int


async def look(government: Government, keys: ChainKeys, release: upgrade.Release) -> Upgrade:
    """What an upgrade to `release` would change and whether one waits; nothing is sent.

    Raises UpgradeRefused, DeploymentDiffers, NodeAway.
    """
    await _recorded(government)
    plan = await upgrade.plan_upgrade(government.client, keys, release)
    if not plan.due:
        return Upgrade(plan, "nothing", 0)
    placed = await upgrade.find_implementations(government.client, keys, plan, release)
    if len(placed) < len(plan.due):
        return Upgrade(plan, "planned", 0)
    operation = upgrade.operation_of(plan, placed)
    found = await timelocked.standing(government, plan.timelock, operation)
    return Upgrade(plan, "planned" if found.state == "unknown" else "waiting", found.ready_at)


async def upgrade_contracts(
    government: Government, keys: ChainKeys, release: upgrade.Release, *, wait_s: float = 0
) -> Upgrade:
    """Take an upgrade as far as it gets, waiting up to `wait_s` for the delay to be over.

    Raises UpgradeRefused, DeploymentDiffers, NodeAway; Problem 502 `chain-refused`, 503
    `chain-away`.
    """
    await _write_down(government)
    plan = await upgrade.plan_upgrade(government.client, keys, release)
    if not plan.due:
        return Upgrade(plan, "nothing", 0)
    placed = await upgrade.place_implementations(government.client, keys, plan, release)
    operation = upgrade.operation_of(plan, placed)
    await upgrade.rehearse(government.client, operation, plan, placed)
    deadline = asyncio.get_running_loop().time() + wait_s
    while True:
        found = await timelocked.advance(government, plan.timelock, operation, ABOUT)
        if found.state == "done":
            break
        if asyncio.get_running_loop().time() >= deadline:
            return Upgrade(plan, "waiting", found.ready_at)
        await asyncio.sleep(_POLL_S)
    await _write_down(government)
    return Upgrade(plan, "done", 0)


async def _recorded(government: Government) -> Sequence[Deployment]:
    async with government.db.transaction(readonly=True) as tx:
        recorded = await recorded_deployments(tx)
    if len(recorded) < len(contracts.CONTRACT_NAMES):
        raise DeploymentDiffers("not deployed yet: run tanhui chain deploy")
    await require_chain(government.client, recorded)
    return recorded


async def _write_down(government: Government) -> None:
    """Record every code that stands behind a proxy since our last carried out upgrade."""
    for each in await _recorded(government):
        address, code_hash = await upgrade.implementation_of(government.client, each.address)
        if address == each.implementation_address:
            continue
        async with government.db.transaction() as tx:
            block = await tx.fetchval(
                """SELECT max(block) FROM chain_tx WHERE purpose = $1 AND state = 'final'
                   AND starts_with(ref, $2)""",
                timelocked.CARRY_OUT,
                f"{ABOUT}/",
            )
            if block is None:
                raise upgrade.UpgradeRefused(
                    f"{each.name}: {address} stands behind the proxy and we did not put it there"
                )
            await record_implementation(
                tx, each.name, address=address, code_hash=code_hash, block=block
            )
        log("contract_upgraded", contract=each.name, implementation=address, block=block)
