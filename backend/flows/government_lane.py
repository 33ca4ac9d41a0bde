"""The government's own transactions: enactments, budgets, approvers, one lane, each once.

What the chain must know first is prepared here and takes effect in the database only in the
commit that finds the transaction final.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from backend.chain import (
    ChainClient,
    ChainTx,
    Driver,
    NodeAway,
    Purpose,
    Receipt,
    Signer,
    Terms,
    chain_terms,
)
from backend.chain import prepare as prepare_chain_tx
from backend.kit.clock import Clock
from backend.kit.db import Database, Tx
from backend.kit.logs import log
from backend.kit.problems import Problem

SETTLED_S_MAX = 60


@dataclass(frozen=True, slots=True)
class Deployed:
    """Where the contracts stand that the government calls."""

    chain_id: int
    rule_registry: str
    carbon_points: str


@dataclass(frozen=True, slots=True)
class Government:
    """The tools of these flows: database, clock, node, and the key that sends."""

    db: Database
    clock: Clock
    client: ChainClient
    signer: Signer


async def deployed(tx: Tx) -> Deployed:
    """The contracts of this installation. Raises Problem 409 `not-deployed`."""
    rows = await tx.fetch("SELECT name, address, chain_id FROM deployment")
    places = {row["name"]: row for row in rows}
    if not {"RuleRegistry", "CarbonPoints"} <= places.keys():
        raise Problem(409, "not-deployed", "合约尚未部署,请先运行 tanhui chain deploy。")
    return Deployed(
        places["RuleRegistry"]["chain_id"],
        places["RuleRegistry"]["address"],
        places["CarbonPoints"]["address"],
    )


async def standing(tx: Tx, purpose: str, ref: str) -> bool:
    """Whether a transaction for this is under way or final."""
    return bool(
        await tx.fetchval(
            """SELECT EXISTS (SELECT FROM chain_tx WHERE purpose = $1 AND ref = $2
                              AND state IN ('prepared', 'sent', 'final'))""",
            purpose,
            ref,
        )
    )


@dataclass(frozen=True, slots=True)
class Call:
    """A call to one of our contracts: what it is for, where to, its input and gas limit.

    With `value_wei` it is a payment, to one of our own keys.
    """

    purpose: str
    ref: str
    to: str
    data: bytes
    gas: int
    value_wei: int = 0


async def terms_now(government: Government) -> Terms:
    """Chain id and gas price, asked before the transaction that prepares. Raises NodeAway."""
    return await chain_terms(government.client)


async def prepare(tx: Tx, government: Government, terms: Terms, call: Call) -> ChainTx:
    """Store the signed call in the commit of what it is for; the lane's driver sends it."""
    return await prepare_chain_tx(
        tx,
        government.signer,
        terms,
        to=call.to,
        data=call.data,
        gas=call.gas,
        value_wei=call.value_wei,
        purpose=call.purpose,
        ref=call.ref,
        now=government.clock.now(),
    )


async def settle(government: Government, purposes: Mapping[str, Purpose]) -> None:
    """Send what is open and wait until it is settled.

    Raises Problem 503 `chain-away` when the node does not answer or takes too long; nothing is
    lost, the worker goes on with it.
    """
    driver = Driver(
        government.db, government.client, {government.signer.address: government.signer}, purposes
    )
    try:
        if await driver.settle_all(government.clock.now(), timeout_s=SETTLED_S_MAX):
            return
        reason = f"{SETTLED_S_MAX} s"
    except NodeAway as error:
        reason = str(error)
    raise Problem(503, "chain-away", "区块链节点暂时没有确认,稍后会自动继续。", reason=reason)


async def outcome(tx: Tx, purpose: str, ref: str) -> tuple[str, str | None] | None:
    """(state, reason) of the last transaction for this, or None."""
    row = await tx.fetchrow(
        """SELECT state, reason FROM chain_tx WHERE purpose = $1 AND ref = $2
           AND state <> 'superseded' ORDER BY created_at DESC, nonce DESC LIMIT 1""",
        purpose,
        ref,
    )
    return None if row is None else (row["state"], row["reason"])


async def execute(government: Government, call: Call, purposes: Mapping[str, Purpose]) -> None:
    """Bring one call to the chain and wait until it is final.

    Raises Problem 502 `chain-refused` when it fails there, 503 `chain-away`; NodeAway.
    """
    terms = await terms_now(government)
    async with government.db.transaction() as tx:
        await prepare(tx, government, terms, call)
    await settle(government, purposes)
    async with government.db.transaction(readonly=True) as tx:
        state = await outcome(tx, call.purpose, call.ref)
    if state is not None and state[0] == "failed":
        raise Problem(502, "chain-refused", f"链上设置失败:{state[1]}", ref=call.ref)


async def nothing_more(_tx: Tx, done: ChainTx, _receipt: Receipt | None) -> None:
    """For calls that change only the chain: note a failure, the rest is in `chain_tx`."""
    if done.state == "failed":
        log("government_call_failed", purpose=done.purpose, ref=done.ref, reason=done.reason)
