"""Published rules of seven places, written as documents without code, with their exact edges.

`docs/rules/*.yaml` are the rules; `cases/cities/*.yaml` say what happens, one line an event, in an
order an official can follow. Everything not said of an event is in `usual`.
"""

import copy
import json
from datetime import date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import yaml

from backend import incentive
from backend.commands.rule_files import read_rule_file
from backend.flows.rule_words import rule_card
from backend.incentive import Paid, Reduction, Rule, Terms, Trial, TrialEvent
from backend.incentive.publication import check_publication
from backend.incentive.terms import check_law, read_terms
from backend.kit import canonical
from backend.kit.needs import DocumentError

CASES = Path(__file__).parent / "cases" / "cities"
RULES = Path(__file__).parent.parent.parent / "docs" / "rules"
SOMEBODY = UUID(int=1)
BUDGET = 10**9


def loaded() -> list[dict[str, Any]]:
    return [yaml.safe_load(path.read_text("utf-8")) for path in sorted(CASES.glob("*.yaml"))]


def every_case() -> list[Any]:
    return [
        pytest.param(place, case, id=f"{Path(place['rule']).stem}: {case['name']}")
        for place in loaded()
        for case in place["cases"]
    ]


def the_rule(place: dict[str, Any], case: dict[str, Any]) -> Rule:
    document = json.loads(read_rule_file(RULES / place["rule"]))
    for name, value in case.get("params", {}).items():
        document["needs"]["params"][name]["value"] = value
    return incentive.read_rule(canonical.dumps(document))


def a_trial(rule: Rule, case: dict[str, Any]) -> Trial:
    budget = case.get("budget", {"envelope": BUDGET, "left": BUDGET})
    trial = Trial(rule.counters(), {"total": budget["envelope"]}, {"total": budget["left"]})
    for number in range(case.get("before_in_line", 0)):
        trial.line[UUID(int=number + 2)] = number + 1
    return trial


def happens(
    trial: Trial, rule: Rule, terms: Terms, place: dict[str, Any], case: dict[str, Any], event: Any
) -> Paid | str:
    """What one event earns, or why it does not count."""
    said = place["usual"] | event
    day: date = said["day"]
    hour, minute = map(int, said.get("at", "12:00").split(":"))
    local = datetime(day.year, day.month, day.day, hour, minute)  # noqa: DTZ001 - the city's clock
    reduction = Reduction(
        said.get("reduction_mg", 0), said["scenario"], said.get("level", "L3"), "approved"
    )
    recorded = said.get("recorded", day)
    refusal = terms.refusal(reduction.scenario, reduction.evidence_level, day, recorded)
    if refusal is not None:
        return refusal
    if not terms.eligibility.admits(case.get("facts", place.get("facts", {}))):
        return "not-eligible"
    if case.get("blacklisted"):
        return "blacklisted"
    spans = incentive.calendar_names(rule.needs.history)
    history = {name: incentive.calendar_value(name, local) for name in spans}
    event_of = TrialEvent(SOMEBODY, day, reduction, said.get("inputs", {}), history)
    return trial.pay(rule, event_of, "total")


@pytest.mark.parametrize(("place", "case"), every_case())
def test_what_an_official_would_expect(place: dict[str, Any], case: dict[str, Any]) -> None:
    rule = the_rule(place, case)
    terms = read_terms(place["terms"])
    trial = a_trial(rule, case)
    for event in case["events"]:
        paid: Paid | str = "nothing"
        for _ in range(event.get("times", 1)):
            paid = happens(trial, rule, terms, place, case, event)
        if "refused" in event:
            assert paid == event["refused"]
            continue
        assert isinstance(paid, Paid), paid
        found = {
            "points": paid.amount,
            "rows": list(paid.rows),
            "cut_by": paid.cut_by,
            "fen": terms.policy.fen_of(paid.amount),
        }
        expected = {name: event[name] for name in found if name in event}
        assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize("place", loaded(), ids=lambda place: Path(place["rule"]).stem)
def test_each_may_be_published_and_read(place: dict[str, Any]) -> None:
    document = read_rule_file(RULES / place["rule"])
    rule = incentive.read_rule(document)
    check_publication(rule)
    card = rule_card(document)
    assert all(f"({row.id})" in card for row in rule.rows)
    assert "==" not in card
    assert "&&" not in card


def test_every_rule_has_cases() -> None:
    assert {path.name for path in RULES.glob("*.yaml")} == {place["rule"] for place in loaded()}


@pytest.mark.parametrize("place", loaded(), ids=lambda place: Path(place["rule"]).stem)
def test_terms_keep_to_the_law_of_the_place(place: dict[str, Any]) -> None:
    check_law(read_terms(place["terms"]), 60)
    with pytest.raises(DocumentError, match="jurisdiction-forbids"):
        check_law(read_terms(place["terms"]), 121)
    for change in place.get("forbidden", []):
        terms = copy.deepcopy(place["terms"]) | change
        with pytest.raises(DocumentError, match="jurisdiction-forbids"):
            check_law(read_terms(terms), 60)
