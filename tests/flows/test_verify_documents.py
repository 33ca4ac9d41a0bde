"""The steps that redo an award: the whole documents, with the leaf's own values."""

import copy
from typing import Any

import pytest

from backend.kit.canonical import dumps
from backend.kit.sm import sm3
from tests.flows.checking import check, failed, outcomes
from tests.proof.builders import (
    Installation,
    a_method,
    a_parameter,
    a_rule,
    an_award,
    award_fields,
    issue,
)


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
