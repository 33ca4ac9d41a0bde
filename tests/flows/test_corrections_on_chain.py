"""Mixed traffic with corrections and double claims, posted to a real chain: every book agrees."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from backend.chain import ChainClient, contracts
from backend.chain.contracts import DEBIT_CHAIN_SENDER
from backend.flows.deploy_chain import access_chain, deploy_chain
from backend.flows.reconcile import reconcile
from backend.kit.clock import FixedClock
from backend.kit.db import Database
from backend.kit.settings import Settings
from backend.kit.vault import Vault
from tests.chain.support import APPROVERS, NodeProcess, executed
from tests.flows.award_world import rows
from tests.flows.mixed_world import BIKE, ENERGY, METRO, MixedWorld, event, month, sound
from tests.flows.receipt_world import City, enact
from tests.flows.test_receipts_on_chain import ON_LINE, check, outcomes

pytestmark = pytest.mark.chain


@pytest.fixture
async def city(
    db: Database, vault: Vault, clock: FixedClock, settings: Settings, tmp_path: Path
) -> AsyncIterator[City]:
    node = NodeProcess(tmp_path / "node")
    await asyncio.to_thread(node.start)
    try:
        async with ChainClient(node.url) as client:
            await deploy_chain(db, client, node.keys)
            access = await access_chain(db, client, node.keys)
            world = MixedWorld(db, vault, clock)
            await world.found()
            city = City(world, settings, access, node, {})
            programmes = await rows(db, "SELECT programme_id FROM programme")
            for data, to in (
                *(
                    (contracts.register_approver_input(each.address), access.registry)
                    for each in APPROVERS
                ),
                (contracts.set_class_input("carbon", DEBIT_CHAIN_SENDER), access.points),
                *(
                    (contracts.set_budget_input(row["programme_id"], 10**6), access.points)
                    for row in programmes
                ),
            ):
                await executed(client, node.keys.government, to, data)
            for name in (METRO, ENERGY, BIKE, "metro-points", "energy-points", "ride-points"):
                await enact(city, *world.documents[name])
            yield city
    finally:
        node.kill()


async def test_books_agree_after_corrections_and_double_claims(city: City) -> None:
    world = city.world
    assert isinstance(world, MixedWorld)
    await world.send(event("a"), event("b", minute=200), partner="metro")
    await world.send(event("bike", BIKE, minute=395), partner="bike")
    await world.send(month("e25", 2025, energy_wh=310_000), month("e26"), partner="grid")
    await world.settle()
    await city.settle()
    await world.send(
        event("a2", data={"distance_m": 22_000, "duration_s": 1_800}, corrects="a"),
        event("b-gone", data={}, retracts="b"),
        event("train", minute=400),
        partner="metro",
    )
    await world.settle()
    assert (await reconcile(world.db, city.access)).differences == []  # some is in flight
    await city.settle()
    assert (await reconcile(world.db, city.access)).differences == []
    await sound(world)
    states = {name: state for name, (state, _) in (await world.fates()).items()}
    assert states == {
        "a": "reversed",
        "b": "reversed",
        "bike": "reversed",
        "e25": "refused",
        "e26": "posted",
        "a2": "posted",
        "b-gone": "applied",
        "train": "posted",
    }

    trust = await city.trust()
    for row in await rows(
        world.db,
        """SELECT t.transfer_id, t.act, a.scenario FROM transfer AS t
           LEFT JOIN award AS a USING (transfer_id)
           WHERE t.act = 'reverse' OR a.scenario IN ('transit.metro.trip', 'energy.home.month')""",
    ):
        verdict = await check(await city.receipt(row["transfer_id"]), trust, city.node.url)
        assert verdict.ok, verdict
        # What was looked up is stated by the issuer: nobody else can know last year's month.
        looked_up = row["act"] == "reverse" or row["scenario"] == ENERGY
        expected = ON_LINE | {"method": "stated" if looked_up else "ok"}
        if row["scenario"] is not None:
            expected |= {"rule": "ok"}  # no cap entered
        assert outcomes(verdict) == expected
