"""Rule documents: hit policies, caps, errors and the card; programmes in the database."""

import itertools
import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from backend import incentive, methodology
from backend.flows.rule_words import rule_words
from backend.kit import canonical
from backend.kit.db import Tx
from backend.kit.needs import DocumentError

CASES = Path(__file__).parent / "cases"
METRO = incentive.shipped_rules()["metro-points", 1]
NOW = datetime(2026, 11, 22, tzinfo=UTC)


CONDITIONS = (
    'scenario == "bike.shared.ride"',
    'x > 3 && scenario == "bike.shared.ride"',
    'scenario != "transit.metro.trip" && 1 / x > 0',
    'scenario in ["bike.shared.ride"] && x == 2',
    'false || scenario == "bike.shared.ride" && x < 1',
)


def a_rule(**changes: Any) -> bytes:
    """The shipped rule with some members changed."""
    return canonical.dumps(json.loads(METRO) | changes)


def a_table(hit: str, *rows: tuple[str, str, str]) -> incentive.Rule:
    """A rule over `x` of the event, with rows (id, when, points)."""
    return incentive.read_rule(
        a_rule(
            hit=hit,
            needs={"event": {"x": "int"}, "history": {}, "counters": {}, "params": {}},
            rows=[{"id": i, "when": w, "points": p} for i, w, p in rows],
        )
    )


def reduction(**changes: Any) -> incentive.Reduction:
    values: dict[str, Any] = {
        "reduction_mg": 1_000_000,
        "scenario": "transit.metro.trip",
        "evidence_level": "L3",
        "status": "approved",
    }
    return incentive.Reduction(**values | changes)


def applied(rule: incentive.Rule, x: int = 5) -> Any:
    found = incentive.apply_rule(rule, reduction(), {"x": x}, {}, {})
    if isinstance(found, incentive.RuleRefused):
        return found.reason
    return found.rows, found.points_before_caps


def all_cases() -> list[Any]:
    loaded = [yaml.safe_load(p.read_text("utf-8")) for p in sorted(CASES.glob("*.yaml"))]
    return [
        pytest.param(tuple(each["rule"]), case, id=f"{each['rule'][0]}: {case['name']}")
        for each in loaded
        for case in each["cases"]
    ]


@pytest.mark.parametrize(("key", "case"), all_cases())
def test_the_officials_cases(key: tuple[str, int], case: dict[str, Any]) -> None:
    rule = incentive.read_rule(incentive.shipped_rules()[key])
    of_reduction = {"reduction_mg", "scenario", "evidence_level", "status"}
    values = case["given"]
    counters = rule.needs.counters.keys()
    found = incentive.apply_rule(
        rule,
        reduction(**{k: v for k, v in values.items() if k in of_reduction}),
        {k: v for k, v in values.items() if k not in of_reduction | counters},
        {},
        {k: v for k, v in values.items() if k in counters},
    )
    if "refused" in case:
        assert found == incentive.RuleRefused(case["refused"])
        return
    assert isinstance(found, incentive.RulePaid)
    assert (list(found.rows), found.points_before_caps) == (case["rows"], case["points"])
    if "used" in case:
        assert incentive.cut(rule.caps, found.points_before_caps, case["used"]) == (
            case["amount"],
            case["cut_by"],
        )


def test_every_shipped_rule_has_its_cases() -> None:
    covered = {tuple(yaml.safe_load(p.read_text("utf-8"))["rule"]) for p in CASES.glob("*.yaml")}
    assert covered == set(incentive.shipped_rules())


def concerned(when: str) -> set[str]:
    """Scenarios that a rule of one row is asked about."""
    rule = a_table("first", ("only", when, "1"))
    return {name for name in ("transit.metro.trip", "bike.shared.ride") if rule.concerns(name)}


