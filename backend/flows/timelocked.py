"""A change that must be announced first: announced, then in force once the delay is over.

Roles and codes behind proxies are the timelock's. Each step looks at the chain, so it can be killed
and run again at any moment; the government's lane brings each call there once.
"""

from backend.chain import Purpose, explain_failure, timelock
from backend.flows.government_lane import Call, Government, execute, nothing_more
from backend.kit.ids import new_id

ANNOUNCE, CARRY_OUT = "announce", "carry-out"
"""Purposes of the two transactions; their `ref` begins with what the change is about."""


def purposes() -> dict[str, Purpose]:
    """These calls change only the chain."""
    return {
        name: Purpose(on_settled=nothing_more, explain=explain_failure)
        for name in (ANNOUNCE, CARRY_OUT)
    }


async def standing(
    government: Government, lock: str, operation: timelock.Operation
) -> timelock.Standing:
    """How far a change is. Raises NodeAway."""
    now_s = int(government.clock.now().timestamp())
    return await timelock.standing(government.client, lock, operation, now_s)


async def advance(
    government: Government, lock: str, operation: timelock.Operation, about: str
) -> timelock.Standing:
    """Announce a change that is unknown, carry out one whose delay is over, else only look.

    Raises Problem: 502 `chain-refused`, 503 `chain-away`; NodeAway.
    """
    found = await standing(government, lock, operation)
    if found.state == "unknown":
        data = operation.schedule_input(await timelock.delay_s(government.client, lock))
        await _bring(government, ANNOUNCE, about, lock, data, operation)
    elif found.state == "ready":
        await _bring(government, CARRY_OUT, about, lock, operation.execute_input(), operation)
    else:
        return found
    return await standing(government, lock, operation)


async def _bring(
    government: Government,
    purpose: str,
    about: str,
    lock: str,
    data: bytes,
    operation: timelock.Operation,
) -> None:
    # An announcement can be cancelled and made again: each transaction has its own name.
    ref = f"{about}/{new_id()}"
    gas = 200_000 + 100_000 * len(operation.calls)
    await execute(government, Call(purpose, ref, lock, data, gas), purposes())
