"""Where our contracts stand, as it was written down when they were deployed."""

from dataclasses import dataclass

from backend.kit.db import Tx


@dataclass(frozen=True, slots=True)
class DeployedContract:
    """One contract: its proxy's address, keccak256 of proxy and implementation, its block."""

    name: str
    address: str
    proxy_code_hash: bytes
    implementation_code_hash: bytes
    block: int
    block_hash: bytes
    chain_id: int


async def deployed_contracts(tx: Tx) -> list[DeployedContract]:
    """All contracts by name; empty before the deployment."""
    rows = await tx.fetch(
        """SELECT name, address, proxy_code_hash, implementation_code_hash, block, block_hash,
                  chain_id
           FROM deployment ORDER BY name"""
    )
    return [DeployedContract(**row) for row in rows]
