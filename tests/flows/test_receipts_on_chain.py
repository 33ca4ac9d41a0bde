"""From a trip to a receipt that holds elsewhere: real database, real node, real contracts."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from backend import proof
from backend.chain import ChainClient
from backend.flows.expire_points import expire_points
from backend.flows.reconcile import reconcile
from backend.flows.refund_redemption import give_back
from backend.flows.reverse_points import reverse_points
from backend.kit.clock import FixedClock
from backend.kit.db import Database
from backend.kit.ids import new_id
from backend.kit.problems import Problem
from backend.kit.settings import Settings
from backend.kit.vault import Vault
from tests.chain.support import ROOT, NodeProcess
from tests.flows.award_world import World, rows, trip
from tests.flows.receipt_world import ON_LINE, City, check, outcomes, receipt_city
from tests.flows.redeem_world import a_reward, open_shop, redeem

pytestmark = pytest.mark.chain


@pytest.fixture
async def city(
    db: Database, vault: Vault, clock: FixedClock, settings: Settings, tmp_path: Path
) -> AsyncIterator[City]:
    node = NodeProcess(tmp_path / "node")
    await asyncio.to_thread(node.start)
    try:
        async with (
            ChainClient(node.url) as client,
            receipt_city(World(db, vault, clock), settings, client, node.keys, node) as city,
        ):
            yield city
    finally:
        node.kill()


def stranger(
    folder: Path, receipt: bytes, trust: bytes, *options: str
) -> subprocess.CompletedProcess[str]:
    """`tanhui verify` in a folder with nothing but a receipt and a trust file."""
    folder.mkdir(exist_ok=True)
    (folder / "r.json").write_bytes(receipt)
    (folder / "t.json").write_bytes(trust)
    command = [sys.executable, "-m", "backend.cli", "verify", "r.json", "--trust", "t.json"]
    return subprocess.run(
        [*command, *options],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def test_a_trip_becomes_a_receipt_that_holds_elsewhere(city: City, tmp_path: Path) -> None:
    await city.world.record(trip(distance_m=22_000), trip(1, distance_m=12_000))
    await city.world.award()
    transfers = [row["transfer_id"] for row in await rows(city.world.db, "SELECT * FROM transfer")]
    with pytest.raises(Problem, match="not-confirmed"):
        await city.receipt(transfers[0])
    await city.settle()
    trust = await city.trust()
    for transfer in transfers:
        verdict = await check(await city.receipt(transfer), trust, city.node.url)
        assert verdict.ok, verdict
        assert outcomes(verdict) == ON_LINE
        assert "as enacted on chain" in verdict.steps[7].reason
        shared = await check(await city.receipt(transfer, "share"), trust, city.node.url)
        assert shared.ok
        assert outcomes(shared) == ON_LINE | {"posted": "hidden", "origin": "hidden"}

    receipt = await city.receipt(transfers[0])
    folder = tmp_path / "elsewhere"
    on_line = await asyncio.to_thread(stranger, folder, receipt, trust, "--rpc", city.node.url)
    assert on_line.returncode == 0, on_line
    assert on_line.stdout.count("✓") == 8
    offline = await asyncio.to_thread(stranger, folder, receipt, trust, "--json")
    assert offline.returncode == 0, offline
    said = json.loads(offline.stdout)
    assert said["ok"] is True
    assert [step["step"] for step in said["steps"]] == list(proof.STEPS)
    assert [s["step"] for s in said["steps"] if s["verdict"] == "not_checked"] == [
        "anchor",
        "posted",
    ]
    forged = receipt.replace(b'"amount\\":48', b'"amount\\":49')
    assert forged != receipt
    refused = await asyncio.to_thread(stranger, folder, forged, trust, "--rpc", city.node.url)
    assert refused.returncode == 1
    assert "✗" in refused.stdout
    away = await asyncio.to_thread(
        stranger, folder, receipt, trust, "--rpc", "http://127.0.0.1:9", "--json"
    )
    assert away.returncode == 1
    assert [s["step"] for s in json.loads(away.stdout)["steps"] if s["verdict"] == "failed"] == [
        "anchor",
        "posted",
    ]


async def test_enactments_and_reversals_have_receipts_too(city: City) -> None:
    await city.world.record(trip(distance_m=22_000))
    await city.world.award()
    [award] = await rows(city.world.db, "SELECT transfer_id FROM transfer")
    await city.settle()
    first = await city.receipt(award["transfer_id"])
    reversal = await reverse_points(
        city.world.db,
        city.world.clock,
        of_transfer=award["transfer_id"],
        note="误报",
        city_tz=city.settings.city_tz,
    )
    await city.settle()
    trust = await city.trust()
    # The first anchor over a leaf is named for ever: the receipt is the same later on.
    assert await city.receipt(award["transfer_id"]) == first
    for name, enactment_id in city.enactments.items():
        verdict = await check(await city.receipt(enactment_id), trust, city.node.url)
        assert verdict.ok, verdict
        assert outcomes(verdict)[name] == "ok"
        with pytest.raises(Problem, match="no-share-form"):
            await city.receipt(enactment_id, "share")
    verdict = await check(await city.receipt(reversal.transfer_id), trust, city.node.url)
    assert verdict.ok, verdict
    assert outcomes(verdict) == ON_LINE | {"method": "stated"}


async def test_spent_given_back_and_lapsed_points_have_receipts_too(city: City) -> None:
    """Award, redemption, refund and expiry reach the chain in an order that it accepts."""
    world = city.world
    await world.record(trip(distance_m=22_000), trip(1, distance_m=12_000))
    await world.award()
    shop = await open_shop(world, a_reward(price_points=20))
    first = await redeem(shop, world.people[0])
    await city.settle()
    await give_back(shop, first.redemption_id)
    second = await redeem(shop, world.people[0])
    await city.settle()
    world.clock.advance(days=3 * 365)
    assert await expire_points(world.db, world.clock, city.settings.city_tz) == 2
    await city.settle()
    trust = await city.trust()
    moved = await rows(world.db, "SELECT transfer_id, act FROM transfer WHERE act <> 'award'")
    assert {each["act"] for each in moved} == {"redeem", "refund", "expire"}
    for each in moved:
        verdict = await check(await city.receipt(each["transfer_id"]), trust, city.node.url)
        assert verdict.ok, (each["act"], verdict)
        shared = await city.receipt(each["transfer_id"], "share")
        assert (await check(shared, trust, city.node.url)).ok
    assert second.state == "posted"
    report = await reconcile(world.db, city.access)
    assert report.differences == []
    assert report.ledger_points["carbon"] == [48 + 27 + 20, 40, 28 + 27]
    assert (await world.recomputed()).differences == []


async def test_what_a_receipt_refuses(city: City, url_of) -> None:
    await city.world.record(trip(distance_m=22_000))
    await city.world.award()
    [award] = await rows(city.world.db, "SELECT transfer_id FROM transfer")
    await city.settle()
    with pytest.raises(Problem, match="not-confirmed"):
        await city.receipt(new_id())
    owner = await Database.open(url_of("owner"))
    try:
        async with owner.transaction() as tx:
            await tx.execute("UPDATE award SET reduction_mg = reduction_mg + 1")
        with pytest.raises(Problem, match="leaf-differs"):
            await city.receipt(award["transfer_id"])
        async with owner.transaction() as tx:
            await tx.execute("DELETE FROM leaf_secret")
    finally:
        await owner.close()
    with pytest.raises(Problem, match="receipt-erased"):
        await city.receipt(award["transfer_id"])
