"""The second rule format: caps over a part of the awards, more windows, refused where unclear."""

import json
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend import incentive
from backend.incentive import Occasion
from backend.incentive.lookups import calendar_value, in_words, lookup_type
from backend.incentive.periods import WINDOWS, counter_name, period_on, period_text
from backend.incentive.publication import check_publication
from backend.incentive.usage import cap_keys, kept_keys, needs_keys, wanted_keys
from backend.kit import canonical
from backend.kit.needs import DocumentError
from tests.incentive.test_incentive import METRO, a_rule

TABLE = [
    {"id": "far", "when": "distance_m >= 10000", "points": "10"},
    {"id": "near", "when": "true", "points": "4"},
]
ON = Occasion(date(2026, 11, 22), "transit.bus.trip", "L3", "metro-points/1", "far")


def v2(*caps: dict[str, Any], **changes: Any) -> incentive.Rule:
    members: dict[str, Any] = {"format": "tanhui-rule-v2", "rows": TABLE, "caps": list(caps)}
    return incentive.read_rule(a_rule(**members | changes))


def cap(window: str = "day", limit: int = 5, of: Any = None, **more: Any) -> dict[str, Any]:
    return {"name": f"{window} {of}", "window": window, "limit": limit, "of": of} | more


@pytest.mark.parametrize("window", WINDOWS)
def test_every_window_of_the_second_format(window: str) -> None:
    rule = v2(cap(window))
    assert rule.cap_counters == (f"points_{window}",)
    if window not in ("day", "month", "year"):
        with pytest.raises(DocumentError, match="bad-caps"):
            incentive.read_rule(a_rule(caps=[{"name": "a", "window": window, "limit": 1}]))


def test_a_cap_concerns_what_it_lists() -> None:
    rule = v2(
        cap(),
        cap(of={"scenario": ["transit.metro.trip", "transit.bus.trip"]}),
        cap(of={"level": ["L0", "L1"]}),
        cap(of={"row": ["far"]}),
    )

    def concerned(scenario: str, level: str, *rows: str) -> list[int]:
        return [rule.caps.index(each) for each in rule.caps_of(scenario, level, rows)]

    assert concerned("transit.bus.trip", "L3", "near") == [0, 1]
    assert concerned("bike.shared.ride", "L0", "far") == [0, 2, 3]
    assert concerned("bike.shared.ride", "L4") == [0]


@pytest.mark.parametrize(
    "of",
    [
        {},
        {"row": []},
        {"row": ["far", "far"]},
        {"row": ["nowhere"]},
        {"scenario": ["a.b"], "level": ["L0"]},
        {"person": ["x"]},
        {"level": "L0"},
        {"level": [1]},
        "row",
        ["far"],
    ],
)
def test_an_unclear_scope_is_refused(of: Any) -> None:
    with pytest.raises(DocumentError, match="bad-caps"):
        v2(cap(of=of))


def test_a_sum_has_no_caps_by_row() -> None:
    with pytest.raises(DocumentError, match="needs hit first or unique"):
        v2(cap(of={"row": ["far"]}), hit="sum")
    v2(cap(of={"level": ["L0"]}), hit="sum")


def test_the_formats_do_not_mix() -> None:
    for text in (
        a_rule(caps=[cap()]),
        a_rule(format="tanhui-rule-v2"),
        a_rule(format="tanhui-rule-v3"),
    ):
        with pytest.raises(DocumentError, match=r"bad-caps|bad-rule"):
            incentive.read_rule(text)


def test_documents_in_force_keep_their_digests() -> None:
    """The digests of the shipped rules, as they were enacted by the first release."""
    found = {f"{k[0]} {k[1]}": incentive.read_rule(d) for k, d in incentive.shipped_rules().items()}
    for rule in found.values():
        assert not rule.scoped
        assert rule.counters() == tuple(
            dict.fromkeys([*(f"points_{c.window}" for c in rule.caps), *rule.needs.counters])
        )
    assert found["metro-points 1"].digest.hex()[:16] == "d6a6871a22baace9"


def test_where_an_award_counts() -> None:
    names = ("points_day", "awards_scenario_week", "points_row_total", "paid_level_half")
    assert kept_keys(names, ON) == [
        ("points_day", "2026-11-22"),
        ("awards_scenario_week", "2026-W47 transit.bus.trip"),
        ("points_row_total", "total far"),
        ("paid_level_half", "2026-H2 L3"),
    ]
    assert kept_keys(names[2:3], ON._replace(row=None)) == []
    assert period_on("points_campaign", ON) == "metro-points/1"


