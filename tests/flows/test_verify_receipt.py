"""The check a stranger makes: what holds, what is only stated, and that nothing can be changed."""

import copy
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from backend.flows.verify_receipt import check_receipt
from backend.kit.canonical import dumps
from backend.kit.sm import sm3
from backend.proof import STEPS, ChainTx, Verdict, leaves
from backend.proof.batches import batch_id
from backend.proof.keccak import keccak256
from tests.proof import builders
from tests.proof.builders import (
    DAY,
    FakeNode,
    Installation,
    Issued,
    a_method,
    a_parameter,
    a_rule,
    an_award,
    award_fields,
    edited,
    enact,
    enactment_fields,
    issue,
    reversal_fields,
    with_statement,
)

HERE = Installation()
TRUST = HERE.trust_file()


@pytest.fixture(scope="module")
def award() -> Issued:
    return an_award(HERE)


async def check(data: bytes, node: FakeNode | None = None, trust: bytes = TRUST) -> Verdict:
    verdict = await check_receipt(data, trust, node)
    assert tuple(each.step for each in verdict.steps) == STEPS
    assert verdict.document()["ok"] is verdict.ok
    return verdict


def outcomes(verdict: Verdict) -> dict[str, str]:
    return {each.step: each.verdict for each in verdict.steps}


def failed(verdict: Verdict) -> set[str]:
    return {each.step for each in verdict.steps if each.verdict == "failed"}


ALL_OK = dict.fromkeys(STEPS, "ok")


async def test_a_full_receipt_on_line(award: Issued) -> None:
    verdict = await check(award.receipt(), HERE.node)
    assert verdict.ok
    assert outcomes(verdict) == ALL_OK | {"posted": "stated", "rule": "stated", "origin": "stated"}


async def test_a_full_receipt_offline_names_what_was_not_checked(award: Issued) -> None:
    verdict = await check(award.receipt())
    assert verdict.ok
    unchecked = {"anchor": "not_checked", "posted": "not_checked"}
    assert outcomes(verdict) == ALL_OK | unchecked | {"rule": "stated", "origin": "stated"}


async def test_a_share_receipt_hides_and_says_so(award: Issued) -> None:
    data = award.receipt("share")
    assert award.posted is not None
    for secret in (b"2026-11-22", b"t-1", builders.ACCOUNT.hex().encode(), b"/gate"):
        assert secret not in data
    verdict = await check(data, HERE.node)
    assert verdict.ok
    assert outcomes(verdict) == ALL_OK | {"posted": "hidden", "rule": "stated", "origin": "hidden"}
    reasons = {each.step: each.reason for each in verdict.steps}
    assert "window not checked" in reasons["method"]
    assert "window not checked" in reasons["rule"]
    assert outcomes(await check(data))["posted"] == "not_checked"


async def test_a_rule_without_caps_is_recomputed_whole() -> None:
    rule = a_rule(caps=[])
    stated = {"history": {}, "counters": {}, "caps": []}
    issued = an_award(rule_document=rule, stated=stated)
    assert outcomes(await check(issued.receipt(), issued.installation.node))["rule"] == "ok"


async def test_a_receipt_before_its_batch(award: Issued) -> None:
    verdict = await check(replace(award, posted=None).receipt(), HERE.node)
    assert verdict.ok
    assert outcomes(verdict)["posted"] == "not_checked"


async def test_a_statement_proves_the_origin(award: Issued) -> None:
    verdict = await check(with_statement(award), HERE.node)
    assert verdict.ok
    assert outcomes(verdict)["origin"] == "ok"


@pytest.mark.parametrize("change", [{"day": "2027-01-01"}, {"secret_shift": 1}])
async def test_a_statement_by_another_key_or_day(award: Issued, change: dict[str, Any]) -> None:
    assert failed(await check(with_statement(award, **change))) == {"origin"}


async def test_a_statement_that_was_touched(award: Issued) -> None:
    origin = json.loads(with_statement(award))["origin"]
    for name, value in (("count", 4), ("index", (origin["index"] + 1) % 3), ("path", [])):
        data = edited(award.receipt(), origin={**origin, name: value})
        assert failed(await check(data)) == {"origin"}, name


async def test_an_act_without_an_event() -> None:
    issued = issue(Installation(), reversal_fields())
    verdict = await check(issued.receipt(), issued.installation.node)
    assert verdict.ok
    assert outcomes(verdict) == ALL_OK | dict.fromkeys(
        ("posted", "method", "rule", "origin"), "stated"
    )


