"""Approvers on chain ↔ approvers in office: nobody signs who was not made by two.

The key of the role GOVERNMENT can register any address. What it did is in the registry's events for
ever, so one address too many is found by anyone who looks.
"""

from dataclasses import dataclass

from backend import officials
from backend.chain import ChainClient, approvals
from backend.flows import seat_approver
from backend.kit.db import Database
from backend.kit.problems import Problem


@dataclass(frozen=True, slots=True)
class ApproversChecked:
    """How many addresses may sign on chain, and sentences where that differs from the office."""

    seated: int
    differences: tuple[str, ...]


async def check_approvers(db: Database, client: ChainClient) -> ApproversChecked:
    """Compare. An address whose change is under way is left out.

    Raises Problem 409 `not-deployed`, NodeAway.
    """
    async with db.transaction(isolation="repeatable_read", readonly=True) as tx:
        place = await tx.fetchrow(
            "SELECT address, block FROM deployment WHERE name = 'RuleRegistry'"
        )
        people = await officials.listed(tx)
        moving = {
            row["ref"].partition("/")[0]
            for row in await tx.fetch(
                """SELECT ref FROM chain_tx
                   WHERE purpose = ANY($1::text[]) AND state IN ('prepared', 'sent')""",
                [seat_approver.REGISTER, seat_approver.REMOVE],
            )
        }
    if place is None:
        raise Problem(409, "not-deployed", "合约尚未部署。")
    wanted = {
        each.address: each.official_id
        for each in people
        if each.address is not None and each.acts and "approver" in each.roles
    }
    seated = await approvals.seated(client, place["address"], place["block"])
    found = [
        f"{address} 可以在链上签署,却不是任何在任审批人的地址"
        for address in sorted(seated - wanted.keys() - moving)
    ]
    found += [
        f"{wanted[address]} 的地址 {address} 在链上不能签署"
        for address in sorted(wanted.keys() - seated - moving)
    ]
    return ApproversChecked(len(seated), tuple(found))