@pytest.mark.parametrize(
    ("when", "scenarios"),
    [
        ("true", {"transit.metro.trip", "bike.shared.ride"}),
        ("x > 3", {"transit.metro.trip", "bike.shared.ride"}),
        ('scenario == "bike.shared.ride" && x > 3', {"bike.shared.ride"}),
        ('x > 3 && scenario != "bike.shared.ride"', {"transit.metro.trip"}),
        ('x > 3 || scenario == "a.b"', {"transit.metro.trip", "bike.shared.ride"}),
        ('scenario in ["bike.shared.ride", "a.b"]', {"bike.shared.ride"}),
        ('!(scenario == "bike.shared.ride")', {"transit.metro.trip"}),
        ('scenario == "bike.shared.ride" ? x > 3 : false', {"bike.shared.ride"}),
        ('1 / (x - 5) > 0 && scenario == "bike.shared.ride"', {"bike.shared.ride"}),
        ('scenario == "a.b" || scenario == "c.d"', set()),
        ("false", set()),
    ],
)
def test_a_rule_is_asked_about_scenarios_it_may_pay_for(when: str, scenarios: set[str]) -> None:
    assert concerned(when) == scenarios


@given(x=st.integers(0, 10), rows=st.lists(st.sampled_from(CONDITIONS), min_size=1, max_size=3))
def test_a_rule_that_is_not_asked_would_have_paid_nothing(x: int, rows: list[str]) -> None:
    rule = a_table("sum", *((f"r{n}", when, "1") for n, when in enumerate(rows)))
    if not rule.concerns("transit.metro.trip"):
        assert applied(rule, x) == ((), 0)


def test_the_shipped_programmes_share_the_scenarios_without_overlap() -> None:
    rules = [incentive.read_rule(document) for document in incentive.shipped_rules().values()]
    assert len({rule.programme for rule in rules}) == len(rules)
    for scenario in methodology.scenarios():
        assert len([rule for rule in rules if rule.concerns(scenario)]) == 1, scenario
    classes = {rule.programme: rule.points_class for rule in rules}
    assert {p for p, c in classes.items() if c == "congestion"} == {"shared-parking-2026"}


TABLE = (("low", "x < 10", "1"), ("five", "x == 5", "20"), ("high", "x > 100", "300"))


def test_first_pays_the_first_true_row() -> None:
    assert applied(a_table("first", *TABLE)) == (("low",), 1)
    assert applied(a_table("first", *TABLE), 50) == ((), 0)


def test_unique_pays_the_only_true_row_and_refuses_two() -> None:
    assert applied(a_table("unique", *TABLE), 6) == (("low",), 1)
    assert applied(a_table("unique", *TABLE), 5) == "rule-error"
    assert applied(a_table("unique", *TABLE), 50) == ((), 0)


def test_sum_pays_all_true_rows_in_document_order() -> None:
    assert applied(a_table("sum", *TABLE), 5) == (("low", "five"), 21)


@pytest.mark.parametrize("hit", ["first", "unique", "sum"])
def test_every_when_is_evaluated_whatever_the_policy(hit: str) -> None:
    rule = a_table(hit, ("pays", "true", "1"), ("broken", "1 / (x - 5) > 0 ", "2"))
    assert applied(rule, 5) == "rule-error"


def test_a_broken_cell_is_never_skipped_for_the_next_row() -> None:
    rule = a_table("first", ("broken", "x == 5", "1 / (x - 5)"), ("next", "true", "7"))
    assert applied(rule, 5) == "rule-error"
    assert applied(rule, 6) == (("next",), 7)


def test_points_are_evaluated_only_of_rows_that_pay() -> None:
    rule = a_table("first", ("pays", "true", "3"), ("idle", "true", "1 / (x - 5)"))
    assert applied(rule, 5) == (("pays",), 3)


@pytest.mark.parametrize("points", ["-1", "9007199254740992", "x * 9223372036854775807"])
def test_points_outside_a_leaf_are_a_rule_error(points: str) -> None:
    assert applied(a_table("first", ("odd", "true", points))) == "rule-error"


def test_a_sum_outside_a_leaf_is_a_rule_error() -> None:
    rows = (("a", "true", "9007199254740991"), ("b", "true", "1"))
    assert applied(a_table("sum", *rows)) == "rule-error"