@pytest.mark.parametrize("what", ["method", "rule", "stop"])
async def test_an_enactment(what: str) -> None:
    here = Installation()
    document = a_rule() if what == "rule" else a_method()
    end = {"day_to": "2026-12-01"} if what == "stop" else {}
    fields = enactment_fields(what, document, **end)
    method, rule = (None, document) if what == "rule" else (document, None)
    issued = issue(here, fields, kind=leaves.ENACTMENT, method=method, rule=rule)
    if what == "stop":
        enact(here, 2, document, day_to=builders.day_of("2026-12-01"))
    verdict = await check(issued.receipt(), here.node)
    assert verdict.ok, verdict
    other = "method" if what == "rule" else "rule"
    expected = {"posted": "not_checked", "origin": "stated", other: "stated"}
    assert outcomes(verdict) == ALL_OK | expected


async def test_a_stop_that_the_chain_does_not_know() -> None:
    here = Installation()
    fields = enactment_fields("stop", a_method(), day_to="2026-12-01")
    issued = issue(here, fields, kind=leaves.ENACTMENT, method=a_method())
    assert failed(await check(issued.receipt(), here.node)) == {"method"}


async def test_an_audit_head() -> None:
    audit = {"audit": {"day": "2026-11-22", "count": 3, "head": "ab" * 32}}
    issued = issue(Installation(), audit, kind=leaves.AUDIT_HEAD)
    verdict = await check(issued.receipt(), issued.installation.node)
    assert verdict.ok
    assert outcomes(verdict)["posted"] == "not_checked"


# --- issuer and format -------------------------------------------------------------------------


async def test_a_complete_forged_installation_fails() -> None:
    forger = Installation(shift=1)
    forged = an_award(forger)
    assert (await check(forged.receipt(), forger.node, forger.trust_file())).ok
    # Same issuer's name, own keys, own chain: the pinned file decides.
    verdict = await check(forged.receipt(), forger.node)
    assert not verdict.ok
    assert {"checkpoint", "anchor", "posted"} <= failed(verdict)
    assert "checkpoint" in failed(await check(forged.receipt()))


async def test_an_unknown_issuer_ends_the_check() -> None:
    stranger = Installation(issuer="elsewhere")
    verdict = await check(an_award(stranger).receipt())
    assert not verdict.ok
    assert outcomes(verdict) == dict.fromkeys(STEPS, "not_checked") | {"issuer": "failed"}


async def test_a_demo_receipt_never_passes_for_another_profile() -> None:
    demo = Installation(profile="demo")
    assert failed(await check(an_award(demo).receipt())) == {"checkpoint"}


@pytest.mark.parametrize(
    ("spoil", "issuer"),
    [
        (lambda d: d + b"\n", "ok"),
        (lambda d: b" " + d, "ok"),
        (lambda d: b"\xef\xbb\xbf" + d, "failed"),
        (lambda d: d[:-1], "failed"),
        (lambda d: d.replace(b'"form":"full"', b'"form":"whole"'), "ok"),
        (lambda d: d.replace(b'"posted":', b'"postet":'), "ok"),
        (lambda d: d.replace(b'"issuer":"metro"', b'"issuer":7'), "failed"),
        (lambda d: d.replace(b'"issuer":"metro"', b'"issuer":"Metro"'), "failed"),
        (lambda d: d.replace("每".encode(), b"\\u6bcf"), "ok"),
        (lambda d: d.replace(b'"size":11', b'"size":11.0'), "ok"),
        (lambda d: d.replace(b'"size":11', b'"size":1e1'), "ok"),
        (lambda d: json.dumps(json.loads(d), indent=1).encode(), "ok"),
        (lambda _: b"", "failed"),
        (lambda _: b"[]", "failed"),
        (lambda _: b"[" * 100_000, "failed"),
        (lambda _: b'{"issuer":"metro"}', "ok"),
        (lambda _: b"\xff\xfe", "failed"),
        (lambda d: d[:-1] + b" " * 262_144 + b"}", "ok"),
    ],
)
async def test_bytes_that_are_no_receipt(
    award: Issued, spoil: Callable[[bytes], bytes], issuer: str
) -> None:
    data = spoil(award.receipt())
    assert data != award.receipt()
    verdict = await check(data, HERE.node)
    assert outcomes(verdict) == dict.fromkeys(STEPS, "not_checked") | {
        "issuer": issuer,
        "format": "failed",
    }


