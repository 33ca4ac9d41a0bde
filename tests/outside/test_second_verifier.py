"""Goal: a second verifier, written from the formats alone in another language, agrees with ours.

Method: `verify.mjs` in Node and `tanhui verify`'s own function judge the same papers: receipts of
every kind, then each of them changed by a bit, a member, a value, a spelling or a part of another
receipt, offline and against a node. Both must give the same ten verdicts.
"""

import base64
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from backend.flows.verify_receipt import verify_receipt
from backend.kit.canonical import dumps
from tests.outside.mutations import flipped_bytes, spellings, structures, transplants
from tests.proof.builders import (
    Installation,
    a_method,
    a_parameter,
    a_rule,
    an_award,
    award_fields,
    day_of,
    enact,
    enactment_fields,
    issue,
    reversal_fields,
    with_statement,
)
from tests.proof.fake_node import FakeNode

VERIFIER = Path(__file__).parent / "verify.mjs"
HERE = Installation()
METHOD_AND_RULE = (7, 8)
Ask = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Ask:
    """The second verifier: receipts in, its answers out."""
    node = shutil.which("node")
    if node is None:
        if os.environ.get("CI") == "true":
            pytest.fail("the second verifier needs Node")
        pytest.skip("Node is not installed: the second verifier was not run")
    pinned = tmp_path_factory.mktemp("second") / "trust.json"

    def answers(receipts: list[bytes], trust: bytes, rpc: str | None = None) -> list[Any]:
        pinned.write_bytes(trust)
        command = [node, str(VERIFIER), "--trust", str(pinned)]
        command += [] if rpc is None else ["--rpc", rpc]
        # An empty line would be no receipt at all; "=" is base64 of nothing.
        lines = b"\n".join(base64.b64encode(receipt) or b"=" for receipt in receipts)
        done = subprocess.run([*command, "--lines"], input=lines, capture_output=True, check=False)
        assert done.stderr == b"", done.stderr.decode()
        return [json.loads(line) for line in done.stdout.splitlines()]

    return answers


def with_history() -> bytes:
    """An award whose method looks a distance up and whose rule reads a counter."""
    needs = {"event": {}, "history": {"distance_m": "int"}, "counters": {}}
    method = a_method(
        version=2,
        needs={**needs, "params": {"base": a_parameter(271_818), "mode": a_parameter(61_364)}},
    )
    rule = a_rule(
        version=4,
        needs={
            "event": {"guests": "int", "electric": "bool"},
            "history": {},
            "counters": {"points_day": "int"},
            "params": {"mg_per_point": a_parameter(100_000, "mg")},
        },
        hit="sum",
        rows=[
            {"id": "base", "when": 'status == "approved"', "points": "reduction_mg / mg_per_point"},
            {"id": "guests", "when": "guests > 1 && electric", "points": "points_day - guests"},
        ],
        caps=[],
    )
    fields = award_fields(method, rule)
    fields["rule"] |= {"row": ["base", "guests"], "points_before_caps": 30}
    fields["points"] |= {"amount": 30}
    fields["method"] |= {"origin": "shared-secret"}
    fields["inputs"] = {"guests": 2, "electric": True}
    history = {"history": {"distance_m": 12000}, "counters": {"points_day": 7}, "caps": []}
    return issue(HERE, fields | {"stated": history}, method=method, rule=rule, size=16).receipt()


def with_scoped_caps() -> bytes:
    """An award by the second rule format: two of its four caps concern it, one cuts it to 20."""
    rule = a_rule(
        format="tanhui-rule-v2",
        version=6,
        caps=[
            {"name": "长途每周", "window": "week", "limit": 40, "of": {"row": ["long"]}},
            {"name": "短途每日", "window": "day", "limit": 1, "of": {"row": ["short"]}},
            {"name": "自报", "window": "month", "limit": 0, "of": {"level": ["L0", "L1"]}},
            {"name": "累计", "window": "total", "limit": 900, "of": None},
        ],
    )
    method = a_method()
    fields = award_fields(method, rule)
    fields["points"] |= {"amount": 20}
    caps = [
        {"name": "长途每周", "limit": 40, "used_before": 20},
        {"name": "累计", "limit": 900, "used_before": 77},
    ]
    stated = {"history": {}, "counters": {}, "caps": caps}
    return issue(HERE, fields | {"stated": stated}, method=method, rule=rule, size=18).receipt()


