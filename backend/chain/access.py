"""The chain as flows are handed it: client, keys and the contracts' addresses, checked to match."""

from collections.abc import Sequence
from dataclasses import dataclass

from backend.chain.client import ChainClient
from backend.chain.contracts import CONTRACT_NAMES
from backend.chain.deploy import Deployment, DeploymentDiffers, require_chain
from backend.chain.keys import ChainKeys, Signer
from backend.chain.lanes import admitted
from backend.kit.db import Tx


@dataclass(frozen=True, slots=True)
class ChainAccess:
    """Everything a flow needs to act on the chain. Addresses are lower-case 0x hex.

    `lanes` are the signers that may post, as far as the contract has admitted them.
    """

    client: ChainClient
    keys: ChainKeys
    chain_id: int
    points: str
    registry: str
    anchor: str
    spaces: str
    settlements: str
    lanes: Sequence[Signer]

    def addresses(self) -> tuple[str, ...]:
        """Our contracts' proxies: the only ones that the public may call through us."""
        return (self.points, self.registry, self.anchor, self.spaces, self.settlements)


async def open_access(
    client: ChainClient, keys: ChainKeys, deployments: Sequence[Deployment]
) -> ChainAccess:
    """Check that the node holds the chain that `deployments` were recorded from.

    Raises DeploymentDiffers when nothing is recorded or the node holds another chain,
    NodeAway when it does not answer.
    """
    by_name = {deployment.name: deployment for deployment in deployments}
    missing = [name for name in CONTRACT_NAMES if name not in by_name]
    if missing:
        raise DeploymentDiffers(f"not deployed yet: {', '.join(missing)}; run tanhui chain deploy")
    await require_chain(client, deployments)
    points = by_name["CarbonPoints"].address
    return ChainAccess(
        client=client,
        keys=keys,
        chain_id=deployments[0].chain_id,
        # None at all shows as refusals with the contract's own words.
        lanes=await admitted(client, points, keys.posts) or [keys.post],
        points=points,
        registry=by_name["RuleRegistry"].address,
        anchor=by_name["EvidenceAnchor"].address,
        spaces=by_name["SpaceRegistry"].address,
        settlements=by_name["ParkingSettlement"].address,
    )


async def recorded_deployments(tx: Tx) -> list[Deployment]:
    """What `chain deploy` and `chain upgrade` wrote down, in order of creation."""
    rows = await tx.fetch(
        """SELECT DISTINCT ON (d.block, d.name) d.*, i.address AS next_address,
                  i.code_hash AS next_code_hash, i.block AS next_block
           FROM deployment d LEFT JOIN implementation i ON i.name = d.name
           ORDER BY d.block, d.name, i.block DESC"""
    )
    return [
        Deployment(
            name=row["name"],
            address=row["address"],
            proxy_code_hash=row["proxy_code_hash"],
            implementation_code_hash=row["next_code_hash"] or row["implementation_code_hash"],
            implementation_address=row["next_address"] or row["implementation_address"],
            block=row["block"],
            block_hash=row["block_hash"],
            chain_id=row["chain_id"],
            implementation_block=row["next_block"] or row["block"],
        )
        for row in rows
    ]


async def record_implementation(
    tx: Tx, name: str, *, address: str, code_hash: bytes, block: int
) -> None:
    """Write down the code that stands behind a contract's proxy from `block` on, once."""
    await tx.execute(
        """INSERT INTO implementation (name, block, address, code_hash) VALUES ($1, $2, $3, $4)
           ON CONFLICT (name, block) DO NOTHING""",
        name,
        block,
        address,
        code_hash,
    )


async def record_deployments(tx: Tx, deployments: Sequence[Deployment]) -> None:
    """Write deployments down once; what is recorded already stays.

    Raises DeploymentDiffers when another deployment is recorded under a name.
    """
    known = {deployment.name: deployment for deployment in await recorded_deployments(tx)}
    for deployment in deployments:
        if deployment.name in known:
            if known[deployment.name] != deployment:
                raise DeploymentDiffers(
                    f"{deployment.name} is recorded at {known[deployment.name].address}, block "
                    f"{known[deployment.name].block}; the node shows {deployment.address}, "
                    f"block {deployment.block}"
                )
            continue
        await tx.execute(
            """INSERT INTO deployment (name, address, proxy_code_hash, implementation_code_hash,
                   implementation_address, block, block_hash, chain_id)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8)""",
            deployment.name,
            deployment.address,
            deployment.proxy_code_hash,
            deployment.implementation_code_hash,
            deployment.implementation_address,
            deployment.block,
            deployment.block_hash,
            deployment.chain_id,
        )
