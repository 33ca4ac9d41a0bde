"""A method as a document: read, checked and compiled once (formats.md §9)."""

import hashlib
import re
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from typing import Any

from backend.kit import canonical
from backend.kit.expr import Expression
from backend.kit.needs import (
    GRADES_APPROVED,
    DocumentError,
    Needs,
    Value,
    compiled,
    contains,
    identifier,
    items,
    members,
    read_needs,
    text,
    whole,
    window,
)
from backend.methodology.derived import Derivation
from backend.methodology.scenarios import scenarios

FORMAT = "tanhui-method-v1"
DEPTH_MAX = 13
"""A document goes whole into a receipt, which leaves it this many levels."""

HEADINGS = {
    "applicability": "适用条件",
    "boundary": "边界",
    "baseline": "基准线",
    "quantification": "减排量核算",
    "monitoring": "数据来源与监测",
    "appendix": "附录",
}
"""Members of `text` with the heading each stands under, in the order of the published methods."""

_MEMBERS = (
    "format",
    "id",
    "version",
    "status",
    "scenarios",
    "day_from",
    "day_to",
    "needs",
    "formula",
    "bounds",
    "text",
)
_SCENARIO = re.compile(r"[a-z][a-z0-9]*(\.[a-z][a-z0-9]*){1,4}")
_REASON = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class Bound:
    """A condition that must hold; `reason` names the refusal when it does not."""

    reason: str
    expression: Expression


@dataclass(frozen=True, slots=True)
class Method:
    """A checked and compiled method document. `digest` is H(CJ(document)).

    `derived` are the integers of `needs.event` that its scenarios work out of an event's `data`.
    """

    id: str
    version: int
    status: str
    scenarios: tuple[str, ...]
    day_from: date
    day_to: date | None
    needs: Needs
    formula: Expression
    bounds: tuple[Bound, ...]
    text: dict[str, str]
    digest: bytes
    params: dict[str, Value] = field(repr=False)
    derived: tuple[Derivation, ...] = field(repr=False)

    def covers(self, day: date) -> bool:
        """Whether the document's own window contains the city day."""
        return contains(self.day_from, self.day_to, day)


@lru_cache(maxsize=256)
def read_method(document: bytes) -> Method:
    """The method of a canonical JSON document.

    Raises DocumentError with the reason's name; equal bytes are read once per process.
    """
    try:
        known = canonical.loads_strict(document, depth_max=DEPTH_MAX)
    except ValueError as error:
        raise DocumentError("not-canonical", str(error)) from error
    doc = members(known, _MEMBERS, "bad-method")
    if doc["format"] != FORMAT:
        raise DocumentError("bad-method", f"the format is {FORMAT}")
    if doc["status"] not in ("approved", "provisional"):
        raise DocumentError("bad-method", "a status is approved or provisional")
    needs = read_needs(doc["needs"])
    _check_grades(doc["status"], needs)
    day_from, day_to = window(doc)
    types = needs.types()
    names = _scenarios(doc["scenarios"])
    return Method(
        id=identifier(doc["id"], "bad-method"),
        version=whole(doc["version"], "bad-method", least=1, most=2**31 - 1),
        status=doc["status"],
        scenarios=names,
        day_from=day_from,
        day_to=day_to,
        needs=needs,
        formula=compiled(doc["formula"], types, "int"),
        bounds=tuple(_bound(each, needs) for each in items(doc["bounds"], "bad-bounds")),
        text=_headings(doc["text"]),
        digest=hashlib.new("sm3", document).digest(),
        params=needs.values(),
        derived=_derived(names, needs),
    )


def card(document: bytes) -> str:
    """The method in plain Chinese, under the headings of the published methods."""
    method = read_method(document)
    state = "已批准" if method.status == "approved" else "暂行 provisional,未经主管部门批准"
    until = "长期" if method.day_to is None else f"{method.day_to} 前一日"
    lines = [
        f"方法 {method.id} 第 {method.version} 版({state})",
        f"适用行为:{'、'.join(method.scenarios)};行为日自 {method.day_from} 至 {until}",
    ]
    lines += [f"{HEADINGS[key]}:{method.text[key]}" for key in HEADINGS]
    lines.append(f"公式(毫克):{method.formula.text}")
    lines += [
        f"参数 {name} = {p.value} {p.unit}({p.date},{p.grade} 级,{p.reference})"
        for name, p in sorted(method.needs.params.items())
    ]
    lines += [
        f"须满足 {bound.expression.text},否则不予核算({bound.reason})" for bound in method.bounds
    ]
    return "\n".join(lines)


def _scenarios(value: object) -> tuple[str, ...]:
    names = items(value, "bad-scenarios")
    if not names or len(set(map(str, names))) != len(names):
        raise DocumentError("bad-scenarios", "at least one scenario, each once")
    for name in names:
        if not isinstance(name, str) or len(name) > 64 or _SCENARIO.fullmatch(name) is None:
            raise DocumentError("bad-scenarios", f"{name!r} is not a scenario type")
    return tuple(names)


def _derived(names: tuple[str, ...], needs: Needs) -> tuple[Derivation, ...]:
    """What its scenarios derive of the values it needs; a scenario unknown here derives nothing."""
    known = scenarios()
    found = {
        each.name: each
        for name in names
        if name in known
        for each in known[name].derived
        if each.name in needs.event
    }
    return tuple(found.values())


def _bound(value: object, needs: Needs) -> Bound:
    doc = members(value, ("reason", "expr"), "bad-bounds")
    reason = doc["reason"]
    if not isinstance(reason, str) or len(reason) > 64 or _REASON.fullmatch(reason) is None:
        raise DocumentError("bad-bounds", "a reason is kebab-case")
    return Bound(reason, compiled(doc["expr"], needs.types(), "bool"))


def _headings(value: Any) -> dict[str, str]:
    doc = members(value, tuple(HEADINGS), "bad-text")
    return {key: text(doc[key], "bad-text") for key in HEADINGS}


def _check_grades(status: str, needs: Needs) -> None:
    weak = [n for n, p in needs.params.items() if p.grade not in GRADES_APPROVED]
    if status == "approved" and weak:
        raise DocumentError(
            "grade-too-low", f"an approved method has parameters of grade A or B: {', '.join(weak)}"
        )
