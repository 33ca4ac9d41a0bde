"""A rule in plain Chinese: what an official signs and a citizen reads, made from the document."""

from backend.incentive.document import Rule, read_rule

_HIT = {
    "first": "自上而下,以第一条成立的规则计分",
    "unique": "只能有一条规则成立;两条同时成立则不发放",
    "sum": "所有成立的规则分值相加",
}
_WINDOW = {"day": "每日", "month": "每月", "year": "每年"}
_GIVEN = {
    "reduction_mg": "减排量(毫克)",
    "scenario": "场景",
    "evidence_level": "证据等级",
    "status": "方法状态",
}
_COUNTED = {"points": "已得积分", "awards": "已计次数"}
_WORDS = {
    "&&": "且",
    "||": "或",
    ">=": "不小于",
    "<=": "不大于",
    ">": "大于",
    "<": "小于",
    "==": "等于",
    "!=": "不等于",
    "*": "×",
    "/": "÷(舍去余数)",
    "in": "属于",
}


def card(document: bytes) -> str:
    """The rule as plain Chinese text, line by line. Raises DocumentError for other bytes."""
    rule = read_rule(document)
    until = "起长期有效" if rule.day_to is None else f"至 {rule.day_to} 前一日"
    lines = [
        f"规则 {rule.id} 第 {rule.version} 版",
        f"激励活动 {rule.programme},积分类别 {rule.points_class}",
        f"行为日 {rule.day_from} {until}",
        f"计分方式:{_HIT[rule.hit]}。积分取整数",
    ]
    for number, row in enumerate(rule.rows, start=1):
        lines.append(
            f"第 {number} 条({row.id}):若 {_in_words(row.when.text, rule)},"
            f"得 {_in_words(row.points.text, rule)} 分"
        )
    lines += [f"上限({c.name}):每人{_WINDOW[c.window]}最多 {c.limit} 分" for c in rule.caps]
    lines += [
        f"参数 {name} = {p.value} {p.unit}({p.date},{p.grade} 级,{p.reference})"
        for name, p in sorted(rule.needs.params.items())
    ]
    return "\n".join(lines)


def _in_words(expression: str, rule: Rule) -> str:
    """The expression with its operators and given names in Chinese; literals stay as they are."""
    names = dict(_GIVEN)
    for name in rule.needs.counters:
        what, _, window = name.rpartition("_")
        names[name] = f"本人{_WINDOW[window]}{_COUNTED[what]}" if what in _COUNTED else name
    return "".join(_token_in_words(token, names) for token in _tokens(expression))


def _token_in_words(token: str, names: dict[str, str]) -> str:
    word = names.get(token)
    if word is not None:
        return word
    word = _WORDS.get(token)
    return token if word is None else f" {word} "


def _tokens(expression: str) -> list[str]:
    """Strings, names, numbers and operators, without the blanks between them."""
    tokens: list[str] = []
    at = 0
    while at < len(expression):
        end = at + 1
        if expression[at] == '"':
            end = expression.index('"', end) + 1
        elif expression[at].isalnum() or expression[at] == "_":
            while end < len(expression) and (expression[end].isalnum() or expression[end] == "_"):
                end += 1
        elif expression[at : at + 2] in ("&&", "||", ">=", "<=", "==", "!="):
            end = at + 2
        if expression[at] != " ":
            tokens.append(expression[at:end])
        at = end
    return tokens
