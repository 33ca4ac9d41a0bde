"""Contracts on the chain, written down in the database: what every other chain flow stands on."""

import asyncio

from backend.chain import (
    SHORT_DELAY_S,
    ChainAccess,
    ChainClient,
    ChainKeys,
    Deployment,
    NodeAway,
    contracts,
    deploy,
    open_access,
    record_deployments,
    recorded_deployments,
    require_chain,
)
from backend.kit.db import Database


async def deploy_chain(
    db: Database,
    client: ChainClient,
    keys: ChainKeys,
    *,
    upgrade_delay_s: int = SHORT_DELAY_S,
    wait_s: float = 30,
) -> list[Deployment]:
    """Deploy what is missing and record it. Run again at any moment, after any kill.

    `upgrade_delay_s` is set once, when the timelock is created. Waits up to `wait_s` for the node.
    Raises NodeAway, DeploymentDiffers.
    """
    await wait_for_node(client, wait_s)
    async with db.transaction(readonly=True) as tx:
        recorded = await recorded_deployments(tx)
    # Recorded once, they must be on this very chain: never deploy a second set silently.
    await require_chain(client, recorded)
    if {each.name for each in recorded} >= set(contracts.CONTRACT_NAMES):
        return recorded
    found = await deploy(client, keys, upgrade_delay_s=upgrade_delay_s)
    async with db.transaction() as tx:
        await record_deployments(tx, found)
    return found


async def access_chain(db: Database, client: ChainClient, keys: ChainKeys) -> ChainAccess:
    """The chain as the flows need it. Raises NodeAway, DeploymentDiffers (deploy first)."""
    async with db.transaction(readonly=True) as tx:
        recorded = await recorded_deployments(tx)
    return await open_access(client, keys, recorded)


async def wait_for_node(client: ChainClient, wait_s: float) -> None:
    """Return once the node answers. Raises NodeAway when it does not within `wait_s`."""
    deadline = asyncio.get_running_loop().time() + wait_s
    while True:
        try:
            await client.chain_id()
        except NodeAway:
            if asyncio.get_running_loop().time() > deadline:
                raise
            await asyncio.sleep(0.05)
        else:
            return
