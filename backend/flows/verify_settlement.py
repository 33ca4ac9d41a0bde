"""A statement's root against the chain: what a party does that trusts neither us nor our server."""

from dataclasses import dataclass
from datetime import date

from backend.chain import ChainClient, NodeAway, RpcError, settlements
from backend.flows.anchor_settlement import head_of

_TIMEOUT_S = 15


@dataclass(frozen=True, slots=True)
class Settled:
    """What `ParkingSettlement` says of a party; `reason` is empty when it says the same."""

    found: bool
    reason: str
    settlement: str


async def check_on_chain(
    rpc_url: str,
    contract: str,
    *,
    lot_id: str,
    day: date,
    part: int,
    account: bytes,
    count: int,
    root: bytes,
) -> Settled:
    """Ask a node, by its JSON-RPC address, for the statement of a party in a settlement."""
    async with ChainClient(rpc_url, timeout_s=_TIMEOUT_S) as client:
        try:
            chain_id = await client.chain_id()
            named = settlements.settlement_id(chain_id, contract, head_of(lot_id, day, part))
            output = await client.call(contract, settlements.statement_call(named, account))
        except (NodeAway, RpcError) as error:
            return Settled(False, f"节点没有回答:{error}", "")
    spelled = "0x" + named.hex()
    known = settlements.read_statement(output, account)
    if known is None:
        return Settled(False, "链上没有这份结算", spelled)
    statement, disputes = known
    if (statement.root, statement.line_count) != (root, count):
        return Settled(True, f"链上的根哈希是 {statement.root.hex()}", spelled)
    return Settled(True, f"链上有 {disputes} 项异议未决" if disputes else "", spelled)
