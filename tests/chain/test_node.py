"""The embedded node: standard answers, geth's refusals, and nothing lost under SIGKILL."""

import asyncio
import json
import random
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import rlp
from eth_hash.auto import keccak

from backend.chain import ChainClient, NodeAway, RpcError, Signer, Terms
from backend.chain.keys import transaction_hash
from tests.chain.support import CHAIN_ID, ROOT, NodeProcess, executed, send

pytestmark = pytest.mark.chain

SOMEWHERE = "0x" + "22" * 20
TERMS = Terms(CHAIN_ID, 1_000, True)


def creation(runtime: bytes) -> bytes:
    """Creation code that returns `runtime`."""
    size = len(runtime)
    return bytes([0x60, size, 0x60, 0x0B, 0x5F, 0x39, 0x60, size, 0x5F, 0xF3, 0x00]) + runtime


# if calldatasize == 0: return sload(0); else sstore(0, calldataload(0)), log1(calldataload(0))
RUNTIME = bytes.fromhex(
    "3615601657"  # if empty, to 0x16
    "5f35805f55"  # sstore(0, word)
    "805f52"  # memory[0] = word
    "60205fa100"  # log1(memory[0:32], topic = word), stop
    "00000000"
    "5b5f545f5260205ff3"  # 0x16: return sload(0)
)


HEADER_FIELDS = [
    "parentHash",
    "sha3Uncles",
    "miner",
    "stateRoot",
    "transactionsRoot",
    "receiptsRoot",
    "logsBloom",
    "difficulty",
    "number",
    "gasLimit",
    "gasUsed",
    "timestamp",
    "extraData",
    "mixHash",
    "nonce",
    "baseFeePerGas",
    "withdrawalsRoot",
    "blobGasUsed",
    "excessBlobGas",
    "parentBeaconBlockRoot",
    "requestsHash",
]
HEADER_NUMBERS = {
    "difficulty",
    "number",
    "gasLimit",
    "gasUsed",
    "timestamp",
    "baseFeePerGas",
    "blobGasUsed",
    "excessBlobGas",
}


def word(value: int) -> bytes:
    return value.to_bytes(32, "big")


async def test_it_presents_itself_as_a_standard_node(client: ChainClient) -> None:
    assert await client.chain_id() == CHAIN_ID
    assert await client.request("net_version") == str(CHAIN_ID)
    assert "tanhui" in await client.request("web3_clientVersion")
    assert await client.request("eth_accounts") == []
    assert await client.request("eth_syncing") is False
    genesis = await client.block(0)
    assert genesis is not None
    assert genesis["parentHash"] == "0x" + "00" * 32
    for tag in ("earliest", genesis["hash"]):
        assert await client.block(tag) == genesis
    assert await client.block(10**9) is None
    assert int(await client.request("eth_maxPriorityFeePerGas"), 16) >= 0
    history = await client.request("eth_feeHistory", "0x1", "latest", [50])
    assert len(history["baseFeePerGas"]) == 2


async def test_headers_hash_to_their_hashes_and_chain_up(
    client: ChainClient, shared_node: NodeProcess
) -> None:
    """Recomputed by a stranger's code: RLP of the header fields, keccak, parent by parent."""
    await executed(client, shared_node.keys.admin, SOMEWHERE, b"x")
    child: dict[str, Any] | None = await client.block("latest")
    assert child is not None
    while True:
        values = [
            int(child[name], 16) if name in HEADER_NUMBERS else bytes.fromhex(child[name][2:])
            for name in HEADER_FIELDS
        ]
        assert "0x" + keccak(rlp.encode(values)).hex() == child["hash"]
        if int(child["number"], 16) == 0:
            break
        parent = await client.block(int(child["number"], 16) - 1)
        assert parent is not None
        assert parent["hash"] == child["parentHash"]
        assert int(parent["timestamp"], 16) < int(child["timestamp"], 16)
        child = parent


