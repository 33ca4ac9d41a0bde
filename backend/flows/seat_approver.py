"""The approvers on chain follow the registry: an address may sign while its official may approve.

Whatever changes roles, keys or suspension calls `align` in the same commit; the transaction it
prepares is sent by the government's lane.
"""

from backend import officials
from backend.chain import Purpose, Terms, approvals, contracts, explain_failure
from backend.flows.government_lane import Call, Deployed, Government, nothing_more, prepare
from backend.kit.db import Tx
from backend.kit.ids import new_id

REGISTER, REMOVE = "register-approver", "remove-approver"
_GAS = 120_000


async def align(
    tx: Tx, government: Government, terms: Terms, place: Deployed, official_id: str
) -> None:
    """Register or remove the addresses of one official on chain, where that is not so already."""
    official = await officials.find(tx, official_id)
    seated = official is not None and official.acts and "approver" in official.roles
    rows = await tx.fetch(
        "SELECT address, ended_at IS NULL AS stands FROM official_key WHERE official_id = $1",
        official_id,
    )
    for row in rows:
        wanted = REGISTER if seated and row["stands"] else REMOVE
        if await _last(tx, row["address"]) == wanted:
            continue
        data = (
            contracts.register_approver_input(row["address"])
            if wanted == REGISTER
            else approvals.remove_approver_input(row["address"])
        )
        ref = f"{row['address']}/{new_id()}"
        await prepare(tx, government, terms, Call(wanted, ref, place.rule_registry, data, _GAS))


async def failed(tx: Tx, official_id: str) -> str | None:
    """Why the chain refused the last change of this official's standing address, or None."""
    row = await tx.fetchrow(
        """SELECT t.state, t.reason FROM chain_tx AS t
           JOIN official_key AS k ON split_part(t.ref, '/', 1) = k.address
           WHERE t.purpose = ANY($2::text[]) AND k.official_id = $1 AND k.ended_at IS NULL
             AND t.state <> 'superseded'
           ORDER BY t.created_at DESC, t.nonce DESC LIMIT 1""",
        official_id,
        [REGISTER, REMOVE],
    )
    return row["reason"] if row is not None and row["state"] == "failed" else None


def purposes() -> dict[str, Purpose]:
    """Seating changes only the chain."""
    purpose = Purpose(on_settled=nothing_more, explain=explain_failure)
    return {REGISTER: purpose, REMOVE: purpose}


async def _last(tx: Tx, address: str) -> str:
    """What the chain was last told of an address; an unknown one is as good as removed."""
    found = await tx.fetchval(
        """SELECT purpose FROM chain_tx
           WHERE purpose = ANY($2::text[]) AND split_part(ref, '/', 1) = $1
             AND state IN ('prepared', 'sent', 'final')
           ORDER BY created_at DESC, nonce DESC LIMIT 1""",
        address,
        [REGISTER, REMOVE],
    )
    return found or REMOVE
