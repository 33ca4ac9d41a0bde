"""A table is looked over before it is published: what is wrong is named and shown by an example."""

from typing import Any

import pytest

from backend import incentive
from backend.incentive import review as looked_over
from tests.incentive.test_incentive import a_rule, a_table


def found(hit: str, *rows: tuple[str, str, str]) -> list[tuple[str, dict[str, Any]]]:
    return [(each.name, dict(each.example)) for each in looked_over(a_table(hit, *rows))]


SHORT, LONG = ("short", "x < 3000", "1"), ("long", "x > 3000", "2")


def test_shipped_rules_have_no_findings() -> None:
    for document in incentive.shipped_rules().values():
        assert looked_over(incentive.read_rule(document)) == []


@pytest.mark.parametrize("hit", ["first", "unique"])
def test_a_value_between_two_rows_is_a_gap(hit: str) -> None:
    assert found(hit, SHORT, LONG) == [("table-gap", {"x": 3000})]
    assert found(hit, SHORT, ("long", "x >= 3000", "2")) == []


def test_a_row_of_no_points_closes_a_gap() -> None:
    assert found("first", SHORT, LONG, ("else", "true", "0")) == []


def test_a_threshold_is_no_gap() -> None:
    assert found("first", ("from", "x >= 500", "1")) == []
    assert found("first", ("until", "x < 5", "1")) == []


def test_rows_of_a_sum_stand_each_for_itself() -> None:
    assert found("sum", ("first", "x == 1", "5"), ("tenth", "x == 10", "20")) == []


def test_edges_are_found_where_no_literal_stands() -> None:
    """A gap of one metre between two conditions that calculate."""
    rows = ("a", "x * 100 <= 299999", "1"), ("b", "x * 7 > 21000", "2")
    assert found("first", *rows) == [("table-gap", {"x": 3000})]


def test_names_compared_with_each_other_are_followed() -> None:
    document = a_rule(
        needs={
            "event": dict.fromkeys("xyz", "int"),
            "history": {},
            "counters": {},
            "params": {},
        },
        rows=[
            {"id": "a", "when": "x < y", "points": "1"},
            {"id": "b", "when": "x > y && x <= z", "points": "1"},
        ],
    )
    [finding] = looked_over(incentive.read_rule(document))
    assert finding.name == "table-gap"
    assert finding.example["x"] == finding.example["y"]


def test_two_rows_under_unique_overlap() -> None:
    rows = ("a", "x <= 3000", "1"), ("b", "x >= 3000", "2")
    assert found("unique", *rows) == [("table-overlap", {"x": 3000})]
    assert found("first", *rows) == []


def test_a_row_behind_others_never_pays() -> None:
    [finding] = looked_over(a_table("first", ("a", "x < 30", "1"), ("b", "x < 20", "2")))
    assert (finding.name, finding.rows) == ("row-never-pays", ("b",))
    assert found("first", ("a", "x > 3 && x < 2", "1")) == [("row-never-pays", {})]


def test_a_condition_that_fails_is_found() -> None:
    assert found("first", ("a", "1 / (x - 5) > 0", "1")) == [("condition-fails", {"x": 5})]


def test_the_same_table_gives_the_same_findings() -> None:
    names = [f"n{i}" for i in range(9)]
    document = {
        "needs": {
            "event": dict.fromkeys(names, "int"),
            "history": {},
            "counters": {},
            "params": {},
        },
        "rows": [
            {"id": name, "when": f"{name} > 3 && {name} < 9", "points": "1"} for name in names
        ],
    }
    rule = incentive.read_rule(a_rule(**document))
    assert looked_over(rule) == looked_over(rule)
