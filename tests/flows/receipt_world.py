"""A city whose trips become receipts: contracts, a method and a rule enacted, points awarded."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from backend import incentive, methodology, proof
from backend.chain import ChainAccess, ChainClient, ChainKeys, contracts
from backend.chain.contracts import DEBIT_CHAIN_SENDER, EnactmentTerms
from backend.flows.anchor_log import anchor_log
from backend.flows.deploy_chain import access_chain, deploy_chain
from backend.flows.issue_receipt import issue_receipt
from backend.flows.post_points import post_points
from backend.flows.publish_trust import publish_trust
from backend.flows.seal_log import seal_once
from backend.flows.verify_receipt import verify_receipt
from backend.kit.clock import day_number, day_number_open
from backend.kit.ids import new_id
from backend.kit.settings import Settings
from backend.proof import Verdict, leaves
from tests.chain.support import APPROVERS, executed
from tests.flows.award_world import PROGRAMME, World, a_method, a_rule


@dataclass
class City:
    """What stands on one chain; `node` is whatever answers at `node.url`."""

    world: World
    settings: Settings
    access: ChainAccess
    node: Any
    enactments: dict[str, UUID]

    async def settle(self) -> None:
        """Seal, anchor and post until nothing is left to do."""
        db, now = self.world.db, self.world.clock.now()
        await seal_once(db, self.world.vault, self.settings, self.world.clock)
        for _ in range(40):
            done = await anchor_log(db, self.access, now)
            done += await post_points(db, self.access, now)
            async with db.transaction(readonly=True) as tx:
                size = await proof.size(tx)
                anchored = await tx.fetchval(
                    "SELECT coalesce(max(size), 0) FROM anchor WHERE final_at IS NOT NULL"
                )
                posted = await tx.fetchval(
                    "SELECT coalesce(max(leaf_to), 0) FROM post_cut WHERE settled_at IS NOT NULL"
                )
            if anchored == posted == size:
                return
            await asyncio.sleep(0.05)
        raise AssertionError("the chain did not settle")

    async def receipt(self, ref: UUID, form: proof.Form = "full") -> bytes:
        async with self.world.db.transaction(readonly=True) as tx:
            return await issue_receipt(tx, self.settings, ref, form)

    async def trust(self) -> bytes:
        world = self.world
        return (await publish_trust(world.db, world.vault, self.settings, world.clock)).document


async def enact(city: City, what: int, document: bytes) -> None:
    """Enact a document on chain and queue its leaf, as the officials' flow does."""
    read = methodology.read_method(document) if what == 2 else incentive.read_rule(document)
    terms = EnactmentTerms(
        what,
        read.id,
        read.version,
        read.digest,
        day_number(read.day_from),
        day_number_open(read.day_to),
    )
    client, keys, registry = city.access.client, city.access.keys, city.access.registry
    digest = contracts.enactment_digest(await client.chain_id(), registry, terms)
    signatures = [approver.sign_digest(digest) for approver in APPROVERS]
    await executed(client, keys.admin, registry, contracts.enact_input(terms, *signatures))
    name = "method" if what == 2 else "rule"
    enactment_id = city.enactments[name] = new_id()
    async with city.world.db.transaction() as tx:
        await tx.execute(
            """INSERT INTO enactment (enactment_id, what, id, version, digest, day_from, day_to,
                   approvers, enacted_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)""",
            enactment_id,
            name,
            read.id,
            read.version,
            read.digest,
            read.day_from,
            read.day_to,
            sorted(approver.address for approver in APPROVERS),
            city.world.clock.now(),
        )
        await proof.queue(tx, leaves.ENACTMENT, [enactment_id])


@asynccontextmanager
async def receipt_city(
    world: World, settings: Settings, client: ChainClient, keys: ChainKeys, node: Any
) -> AsyncIterator[City]:
    """Deploy, admit two approvers, fund the programme, and enact the method and the rule."""
    await deploy_chain(world.db, client, keys)
    access = await access_chain(world.db, client, keys)
    city = City(world, settings, access, node, {})
    for data, to in (
        *((contracts.register_approver_input(each.address), access.registry) for each in APPROVERS),
        (contracts.set_class_input("carbon", DEBIT_CHAIN_SENDER), access.points),
        (contracts.set_budget_input(PROGRAMME, 1_000_000), access.points),
    ):
        await executed(client, keys.government, to, data)
    await world.enact()
    await enact(city, 2, a_method())
    await enact(city, 1, a_rule())
    yield city


def outcomes(verdict: Verdict) -> dict[str, str]:
    return {each.step: each.verdict for each in verdict.steps}


ON_LINE = dict.fromkeys(proof.STEPS, "ok") | dict.fromkeys(("posted", "rule", "origin"), "stated")


async def check(receipt: bytes, trust: bytes, url: str | None) -> Verdict:
    return await asyncio.to_thread(verify_receipt, receipt, trust, url)
