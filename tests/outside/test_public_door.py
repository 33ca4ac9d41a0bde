"""Goal: what the public door shows can be redone by a stranger, and the proxy lets nothing else by.

Method: Merkle proofs by RFC 9162 written here, hashes by the standard library, the chain asked at
the node itself; each refusal of the proxy provoked.
"""

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.outside.stranger import Stranger, problem

pytestmark = pytest.mark.journey

ENACTED = "0x14d5d370"  # enacted(uint8,bytes32,uint32)


def sm3(data: bytes) -> bytes:
    return hashlib.new("sm3", data).digest()


def walk(index: int, size: int, start: bytes, path: Sequence[bytes]) -> bytes | None:
    """The root an inclusion path leads to, RFC 9162 §2.1.3.2."""
    fn, sn, root = index, size - 1, start
    for step in path:
        if sn == 0:
            return None
        if fn & 1 or fn == sn:
            root = sm3(b"\x01" + step + root)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            root = sm3(b"\x01" + root + step)
        fn, sn = fn >> 1, sn >> 1
    return root if sn == 0 else None


def grows(first: int, second: int, old: bytes, new: bytes, path: list[bytes]) -> bool:
    """Whether the tree of `second` leaves continues that of `first`, RFC 9162 §2.1.4.2."""
    if first == second:
        return not path and old == new
    if first & (first - 1) == 0:
        path = [old, *path]
    fn, sn = first - 1, second - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    left = right = path[0]
    for step in path[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            left, right = sm3(b"\x01" + step + left), sm3(b"\x01" + step + right)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            right = sm3(b"\x01" + right + step)
        fn, sn = fn >> 1, sn >> 1
    return (left, right, sn) == (old, new, 0)


def public(stranger: Stranger, path: str, **query: Any) -> httpx.Response:
    return stranger.http.get(f"/public/v1{path}", params=query or None)


def head_of(stranger: Stranger) -> tuple[int, bytes]:
    answer = public(stranger, "/checkpoint")
    assert answer.headers["content-type"].startswith("text/plain")
    _, size, root, gap, *lines = answer.text.split("\n")
    assert (gap, lines[-1]) == ("", "")
    assert all(line.startswith("— ") for line in lines[:-1])
    return int(size), base64.b64decode(root)


def anchored(stranger: Stranger) -> dict[int, bytes]:
    """Every (size, root) that a successful transaction anchored, read from the node's blocks."""
    trust = public(stranger, "/trust").json()
    contract = trust["chain"]["contracts"]["EvidenceAnchor"]["address"]
    node = stranger.told["addresses"]["rpc"]
    found: dict[int, bytes] = {}
    with httpx.Client(trust_env=False) as http:

        def ask(method: str, *params: Any) -> Any:
            call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
            return http.post(node, json=call).json()["result"]

        for number in range(int(ask("eth_blockNumber"), 16) + 1):
            for sent in ask("eth_getBlockByNumber", hex(number), True)["transactions"]:
                if sent["to"] == contract and ask("eth_getTransactionReceipt", sent["hash"])[
                    "status"
                ] == "0x1":  # fmt: skip
                    found[int(sent["input"][10:74], 16)] = bytes.fromhex(sent["input"][74:138])
    return found


def test_proofs_lead_to_the_root(stranger: Stranger) -> None:
    size, root = head_of(stranger)
    for index in {*range(0, size, max(1, size // 20)), size - 1}:
        proof = public(stranger, "/proof", index=index, size=size).json()
        assert set(proof) == {"index", "size", "leaf_hash", "path"}
        path = [bytes.fromhex(step) for step in proof["path"]]
        assert walk(index, size, bytes.fromhex(proof["leaf_hash"]), path) == root
    for query in ({"index": size, "size": size}, {"index": -1, "size": size}, {"size": 1}):
        problem(public(stranger, "/proof", **query), 422)
    problem(public(stranger, "/proof", index=0, size=10**9), 404)


def test_every_anchored_size_is_readable_and_grows_into_the_next(stranger: Stranger) -> None:
    size, root = head_of(stranger)
    heads = anchored(stranger)
    assert heads
    for earlier, old in heads.items():
        note = public(stranger, f"/checkpoints/{earlier}")
        assert note.status_code == 200
        assert base64.b64decode(note.text.split("\n")[2]) == old
        if earlier <= size:
            proof = public(stranger, "/consistency", **{"from": earlier, "to": size}).json()
            assert set(proof) == {"from", "to", "path"}
            path = [bytes.fromhex(step) for step in proof["path"]]
            assert grows(earlier, size, old, root, path)
    problem(public(stranger, "/checkpoints/999999999"), 404)
    problem(public(stranger, "/consistency", **{"from": 5, "to": 3}), 422)


@pytest.mark.parametrize(("kind", "what"), [("rules", 1), ("methodologies", 2)])
def test_documents_are_those_on_chain(stranger: Stranger, kind: str, what: int) -> None:
    trust = public(stranger, "/trust").json()
    registry = trust["chain"]["contracts"]["RuleRegistry"]["address"]
    items = public(stranger, f"/{kind}").json()["items"]
    assert items
    for item in items:
        shown = public(stranger, f"/{kind}/{item['id']}/{item['version']}").json()
        assert {"document", "digest", "status", "card"} <= set(shown)
        spelled = json.dumps(
            shown["document"], ensure_ascii=False, sort_keys=True, separators=(",", ":")
        )
        assert sm3(spelled.encode()).hex() == shown["digest"]
        words = what.to_bytes(32) + item["id"].encode().ljust(32, b"\0")
        words += item["version"].to_bytes(32)
        call = {"to": registry, "data": ENACTED + words.hex()}
        held = stranger.rpc("eth_call", call, "latest")["result"]
        assert held[2:66] == shown["digest"]
    problem(public(stranger, f"/{kind}/nothing/1"), 404)


def test_supply_scenarios_and_trust(stranger: Stranger) -> None:
    for each in public(stranger, "/supply").json()["items"]:
        assert type(each["difference"]) is int
        assert each["difference"] == 0
    scenario = public(stranger, "/scenarios/transit.metro.trip").json()
    assert {"type", "data_schema"} <= set(scenario)
    assert scenario["data_schema"]["properties"]["distance_m"]["type"] == "integer"
    problem(public(stranger, "/scenarios/nothing"), 404)
    assert public(stranger, "/trust").content == Path(stranger.told["trust"]).read_bytes()


def test_documentation_stands_alone(stranger: Stranger) -> None:
    page = stranger.http.get("/docs")
    assert page.status_code == 200
    for target in re.findall(r'(?:src|href|url)\s*[=(:]\s*["\']([^"\']+)', page.text):
        assert target.startswith(("/", "#")), target
        if target.startswith("/"):
            assert stranger.http.get(target).status_code == 200
    described = stranger.http.get("/openapi.json").json()
    assert described["openapi"].startswith("3.")
    events = described["paths"]["/partner/v1/{partner_id}/events"]["post"]["responses"]
    assert {"202", "401", "409", "413", "415", "422", "429", "503"} <= set(events)
    for path in described["paths"].values():
        for operation in path.values():
            for status, answer in operation["responses"].items():
                if status >= "400":
                    assert "application/problem+json" in answer["content"]


def test_liveness_readiness_and_metrics(stranger: Stranger) -> None:
    assert stranger.http.get("/health").status_code == 200
    ready = stranger.http.get("/ready").json()
    assert {"database", "chain", "backlog", "profile"} <= set(ready)
    assert stranger.http.get("/metrics").headers["content-type"].startswith("text/plain")


def contract(stranger: Stranger) -> str:
    return public(stranger, "/trust").json()["chain"]["contracts"]["CarbonPoints"]["address"]


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("eth_sendRawTransaction", ["0x00"], -32601),
        ("eth_accounts", [], -32601),
        ("evm_snapshot", [], -32601),
        ("debug_traceTransaction", ["0x"], -32601),
        ("eth_call", [{"to": "0x" + "11" * 20, "data": "0x"}, "latest"], -32602),
        ("eth_call", [{"data": "0x6000"}, "latest"], -32602),
        ("eth_call", [{"to": "ours", "gas": hex(5_000_001)}, "latest"], -32602),
        ("eth_call", [{"to": "ours"}, "latest", {}], -32602),
        ("eth_call", [{"to": "ours"}, "latest", {"ours": {"code": "0x"}}], -32602),
        ("eth_getLogs", [{"fromBlock": "0x0", "toBlock": "0x3e8"}], -32602),
        ("eth_getLogs", [{"fromBlock": "earliest", "toBlock": "0xfffffff"}], -32602),
    ],
)
def test_what_the_proxy_refuses(
    stranger: Stranger, method: str, params: list[Any], code: int
) -> None:
    told = json.loads(json.dumps(params).replace("ours", contract(stranger)))
    assert stranger.rpc(method, *told)["error"]["code"] == code


def test_what_the_proxy_allows(stranger: Stranger) -> None:
    assert stranger.rpc("eth_getLogs", {"fromBlock": "0x0", "toBlock": "0x3e7"})["result"]
    call = {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}
    eight = stranger.http.post("/public/v1/chain/rpc", json=[call] * 8).json()
    assert [each["result"] for each in eight] == ["0x4f25"] * 8
    nine = stranger.http.post("/public/v1/chain/rpc", json=[call] * 9)
    assert (nine.status_code, nine.json()["error"]["code"]) == (200, -32602)
    odd = stranger.http.post(
        "/public/v1/chain/rpc", content=b'{"jsonrpc":"2.0","id":NaN,"method":"eth_chainId"}'
    )
    assert odd.json()["error"]["code"] == -32700


def test_zz_more_than_three_hundred_calls_a_minute_are_too_many(stranger: Stranger) -> None:
    # Last, because this address is refused for a while afterwards.
    batch = [{"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}] * 8
    answers = [stranger.http.post("/public/v1/chain/rpc", json=batch) for _ in range(38)]
    assert problem(answers[-1], 429) == "too-many-calls"
    elsewhere = stranger.http.post(
        "/public/v1/chain/rpc", json=batch, headers={"x-forwarded-for": "192.0.2.1"}
    )
    assert problem(elsewhere, 429) == "too-many-calls"
