"""What officials sign for `RuleRegistry`, as a wallet is shown it, and the calls beside `enact`."""

from typing import Any

from eth_abi.abi import encode
from eth_hash.auto import keccak

from backend.chain.client import ChainClient
from backend.chain.contracts import EnactmentTerms, chain_id_text, selector

_ENACTMENT = (
    ("what", "uint8"),
    ("id", "bytes32"),
    ("version", "uint32"),
    ("digest", "bytes32"),
    ("dayFrom", "uint32"),
    ("dayTo", "uint32"),
)
_TYPES = f"({','.join(kind for _, kind in _ENACTMENT)})"


REGISTERED_TOPIC = "0x" + keccak(b"ApproverRegistered(address)").hex()
REMOVED_TOPIC = "0x" + keccak(b"ApproverRemoved(address)").hex()


async def seated(client: ChainClient, registry: str, from_block: int) -> set[str]:
    """The addresses that may sign enactments now, from the registry's own events since then."""
    head = await client.block_number()
    topics = [[REGISTERED_TOPIC, REMOVED_TOPIC]]
    found: set[str] = set()
    for entry in await client.logs(from_block, head, registry, topics):
        address = "0x" + entry["topics"][1][-40:].lower()
        if entry["topics"][0] == REGISTERED_TOPIC:
            found.add(address)
        else:
            found.discard(address)
    return found


def typed_data(chain_id: int, registry: str, terms: EnactmentTerms) -> dict[str, Any]:
    """The enactment as EIP-712 typed data (`eth_signTypedData_v4`), for a key kept elsewhere."""
    return {
        "types": {
            "EIP712Domain": [
                {"name": "name", "type": "string"},
                {"name": "version", "type": "string"},
                {"name": "chainId", "type": "uint256"},
                {"name": "verifyingContract", "type": "address"},
            ],
            "Enactment": [{"name": name, "type": kind} for name, kind in _ENACTMENT],
        },
        "primaryType": "Enactment",
        "domain": {
            "name": "Tanhui RuleRegistry",
            "version": "1",
            "chainId": chain_id,
            "verifyingContract": registry,
        },
        "message": {
            "what": terms.what,
            "id": "0x" + chain_id_text(terms.id).hex(),
            "version": terms.version,
            "digest": "0x" + terms.digest.hex(),
            "dayFrom": terms.day_from,
            "dayTo": terms.day_to,
        },
    }


def stop_input(terms: EnactmentTerms, signature_a: bytes, signature_b: bytes) -> bytes:
    """Input of `stop`: the enactment with its earlier `day_to`, signed by two approvers."""
    return selector(f"stop({_TYPES},bytes,bytes)") + encode(
        [_TYPES, "bytes", "bytes"], [terms.words(), signature_a, signature_b]
    )


def remove_approver_input(address: str) -> bytes:
    """Input of `removeApprover`, for the government's key."""
    return selector("removeApprover(address)") + encode(["address"], [address])


def key_proof_digest(official_id: str, address: str) -> bytes:
    """What a key kept elsewhere signs once, to show that its official holds it."""
    return keccak(f"tanhui-official-key-v1\n{official_id}\n{address}".encode())