async def test_a_contract_keeps_state_for_every_block(
    client: ChainClient, shared_node: NodeProcess
) -> None:
    signer = shared_node.keys.admin
    created = await executed(client, signer, None, creation(RUNTIME))
    contract = created.contract_address
    assert contract is not None
    assert await client.code(contract) == RUNTIME
    assert await client.code(contract, created.block - 1) == b""
    first = await executed(client, signer, contract, word(7))
    second = await executed(client, signer, contract, word(9))
    assert await client.call(contract, b"", first.block) == word(7)
    assert await client.call(contract, b"") == word(9)
    assert await client.storage(contract, 0, first.block) == word(7)
    (log,) = await client.logs(first.block, second.block, contract, ["0x" + word(9).hex()])
    assert (log["transactionHash"], log["data"]) == (second.tx_hash, "0x" + word(9).hex())
    assert [e["topics"][0] for e in await client.logs(0, 10**6, contract)] == [
        "0x" + word(7).hex(),
        "0x" + word(9).hex(),
    ]
    assert await client.logs(first.block, second.block, SOMEWHERE) == []
    estimate = await client.request(
        "eth_estimateGas", {"from": signer.address, "to": contract, "data": "0x" + word(1).hex()}
    )
    await executed(client, signer, contract, word(1), gas=int(estimate, 16))
    found = await client.transaction(first.tx_hash)
    assert found is not None
    assert (found["from"], found["input"]) == (signer.address, "0x" + word(7).hex())
    block = await client.request("eth_getBlockByNumber", hex(first.block), True)
    assert block["transactions"][0]["hash"] == first.tx_hash


async def test_legacy_transactions_are_taken(client: ChainClient, shared_node: NodeProcess) -> None:
    signer = shared_node.keys.auditor
    raw = signer.sign_transaction(
        Terms(CHAIN_ID, 1_000, False),
        nonce=await client.nonce(signer.address),
        gas=30_000,
        to=SOMEWHERE,
        data=b"",
    )
    receipt = await client.receipt(await client.send_raw(raw))
    assert receipt is not None
    assert receipt.status


async def refusal(client: ChainClient, raw: bytes) -> str:
    with pytest.raises(RpcError) as caught:
        await client.send_raw(raw)
    assert caught.value.code == -32000
    return caught.value.message


async def test_refusals_are_worded_as_geth_words_them(
    client: ChainClient, shared_node: NodeProcess
) -> None:
    signer = shared_node.keys.admin
    nonce = await client.nonce(signer.address)

    def signed(by: Signer = signer, terms: Terms = TERMS, **changes: Any) -> bytes:
        values = {"nonce": nonce, "gas": 30_000, "to": SOMEWHERE, "data": b""} | changes
        return by.sign_transaction(terms, **values)

    await client.send_raw(signed())
    low = f"nonce too low: next nonce {nonce + 1}, tx nonce {nonce}"
    assert await refusal(client, signed()) == low
    assert "insufficient funds" in await refusal(client, signed(Signer(b"\x09" * 32), nonce=0))
    assert "intrinsic gas too low" in await refusal(client, signed(nonce=nonce + 1, gas=20_000))
    assert "exceeds block gas limit" in await refusal(
        client, signed(nonce=nonce + 1, gas=200_000_000)
    )
    assert "invalid chain id" in await refusal(client, signed(terms=Terms(1, 1_000, True)))
    assert "invalid chain id" in await refusal(client, signed(terms=Terms(1, 1_000, False)))
    assert "base fee" in await refusal(
        client, signed(terms=Terms(CHAIN_ID, 1, True), nonce=nonce + 1)
    )
    assert "not supported" in await refusal(client, b"\x03" + signed()[1:])
    for broken in (b"", b"\x02", b"\xff" * 40, signed()[:-1]):
        assert "invalid transaction" in await refusal(client, broken)


