"""Deployment continues after any kill, finds itself again, and refuses what is not ours."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from backend.chain import (
    ChainClient,
    DeploymentDiffers,
    RpcError,
    deploy,
    open_access,
    open_keys,
    planned_addresses,
    record_deployments,
    recorded_deployments,
    upgrade,
)
from backend.chain import contracts as k
from backend.chain.deploy import find_deployments
from backend.chain.keys import create_address
from backend.flows.deploy_chain import deploy_chain
from backend.kit.db import Database, Tx
from tests.chain.support import NodeProcess, executed

pytestmark = pytest.mark.chain

STEPS = 13
"""Code and proxy of five contracts, the timelock, the auditor's veto, the end of setting up."""


class Dying(ChainClient):
    """A client whose process is killed after a number of transactions."""

    sends = 0

    async def send_raw(self, raw: bytes) -> str:
        if self.sends == 0:
            raise KeyboardInterrupt
        self.sends -= 1
        return await super().send_raw(raw)


@pytest.fixture
async def own_client(own_node: NodeProcess) -> AsyncIterator[ChainClient]:
    async with ChainClient(own_node.url) as client:
        yield client


async def test_every_interrupted_step_is_continued(
    own_node: NodeProcess, own_client: ChainClient
) -> None:
    admin = own_node.keys.admin.address
    for done in range(STEPS - 1):
        async with Dying(own_node.url) as dying:
            dying.sends = 1
            with pytest.raises(KeyboardInterrupt):
                await deploy(dying, own_node.keys)
        assert await own_client.nonce(admin) == done + 1
    found = await deploy(own_client, own_node.keys)
    assert {d.name: d.address for d in found} == planned_addresses(own_node.keys)
    assert await own_client.nonce(admin) == STEPS, "nothing was created twice"
    assert [d.block for d in found] == [2, 4, 6, 8, 10]


async def test_a_lost_database_finds_the_contracts_again(
    db: Database, own_node: NodeProcess, own_client: ChainClient
) -> None:
    before = await deploy(own_client, own_node.keys)
    assert await deploy_chain(db, own_client, own_node.keys) == before
    async with db.transaction(readonly=True) as tx:
        assert sorted(d.name for d in await recorded_deployments(tx)) == sorted(
            d.name for d in before
        )
    assert {d.name for d in await deploy_chain(db, own_client, own_node.keys)} == {
        d.name for d in before
    }


async def test_an_earlier_installation_gets_the_rest_and_hands_its_roles_over(
    db: Database, own_node: NodeProcess, own_client: ChainClient
) -> None:
    """Three contracts, upgraded by the admin's key itself: how the first version left them."""
    keys = own_node.keys
    admin, proxies = keys.admin.address, planned_addresses(keys)
    senders = [keys.anchor.address, keys.post.address]
    holders = (admin, keys.government.address, keys.auditor.address, admin, senders)
    for n, name in enumerate(k.CONTRACT_NAMES[:3]):
        await executed(own_client, keys.admin, None, k.load_artifact(name).bytecode, gas=6_000_000)
        initialize = k.initialize_input(name, holders, proxies["RuleRegistry"])
        creation = k.proxy_creation(create_address(admin, 2 * n), initialize)
        await executed(own_client, keys.admin, None, creation, gas=6_000_000)
    first = await find_deployments(
        own_client, {name: proxies[name] for name in k.CONTRACT_NAMES[:3]}
    )
    async with db.transaction() as tx:
        await record_deployments(tx, first)

    found = await deploy_chain(db, own_client, keys)
    assert found[:3] == first
    assert [d.name for d in found] == list(k.CONTRACT_NAMES)
    # Raises when the admin's key still holds a role, or the timelock lacks one.
    await upgrade.plan_upgrade(own_client, keys, upgrade.load_release())
    assert await deploy_chain(db, own_client, keys) == found


async def test_a_foreign_contract_is_not_adopted(
    own_node: NodeProcess, own_client: ChainClient
) -> None:
    """The admin's key created something else before: its addresses are taken."""
    await executed(own_client, own_node.keys.admin, None, bytes.fromhex("600160005360016000f3"))
    with pytest.raises(DeploymentDiffers, match=r"code|failed|proxy"):
        await deploy(own_client, own_node.keys)


async def test_records_are_written_once(
    client: ChainClient, shared_node: NodeProcess, tx: Tx
) -> None:
    found = await deploy(client, shared_node.keys)
    await record_deployments(tx, found)
    await record_deployments(tx, found)
    access = await open_access(client, shared_node.keys, await recorded_deployments(tx))
    assert set(access.addresses()) == {d.address for d in found}
    with pytest.raises(DeploymentDiffers, match="not deployed yet"):
        await open_access(client, shared_node.keys, found[:1])


async def test_roles_are_apart(client: ChainClient, shared_node: NodeProcess) -> None:
    """The sending lanes cannot set budgets, the government cannot send, nobody is both."""
    keys = shared_node.keys
    places = {d.name: d.address for d in await deploy(client, keys)}
    points, anchor = places["CarbonPoints"], places["EvidenceAnchor"]
    for sender, to, data in (
        (keys.post, points, k.set_budget_input("p", 1)),
        (keys.admin, points, k.set_budget_input("p", 1)),
        (keys.government, anchor, k.anchor_input(1, b"\x01" * 32, bytes(32))),
        (keys.admin, anchor, k.anchor_input(1, b"\x01" * 32, bytes(32))),
        (keys.post, anchor, k.selector("pause()")),
    ):
        with pytest.raises(RpcError) as caught:
            await client.call(to, data, sender=sender.address)
        assert caught.value.revert_data is not None
        reason = k.explain_revert(caught.value.revert_data)
        assert reason.startswith("AccessControlUnauthorizedAccount")


def test_keys_are_made_once_and_kept_from_others(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    first = open_keys(folder)
    assert list(open_keys(folder).addresses()) == list(first.addresses())
    assert len(set(first.addresses())) == 5
    files = sorted(folder.glob("chain-*.key"))
    assert [f.stat().st_mode & 0o777 for f in files] == [0o600] * 5
    files[0].chmod(0o644)
    with pytest.raises(PermissionError, match="read by other users"):
        open_keys(folder)
    files[0].chmod(0o600)
    files[0].write_text("not a key")
    with pytest.raises(ValueError, match="no secp256k1 key"):
        open_keys(folder)