def test_what_the_reduction_gives_is_seen_without_declaring_it() -> None:
    rule = incentive.read_rule(
        a_rule(
            rows=[
                {
                    "id": "all",
                    "when": 'scenario == "transit.metro.trip" && evidence_level in ["L3", "L4"]'
                    ' && status == "approved"',
                    "points": "reduction_mg / 500000",
                }
            ]
        )
    )
    found = incentive.apply_rule(rule, reduction(), {"distance_m": 1}, {}, {})
    assert found == incentive.RulePaid(("all",), 2, {"distance_m": 1}, {})
    weak = incentive.apply_rule(rule, reduction(evidence_level="L2"), {"distance_m": 1}, {}, {})
    assert weak == incentive.RulePaid((), 0, {"distance_m": 1}, {})


@given(
    st.lists(
        st.tuples(st.integers(0, 500), st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=7
    ),
    st.lists(st.tuples(st.sampled_from(["day", "month", "year"]), st.integers(0, 600)), max_size=3),
)
def test_caps_hold_in_any_order_of_arrival(
    trips: list[tuple[int, int, int]], limits: list[tuple[str, int]]
) -> None:
    """Trips are (points, day, month); whatever comes first, no window exceeds its limit, and a
    window whose limit is what binds is filled to it."""
    caps = tuple(incentive.Cap(f"c{n}", w, limit) for n, (w, limit) in enumerate(limits))
    for order in itertools.islice(itertools.permutations(trips), 24):
        used: dict[tuple[str, Any], int] = {}
        for points, day, month in order:
            period = {"day": (month, day), "month": month, "year": 0}
            before = [used.get((cap.window, period[cap.window]), 0) for cap in caps]
            amount, cut_by = incentive.cut(caps, points, before)
            assert 0 <= amount <= points
            assert (cut_by is None) == (amount == points)
            for window in ("day", "month", "year"):
                key = (window, period[window])
                used[key] = used.get(key, 0) + amount
            for cap in caps:
                assert used[cap.window, period[cap.window]] <= cap.limit


def test_without_what_was_used_before_caps_do_not_hold() -> None:
    """Negative control: the law above fails when a cap forgets what was paid already."""
    cap = incentive.Cap("day", "day", 10)
    paid = sum(incentive.cut((cap,), 8, [0])[0] for _ in range(2))
    assert paid > cap.limit


@pytest.mark.parametrize(
    ("document", "name"),
    [
        (METRO + b" ", "not-canonical"),
        (a_rule(extra=1), "bad-rule"),
        (a_rule(format="x"), "bad-rule"),
        (a_rule(hit="any"), "bad-rule"),
        (a_rule(programme="Green"), "bad-rule"),
        (a_rule(rows=[]), "bad-rows"),
        (a_rule(rows=[{"id": "a", "when": "true", "points": "1"}] * 2), "bad-rows"),
        (a_rule(rows=[{"id": "a", "when": "1", "points": "1"}]), "bad-expression"),
        (a_rule(rows=[{"id": "a", "when": "true", "points": "true"}]), "bad-expression"),
        (a_rule(rows=[{"id": "a", "when": "true", "points": "1.5"}]), "bad-expression"),
        (a_rule(caps=[{"name": "d", "window": "week", "limit": 1}]), "bad-caps"),
        (a_rule(caps=[{"name": "d", "window": "day", "limit": -1}]), "bad-caps"),
        (a_rule(caps=[{"name": "d", "window": "day", "limit": 1}] * 2), "bad-caps"),
        (
            a_rule(
                needs={
                    "event": {"reduction_mg": "int"},
                    "history": {},
                    "counters": {},
                    "params": {},
                }
            ),
            "name-reserved",
        ),
    ],
)
def test_a_bad_document_is_refused_by_name(document: bytes, name: str) -> None:
    with pytest.raises(DocumentError) as refused:
        incentive.read_rule(document)
    assert refused.value.name == name


def test_the_card_is_plain_chinese() -> None:
    card = incentive.card(METRO, rule_words())
    assert "第 2 条(metro-long):若场景为 “地铁出行”,且乘车距离(米)不小于 3000" in card
    assert "得分 = 减排量(毫克) ÷ 100000 毫克 + 2" in card
    assert "上限(每日上限):每人每日最多 60 分" in card
    assert "每减排 100 克计 1 分" in card


def a_programme(**changes: Any) -> incentive.Programme:
    values: dict[str, Any] = {
        "programme_id": "green-travel-2026",
        "name": "绿色出行",
        "points_class": "carbon",
        "day_from": date(2026, 1, 1),
        "day_to": None,
        "budget_period": "year",
        "expiry_months": 24,
    }
    return incentive.Programme(**values | changes)


async def test_a_rule_is_in_force_on_its_days_once_enacted(tx: Tx) -> None:
    await incentive.create_programme(tx, a_programme(day_to=date(2026, 12, 1)), NOW)
    await incentive.publish(tx, METRO, NOW)
    day = date(2026, 11, 22)
    assert await incentive.in_force(tx, day) == []
    await incentive.set_status(tx, "metro-points", 1, "approved", NOW)
    assert await incentive.in_force(tx, day) == []
    await incentive.set_status(tx, "metro-points", 1, "enacted", NOW)
    [found] = await incentive.in_force(tx, day)
    assert (found.rule.id, found.counters) == ("metro-points", ("points_day", "points_year"))
    assert await incentive.in_force(tx, date(2026, 12, 1)) == []  # the programme has ended
    await incentive.set_status(tx, "metro-points", 1, "stopped", NOW, date(2026, 11, 22))
    assert await incentive.in_force(tx, day) == []
    assert len(await incentive.in_force(tx, date(2026, 11, 21))) == 1


async def test_publishing_is_refused_by_name(tx: Tx) -> None:
    with pytest.raises(DocumentError, match="unknown-programme"):
        await incentive.publish(tx, METRO, NOW)
    await incentive.create_programme(tx, a_programme(points_class="other"), NOW)
    with pytest.raises(DocumentError, match="other-class"):
        await incentive.publish(tx, METRO, NOW)
    needs = json.loads(METRO)["needs"]
    with pytest.raises(DocumentError, match="unknown-counter"):
        await incentive.publish(tx, a_rule(needs=needs | {"counters": {"trips": "int"}}), NOW)
    with pytest.raises(DocumentError, match="unknown-history"):
        await incentive.publish(tx, a_rule(needs=needs | {"history": {"last": "int"}}), NOW)


async def test_a_rule_version_is_never_replaced(tx: Tx) -> None:
    await incentive.create_programme(tx, a_programme(), NOW)
    await incentive.publish(tx, METRO, NOW)
    await incentive.publish(tx, METRO, NOW)
    with pytest.raises(DocumentError, match="version-exists"):
        await incentive.publish(tx, a_rule(hit="sum"), NOW)


async def test_a_lease_never_exceeds_the_envelope(tx: Tx) -> None:
    await incentive.create_programme(tx, a_programme(), NOW)
    key = ("green-travel-2026", "2026")
    await incentive.set_envelope(tx, key, 1_500_000)
    assert await incentive.lease(tx, key, 10) == 1_000_000
    assert await incentive.lease(tx, key, 10) == 500_000
    assert await incentive.lease(tx, key, 10) == 0
    await incentive.fold_purses(tx, key)
    [state] = await incentive.budgets(tx)
    assert (state.envelope, state.issued) == (1_500_000, 0)
    assert await incentive.lease(tx, ("green-travel-2026", "2027"), 10) == 0


@pytest.mark.parametrize(
    ("name", "period"),
    [("points_day", "2026-11-22"), ("awards_month", "2026-11"), ("points_year", "2026")],
)
def test_periods_of_counters(name: str, period: str) -> None:
    assert incentive.period_of(name, date(2026, 11, 22)) == period
