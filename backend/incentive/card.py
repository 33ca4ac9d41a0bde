"""A rule in plain Chinese: what an official signs and a citizen reads, made from the document."""

from collections.abc import Mapping
from typing import NamedTuple

from backend.incentive.document import Cap, Rule, read_rule
from backend.incentive.lookups import in_words
from backend.incentive.periods import counter_name
from backend.kit.expr import Expression, in_chinese
from backend.kit.needs import Value

_HIT = {
    "first": "自上而下,以第一条成立的规则计分",
    "unique": "只能有一条规则成立;两条同时成立则不发放",
    "sum": "所有成立的规则分值相加",
}
_WINDOW = {
    "day": "每日",
    "week": "每周",
    "month": "每月",
    "quarter": "每季度",
    "half": "每半年",
    "year": "每年",
    "total": "累计",
    "campaign": "本版规则期间",
}
_PRESENT = {
    "day": "当日",
    "week": "当周",
    "month": "当月",
    "quarter": "当季度",
    "half": "当半年",
    "year": "当年",
    "total": "累计",
    "campaign": "本版规则期间",
}
_BEFORE = {
    "day": "日",
    "week": "周",
    "month": "个月",
    "quarter": "个季度",
    "half": "个半年",
    "year": "年",
}
_GIVEN = {
    "reduction_mg": "减排量(毫克)",
    "scenario": "场景",
    "evidence_level": "证据等级",
    "status": "方法状态",
}
_COUNTED = {"points": "已得积分", "awards": "已计次数", "paid": "已得分次数"}
_SCOPED = {"scenario": "同一场景", "level": "同一证据等级", "row": "同一条"}
_VALUES = {
    ("status", "approved"): "已批准",
    ("status", "provisional"): "暂行",
}
_LEVELS = "证据等级:L0 自报 · L1 照片 · L2 单据或共享密钥 · L3 平台签名 · L4 设备签名"
_UNITS = {"mg": "毫克", "m": "米", "Wh": "瓦时", "s": "秒", "percent": "%"}
_SCOPE_VALUE = {"scenario": "scenario", "level": "evidence_level"}


class Words(NamedTuple):
    """What the rest of the product calls things: titles of scenarios, and names of event fields."""

    scenarios: Mapping[str, str]
    fields: Mapping[str, str]


NO_WORDS = Words({}, {})


def card(document: bytes, words: Words = NO_WORDS) -> str:
    """The rule as plain Chinese text, line by line. Raises DocumentError for other bytes."""
    rule = read_rule(document)
    until = "起长期有效" if rule.day_to is None else f"至 {rule.day_to} 前一日"
    lines = [
        f"规则 {rule.id} 第 {rule.version} 版",
        f"激励活动 {rule.programme},积分类别 {rule.points_class}",
        f"行为日 {rule.day_from} {until}",
        f"计分方式:{_HIT[rule.hit]}。积分取整数,÷ 舍去余数",
    ]
    for number, row in enumerate(rule.rows, start=1):
        when, points = _sentence(row.when, rule, words), _sentence(row.points, rule, words)
        condition = "其余情形" if row.when.text.strip() == "true" else f"若{when}"
        paid = f"得 {points} 分" if points.isdigit() else f"得分 = {points}"
        lines.append(f"第 {number} 条({row.id}):{condition},{paid}")
    lines += [_cap(cap, words) for cap in rule.caps]
    if any("evidence_level" in row.when.names for row in rule.rows):
        lines.append(_LEVELS)
    lines += [
        f"参数 {name} = {p.value} {p.unit}({p.date},{p.grade} 级,{p.reference})"
        for name, p in sorted(rule.needs.params.items())
    ]
    return "\n".join(lines)


def _cap(cap: Cap, words: Words) -> str:
    of = ""
    if cap.scope == "row":
        of = f",限 {'、'.join(cap.values)} 各条合计"
    elif cap.scope is not None:
        name = _SCOPE_VALUE[cap.scope]
        of = f",限{_GIVEN[name]}为 {'、'.join(_value(name, v, words) for v in cap.values)} 的合计"
    return f"上限({cap.name}):每人{_WINDOW[cap.window]}最多 {cap.limit} 分{of}"


def _sentence(expression: Expression, rule: Rule, words: Words) -> str:
    def name_of(name: str) -> str:
        return _name(name, rule, words)

    return in_chinese(expression, name_of, lambda name, value: _value(name, value, words))


def _name(name: str, rule: Rule, words: Words) -> str:
    parameter = rule.needs.params.get(name)
    if parameter is not None:
        unit = _UNITS.get(parameter.unit, parameter.unit)
        return f"{parameter.value}" if unit in ("分", "次") else f"{parameter.value} {unit}"
    if name in rule.needs.counters:
        return _counter(name)
    return _GIVEN.get(name) or in_words(name) or words.fields.get(name) or name


def _value(name: str, value: Value, words: Words) -> str:
    if isinstance(value, bool):
        return "是" if value else "否"
    if isinstance(value, int):
        return str(value)
    if name == "scenario" and value in words.scenarios:
        return f"“{words.scenarios[value]}”"
    return value if name == "evidence_level" else _VALUES.get((name, value), f"“{value}”")


def _counter(name: str) -> str:
    counter = counter_name(name)
    if counter is None:
        return name
    scope = "" if counter.scope is None else _SCOPED[counter.scope]
    when = _PRESENT[counter.window]
    if counter.back:
        when = f"往前第 {counter.back} {_BEFORE[counter.window]}"
    return f"本人{when}{scope}{_COUNTED[counter.what]}"