def papers() -> dict[str, bytes]:
    """Receipts that hold, one of every kind and form."""
    award, method, rule = an_award(HERE), a_method(), a_rule()
    stopped = a_rule(version=5)
    stop = enactment_fields("stop", stopped, day_to="2026-12-01")
    audit = {"audit": {"day": "2026-11-22", "count": 0, "head": "0" * 64}}
    stop_paper = issue(HERE, stop, kind=2, rule=stopped, size=14).receipt()
    enact(HERE, 1, stopped, day_to=day_of("2026-12-01"))
    return {
        "full": award.receipt(),
        "share": award.receipt("share"),
        "before its batch": award.receipt(posted=None),
        "statement": with_statement(award),
        "history": with_history(),
        "scoped caps": with_scoped_caps(),
        "reversal": issue(HERE, reversal_fields(), index=5, size=17).receipt(),
        "rule": issue(HERE, enactment_fields("rule", rule), kind=2, rule=rule, size=12).receipt(),
        "method": issue(
            HERE, enactment_fields("method", method), kind=2, method=method, size=13
        ).receipt(),
        "stop": stop_paper,
        "audit head": issue(HERE, audit, kind=3, size=15).receipt(),
    }


PAPERS = papers()


def verdicts(answer: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """The ten verdicts. Method and rule are judged over both documents together: where one of
    the two failed in both answers, the other may be blamed too."""
    mine = [step["verdict"] for step in answer["steps"]]
    theirs = [step["verdict"] for step in other["steps"]]
    if any(mine[n] == theirs[n] == "failed" for n in METHOD_AND_RULE):
        for n in METHOD_AND_RULE:
            mine[n] = "failed"
    return mine


def compare(ask: Ask, receipts: list[bytes], rpc: str | None = None) -> list[dict[str, Any]]:
    trust = HERE.trust_file()
    theirs = ask(receipts, trust, rpc)
    assert len(theirs) == len(receipts)
    apart = []
    for receipt, second in zip(receipts, theirs, strict=True):
        first = verify_receipt(receipt, trust, rpc).document()
        pairs = zip(first["steps"], second["steps"], strict=True)
        if verdicts(first, second) != verdicts(second, first) or first["ok"] != second["ok"]:
            apart.append([(a, b) for a, b in pairs if a["verdict"] != b["verdict"]])
    assert apart == []
    return theirs


@pytest.mark.parametrize("name", PAPERS)
def test_both_agree_offline_whatever_was_changed(ask: Ask, name: str) -> None:
    genuine = PAPERS[name]
    changed = [*flipped_bytes(genuine, 25, 1), *spellings(genuine), *structures(genuine, 2, 1)]
    for other in list(PAPERS.values())[:2]:
        changed += transplants(genuine, other)
    answers = compare(ask, [genuine, *changed])
    assert answers[0]["ok"]
    for receipt, answer in zip(changed, answers[1:], strict=True):
        if receipt != genuine and answer["ok"]:
            # What only the chain can tell; or a genuine part of another receipt for the same leaf.
            differing = {k for k, v in json.loads(receipt).items() if v != json.loads(genuine)[k]}
            assert differing in ({"anchor"}, {"posted"}, {"checkpoint"}, {"origin"}), differing


@pytest.mark.parametrize("name", PAPERS)
def test_both_agree_against_a_node(ask: Ask, name: str) -> None:
    genuine = json.loads(PAPERS[name])
    changed: list[dict[str, Any]] = [genuine]
    for part in ("anchor", "posted"):
        for member, value in (genuine[part] or {}).items():
            other = value + 1 if isinstance(value, int) else value[:-1] + "01"[value[-1] == "0"]
            changed.append({**genuine, part: {**genuine[part], member: other}})
        changed += [
            {**genuine, part: json.loads(paper)[part]} for paper in list(PAPERS.values())[:6]
        ]
    fitting = json.loads(PAPERS["full"])["posted"] if name == "before its batch" else None
    with served(HERE.node) as rpc:
        answers = compare(ask, [dumps(document) for document in changed], rpc)
    assert answers[0]["ok"]
    for document, answer in zip(changed, answers, strict=True):
        assert answer["ok"] == (
            document["anchor"] == genuine["anchor"]
            and document["posted"] in (genuine["posted"], None, fitting)
        )


SPOILED: dict[str, Callable[[Installation], object]] = {
    "another chain": lambda it: setattr(it.node, "id", 1),
    "another deployment": lambda it: it.node.blocks.update({3: bytes(32)}),
    "another proxy": lambda it: it.node.codes.update({it.contracts["EvidenceAnchor"]: b"x"}),
    "another implementation": lambda it: it.node.words.update(
        {place: (b"\x01" * 20).rjust(32, b"\0") for place in it.node.words}
    ),
    "an orphaned block": lambda it: it.node.blocks.update({9: bytes(32), 10: bytes(32)}),
    "other answers": lambda it: it.node.answers.update(dict.fromkeys(it.node.answers, bytes(96))),
    "away": lambda it: setattr(it.node, "away", True),
}


@pytest.mark.parametrize("spoil", SPOILED)
def test_both_agree_about_a_node_that_is_not_the_trusted_one(ask: Ask, spoil: str) -> None:
    forged = Installation()
    issued = an_award(forged)
    SPOILED[spoil](forged)
    with served(forged.node) as rpc:
        answers = compare(ask, [issued.receipt(), issued.receipt("share")], rpc)
    assert not any(answer["ok"] for answer in answers)


@pytest.mark.journey
def test_both_agree_about_the_running_demo(ask: Ask, demo: tuple[Any, dict[str, Any]]) -> None:
    _, told = demo
    receipt, trust = Path(told["receipt"]).read_bytes(), Path(told["trust"]).read_bytes()
    papers = [receipt, *flipped_bytes(receipt, 40, 3), *structures(receipt, 4, 1)]
    for rpc in (None, told["addresses"]["rpc"]):
        answers = ask(papers[: 500 if rpc is None else 60], trust, rpc)
        for paper, second in zip(papers, answers, strict=False):
            first = verify_receipt(paper, trust, rpc).document()
            assert verdicts(first, second) == verdicts(second, first), (paper, first, second)
        assert answers[0]["ok"]
        assert not any(answer["ok"] for answer in answers[1:] if rpc is not None)


@contextmanager
def served(node: FakeNode) -> Iterator[str]:
    """The node in memory behind a real JSON-RPC address."""

    class Door(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            answer: dict[str, Any] = {"jsonrpc": "2.0", "id": asked["id"]}
            if node.away:
                answer["error"] = {"code": -32000, "message": "away"}
            else:
                answer["result"] = say(node, asked["method"], asked["params"])
            body = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            """Nothing is logged."""

    server = HTTPServer(("127.0.0.1", 0), Door)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def say(node: FakeNode, method: str, params: list[Any]) -> Any:
    """One JSON-RPC answer from the node's memory."""
    match method:
        case "eth_chainId":
            return hex(node.id)
        case "eth_getBlockByNumber":
            number = int(params[0], 16)
            found = node.blocks.get(number)
            return None if found is None else {"hash": "0x" + found.hex(), "number": hex(number)}
        case "eth_getCode":
            return "0x" + node.codes.get(params[0], b"").hex()
        case "eth_getStorageAt":
            return "0x" + node.words.get((params[0], int(params[1], 16)), bytes(32)).hex()
        case "eth_call":
            data = params[0].get("data", params[0].get("input"))
            return "0x" + node.answers.get((params[0]["to"], bytes.fromhex(data[2:])), b"").hex()
        case "eth_getTransactionByHash":
            sent = node.txs.get(params[0])
            return sent and {"to": sent.to, "input": "0x" + sent.input.hex(), "hash": params[0]}
        case "eth_getTransactionReceipt":
            mined = node.mined.get(params[0])
            return mined and {
                "status": hex(mined.status),
                "to": mined.to,
                "blockNumber": hex(mined.block),
                "blockHash": "0x" + mined.block_hash.hex(),
                "transactionHash": params[0],
                "gasUsed": "0x1",
                "logs": [],
            }
    raise AssertionError(f"a verifier has no need of {method}")
