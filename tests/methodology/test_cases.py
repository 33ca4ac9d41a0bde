"""The cases that officials read: one line of data, one reduction or one refusal."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from backend import methodology

CASES = Path(__file__).parent / "cases"
FILES = {path.stem: list(yaml.safe_load_all(path.read_text("utf-8"))) for path in CASES.iterdir()}
TABLES = [table for tables in FILES.values() for table in tables]


def methods_of(scenario: str) -> dict[tuple[str, int], methodology.Method]:
    read = {key: methodology.read_method(d) for key, d in methodology.shipped_methods().items()}
    return {key: method for key, method in read.items() if scenario in method.scenarios}


@pytest.mark.parametrize(
    ("table", "case"),
    [
        pytest.param(table, case, id=f"{table['method'][0]} v{table['method'][1]}: {case['name']}")
        for table in TABLES
        for case in table["cases"]
    ],
)
def test_the_officials_cases(table: dict[str, Any], case: dict[str, Any]) -> None:
    method = methodology.read_method(methodology.shipped_methods()[tuple(table["method"])])
    data = table.get("given", {}) | case["data"]
    found = methodology.quantify(method, data, case.get("history", {}))
    if "refused" in case:
        assert found == methodology.Refused(case["refused"])
        return
    assert isinstance(found, methodology.Quantified)
    assert found.reduction_mg == case["reduction_mg"]
    # What a receipt states of the event gives the same reduction without the event.
    again = methodology.quantify(method, found.inputs, found.history)
    assert again == found


def test_every_scenario_has_a_file_and_every_shipped_method_its_cases() -> None:
    assert FILES.keys() == methodology.scenarios().keys()
    assert {tuple(t["method"]) for t in TABLES} == methodology.shipped_methods().keys()


@pytest.mark.parametrize("scenario", sorted(methodology.scenarios()))
def test_every_bound_has_a_case_on_either_side(scenario: str) -> None:
    refused = {case.get("refused") for table in FILES[scenario] for case in table["cases"]}
    bounds = {b.reason for method in methods_of(scenario).values() for b in method.bounds}
    assert bounds <= refused
    assert None in refused
    assert "suspicious-unit" in bounds


@pytest.mark.parametrize("scenario", sorted(methodology.scenarios()))
def test_every_bound_has_a_sentence_for_the_citizen(scenario: str) -> None:
    spec = methodology.scenarios()[scenario]
    for method in methods_of(scenario).values():
        for bound in method.bounds:
            sentence = spec.refusals[bound.reason]
            assert sentence.endswith("。"), bound.reason
            assert bound.reason not in sentence


def test_a_case_with_another_figure_fails() -> None:
    """Negative control: the comparison above is not vacuous."""
    table = FILES["transit.bus.trip"][0]
    case = table["cases"][0] | {"reduction_mg": 150_001}
    with pytest.raises(AssertionError):
        test_the_officials_cases(table, case)
