"""OpenZeppelin's TimelockController as plain bytes: what must be announced before it takes effect.

It holds UPGRADER and the admin's role on every contract. The government's key schedules an
operation and, once the delay is over, executes it; until then the auditor's key can cancel it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from eth_abi.abi import encode
from eth_hash.auto import keccak

from backend.chain.client import ChainClient
from backend.chain.contracts import load_artifact, selector

PROPOSER, EXECUTOR, CANCELLER = (
    keccak(name) for name in (b"PROPOSER_ROLE", b"EXECUTOR_ROLE", b"CANCELLER_ROLE")
)

_BATCH_TYPES = ["address[]", "uint256[]", "bytes[]", "bytes32", "bytes32"]
_DONE_AT = 1
"""OpenZeppelin's mark of an executed operation in place of its time."""

State = Literal["unknown", "waiting", "ready", "done"]


@dataclass(frozen=True, slots=True)
class Operation:
    """Calls that take effect together. `salt` tells apart operations of the same calls."""

    calls: Sequence[tuple[str, bytes]]
    salt: bytes = bytes(32)

    def id(self) -> bytes:
        """The 32-byte id that the timelock knows the operation by."""
        return keccak(encode(_BATCH_TYPES, self._words()))

    def schedule_input(self, delay_s: int) -> bytes:
        """Input of `scheduleBatch`, for a proposer's key; not below the timelock's own delay."""
        return selector(f"scheduleBatch({','.join(_BATCH_TYPES)},uint256)") + encode(
            [*_BATCH_TYPES, "uint256"], [*self._words(), delay_s]
        )

    def execute_input(self) -> bytes:
        """Input of `executeBatch`, for an executor's key."""
        return selector(f"executeBatch({','.join(_BATCH_TYPES)})") + encode(
            _BATCH_TYPES, self._words()
        )

    def _words(self) -> list[object]:
        # No value goes along and no operation must have been executed before.
        targets, payloads = [to for to, _ in self.calls], [data for _, data in self.calls]
        return [targets, [0] * len(targets), payloads, bytes(32), self.salt]


@dataclass(frozen=True, slots=True)
class Standing:
    """How far an operation is: `ready_at` in seconds of block time, 0 when unknown or done."""

    state: State
    ready_at: int


async def standing(
    client: ChainClient, timelock: str, operation: Operation, now_s: int
) -> Standing:
    """Ask the timelock about an operation. `now_s`: unix time. Raises NodeAway, RpcError."""
    asked = selector("getTimestamp(bytes32)") + operation.id()
    ready_at = int.from_bytes(await client.call(timelock, asked), "big")
    if ready_at <= _DONE_AT:
        return Standing("done" if ready_at else "unknown", 0)
    # Where a block is made only for a transaction, the newest one's time says nothing of now; the
    # next one is a second later at least.
    newest = await client.block("latest")
    next_s = 0 if newest is None else int(newest["timestamp"], 16) + 1
    ready = next_s >= ready_at or now_s > ready_at
    return Standing("ready" if ready else "waiting", ready_at)


async def delay_s(client: ChainClient, timelock: str) -> int:
    """How long operations must wait at least, seconds. Raises NodeAway, RpcError."""
    return int.from_bytes(await client.call(timelock, selector("getMinDelay()")), "big")


def cancel_input(operation: Operation) -> bytes:
    """Input of `cancel(bytes32)`, for a canceller's key."""
    return selector("cancel(bytes32)") + operation.id()


def creation(delay_s: int, *, government: str, admin: str) -> bytes:
    """Creation code: the government proposes and executes, `admin` sets up and then renounces."""
    arguments = encode(
        ["uint256", "address[]", "address[]", "address"],
        [delay_s, [government], [government], admin],
    )
    return load_artifact("TimelockController").bytecode + arguments