@pytest.mark.parametrize("spoiled", [b"", b"{}", TRUST + b" ", b"[" * 50_000])
async def test_a_trust_file_that_is_none_knows_no_issuer(award: Issued, spoiled: bytes) -> None:
    verdict = await check(award.receipt(), HERE.node, spoiled)
    assert outcomes(verdict) == dict.fromkeys(STEPS, "not_checked") | {"issuer": "failed"}


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "changes",
    [
        {"origin": {"kind": "issuer", "more": 1}},
        {"origin": {"kind": "partner"}},
        {"origin": {}},
        {"origin": "signed-upload"},
        {"posted": {}},
        {"posted": False},
        {"anchor": None},
        {"checkpoint": None},
        {"documents": {"method": None}},
        {"documents": {"method": [], "rule": None}},
        {"documents": {"method": {"x": deep(13)}, "rule": None}},
        {"log": {"index": 11, "size": 11, "path": []}},
        {"log": {"index": -1, "size": 11, "path": []}},
        {"log": {"index": 0, "size": 0, "path": []}},
        {"log": {"index": 0, "size": 11, "path": ["AB" * 32]}},
        {"log": {"index": 0, "size": 11, "path": ["ab" * 32] * 65}},
        {"leaf": {"kind": 1, "fields": []}},
        {"leaf": {"kind": 4, "fields": [{"h": "ab" * 32}]}},
        {"leaf": {"kind": 3, "fields": [{"h": "ab" * 32}]}},
        {"form": "share"},
        {"format": "tanhui-receipt-v2"},
    ],
)
async def test_a_receipt_has_exactly_its_members(award: Issued, changes: dict[str, Any]) -> None:
    data = edited(award.receipt(), **changes)
    assert failed(await check(data)) == {"format"}


async def test_a_document_may_be_thirteen_levels_deep(award: Issued) -> None:
    data = edited(award.receipt(), documents={"method": {"x": deep(12)}, "rule": None})
    assert failed(await check(data)) == {"method", "rule"}


# --- any change ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("form", "step"), [("full", 1), ("share", 7)])
async def test_flipping_any_byte_is_noticed(award: Issued, form: str, step: int) -> None:
    data = award.receipt(form)
    genuine = json.loads(data)
    for at in range(0, len(data), step):
        flipped = data[:at] + bytes([data[at] ^ (1 << (at % 7))]) + data[at + 1 :]
        verdict = await check(flipped)
        if verdict.ok:
            # Offline, only what the chain would say may have changed.
            changed = json.loads(flipped)
            differing = {name for name in genuine if changed[name] != genuine[name]}
            assert differing <= {"anchor", "posted"}
            assert not (await check(flipped, HERE.node)).ok


def tampered(award: Issued, edit: Callable[[dict[str, Any]], None]) -> bytes:
    document = json.loads(award.receipt())
    edit(document)
    return dumps(document)


def disclose(document: dict[str, Any], place: int, edit: Callable[[Any], None]) -> None:
    salt, name, value = json.loads(document["leaf"]["fields"][place]["d"])
    edit(value)
    document["leaf"]["fields"][place]["d"] = dumps([salt, name, value]).decode()


def _raise_points(document: dict[str, Any]) -> None:
    disclose(document, 1, lambda value: value.update(amount=24))