def test_a_cap_over_two_scenarios_adds_them_up() -> None:
    [both] = v2(cap("year", 9, {"scenario": ["a.b", "c.d"]})).caps
    assert cap_keys(both, ON) == [
        ("points_scenario_year", "2026 a.b"),
        ("points_scenario_year", "2026 c.d"),
    ]


def test_everything_an_award_may_touch_is_asked_for() -> None:
    rule = v2(cap(of={"row": ["far", "near"]}), cap("year", 9, {"level": ["L3"]}))
    names = (*rule.counters(), "awards_month")
    wanted = set(wanted_keys(rule, ON._replace(row=None), names))
    for row in ("far", "near", None):
        assert set(kept_keys(names, ON._replace(row=row))) <= wanted
    for each in rule.caps:
        assert set(cap_keys(each, ON)) <= wanted


def test_earlier_periods() -> None:
    needs = {"event": {"distance_m": "int"}, "history": {}, "params": {}}
    counters = {"paid_month_before": "int", "points_half_before_2": "int", "awards_day": "int"}
    rule = v2(needs=needs | {"counters": counters})
    assert needs_keys(rule, ON) == {
        "paid_month_before": ("paid_month", "2026-10"),
        "points_half_before_2": ("points_half", "2025-H2"),
        "awards_day": ("awards_day", "2026-11-22"),
    }
    assert set(rule.counters()) == {"paid_month", "points_half", "awards_day"}


@pytest.mark.parametrize(
    "name",
    ["points", "points_days", "points_day_", "sum_day", "points_total_before", "points_person_day",
     "points_week_before_0", "points_week_before_25", "points_campaign_before", "row_points_day"],
)  # fmt: skip
def test_counters_that_are_not_kept(name: str) -> None:
    assert counter_name(name) is None


@given(
    st.dates(date(2000, 1, 3), date(2098, 12, 31)),
    st.sampled_from(["day", "week", "month", "quarter", "half", "year"]),
)
def test_periods_tile_the_days(day: date, window: str) -> None:
    """Each day is in one period; a period is whole, and the one before it ends the day before."""
    period = period_text(window, day)
    first = day
    while period_text(window, first - timedelta(1)) == period:
        first -= timedelta(1)
    assert period_text(window, day, 1) == period_text(window, first - timedelta(1))
    assert period_text(window, day, 0) == period


@pytest.mark.parametrize(
    ("name", "inside", "outside"),
    [
        ("between_0700_0900", ["07:00", "08:59"], ["06:59", "09:00"]),
        ("between_2200_0600", ["22:00", "05:59", "00:00"], ["21:59", "06:00"]),
        ("between_1800_2400", ["18:00", "23:59"], ["00:00", "17:59"]),
    ],
)
def test_hours(name: str, inside: list[str], outside: list[str]) -> None:
    for texts, holds in ((inside, True), (outside, False)):
        for text in texts:
            assert calendar_value(name, datetime.fromisoformat(f"2026-06-05T{text}:30")) is holds
    assert lookup_type(name) == "bool"


@pytest.mark.parametrize(
    "name",
    ["between_0900_0900", "between_2400_0100", "between_0760_0900", "months_00_03", "weekdays_0_5",
     "months_12_13", "at_0700", "weekend"],
)  # fmt: skip
def test_spans_that_are_none(name: str) -> None:
    assert lookup_type(name) is None
    assert in_words(name) is None


@pytest.mark.parametrize(
    ("needs", "name"),
    [
        ({"history": {"between_0700_0900": "int"}}, "unknown-history"),
        ({"history": {"mood": "int"}}, "unknown-history"),
        ({"counters": {"points_row_day": "int"}}, "unknown-counter"),
        ({"counters": {"points_day": "bool"}}, "unknown-counter"),
        ({"counters": {"trips": "int"}}, "unknown-counter"),
    ],
)
def test_needs_that_nobody_meets_are_refused(needs: dict[str, Any], name: str) -> None:
    document = json.loads(METRO)
    document["needs"] |= needs
    with pytest.raises(DocumentError, match=name):
        check_publication(incentive.read_rule(canonical.dumps(document)))
