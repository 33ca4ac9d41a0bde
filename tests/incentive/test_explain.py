"""A decision with its reasons, as an official tries it on one made-up event."""

from backend import incentive
from backend.flows.rule_words import rule_words
from backend.incentive import decide, explained
from tests.incentive.test_incentive import METRO, reduction

RULE = incentive.read_rule(METRO)


def test_which_row_pays_from_what_and_what_cuts() -> None:
    given = reduction(reduction_mg=4_629_988)
    found = decide(RULE, given, {"distance_m": 22_000}, {}, {}, {"每日上限": 54})
    assert (found.rows, found.amount, found.cut_by) == (((2, "metro-long"),), 6, "每日上限")
    assert found.digest == RULE.digest
    assert explained(found, rule_words()) == [
        "第 2 条(metro-long)成立,得 48 分",
        "依据:乘车距离(米) = 22000",
        "上限 每日上限:60 分,此前已用 54 分",
        "上限 每年上限:10000 分,此前已用 0 分",
        "受每日上限所限,实得 6 分",
    ]


def test_what_is_not_paid_says_why() -> None:
    missing = decide(RULE, reduction(), {}, {}, {}, {})
    assert missing.reason == "missing-field"
    assert explained(missing) == ["未计分:缺少规则所需的数据"]
    nothing = decide(RULE, reduction(scenario="a.b"), {"distance_m": 1}, {}, {}, {})
    assert explained(nothing)[0] == "没有一条成立,得 0 分"


def test_the_explanation_is_the_decision() -> None:
    """It pays what applying the rule and cutting pays."""
    for metres in (0, 2_999, 3_000, 40_000):
        inputs = {"distance_m": metres}
        paid = incentive.apply_rule(RULE, reduction(), inputs, {}, {})
        assert isinstance(paid, incentive.RulePaid)
        amount, cut_by = incentive.cut(RULE.caps, paid.points_before_caps, [0, 0])
        found = decide(RULE, reduction(), inputs, {}, {}, {})
        assert (found.amount, found.cut_by) == (amount, cut_by)