@pytest.mark.parametrize(
    ("edit", "steps"),
    [
        (_raise_points, {"path", "rule"}),
        (lambda d: disclose(d, 0, lambda v: v.update(transfer="tr-9")), {"path"}),
        (
            lambda d: disclose(d, 6, lambda v: v.update(originaltime="2026-11-22T08:00:00Z")),
            {"path"},
        ),
        (lambda d: disclose(d, 6, lambda v: v.update(city_day="2026-11-23")), {"leaf", "path"}),
        (lambda d: disclose(d, 4, lambda v: v.update(distance_m=12001)), {"path", "method"}),
        (lambda d: disclose(d, 3, lambda v: v.update(row=["short"])), {"path", "rule"}),
        (lambda d: disclose(d, 2, lambda v: v.update(status="provisional")), {"path", "method"}),
        (lambda d: d["log"].update(index=5), {"path"}),
        (lambda d: d["log"].update(size=12), {"path"}),
        (lambda d: d["log"]["path"].pop(), {"path"}),
        (lambda d: d["log"]["path"].reverse(), {"path"}),
        (
            lambda d: d.update(checkpoint=d["checkpoint"].replace("\n11\n", "\n12\n")),
            {"path", "checkpoint"},
        ),
        (lambda d: d.update(checkpoint="x"), {"path", "checkpoint"}),
        (lambda d: d["documents"]["method"].update(status="provisional"), {"method"}),
        (lambda d: d["documents"]["rule"].update(hit="sum"), {"rule"}),
        (lambda d: d["documents"]["rule"]["caps"][0].update(limit=31), {"rule"}),
        (lambda d: d["documents"]["rule"].update(format="x"), {"rule", "method"}),
        (lambda d: d["documents"].update(method=None), {"rule", "method"}),
        (lambda d: d["origin"].update(kind="shared-secret"), {"origin"}),
        (lambda d: d["origin"].update(kind="issuer"), {"origin"}),
        (lambda d: d["anchor"].update(chain_id=1), {"anchor"}),
        (lambda d: d["anchor"].update(contract="0x" + "00" * 20), {"anchor"}),
        (lambda d: d["posted"].update(contract="0x" + "00" * 20), {"posted"}),
    ],
)
async def test_tampering_with_structure(award: Issued, edit, steps: set[str]) -> None:
    found = failed(await check(tampered(award, edit)))
    # A leaf that fails leaves the steps after it unjudged; otherwise exactly these fail.
    assert found == steps


# --- the chain ----------------------------------------------------------------------------------


def a_world() -> tuple[Issued, FakeNode]:
    issued = an_award(Installation())
    return issued, issued.installation.node


async def test_a_node_that_does_not_answer(award: Issued) -> None:
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
        named = batch_id(header, builders.CHAIN_ID, issued.posted.contract)
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


# --- recomputing --------------------------------------------------------------------------------


async def judged(
    method_document: dict[str, Any] | None = None,
    rule_document: dict[str, Any] | None = None,
    **changes: Any,
) -> dict[str, str]:
    """Verdicts on a leaf that the issuer sealed with these values: its own log vouches for it."""
    issued = an_award(method_document=method_document, rule_document=rule_document, **changes)
    return outcomes(await check(issued.receipt()))


def _with(name: str, **changes: Any) -> dict[str, Any]:
    fields = copy.deepcopy(award_fields())
    fields[name].update(changes)
    return {name: fields[name]}


def _caps(*caps: tuple[str, int, int]) -> dict[str, Any]:
    listed = [{"name": n, "limit": limit, "used_before": used} for n, limit, used in caps]
    return _with("stated", caps=listed)


@pytest.mark.parametrize(
    ("changes", "steps"),
    [
        (_with("method", reduction_mg=2_525_449), {"method"}),
        (_with("points", amount=26), {"rule"}),
        (_with("points", **{"class": "other"}), {"rule"}),
        (_with("rule", points_before_caps=26), {"rule"}),
        (_with("rule", row=["short"]), {"rule"}),
        (_with("rule", row=["long", "short"]), {"rule"}),
        (_with("method", scenario="transit.bus.trip"), {"method"}),
        (_with("method", version=2), {"method"}),
        (_with("rule", programme="other"), {"rule"}),
        ({"inputs": {"distance_m": 12000, "more": 1}}, {"method", "rule"}),
        ({"inputs": {}}, {"method", "rule"}),
        ({"inputs": {"distance_m": "12000"}}, {"method", "rule"}),
        ({"inputs": {"distance_m": 150_001}}, {"method"}),
        (_with("stated", history={"x": 1}), {"method", "rule"}),
        (_with("stated", counters={"x": 1}), {"method", "rule"}),
        (_caps(), {"rule"}),
        (_caps(("每日上限", 31, 5)), {"rule"}),
        (_caps(("每月上限", 30, 5)), {"rule"}),
        (_caps(("每日上限", 30, 6)), {"rule"}),
        (_caps(("每日上限", 30, 5), ("每日上限", 30, 5)), {"rule"}),
        (_with("occurrence", city_day="2027-01-01", time="2027-01-01T08:00:00+08:00"), {"rule"}),
        (
            _with("occurrence", city_day="2019-12-31", time="2019-12-31T08:00:00+08:00"),
            {"method", "rule"},
        ),
    ],
)
async def test_an_issuer_that_seals_a_wrong_award(changes: dict, steps: set[str]) -> None:
    found = await judged(**changes)
    assert {step for step, verdict in found.items() if verdict == "failed"} == steps


