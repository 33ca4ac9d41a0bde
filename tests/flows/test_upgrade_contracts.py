"""Another code behind the proxies: announced, in force, and nothing else has changed."""

import hashlib
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from backend.chain import (
    ChainClient,
    Deployment,
    RpcError,
    contracts,
    deploy,
    planned_timelock,
    recorded_deployments,
    timelock,
    upgrade,
)
from backend.chain.upgrade import KnownCode, Release, UpgradeRefused, load_release
from backend.flows.audit_batch import audit_batch
from backend.flows.government_lane import Government
from backend.flows.reconcile import reconcile
from backend.flows.seal_log import seal_once
from backend.flows.upgrade_contracts import look, upgrade_contracts
from backend.kit.clock import FixedClock, SystemClock
from backend.kit.db import Database
from backend.kit.settings import Settings
from backend.kit.vault import Vault
from tests.chain.support import NodeProcess, executed
from tests.flows.award_world import PROGRAMME, World, rows, trip
from tests.flows.receipt_world import ON_LINE, City, check, outcomes, receipt_city

pytestmark = pytest.mark.chain

CHANGED: tuple[contracts.ContractName, ...] = ("CarbonPoints", "EvidenceAnchor")


def a_release(
    *names: contracts.ContractName,
    layouts: Mapping[str, Sequence[str]] | None = None,
) -> Release:
    """This version with other code for `names`: their version text is 5.0.1 instead of 5.0.0."""
    now = load_release()
    artifacts = dict(now.artifacts)
    known: dict[contracts.ContractName, dict[str, KnownCode]] = {
        name: dict(it) for name, it in now.known.items()
    }
    for name in names or CHANGED:
        old = artifacts[name]
        new = replace(
            old,
            bytecode=old.bytecode.replace(b"5.0.0", b"5.0.1"),
            deployed_bytecode=old.deployed_bytecode.replace(b"5.0.0", b"5.0.1"),
        )
        [earlier] = known[name].values()
        layout = (layouts or {}).get(name, earlier.layout)
        code = hashlib.sha256(new.deployed_bytecode).hexdigest()
        artifacts[name] = new
        known[name][code] = KnownCode(earlier.immutable_spans, layout)
    return Release(artifacts, known)


def government_of(db: Database, client: ChainClient, node: NodeProcess) -> Government:
    # The chain's clock is the machine's.
    return Government(db, SystemClock(), client, node.keys.government)


async def version_of(client: ChainClient, address: str) -> bytes:
    return await client.call(address, contracts.selector("UPGRADE_INTERFACE_VERSION()"))


async def state_of(client: ChainClient, points: str, anchor: str, accounts: Sequence[bytes]):
    asked = (
        contracts.accounts_call("carbon", accounts),
        contracts.totals_call("carbon"),
        contracts.budget_call(PROGRAMME),
        contracts.selector("paused()"),
    )
    return [*await client.calls(points, asked), await client.call(anchor, contracts.latest_call())]


async def recorded(db: Database) -> dict[str, Deployment]:
    async with db.transaction(readonly=True) as tx:
        return {each.name: each for each in await recorded_deployments(tx)}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """One chain for the refusals, which change nothing on it."""
    node = NodeProcess(tmp_path_factory.mktemp("node"))
    node.start()
    yield node
    node.kill()


@pytest.fixture
async def city(
    db: Database, vault: Vault, clock: FixedClock, settings: Settings, tmp_path: Path
) -> AsyncIterator[City]:
    node = NodeProcess(tmp_path / "node")
    node.start()
    try:
        async with (
            ChainClient(node.url) as client,
            receipt_city(World(db, vault, clock), settings, client, node.keys, node) as city,
        ):
            yield city
    finally:
        node.kill()


