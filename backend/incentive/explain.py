"""A decision with its reasons: by which rows, from which values, cut by which cap."""

from collections.abc import Mapping
from typing import NamedTuple

from backend.incentive.apply import Reduction, RuleRefused, apply_rule, cut
from backend.incentive.card import NO_WORDS, Words
from backend.incentive.document import Cap, Rule
from backend.kit.needs import Value


class Explanation(NamedTuple):
    """Everything needed to redo a decision by hand.

    `rows` are (number in the document, id) of the paid rows; `caps` those that concern the award
    with the points used before; `reason` is that of a refusal. `digest` names the whole table.
    """

    digest: bytes
    rows: tuple[tuple[int, str], ...]
    values: Mapping[str, Value]
    points_before_caps: int
    caps: tuple[tuple[Cap, int], ...]
    amount: int
    cut_by: str | None
    reason: str | None


def decide(
    rule: Rule,
    reduction: Reduction,
    inputs: Mapping[str, object],
    history: Mapping[str, object],
    counters: Mapping[str, int],
    used_before: Mapping[str, int],
) -> Explanation:
    """Apply a rule and its caps. `used_before` are points by the name of the cap; absent is 0."""
    paid = apply_rule(rule, reduction, inputs, history, counters)
    if isinstance(paid, RuleRefused):
        return Explanation(rule.digest, (), {}, 0, (), 0, None, paid.reason)
    caps = rule.caps_of(reduction.scenario, reduction.evidence_level, paid.rows)
    used = [used_before.get(cap.name, 0) for cap in caps]
    amount, cut_by = cut(caps, paid.points_before_caps, used)
    return Explanation(
        rule.digest,
        tuple([(rule.numbers[row], row) for row in paid.rows]),
        {**paid.inputs, **paid.history, **counters},
        paid.points_before_caps,
        tuple(zip(caps, used, strict=True)),
        amount,
        cut_by,
        None,
    )


_REASONS = {
    "missing-field": "缺少规则所需的数据",
    "rule-error": "规则在这些数据上出错,未予计分",
}


def explained(found: Explanation, words: Words = NO_WORDS) -> list[str]:
    """The decision in Chinese, line by line."""
    if found.reason is not None:
        return [f"未计分:{_REASONS.get(found.reason, found.reason)}"]
    lines: list[str] = []
    if found.rows:
        rows = "、".join(f"第 {number} 条({row})" for number, row in found.rows)
        lines.append(f"{rows}成立,得 {found.points_before_caps} 分")
    else:
        lines.append("没有一条成立,得 0 分")
    if found.values:
        shown = "、".join(f"{words.fields.get(n, n)} = {v}" for n, v in found.values.items())
        lines.append(f"依据:{shown}")
    lines += [f"上限 {cap.name}:{cap.limit} 分,此前已用 {used} 分" for cap, used in found.caps]
    if found.cut_by is not None:
        lines.append(f"受{found.cut_by}所限,实得 {found.amount} 分")
    return lines
