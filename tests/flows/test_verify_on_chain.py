"""The steps that ask a node: it is believed only if it holds the trusted chain."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from backend.proof import ChainTx
from backend.proof.batches import batch_id
from backend.proof.keccak import keccak256
from tests.flows.checking import check, failed, outcomes
from tests.proof import builders
from tests.proof.builders import (
    DAY,
    Installation,
    Issued,
    a_method,
    a_rule,
    an_award,
    edited,
    enact,
)
from tests.proof.fake_node import CHAIN_ID, FakeNode


def a_world() -> tuple[Issued, FakeNode]:
    issued = an_award(Installation())
    return issued, issued.installation.node


async def test_a_node_that_does_not_answer() -> None:
    award = an_award()
    verdict = await check(award.receipt(), FakeNode(away=True))
    assert failed(verdict) == {"anchor", "posted"}
    assert outcomes(verdict)["method"] == "ok"
    assert failed(await check(award.receipt("share"), FakeNode(away=True))) == {"anchor", "posted"}


@pytest.mark.parametrize(
    "differ",
    [
        lambda n, _: setattr(n, "id", 1),
        lambda n, _: n.blocks.update({3: bytes(32)}),
        lambda n, _: n.blocks.pop(3),
        lambda n, i: n.codes.update({i.contracts["EvidenceAnchor"]: b"other"}),
        lambda n, i: n.codes.pop(i.contracts["CarbonPoints"]),
        lambda n, _: n.words.clear(),
        lambda n, i: n.codes.update({i.contracts["CarbonPoints"]: bytes(1 << 24)}),
        lambda n, i: n.codes.update(
            {"0x" + keccak256(b"RuleRegistry code 0")[:20].hex(): b"other"}
        ),
    ],
)
async def test_a_node_of_another_chain_or_code(differ) -> None:
    issued, node = a_world()
    differ(node, issued.installation)
    verdict = await check(issued.receipt(), node)
    assert failed(verdict) == {"anchor", "posted"}
    assert "as enacted" not in {each.step: each.reason for each in verdict.steps}["method"]


@pytest.mark.parametrize(
    "differ",
    [
        lambda n, a: n.answers.clear(),
        lambda n, a: n.mined.update({a.tx: replace(n.mined[a.tx], status=False)}),
        lambda n, a: n.mined.update({a.tx: replace(n.mined[a.tx], to="0x" + "00" * 20)}),
        lambda n, a: n.mined.update({a.tx: replace(n.mined[a.tx], block=8)}),
        lambda n, a: n.mined.update({a.tx: replace(n.mined[a.tx], block_hash=bytes(32))}),
        lambda n, a: n.mined.pop(a.tx),
        lambda n, a: n.blocks.update({9: bytes(32)}),
        lambda n, a: n.txs.update({a.tx: replace(n.txs[a.tx], input=n.txs[a.tx].input[:67])}),
        lambda n, a: n.txs.update({a.tx: replace(n.txs[a.tx], to=None)}),
    ],
)
async def test_an_anchor_that_is_not_there(differ) -> None:
    issued, node = a_world()
    differ(node, issued.anchor)
    assert "anchor" in failed(await check(issued.receipt(), node))


def _set_word(place: int, value: int | bytes | str) -> Callable[[bytes], bytes]:
    def edit(data: bytes) -> bytes:
        at = 4 + 32 * place
        return data[:at] + builders.word(value) + data[at + 32 :]

    return edit


@pytest.mark.parametrize(
    "edit",
    [
        _set_word(0, 2),
        _set_word(1, "other"),
        _set_word(2, "other"),
        _set_word(3, "other"),
        _set_word(4, 4),
        _set_word(5, 1),
        _set_word(6, 5),
        _set_word(7, 4),
        _set_word(8, b"\xe3" * 20),
        _set_word(9, b"\xe1" * 20),
        _set_word(10, DAY + 1),
        _set_word(11, DAY),
        _set_word(13, 24),
        lambda d: d[:-1] + b"\x01",
        lambda d: d.replace(builders.ACCOUNT, b"\xe2" + bytes(19)),
        lambda d: d.replace(
            builders.ACCOUNT + (28).to_bytes(4), builders.ACCOUNT + (24).to_bytes(4)
        ),
        lambda _: b"",
    ],
)
async def test_a_batch_that_does_not_carry_the_leaf(edit) -> None:
    issued, node = a_world()
    assert issued.posted is not None
    tx = issued.posted.tx
    data = node.txs[tx].input
    changed = edit(data)
    assert changed != data
    node.txs[tx] = ChainTx(issued.posted.contract, changed)
    # Even with the id that such a header would have had.
    header = changed[4 : 4 + 320]
    if len(header) == 320:
        named = batch_id(header, CHAIN_ID, issued.posted.contract)
        issued.posted = replace(issued.posted, batch_id=named)
    assert failed(await check(issued.receipt(), node)) == {"posted"}


@pytest.mark.parametrize("member", ["batch_id", "tx", "block"])
async def test_posted_names_its_batch_exactly(member: str) -> None:
    issued, node = a_world()
    other = {"batch_id": "00" * 32, "tx": "0x" + "00" * 32, "block": 9}[member]
    posted = json.loads(issued.receipt())["posted"]
    data = edited(issued.receipt(), posted={**posted, member: other})
    assert failed(await check(data, node)) == {"posted"}


@pytest.mark.parametrize(
    ("what", "change"),
    [
        (1, {"digest": bytes(31) + b"\1"}),
        (1, {"day_to": DAY}),
        (2, {"digest": bytes(31) + b"\1"}),
        (2, {"day_to": DAY}),
    ],
)
async def test_a_document_that_the_chain_holds_otherwise(what: int, change: dict) -> None:
    issued, node = a_world()
    enact(issued.installation, what, a_rule() if what == 1 else a_method(), **change)
    step = "rule" if what == 1 else "method"
    assert failed(await check(issued.receipt(), node)) == {step}


async def test_a_stop_after_the_day_changes_nothing() -> None:
    issued, node = a_world()
    enact(issued.installation, 1, a_rule(), day_to=DAY + 1)
    assert (await check(issued.receipt(), node)).ok


async def test_a_document_that_was_never_enacted() -> None:
    issued, node = a_world()
    registry = issued.installation.contracts["RuleRegistry"]
    for to, data in list(node.answers):
        if to == registry:
            del node.answers[to, data]
    assert failed(await check(issued.receipt(), node)) == {"method", "rule"}
