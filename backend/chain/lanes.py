"""The keys that post, and what the contract says about them."""

from collections.abc import Sequence
from dataclasses import dataclass

from eth_abi.abi import encode
from eth_hash.auto import keccak

from backend.chain.client import ChainClient
from backend.chain.contracts import selector
from backend.chain.keys import ChainKeys, Signer

CHAIN_SENDER = keccak(b"CHAIN_SENDER")


@dataclass(frozen=True, slots=True)
class Lane:
    """One key that posts: its address, its gas money in wei, and whether it may post."""

    address: str
    balance_wei: int
    admitted: bool


async def admitted(client: ChainClient, points: str, signers: Sequence[Signer]) -> list[Signer]:
    """Those of `signers` that hold CHAIN_SENDER on the contract `points`. Raises NodeAway."""
    asked = selector("hasRole(bytes32,address)")
    outputs = await client.calls(
        points,
        [asked + encode(["bytes32", "address"], [CHAIN_SENDER, s.address]) for s in signers],
    )
    return [signer for signer, output in zip(signers, outputs, strict=True) if any(output)]


async def lanes_of(client: ChainClient, keys: ChainKeys, points: str) -> list[Lane]:
    """Every posting lane that has a key here, the first one first. Raises NodeAway."""
    known = {signer.address for signer in await admitted(client, points, keys.posts)}
    return [
        Lane(signer.address, await client.balance_wei(signer.address), signer.address in known)
        for signer in keys.posts
    ]


async def paused(client: ChainClient, contract: str) -> bool:
    """Whether the auditor has paused one of our contracts. Raises NodeAway."""
    return any(await client.call(contract, selector("paused()")))
