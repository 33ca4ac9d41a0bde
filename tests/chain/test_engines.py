"""One behaviour suite, two engines: the embedded node and anvil, and their figures side by side."""

from collections.abc import Iterator

import pytest

from backend.chain import ChainClient, ChainKeys, RpcError, Signer, deploy, probe
from backend.chain import contracts as k
from backend.chain.deploy import find_deployments, planned_addresses
from tests.chain.anvil import Anvil, anvil_binary, funded
from tests.chain.support import CHAIN_ID, NodeProcess, enact_rule, executed, send

pytestmark = pytest.mark.chain


@pytest.fixture(scope="module", params=["embedded", "anvil"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator:
    if request.param == "embedded":
        node = NodeProcess(tmp_path_factory.mktemp("engine"))
        node.start()
        yield node
        node.kill()
    else:
        anvil = Anvil(anvil_binary())
        yield anvil
        anvil.stop()


FIGURES: dict[str, list[object]] = {}


async def scenario(client: ChainClient, keys: ChainKeys) -> list[object]:
    """Deploy, enact, post, repeat, refuse; returns what must not depend on the engine."""
    await funded(client, keys)
    assert await probe(client, CHAIN_ID, keys.addresses()) == []
    deployments = await deploy(client, keys)
    assert await deploy(client, keys) == deployments
    assert await find_deployments(client, planned_addresses(keys)) == deployments
    places = {d.name: d.address for d in deployments}
    points, anchor = places["CarbonPoints"], places["EvidenceAnchor"]
    seen: list[object] = []
    await enact_rule(client, keys, places["RuleRegistry"], rule="r", day_from=100, day_to=200)
    settings = (k.set_class_input("carbon", 2), k.set_budget_input("p", 100))
    seen += [(await executed(client, keys.government, points, s)).gas_used for s in settings]

    header = k.BatchHeader(1, "carbon", "p", "r", 1, 0, 0, 5, k.ACCOUNT_LOWEST, k.ACCOUNT_HIGHEST)
    accounts = [bytes([n]) * 20 for n in range(1, 6)]
    content = k.BatchContent(100, 101, k.make_records([(a, 7) for a in accounts]))
    data = k.post_input(header, content)
    first = await executed(client, keys.post, points, data)
    again = await executed(client, keys.post, points, data)
    seen += [first.gas_used, again.gas_used, len(first.logs), len(again.logs)]
    assert first.logs[0]["topics"][1] == "0x" + k.batch_id(CHAIN_ID, points, header).hex()
    totals = k.read_accounts(await client.call(points, k.accounts_call("carbon", accounts)))
    assert [(t.issued, t.seq) for t in totals] == [(7, 1)] * 5
    identity = k.batch_id(CHAIN_ID, points, header)
    posted = k.read_batch(await client.call(points, k.batch_call(identity)))
    assert posted is not None
    assert posted.content == k.content_hash(content)[:20]
    before = await client.call(points, k.totals_call("carbon"), first.block - 1)
    assert k.read_totals(before) == (0, 0, 0)

    other = k.BatchContent(100, 101, k.make_records([(accounts[0], 8)]))
    late = k.BatchHeader(1, "carbon", "p", "r", 1, 0, 5, 6, k.ACCOUNT_LOWEST, k.ACCOUNT_HIGHEST)
    for refused_header, refused in (
        (header, other),
        (late, k.BatchContent(99, 101, other.records)),
        (late, k.BatchContent(100, 101, k.make_records([(accounts[0], 1_000)]))),
        (late, k.BatchContent(100, 101, b"\x01" * 23)),
    ):
        asked = k.post_input(refused_header, refused)
        with pytest.raises(RpcError) as caught:
            await client.call(points, asked, sender=keys.post.address)
        assert caught.value.revert_data is not None
        seen.append(k.explain_revert(caught.value.revert_data).split("(")[0])
    with pytest.raises(RpcError) as caught:
        await client.call(points, data, sender=keys.government.address)
    assert caught.value.revert_data is not None
    seen.append(k.explain_revert(caught.value.revert_data).split("(")[0])

    root = b"\x05" * 32
    anchored = await executed(client, keys.anchor, anchor, k.anchor_input(3, root, bytes(32)))
    seen.append(anchored.gas_used)
    assert k.read_latest(await client.call(anchor, k.latest_call())) == (3, root)
    reverted = await send(client, keys.anchor, anchor, k.anchor_input(3, root, root))
    receipt = await client.receipt(reverted)
    assert receipt is not None
    seen += [receipt.status, receipt.gas_used]
    return seen


async def test_the_same_scenario(engine: NodeProcess | Anvil) -> None:
    async with ChainClient(engine.url) as client:
        FIGURES[type(engine).__name__] = await scenario(client, engine.keys)


def test_gas_events_and_refusals_are_equal() -> None:
    """A differential test of py-evm: gas to the unit, events, names of errors."""
    if "Anvil" not in FIGURES:
        anvil_binary()
    assert FIGURES["NodeProcess"] == FIGURES["Anvil"]


async def test_refused_words_are_understood(engine: NodeProcess | Anvil) -> None:
    """Both engines' words for a used nonce and an unknown sender reach the sender as errors."""
    async with ChainClient(engine.url) as client:
        await funded(client, engine.keys)
        signer = engine.keys.auditor
        tx_hash = await send(client, signer, "0x" + "22" * 20, b"")
        mined = await client.transaction(tx_hash)
        assert mined is not None
        from backend.chain import Terms

        raw = signer.sign_transaction(
            Terms(CHAIN_ID, await client.gas_price_wei(), True),
            nonce=int(mined["nonce"], 16),
            gas=50_000,
            to="0x" + "23" * 20,
            data=b"",
        )
        with pytest.raises(RpcError, match="nonce too low"):
            await client.send_raw(raw)
        with pytest.raises(RpcError, match=r"(?i)insufficient funds"):
            await send(client, Signer(b"\x0b" * 32), "0x" + "22" * 20, b"")
