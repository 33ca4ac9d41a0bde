"""A node with contracts and a log with planted leaves, for the flows that meet the chain."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from hashlib import new as new_hash
from typing import Any, Protocol
from uuid import UUID

from backend import proof
from backend.chain import ChainAccess, ChainClient, ChainKeys, ChainProfile
from backend.chain.contracts import DEBIT_CHAIN_SENDER, set_budget_input, set_class_input
from backend.chain.profile import EMBEDDED
from backend.flows.deploy_chain import access_chain, deploy_chain
from backend.kit.db import Database
from backend.kit.ids import new_id
from tests.chain.support import enact_rule, executed

NOW = datetime(2026, 11, 22, 4, 0, tzinfo=UTC)
DAY = date(2026, 11, 22)
RULE, PROGRAMME, CLASS = "metro-points", "metro-2026", "carbon"


def account_of(number: int) -> bytes:
    return new_hash("sha256", b"account %d" % number).digest()[:20]


def a_leaf(
    *,
    act: str = "award",
    account: int = 1,
    amount: int = 10,
    reason: int | None = None,
    day: date = DAY,
    rule: str = RULE,
    class_: str = CLASS,
) -> dict[str, Any]:
    """Columns of a transfer's leaf."""
    reasons = {"award": 0, "redeem": 0, "expire": 1, "reverse": 2, "erase": 3, "refund": 4}
    award = act == "award"
    return {
        "act": act,
        "class": class_,
        "programme": PROGRAMME if award else None,
        "rule": rule if award else None,
        "rule_version": 1 if award else None,
        "reason": reasons[act] if reason is None else reason,
        "account": account_of(account),
        "amount": amount,
        "city_day": day,
    }


class AnyNode(Protocol):
    """A running node: where it answers, and the installation's keys."""

    url: str
    keys: ChainKeys


@dataclass
class ChainWorld:
    """One chain, one database, and what was planted."""

    db: Database
    node: Any
    client: ChainClient
    access: ChainAccess
    planted: list[UUID] = field(default_factory=list)
    citizens: dict[int, UUID] = field(default_factory=dict)
    unsealed: list[tuple[UUID, dict[str, Any]]] = field(default_factory=list)

    async def seal(self, leaves: Sequence[dict[str, Any] | None]) -> int:
        """Append leaves (None = an enactment) and a checkpoint; returns the log's size."""
        async with self.db.transaction() as tx:
            fresh = [
                proof.NewLeaf(
                    kind=2 if terms is None else 1,
                    ref=new_id(),
                    leaf_hash=new_hash("sha256", str((n, terms)).encode()).digest(),
                    seed=bytes(32),
                    terms=terms or {},
                )
                for n, terms in enumerate(leaves)
            ]
            size, root = await proof.append_leaves(tx, fresh, NOW)
            await proof.add_checkpoint(tx, proof.Checkpoint(size, root, "unsigned\n"), NOW)
        self.planted += [leaf.ref for leaf in fresh]
        return size

    async def fund(self, cap: int) -> None:
        """Make the class known and give the programme its cap on chain."""
        for data in (set_class_input(CLASS, DEBIT_CHAIN_SENDER), set_budget_input(PROGRAMME, cap)):
            await executed(self.client, self.node.keys.government, self.access.points, data)

    async def citizen(self, number: int) -> UUID:
        """The citizen with `account_of(number)`, entered on first use."""
        if number not in self.citizens:
            citizen_id = self.citizens[number] = new_id()
            async with self.db.transaction() as tx:
                await tx.execute(
                    "INSERT INTO citizen_account (citizen_id, class, account) VALUES ($1, $2, $3)",
                    citizen_id,
                    CLASS,
                    account_of(number),
                )
        return self.citizens[number]

    async def award(self, awards: Sequence[tuple[int, int]]) -> None:
        """Transfers of (account number, points), queued to be sealed: what a flow commits."""
        await self.transfer("award", awards)

    async def transfer(
        self, act: str, amounts: Sequence[tuple[int, int]], *, day: date = DAY
    ) -> None:
        """The same for any act, of (account number, points)."""
        citizens = [await self.citizen(number) for number, _ in amounts]
        async with self.db.transaction() as tx:
            for citizen_id, (number, amount) in zip(citizens, amounts, strict=True):
                transfer_id = new_id()
                terms = a_leaf(act=act, account=number, amount=amount, day=day)
                await tx.execute(
                    """INSERT INTO transfer (transfer_id, act, reason, citizen_id, class, amount,
                           programme_id, rule_id, rule_version, city_day, created_at)
                       VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)""",
                    transfer_id,
                    act,
                    terms["reason"],
                    citizen_id,
                    CLASS,
                    amount,
                    terms["programme"],
                    terms["rule"],
                    terms["rule_version"],
                    day,
                    NOW,
                )
                await tx.execute(
                    "INSERT INTO unsealed (kind, ref, queued_at) VALUES (1, $1, $2)",
                    transfer_id,
                    NOW,
                )
                self.unsealed.append((transfer_id, terms))

    async def seal_transfers(self) -> None:
        """Leaves for everything queued, and a checkpoint, in one commit."""
        queued, self.unsealed = self.unsealed, []
        if not queued:
            return
        async with self.db.transaction() as tx:
            await tx.execute(
                "DELETE FROM unsealed WHERE ref = ANY($1::uuid[])", [ref for ref, _ in queued]
            )
            leaves = [
                proof.NewLeaf(1, ref, new_hash("sha256", ref.bytes).digest(), bytes(32), terms)
                for ref, terms in queued
            ]
            size, root = await proof.append_leaves(tx, leaves, NOW)
            await proof.add_checkpoint(tx, proof.Checkpoint(size, root, "unsigned\n"), NOW)

    async def rows(self, sql: str, *args: Any) -> list[dict[str, Any]]:
        async with self.db.transaction(readonly=True) as tx:
            return [dict(row) for row in await tx.fetch(sql, *args)]


@asynccontextmanager
async def chain_world(
    db: Database,
    node: AnyNode,
    *,
    cap: int | None = 1_000_000,
    enacted: bool = True,
    profile: ChainProfile = EMBEDDED,
) -> AsyncIterator[ChainWorld]:
    """Deploy, enact the rule, fund the programme."""
    async with ChainClient(node.url, profile) as client:
        await deploy_chain(db, client, node.keys)
        access = await access_chain(db, client, node.keys)
        world = ChainWorld(db, node, client, access)
        if enacted:
            await enact_rule(client, node.keys, access.registry, rule=RULE)
        if cap is not None:
            await world.fund(cap)
        yield world
