"""The public filter: reads pass, everything else is refused by the right code."""

import json
from typing import Any

import pytest

from backend.chain import ChainClient, NodeAway, RpcProxy, deploy
from backend.chain import contracts as k
from backend.chain.profile import FISCO
from backend.chain.proxy import BODY_BYTES_MAX, CALL_GAS_MAX
from tests.chain.support import NodeProcess, executed

pytestmark = pytest.mark.chain


@pytest.fixture
async def places(client: ChainClient, shared_node: NodeProcess) -> dict[str, str]:
    return {d.name: d.address for d in await deploy(client, shared_node.keys)}


@pytest.fixture
async def proxy(client: ChainClient, places: dict[str, str]) -> RpcProxy:
    return RpcProxy(client, list(places.values()))


async def ask(proxy: RpcProxy, method: str, *params: Any) -> Any:
    body = {"jsonrpc": "2.0", "id": "x", "method": method, "params": list(params)}
    answer = json.loads(await proxy.handle(json.dumps(body).encode()))
    assert answer["id"] == "x"
    return answer


async def code_of(proxy: RpcProxy, method: str, *params: Any) -> int:
    return (await ask(proxy, method, *params))["error"]["code"]


async def test_reads_pass(proxy: RpcProxy, places: dict[str, str], client: ChainClient) -> None:
    assert (await ask(proxy, "eth_chainId"))["result"] == hex(20_261)
    assert (await ask(proxy, "eth_getBlockByNumber", "0x0", False))["result"]["number"] == "0x0"
    code = (await ask(proxy, "eth_getCode", places["CarbonPoints"], "latest"))["result"]
    assert bytes.fromhex(code[2:]) == await client.code(places["CarbonPoints"])
    call = {"to": places["EvidenceAnchor"], "data": "0x" + k.latest_call().hex()}
    assert (await ask(proxy, "eth_call", call, "latest"))["result"] == "0x" + "00" * 64
    both = {**call, "input": call["data"], "gas": hex(CALL_GAS_MAX), "value": "0x0"}
    assert "result" in await ask(proxy, "eth_call", both)
    mixed = {**call, "to": places["EvidenceAnchor"].upper().replace("0X", "0x")}
    assert "result" in await ask(proxy, "eth_call", mixed)


@pytest.mark.parametrize(
    "method",
    [
        "eth_sendRawTransaction",
        "eth_sendTransaction",
        "eth_sign",
        "eth_estimateGas",
        "debug_traceTransaction",
        "personal_unlockAccount",
        "anvil_setBalance",
        "eth_newFilter",
        "",
    ],
)
async def test_other_methods_are_not_offered(proxy: RpcProxy, method: str) -> None:
    assert await code_of(proxy, method) == -32601


async def test_calls_are_bounded(proxy: RpcProxy, places: dict[str, str]) -> None:
    call = {"to": places["EvidenceAnchor"], "data": "0x" + k.latest_call().hex()}
    for refused in (
        [{**call, "to": "0x" + "22" * 20}, "latest"],
        [{"data": call["data"]}, "latest"],
        [{**call, "gas": hex(CALL_GAS_MAX + 1)}, "latest"],
        [{**call, "gas": "lots"}, "latest"],
        [{**call, "value": "0x1"}, "latest"],
        [{**call, "input": "0x00"}, "latest"],
        [{**call, "data": "0x1"}, "latest"],
        [{**call, "from": "me"}, "latest"],
        [{**call, "authorizationList": []}, "latest"],
        [call, "latest", {places["EvidenceAnchor"]: {"balance": "0x1"}}],
        [call, "latest", {}, {}],
        ["0x", "latest"],
        [],
    ):
        assert await code_of(proxy, "eth_call", *refused) == -32602
    assert await code_of(proxy, "eth_chainId", "0x1") == -32602


async def test_a_revert_reaches_the_caller(proxy: RpcProxy, places: dict[str, str]) -> None:
    data = k.anchor_input(1, b"\x01" * 32, bytes(32))
    answer = await ask(
        proxy, "eth_call", {"to": places["EvidenceAnchor"], "data": "0x" + data.hex()}, "latest"
    )
    assert answer["error"]["code"] == 3
    name = k.explain_revert(bytes.fromhex(answer["error"]["data"][2:]))
    assert name.startswith("AccessControlUnauthorizedAccount")


async def test_log_ranges(
    proxy: RpcProxy, places: dict[str, str], client: ChainClient, shared_node: NodeProcess
) -> None:
    anchor = places["EvidenceAnchor"]
    size, root = k.read_latest(await client.call(anchor, k.latest_call()))
    for n in range(3):
        fresh = bytes([size + n + 1]) * 32
        data = k.anchor_input(size + n + 1, fresh, root)
        await executed(client, shared_node.keys.anchor, anchor, data)
        root = fresh
    wanted = {"address": anchor, "fromBlock": "0x0", "toBlock": "latest"}
    found = (await ask(proxy, "eth_getLogs", wanted))["result"]
    assert len(found) >= 3
    # An engine that answers ten blocks at a time is asked page by page.
    async with ChainClient(shared_node.url, FISCO) as paged:
        assert (await ask(RpcProxy(paged, []), "eth_getLogs", wanted))["result"] == found
    assert await code_of(proxy, "eth_getLogs", {"fromBlock": "0x0", "toBlock": "0x3e8"}) == -32602
    assert "result" in await ask(proxy, "eth_getLogs", {"fromBlock": "0x0", "toBlock": "0x3e7"})
    assert await code_of(proxy, "eth_getLogs", {"fromBlock": "x"}) == -32602
    assert await code_of(proxy, "eth_getLogs", {"limit": 1}) == -32602
    assert await code_of(proxy, "eth_getLogs") == -32602


async def test_batches_and_shapes(proxy: RpcProxy) -> None:
    one = {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId"}
    answers = json.loads(await proxy.handle(json.dumps([one] * 8).encode()))
    assert len(answers) == 8
    for body, code in (
        (json.dumps([one] * 9).encode(), -32602),
        (b"[]", -32600),
        (b"nonsense", -32700),
        (b"\xff", -32700),
        (b"[" * 70_000, -32700),
        (b"3", -32600),
        (b'{"id":{},"method":"eth_chainId"}', -32600),
        (b'{"id":1,"method":7}', -32600),
        (b'{"id":1,"method":"eth_chainId","params":{}}', -32602),
        (b" " * (BODY_BYTES_MAX + 1), -32600),
    ):
        assert json.loads(await proxy.handle(body))["error"]["code"] == code
    assert await proxy.handle(b'{"method":"eth_chainId"}') == b""
    mixed = json.dumps([one, 7, {"method": "eth_chainId"}]).encode()
    assert [a.get("id") for a in json.loads(await proxy.handle(mixed))] == [1, None]


async def test_a_node_that_is_away_is_said_so() -> None:
    async with ChainClient("http://127.0.0.1:9") as nowhere:
        with pytest.raises(NodeAway):
            await RpcProxy(nowhere, []).handle(b'{"id":1,"method":"eth_chainId"}')
