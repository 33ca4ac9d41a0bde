"""`SpaceRegistry` as plain bytes: calls of the register of space rights, and its answers decoded.

Spaces, lots, policies, reasons and agreements are 32-byte digests, owners accounts of 20 bytes.
Acts on a right are numbered from 1, its registration: each names the number it will have, so that
the last act sent again changes nothing. Nothing here talks to a node.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from eth_abi.abi import decode, encode

from backend.chain.contracts import selector

UNKNOWN, ACTIVE, SUSPENDED = 0, 1, 2
SPACES_MAX = 300
"""Most spaces in one registration."""

_REGISTER_GAS, _SPACE_GAS = 150_000, 74_000

_SPACE_TYPE = "(bytes32,bytes20,bytes32,bytes32)"


@dataclass(frozen=True, slots=True)
class Space:
    """A right as it is registered: digests of 32 bytes, the owner's account of 20."""

    space: bytes
    owner: bytes
    lot: bytes
    policy: bytes


@dataclass(frozen=True, slots=True)
class Right:
    """A right as it stands: `standing` ACTIVE or SUSPENDED, `seq` and `block` of its last act."""

    owner: bytes
    standing: int
    seq: int
    lot: bytes
    policy: bytes
    block: int


def register_input(spaces: Sequence[Space]) -> bytes:
    """Input of `register`: 1 to SPACES_MAX spaces; those that stand so already are passed over."""
    return selector(f"register({_SPACE_TYPE}[])") + encode(
        [f"{_SPACE_TYPE}[]"],
        [[(each.space, each.owner, each.lot, each.policy) for each in spaces]],
    )


def register_gas(space_count: int) -> int:
    """Gas to allow for a registration; measured 71,600 a new space (gas.json)."""
    return _REGISTER_GAS + _SPACE_GAS * space_count


def spaces_at_once(tx_gas_max: int) -> int:
    """How many spaces a registration may have where a transaction may use that much gas."""
    return min(SPACES_MAX, (tx_gas_max - _REGISTER_GAS) // _SPACE_GAS)


def suspend_input(space: bytes, seq: int, reason: bytes) -> bytes:
    """Input of `suspend`; `reason` is the digest of the document that says why."""
    return selector("suspend(bytes32,uint32,bytes32)") + encode(
        ["bytes32", "uint32", "bytes32"], [space, seq, reason]
    )


def resume_input(space: bytes, seq: int) -> bytes:
    """Input of `resume`."""
    return selector("resume(bytes32,uint32)") + encode(["bytes32", "uint32"], [space, seq])


def hand_over_input(
    space: bytes, seq: int, owner: bytes, new_owner: bytes, agreement: bytes
) -> bytes:
    """Input of `handOver`; `agreement` is the digest of what both owners signed."""
    return selector("handOver(bytes32,uint32,bytes20,bytes20,bytes32)") + encode(
        ["bytes32", "uint32", "bytes20", "bytes20", "bytes32"],
        [space, seq, owner, new_owner, agreement],
    )


def set_policy_input(space: bytes, seq: int, policy: bytes) -> bytes:
    """Input of `setPolicy`."""
    return selector("setPolicy(bytes32,uint32,bytes32)") + encode(
        ["bytes32", "uint32", "bytes32"], [space, seq, policy]
    )


ACT_GAS = 150_000
"""Gas to allow for one act on one right."""


def right_call(space: bytes) -> bytes:
    """Input of `rightOf(bytes32)`."""
    return selector("rightOf(bytes32)") + encode(["bytes32"], [space])


def read_right(output: bytes) -> Right | None:
    """Decode `rightOf`; None for a space that was never registered."""
    owner, standing, seq, lot, policy, block = decode(
        ["bytes20", "uint8", "uint32", "bytes32", "bytes32", "uint32"], output
    )
    return None if standing == UNKNOWN else Right(owner, standing, seq, lot, policy, block)


def registered_call() -> bytes:
    """Input of `registered()`: how many spaces were ever registered, one word."""
    return selector("registered()")
