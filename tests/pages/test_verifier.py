"""Goal: the verify page's modules give the verdicts of the Python program, whatever was changed.

Method: the page's modules under Node, and the Python program's own function, judge the same papers:
receipts of every kind, changed by a bit, a member, a value, a spelling or a part of another one,
offline and against a node. All ten verdicts must be equal, and so must those of the verifier that
was written from the formats alone.
"""

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import segno

from backend.flows.verify_receipt import verify_receipt
from backend.kit.canonical import dumps
from tests.outside.mutations import flipped_bytes, spellings, structures, transplants
from tests.outside.test_second_verifier import HERE, PAPERS, SPOILED, VERIFIER, served
from tests.proof.builders import (
    Installation,
    a_method,
    a_rule,
    an_award,
    award_fields,
    issue,
)

HERE_MJS = Path(__file__).parent
CHECK = HERE_MJS.parents[1] / "backend/public_api/site/verify/check"
VECTORS = HERE_MJS.parent / "vectors"
EXPRESSION_LINES_MAX = 200
Ask = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="module")
def node() -> str:
    found = shutil.which("node")
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail("the verify page's modules need Node")
        pytest.skip("Node is not installed: the verify page's modules were not run")
    return found


@pytest.fixture
def ask(node: str, tmp_path: Path) -> Ask:
    """The page's modules: receipts in, answers out."""

    def answers(receipts: list[bytes], trust: bytes, rpc: str | None = None) -> list[Any]:
        pinned = tmp_path / "trust.json"
        pinned.write_bytes(trust)
        command = [node, str(HERE_MJS / "verdicts.mjs"), str(pinned), *([rpc] if rpc else [])]
        return run(command, receipts)

    return answers


def run(command: list[str], receipts: list[bytes]) -> list[Any]:
    # An empty line would be no receipt at all; "=" is base64 of nothing.
    lines = b"\n".join(base64.b64encode(receipt) or b"=" for receipt in receipts)
    done = subprocess.run(command, input=lines, capture_output=True, check=False)
    assert done.stderr == b"", done.stderr.decode()
    return [json.loads(line) for line in done.stdout.splitlines()]


def verdicts(answer: dict[str, Any]) -> list[str]:
    return [answer["ok"], *(step["verdict"] for step in answer["steps"])]


def compare(ask: Ask, receipts: list[bytes], trust: bytes, rpc: str | None = None) -> list[Any]:
    answers = ask(receipts, trust, rpc)
    assert len(answers) == len(receipts)
    for receipt, answer in zip(receipts, answers, strict=True):
        program = verify_receipt(receipt, trust, rpc).document()
        assert verdicts(answer) == verdicts(program), (receipt, answer, program)
    return answers


@pytest.mark.parametrize("name", PAPERS)
def test_same_verdicts_offline_whatever_was_changed(ask: Ask, name: str) -> None:
    genuine = PAPERS[name]
    changed = [*flipped_bytes(genuine, 10, 5), *list(structures(genuine, 6, 1))[::6]]
    if name == "full":
        changed += [*spellings(genuine), *transplants(genuine, PAPERS["share"])]
    answers = compare(ask, [genuine, *changed], HERE.trust_file())
    assert answers[0]["ok"]


def scoped(of: dict[str, list[str]] | None, stated: list[str]) -> bytes:
    """An award by a rule of the second format with one cap for all and one for a part of them."""
    caps = [
        {"name": "每周", "window": "week", "limit": 40, "of": None},
        {"name": "部分", "window": "total", "limit": 25, "of": of},
    ]
    rule = a_rule(format="tanhui-rule-v2", caps=caps)
    fields = award_fields(rule=rule)
    fields["stated"]["caps"] = [
        {"name": cap["name"], "limit": cap["limit"], "used_before": 0}
        for cap in caps
        if cap["name"] in stated
    ]
    return issue(Installation(), fields, method=a_method(), rule=rule).receipt()


def test_caps_that_concern_a_part_of_the_awards(ask: Ask) -> None:
    both, one = ["每周", "部分"], ["每周"]
    papers = {
        scoped({"scenario": ["transit.metro.trip"]}, both): True,
        scoped({"scenario": ["transit.bus.trip"]}, one): True,
        scoped({"scenario": ["transit.bus.trip"]}, both): False,
        scoped({"level": ["L3", "L4"]}, both): True,
        scoped({"level": ["L3", "L4"]}, one): False,
        scoped({"row": ["short"]}, one): True,
        scoped({"row": ["long"]}, both): True,
        scoped({"row": ["nothing"]}, one): False,
        scoped({"level": []}, one): False,
        scoped({"level": ["L0"], "row": ["short"]}, one): False,
        scoped(None, both): True,
    }
    answers = compare(ask, list(papers), HERE.trust_file())
    assert [answer["ok"] for answer in answers] == list(papers.values())


def test_same_verdicts_against_a_node(ask: Ask) -> None:
    papers = [PAPERS[name] for name in ("full", "share", "stop")]
    sound = len(papers)
    genuine = json.loads(PAPERS["full"])
    for part, member in (("anchor", "block_hash"), ("anchor", "tx"), ("posted", "batch_id")):
        value = genuine[part][member]
        other = value[:-1] + "01"[value[-1] == "0"]
        papers.append(dumps({**genuine, part: {**genuine[part], member: other}}))
    with served(HERE.node) as rpc:
        answers = compare(ask, papers, HERE.trust_file(), rpc)
    assert [answer["ok"] for answer in answers] == [n < sound for n in range(len(papers))]


