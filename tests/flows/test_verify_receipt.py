"""The check a stranger makes: what holds, what is only stated, and that nothing can be changed."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from backend.kit.canonical import dumps
from backend.proof import STEPS, leaves
from tests.flows.checking import HERE, TRUST, check, failed, outcomes
from tests.proof import builders
from tests.proof.builders import (
    Installation,
    Issued,
    a_method,
    a_rule,
    an_award,
    edited,
    enact,
    enactment_fields,
    issue,
    reversal_fields,
    with_statement,
)


@pytest.fixture(scope="module")
def award() -> Issued:
    return an_award(HERE)


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