async def test_a_future_nonce_waits_for_its_turn(
    client: ChainClient, shared_node: NodeProcess
) -> None:
    signer = shared_node.keys.anchor
    nonce = await client.nonce(signer.address)
    raws = [
        signer.sign_transaction(TERMS, nonce=nonce + n, gas=30_000, to=SOMEWHERE, data=b"%d" % n)
        for n in range(3)
    ]
    for raw in (raws[2], raws[1]):
        tx_hash = await client.send_raw(raw)
        waiting = await client.transaction(tx_hash)
        assert waiting is not None
        assert waiting["blockNumber"] is None
        assert await client.receipt(tx_hash) is None
    assert await refusal(client, raws[1]) == "already known"
    other = signer.sign_transaction(TERMS, nonce=nonce + 1, gas=31_000, to=SOMEWHERE, data=b"")
    assert "underpriced" in await refusal(client, other)
    assert await client.nonce(signer.address, "pending") == nonce
    await client.send_raw(raws[0])
    assert await client.nonce(signer.address) == nonce + 3
    receipts = await client.receipts(["0x" + transaction_hash(raw).hex() for raw in raws])
    assert all(receipt is not None and receipt.status for receipt in receipts)


async def test_a_batch_of_transactions_shares_a_block(
    client: ChainClient, shared_node: NodeProcess
) -> None:
    signer = shared_node.keys.post
    nonce = await client.nonce(signer.address)
    raws = [
        signer.sign_transaction(TERMS, nonce=nonce + n, gas=30_000, to=SOMEWHERE, data=b"")
        for n in range(6)
    ]
    hashes = await client.batch([("eth_sendRawTransaction", ["0x" + raw.hex()]) for raw in raws])
    receipts = [r for r in await client.receipts(hashes) if r is not None]
    assert len(receipts) == 6
    assert len({receipt.block for receipt in receipts}) <= 2


async def test_reverts_carry_their_data(client: ChainClient, shared_node: NodeProcess) -> None:
    reason = "0x08c379a0" + word(32).hex() + word(2).hex() + "6e6f".ljust(64, "0")
    code = bytes.fromhex("6064600b5f3960645ffd00") + bytes.fromhex(reason[2:])
    with pytest.raises(RpcError) as caught:
        await client.request("eth_call", {"data": "0x" + code.hex()}, "latest")
    assert (caught.value.code, caught.value.message) == (3, "execution reverted: no")
    assert caught.value.data == reason
    with pytest.raises(RpcError, match="state overrides"):
        await client.request("eth_call", {"to": SOMEWHERE}, "latest", {SOMEWHERE: {}})
    # Burns all its gas: ends at the node's own cap.
    with pytest.raises(RpcError, match="out of gas"):
        await client.request("eth_call", {"data": "0x5b5f56", "gas": "0x100000000"}, "latest")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", -32700),
        (b"[]", -32600),
        (b"5", -32600),
        (b'{"id":1}', -32600),
        (b'{"id":1,"method":"eth_nothing"}', -32601),
        (b'{"id":1,"method":"eth_getBalance","params":{}}', -32602),
        (b'{"id":1,"method":"eth_getBalance","params":[]}', -32602),
        (b'{"id":1,"method":"eth_getBalance","params":["0x12"]}', -32602),
        (b'{"id":1,"method":"eth_getBlockByNumber","params":["soon",false]}', -32602),
        (b'{"id":1,"method":"eth_getBlockByNumber","params":[{"a":1},false]}', -32602),
        (b'{"id":1,"method":"eth_call","params":["x","latest"]}', -32602),
        (b"[" * 100_000, -32700),
    ],
)
async def test_bad_requests_get_json_rpc_errors(
    shared_node: NodeProcess, body: bytes, code: int
) -> None:
    async with httpx.AsyncClient() as http:
        answer = await http.post(shared_node.url, content=body)
    assert answer.status_code == 200
    assert answer.json()["error"]["code"] == code