async def test_an_upgrade_changes_code_and_nothing_else(
    city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, access, db, keys = city.world, city.access, city.world.db, city.node.keys
    client, release = access.client, a_release()
    government = government_of(db, client, city.node)
    await world.record(trip(distance_m=12_000))
    await world.award()
    await city.settle()
    pinned = await city.trust()
    [transfer] = await rows(db, "SELECT transfer_id FROM transfer")
    receipt = await city.receipt(transfer["transfer_id"])
    # Another award is on its way: sealed, and neither anchored nor posted.
    await world.record(trip(1, distance_m=8_000))
    await world.award()
    await seal_once(db, world.vault, city.settings, world.clock)
    [batch] = await rows(db, "SELECT batch_id FROM chain_batch")
    accounts = [row["account"] for row in await rows(db, "SELECT account FROM citizen_account")]
    before = await state_of(client, access.points, access.anchor, accounts)
    deployed = await recorded(db)

    planned = await look(government, keys, release)
    assert (planned.state, {change.name for change in planned.plan.due}) == (
        "planned",
        set(CHANGED),
    )
    announced = await upgrade_contracts(government, keys, release)
    assert announced.state == "waiting"
    assert announced.ready_at > 0
    assert (await look(government, keys, release)).state == "waiting"
    assert await recorded(db) == deployed, "announced is not in force"
    with monkeypatch.context() as patch:
        # Killed after the chain has it and before the database knows.
        patch.setattr("backend.flows.upgrade_contracts.record_implementation", _killed)
        with pytest.raises(KeyboardInterrupt):
            await upgrade_contracts(government, keys, release, wait_s=20)
    assert (await upgrade_contracts(government, keys, release)).state == "nothing"

    assert await state_of(client, access.points, access.anchor, accounts) == before
    assert b"5.0.1" in await version_of(client, access.points)
    assert b"5.0.0" in await version_of(client, access.registry)
    asked = contracts.batch_call(batch["batch_id"])
    assert contracts.read_batch(await client.call(access.points, asked)) is not None
    now = await recorded(db)
    assert {name for name in now if now[name] != deployed[name]} == set(CHANGED)
    assert all(now[name].block == deployed[name].block for name in now)
    assert now["CarbonPoints"].implementation_block > now["ParkingSettlement"].block

    await city.settle()
    assert (await reconcile(db, access)).differences == []
    assert (await audit_batch(db, access, batch["batch_id"])).differences == []
    verdict = await check(receipt, await city.trust(), city.node.url)
    assert outcomes(verdict) == ON_LINE, "a receipt of before holds"
    stale = outcomes(await check(receipt, pinned, city.node.url))
    assert stale["anchor"] == "failed", "who pinned the old file hears of code it does not list"


async def _killed(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


# --- refusals: nothing is sent -----------------------------------------------------------------


async def test_a_changed_layout_is_refused(node: NodeProcess) -> None:
    async with ChainClient(node.url) as client:
        await deploy(client, node.keys)
        [earlier] = load_release().known["CarbonPoints"].values()
        moved = [line.replace("1+0 batches", "5+0 batches") for line in earlier.layout]
        release = a_release("CarbonPoints", layouts={"CarbonPoints": moved})
        with pytest.raises(UpgradeRefused, match=r"no longer keeps its storage: 1\+0 batches"):
            await upgrade.plan_upgrade(client, node.keys, release)
        longer = [*earlier.layout, "5+0 more: uint256 (32 B)"]
        release = a_release("CarbonPoints", layouts={"CarbonPoints": longer})
        plan = await upgrade.plan_upgrade(client, node.keys, release)
        assert [change.layout_added for change in plan.due] == [["5+0 more: uint256 (32 B)"]]


async def test_a_code_without_a_layout_on_file_is_refused(node: NodeProcess) -> None:
    async with ChainClient(node.url) as client:
        await deploy(client, node.keys)
        release = a_release("CarbonPoints")
        unknown = Release(release.artifacts, load_release().known)
        with pytest.raises(UpgradeRefused, match="code that is to come is not on file"):
            await upgrade.plan_upgrade(client, node.keys, unknown)
        [new] = [{code: it} for code, it in list(release.known["CarbonPoints"].items())[1:]]
        forgotten = Release(release.artifacts, {**release.known, "CarbonPoints": new})
        with pytest.raises(UpgradeRefused, match=r"code at 0x[0-9a-f]{40} is not on file"):
            await upgrade.plan_upgrade(client, node.keys, forgotten)


async def test_an_uninitialised_proxy_is_refused(
    node: NodeProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ChainClient(node.url) as client:
        places = {d.name: d for d in await deploy(client, node.keys)}
        implementation = places["CarbonPoints"].implementation_address
        # OpenZeppelin's proxy wants a first call, but one that only reads leaves it open to all.
        bare = contracts.proxy_creation(implementation, contracts.selector("paused()"))
        receipt = await executed(client, node.keys.post, None, bare)
        taken = {name: it.address for name, it in places.items()}
        taken["CarbonPoints"] = str(receipt.contract_address)
        monkeypatch.setattr("backend.chain.upgrade.planned_addresses", lambda _: taken)
        with pytest.raises(UpgradeRefused, match="was never initialised"):
            await upgrade.plan_upgrade(client, node.keys, a_release())
        taken["CarbonPoints"] = implementation
        with pytest.raises(UpgradeRefused, match="no proxy of ours"):
            await upgrade.plan_upgrade(client, node.keys, a_release())


async def test_an_implementation_that_anybody_could_initialise_is_refused(
    node: NodeProcess,
) -> None:
    async with ChainClient(node.url) as client:
        places = {d.name: d.address for d in await deploy(client, node.keys)}
        plan = await upgrade.plan_upgrade(client, node.keys, a_release("CarbonPoints"))
        open_to_all: dict[contracts.ContractName, str] = {"CarbonPoints": places["RuleRegistry"]}
        operation = upgrade.operation_of(plan, open_to_all)
        with pytest.raises(UpgradeRefused, match="anybody could initialise"):
            await upgrade.rehearse(client, operation, plan, open_to_all)


async def test_a_key_cannot_upgrade_past_the_timelock(db: Database, node: NodeProcess) -> None:
    async with ChainClient(node.url) as client:
        places = {d.name: d.address for d in await deploy(client, node.keys)}
        release = a_release("CarbonPoints")
        plan = await upgrade.plan_upgrade(client, node.keys, release)
        placed = await upgrade.place_implementations(client, node.keys, plan, release)
        assert await upgrade.place_implementations(client, node.keys, plan, release) == placed
        operation = upgrade.operation_of(plan, placed)
        [(to, data)] = operation.calls
        assert to == places["CarbonPoints"]
        for signer in (node.keys.admin, node.keys.government, node.keys.auditor, node.keys.post):
            reason = await refusal(client, to, data, signer.address)
            assert reason.startswith("AccessControlUnauthorizedAccount"), signer
        lock = planned_timelock(node.keys)
        early = operation.schedule_input(await timelock.delay_s(client, lock) - 1)
        reason = await refusal(client, lock, early, node.keys.government.address)
        assert reason.startswith("TimelockInsufficientDelay")
        unannounced = operation.execute_input()
        reason = await refusal(client, lock, unannounced, node.keys.government.address)
        assert reason.startswith("TimelockUnexpectedOperationState")


async def test_the_auditor_stops_an_announced_upgrade(node: NodeProcess) -> None:
    async with ChainClient(node.url) as client:
        await deploy(client, node.keys)
        release = a_release("EvidenceAnchor")
        plan = await upgrade.plan_upgrade(client, node.keys, release)
        placed = await upgrade.place_implementations(client, node.keys, plan, release)
        operation, lock = upgrade.operation_of(plan, placed), planned_timelock(node.keys)
        await executed(client, node.keys.government, lock, operation.schedule_input(60))
        found = await timelock.standing(client, lock, operation, 0)
        assert found.state == "waiting"
        await executed(client, node.keys.auditor, lock, timelock.cancel_input(operation))
        found = await timelock.standing(client, lock, operation, found.ready_at + 60)
        assert found.state == "unknown"


async def refusal(client: ChainClient, to: str, data: bytes, sender: str) -> str:
    """The named error that a call from `sender` reverts with."""
    with pytest.raises(RpcError) as caught:
        await client.call(to, data, sender=sender)
    assert caught.value.revert_data is not None
    return contracts.explain_revert(caught.value.revert_data)
