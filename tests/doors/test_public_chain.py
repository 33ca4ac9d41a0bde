"""The public door beside a real node: supply, the way to the chain, batches."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest

from backend.chain import ChainClient
from backend.flows.anchor_log import anchor_log
from backend.flows.deploy_chain import access_chain, deploy_chain
from backend.flows.post_points import post_points
from backend.kit.services import Services
from backend.public_api import circulation
from tests.chain.support import NodeProcess, enact_rule, executed
from tests.doors.door_world import City, open_city, trip

pytestmark = pytest.mark.chain


@pytest.fixture
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    node = NodeProcess(tmp_path_factory.mktemp("node"))
    node.start()
    yield node
    node.kill()


@dataclass
class ChainCity:
    """The application beside a node with contracts and a funded programme."""

    city: City
    client: ChainClient
    node: NodeProcess

    async def post(self) -> None:
        """Anchor and post what is sealed."""
        city = self.city
        access = await access_chain(city.db, self.client, self.node.keys)
        await anchor_log(city.db, access, city.services.clock.now())
        await post_points(city.db, access, city.services.clock.now())

    async def supply(self) -> dict:
        """The one class of the supply, freshly counted."""
        answer = await self.city.http.get("/public/v1/supply")
        assert answer.status_code == 200, answer.text
        return answer.json()["items"][0]

    async def rpc(self, method: str, *params: object) -> dict:
        call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        answer = await self.city.http.post("/public/v1/chain/rpc", json=call)
        assert answer.status_code == 200
        return answer.json()


@pytest.fixture
async def beside(
    services: Services, node: NodeProcess, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[ChainCity]:
    from backend.chain import contracts

    monkeypatch.setattr(circulation, "KEPT_S", 0.0)
    async with ChainClient(node.url) as client, open_city(services, rpc_url=node.url) as city:
        await deploy_chain(city.db, client, node.keys)
        access = await access_chain(city.db, client, node.keys)
        await enact_rule(client, node.keys, access.registry)
        for data in (
            contracts.set_class_input("carbon", contracts.DEBIT_CHAIN_SENDER),
            contracts.set_budget_input("green-travel-2026", 1_000_000),
        ):
            await executed(client, node.keys.government, access.points, data)
        yield ChainCity(city, client, node)


async def test_supply_at_every_step(beside: ChainCity) -> None:
    nothing = {"issued": 0, "redeemed": 0, "retired": 0}
    found = await beside.supply()
    assert (found["class"], found["ledger"], found["difference"]) == ("carbon", nothing, 0)
    await beside.city.trips(trip(), trip(person=1))
    for step in (None, beside.city.seal):
        if step is not None:
            await step()
        found = await beside.supply()
        assert (found["ledger"]["issued"], found["chain"]["issued"]) == (54, 0)
        assert (found["in_flight"]["issued"], found["difference"]) == (54, 0)
    await beside.post()
    found = await beside.supply()
    assert (found["chain"]["issued"], found["in_flight"], found["difference"]) == (54, nothing, 0)
    await beside.city.trips(trip(minute=5))
    found = await beside.supply()
    assert (found["in_flight"]["issued"], found["difference"]) == (27, 0)


async def test_a_row_planted_wrong_shows_as_difference(beside: ChainCity) -> None:
    await beside.city.trips(trip())
    await beside.city.seal()
    await beside.post()
    async with beside.city.db.transaction() as tx:
        await tx.execute(
            """INSERT INTO transfer (transfer_id, act, reason, citizen_id, class, amount, city_day,
                                     created_at)
               SELECT gen_random_uuid(), 'award', 0, citizen_id, class, 5, city_day, created_at
               FROM transfer LIMIT 1"""
        )
    assert (await beside.supply())["difference"] == 5


async def test_a_batch_on_chain_that_we_call_open_counts_as_posted(beside: ChainCity) -> None:
    """Killed between the block and the settling: the answer must not show a difference."""
    await beside.city.trips(trip())
    await beside.city.seal()
    await beside.post()
    async with beside.city.db.transaction() as tx:
        await tx.execute("UPDATE chain_batch SET state = 'prepared', settled_at = NULL")
    found = await beside.supply()
    assert (found["chain"]["issued"], found["in_flight"]["issued"]) == (27, 0)
    assert found["difference"] == 0


async def test_batches_can_be_read(beside: ChainCity) -> None:
    await beside.city.trips(trip())
    await beside.city.seal()
    await beside.post()
    async with beside.city.db.transaction() as tx:
        batch_id = await tx.fetchval("SELECT batch_id FROM chain_batch")
    for spelling in (batch_id.hex(), f"0x{batch_id.hex()}"):
        found = (await beside.city.http.get(f"/public/v1/batches/{spelling}")).json()
        assert (found["batch_id"], found["state"], found["total"]) == (batch_id.hex(), "final", 27)
        assert len(found["records"]) == 48 * found["accounts"]
        mined = await beside.rpc("eth_getTransactionByHash", found["tx"])
        assert mined["result"]["to"].lower() == found["contract"]


async def test_the_way_to_the_chain(beside: ChainCity) -> None:
    assert (await beside.rpc("eth_chainId"))["result"] == hex(20_261)
    assert (await beside.rpc("eth_sendRawTransaction", "0x"))["error"]["code"] == -32601
    call = {"to": "0x" + "11" * 20, "data": "0x"}
    assert (await beside.rpc("eth_call", call, "latest"))["error"]["code"] == -32602
    answer = await beside.city.http.post("/public/v1/chain/rpc", content=b"{")
    assert answer.json()["error"]["code"] == -32700
    note = {"jsonrpc": "2.0", "method": "eth_chainId"}
    assert (await beside.city.http.post("/public/v1/chain/rpc", json=note)).status_code == 204


async def test_ready_and_then_without_the_node(beside: ChainCity) -> None:
    answer = await beside.city.http.get("/ready")
    assert (answer.status_code, answer.json()["chain"]) == (200, "ok")
    beside.node.kill()
    assert (await beside.city.http.get("/ready")).status_code == 503
    for answer in (
        await beside.city.http.get("/public/v1/supply"),
        await beside.city.http.post(
            "/public/v1/chain/rpc",
            json={"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []},
        ),
    ):
        assert answer.status_code == 503
        assert answer.json()["type"].endswith("/chain-away")
        assert "retry-after" in answer.headers
