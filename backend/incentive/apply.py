"""From a reduction to points: the decision table and the caps, pure and the same in every run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from backend.incentive.document import Cap, Rule, RuleRow
from backend.kit.expr import ExprError
from backend.kit.needs import INTEGER_MAX, Value, fits_leaf, pick


class RulePaid(NamedTuple):
    """What the table gives: ids of the paid rows in document order and the sum of their points.

    `inputs` are the event's values that the rule declared, `history` those looked up for it.
    """

    rows: tuple[str, ...]
    points_before_caps: int
    inputs: dict[str, Value]
    history: dict[str, Value]


@dataclass(frozen=True, slots=True)
class RuleRefused:
    """No award; `reason` is `missing-field` or `rule-error`."""

    reason: str


class Reduction(NamedTuple):
    """What every rule is given of the quantified reduction (formats.md §9)."""

    reduction_mg: int
    scenario: str
    evidence_level: str
    status: str


_RULE_ERROR = RuleRefused("rule-error")


def apply_rule(
    rule: Rule,
    reduction: Reduction,
    inputs: Mapping[str, object],
    history: Mapping[str, object],
    counters: Mapping[str, object],
) -> RulePaid | RuleRefused:
    """Evaluate a rule before its caps.

    Every `when` of every row is evaluated, `points` only of the rows that pay. An error in an
    evaluated cell, two true rows under `unique`, and points outside 0…2^53−1 are `rule-error`;
    a declared value that is absent, null or of another type is `missing-field`.
    """
    values: dict[str, Value] = {
        **rule.params,
        "reduction_mg": reduction.reduction_mg,
        "scenario": reduction.scenario,
        "evidence_level": reduction.evidence_level,
        "status": reduction.status,
    }
    declared = pick(rule.needs.event, inputs)
    looked_up = pick(rule.needs.history, history)
    counted = pick(rule.needs.counters, counters)
    if declared is None or looked_up is None or counted is None:
        return RuleRefused("missing-field")
    needed = {**declared, **looked_up, **counted}
    if not fits_leaf(needed):
        return _RULE_ERROR
    values.update(needed)
    try:
        return _pay(rule, values, declared, looked_up)
    except ExprError:
        return _RULE_ERROR


def cut(
    caps: Sequence[Cap], points_before_caps: int, used_before: Sequence[int]
) -> tuple[int, str | None]:
    """The points left after all caps, and the name of the cap that cut them (the tightest).

    `used_before` are the points already awarded in each cap's window, in the order of `caps`:
    `amount = min(points_before_caps, limit − used_before of every cap)`, never below 0.
    """
    amount, cut_by = points_before_caps, None
    for cap, used in zip(caps, used_before, strict=True):
        left = max(cap.limit - used, 0)
        if left < amount:
            amount, cut_by = left, cap.name
    return amount, cut_by


def _pay(
    rule: Rule,
    values: Mapping[str, Value],
    inputs: dict[str, Value],
    history: dict[str, Value],
) -> RulePaid | RuleRefused:
    hits = [row for row in rule.rows if row.when.evaluate(values) is True]
    if rule.hit == "unique" and len(hits) > 1:
        return _RULE_ERROR
    paid: list[RuleRow] = hits[:1] if rule.hit == "first" else hits
    points = 0
    for row in paid:
        each = row.points.evaluate(values)
        if type(each) is not int or not 0 <= each <= INTEGER_MAX:
            return _RULE_ERROR
        points += each
    if points > INTEGER_MAX:
        return _RULE_ERROR
    return RulePaid(tuple(row.id for row in paid), points, inputs, history)