@pytest.mark.parametrize("spoil", ["another implementation", "an orphaned block"])
def test_same_verdicts_on_a_node_that_is_not_the_trusted_one(ask: Ask, spoil: str) -> None:
    forged = Installation()
    issued = an_award(forged)
    SPOILED[spoil](forged)
    with served(forged.node) as rpc:
        answers = compare(ask, [issued.receipt(), issued.receipt("share")], HERE.trust_file(), rpc)
    assert not any(answer["ok"] for answer in answers)


def test_a_whole_forged_installation_is_unknown_or_unsigned(ask: Ask) -> None:
    for forger in (Installation(shift=1), Installation(issuer="metro-2", shift=1)):
        [answer] = compare(ask, [an_award(forger).receipt()], HERE.trust_file())
        assert not answer["ok"]


@pytest.mark.parametrize(
    "change", [{"version": 2}, {"city_tz": "Mars/Olympus"}, {"profile": "real"}, {"root_keys": []}]
)
def test_a_trust_file_that_is_none_makes_every_issuer_unknown(
    ask: Ask, change: dict[str, Any]
) -> None:
    trust = dumps({**HERE.trust_content(), **change})
    [answer] = compare(ask, [PAPERS["full"]], trust)
    assert verdicts(answer) == [False, "failed", *["not_checked"] * 9]


def test_the_stored_vectors(ask: Ask) -> None:
    folder = VECTORS / "proof"
    papers = [(folder / f"receipt-{name}.json").read_bytes() for name in ("full", "share")]
    answers = compare(ask, papers, (folder / "trust.json").read_bytes())
    assert all(answer["ok"] for answer in answers)


def test_it_agrees_with_the_verifier_written_from_the_formats(node: str, tmp_path: Path) -> None:
    trust = tmp_path / "trust.json"
    trust.write_bytes(HERE.trust_file())
    papers = [*PAPERS.values(), *flipped_bytes(PAPERS["full"], 60, 8)]
    ours = run([node, str(HERE_MJS / "verdicts.mjs"), str(trust)], papers)
    theirs = run([node, str(VERIFIER), "--trust", str(trust), "--lines"], papers)
    assert [answer["ok"] for answer in ours] == [answer["ok"] for answer in theirs]


def test_every_expression_vector(node: str) -> None:
    vectors = (VECTORS / "expr.jsonl").read_bytes()
    done = subprocess.run(
        [node, str(HERE_MJS / "expressions.mjs")], input=vectors, capture_output=True, check=True
    )
    asked = [json.loads(line) for line in vectors.splitlines()]
    answered = [json.loads(line) for line in done.stdout.splitlines()]
    wanted = [{k: v for k, v in each.items() if k in ("result", "error")} for each in asked]
    assert len(asked) > 10_000
    assert answered == wanted


def test_qr_codes_are_those_of_the_library(node: str) -> None:
    """Texts that fill each version to the last bit: the library pads others in its own way."""
    texts = ["x" * n for n in (14, 26, 42, 62, 84, 106, 122, 152, 180, 213)]
    asked = "\n".join(json.dumps(text) for text in [*texts, "x" * 214]).encode()
    done = subprocess.run(
        [node, str(HERE_MJS / "qr.mjs")], input=asked, capture_output=True, check=True
    )
    *drawn, too_long = [json.loads(line) for line in done.stdout.splitlines()]
    for text, rows in zip(texts, drawn, strict=True):
        code = segno.make(text, error="m", mode="byte", mask=0, boost_error=False, micro=False)
        assert rows == ["".join(str(int(dark)) for dark in row) for row in code.matrix]
    assert too_long is None


def test_the_evaluator_is_short_enough_to_be_read() -> None:
    assert len((CHECK / "expr.mjs").read_text("utf-8").splitlines()) <= EXPRESSION_LINES_MAX


def test_a_verifier_that_skips_a_step_is_noticed(ask: Ask, tmp_path: Path) -> None:
    """Negative control: with the signature check cut out, a forged checkpoint passes."""
    folder = tmp_path / "backend/public_api/site/verify/check"
    shutil.copytree(CHECK, folder)
    module = folder / "note.mjs"
    whole = module.read_text("utf-8")
    module.write_text(whole.replace("must(sm2Holds(", "must(true || sm2Holds("), "utf-8")
    (tmp_path / "tests/pages").mkdir(parents=True)
    shutil.copy(HERE_MJS / "verdicts.mjs", tmp_path / "tests/pages")
    paper = json.loads(PAPERS["full"])
    head, _, line = paper["checkpoint"].rpartition(" ")
    signed = bytearray(base64.b64decode(line))
    signed[40] ^= 1
    note = f"{head} {base64.b64encode(signed).decode()}\n"
    forged = dumps({**paper, "checkpoint": note})
    trust = tmp_path / "trust.json"
    trust.write_bytes(HERE.trust_file())
    node = shutil.which("node") or "node"
    [weak] = run([node, str(tmp_path / "tests/pages/verdicts.mjs"), str(trust)], [forged])
    [sound] = ask([forged], HERE.trust_file())
    step = [each["step"] for each in sound["steps"]].index("checkpoint")
    assert (weak["steps"][step]["verdict"], sound["steps"][step]["verdict"]) == ("ok", "failed")