async def test_batches_notifications_and_foreign_hosts(shared_node: NodeProcess) -> None:
    async with httpx.AsyncClient() as http:
        calls = [{"id": n, "method": "eth_chainId"} for n in range(3)] + [{"method": "eth_chainId"}]
        answers = (await http.post(shared_node.url, content=json.dumps(calls))).json()
        assert [a["id"] for a in answers] == [0, 1, 2]
        silent = await http.post(shared_node.url, content=b'{"method":"eth_chainId"}')
        assert silent.content == b""
        rebound = await http.post(shared_node.url, content=b"{}", headers={"host": "evil.example"})
        assert rebound.status_code == 403
        assert (await http.get(shared_node.url)).status_code == 405
        large = await http.post(shared_node.url, content=b" " * 10_300_000)
        assert large.status_code == 413


async def test_a_folder_has_one_owner_and_one_chain(shared_node: NodeProcess) -> None:
    def second(*environment: str) -> "subprocess.CompletedProcess[bytes]":
        given = dict(pair.split("=", 1) for pair in environment)
        return subprocess.run(
            [sys.executable, "-m", "backend.cli", "node", "--port", "0"],
            cwd=ROOT,
            env={"PATH": "/usr/bin", "TANHUI_VAR": str(shared_node.var), **given},
            capture_output=True,
            timeout=60,
            check=False,
        )

    taken = second()
    assert taken.returncode == 1
    assert b"already owns" in taken.stderr


async def test_another_chain_id_is_refused(own_node: NodeProcess) -> None:
    own_node.stop()
    answer = subprocess.run(
        [sys.executable, "-m", "backend.cli", "node", "--port", "0"],
        cwd=ROOT,
        env={"PATH": "/usr/bin", "TANHUI_VAR": str(own_node.var), "TANHUI_CHAIN_ID": "5"},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert answer.returncode == 1
    assert b"holds chain 20261, not 5" in answer.stderr


@pytest.fixture
async def own_client(own_node: NodeProcess) -> AsyncIterator[ChainClient]:
    async with ChainClient(own_node.url) as client:
        yield client


async def test_a_polite_stop_keeps_everything(
    own_node: NodeProcess, own_client: ChainClient
) -> None:
    receipt = await executed(own_client, own_node.keys.post, SOMEWHERE, b"kept")
    genesis, head = await own_client.block(0), await own_client.block("latest")
    assert own_node.stop() == 0
    own_node.start()
    assert (await own_client.block(0), await own_client.block("latest")) == (genesis, head)
    assert await own_client.receipt(receipt.tx_hash) == receipt


async def test_sigkill_at_any_moment_loses_no_answered_block(
    own_node: NodeProcess, own_client: ChainClient
) -> None:
    """What was answered stands; the head is whole; what was not answered happened once or never."""
    signer, dice = own_node.keys.post, random.Random(7)
    created = await executed(own_client, signer, None, creation(RUNTIME))
    contract = created.contract_address
    assert contract is not None
    answered: list[str] = []
    for round_ in range(4):

        async def pour(round_: int = round_) -> None:
            for n in range(10_000):
                data = word(round_ * 10_000 + n + 1)
                answered.append(await send(own_client, signer, contract, data, gas=100_000))

        pouring = asyncio.create_task(pour())
        await asyncio.sleep(dice.uniform(0.02, 0.4))
        own_node.kill()
        with pytest.raises(NodeAway):
            await pouring
        own_node.start()
        receipts = await own_client.receipts(answered)
        assert all(receipt is not None and receipt.status for receipt in receipts)
        head = await own_client.block("latest")
        assert head is not None
        number = int(head["number"], 16)
        # Block 1 created the contract, every later one holds exactly one transaction.
        assert await own_client.nonce(signer.address) == number
        assert len(answered) <= number - 1 <= len(answered) + round_ + 1
        (newest,) = head["transactions"]
        found = await own_client.transaction(newest)
        assert found is not None
        assert await own_client.call(contract, b"") == bytes.fromhex(found["input"][2:])