async def test_a_cap_cuts_and_is_stated() -> None:
    found = await judged(**_caps(("每日上限", 30, 10)), **_with("points", amount=20))
    assert found["rule"] == "stated"


async def test_history_and_counters_that_entered_are_stated() -> None:
    base = a_method()
    needs = {**base["needs"], "history": {"base_m": "int"}, "counters": {"trips_day": "int"}}
    method = {
        **base,
        "needs": needs,
        "formula": "distance_m * (base - mode) / 1000 + 0 * trips_day",
    }
    stated = {
        "history": {"base_m": 3},
        "counters": {"trips_day": 1},
        "caps": award_fields()["stated"]["caps"],
    }
    found = await judged(method_document=method, stated=stated)
    assert found["method"] == "stated"
    assert found["rule"] == "stated"
    rule_needs = {**a_rule()["needs"], "counters": {"trips_day": "int"}}
    rule = a_rule(needs=rule_needs, caps=[])
    stated = {"history": {}, "counters": {"trips_day": 1}, "caps": []}
    found = await judged(rule_document=rule, stated=stated)
    assert (found["method"], found["rule"]) == ("ok", "stated")


@pytest.mark.parametrize(
    ("change", "steps"),
    [
        ({"needs": {**a_rule()["needs"], "event": {"distance_m": "int", "scenario": "string"}}}, 2),
        ({"rows": [{"id": "a", "when": "true", "points": "1 / 0"}]}, 1),
        ({"rows": [{"id": "a", "when": "1 / 0 == 1", "points": "25"}]}, 1),
        ({"rows": []}, 2),
        ({"rows": [{"id": "a", "when": "distance_m", "points": "25"}]}, 2),
        ({"hit": "unique", "rows": [{"id": n, "when": "true", "points": "25"} for n in "ab"]}, 1),
        ({"needs": {**a_rule()["needs"], "params": {"p": {"value": 1}}}}, 2),
        ({"needs": {"event": {}, "history": {}, "params": {}}}, 2),
        ({"day_to": "2026-01-01"}, 2),
        ({"more": 1}, 2),
    ],
)
async def test_a_rule_document_outside_the_format(change: dict[str, Any], steps: int) -> None:
    """A document that cannot be read fails both steps: the union of needs is unknown."""
    found = await judged(rule_document=a_rule(**change))
    bad = {step for step, verdict in found.items() if verdict == "failed"}
    assert bad == ({"rule"} if steps == 1 else {"method", "rule"})


async def test_sum_pays_every_true_row() -> None:
    rows = [
        {"id": "a", "when": "distance_m > 1", "points": "20"},
        {"id": "b", "when": "false", "points": "1 / 0"},
        {
            "id": "c",
            "when": 'scenario == "transit.metro.trip" && evidence_level == "L3"',
            "points": "5",
        },
    ]
    rule = a_rule(hit="sum", rows=rows)
    found = await judged(rule_document=rule)
    assert found["rule"] == "failed"
    fields = award_fields(a_method(), rule)
    fields["rule"]["row"] = ["a", "c"]
    issued = issue(Installation(), fields, method=a_method(), rule=rule)
    assert outcomes(await check(issued.receipt()))["rule"] == "stated"


async def test_a_parameter_is_covered_by_the_digest() -> None:
    method = a_method()
    dearer = copy.deepcopy(method)
    dearer["needs"]["params"]["base"] = a_parameter(271_819)
    issued = issue(Installation(), award_fields(), method=dearer, rule=a_rule())
    assert failed(await check(issued.receipt())) == {"method"}
    assert sm3(dumps(method)) != sm3(dumps(dearer))


def test_bottomless_json_kills_no_process_that_knows_the_chain() -> None:
    """The EVM libraries raise Python's recursion limit; C parsers would then overrun the stack."""
    script = (
        "import backend.chain, json\n"
        "from backend.flows.verify_receipt import verify_receipt\n"
        "for text in (b'[' * 90_000, b'[' * 90_000 + b']' * 90_000, b'{\"a\":' * 90_000):\n"
        "    assert not verify_receipt(text, open('trust.json', 'rb').read()).ok\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parent.parent / "vectors" / "proof",
        env={"PYTHONPATH": str(Path(__file__).parent.parent.parent), "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
