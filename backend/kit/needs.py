"""What a method or rule document declares it needs (formats.md §9): named, typed values.

Both kinds of document share this part, and the modules that own them may not import each other.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, cast

from backend.kit.expr import ExprError, Expression, ExprType, is_name, parse

Value = int | bool | str
"""What an expression can hold: int64, bool or string."""

INTEGER_MAX = 2**53 - 1
"""Largest integer that may enter a leaf (formats.md §1, §9)."""

GRADES = frozenset("ABCMG")
GRADES_APPROVED = frozenset("AB")
"""Only a number read in an official text or standard may stand in an approved document."""

_SECTIONS = ("event", "history", "counters", "params")
_TYPES: dict[str, type[int] | type[bool] | type[str]] = {"int": int, "bool": bool, "string": str}
_ID = re.compile(r"[a-z][a-z0-9.-]{0,31}")
_DAY = re.compile(r"20[0-9]{2}-[0-9]{2}-[0-9]{2}")
# A value of `event` is disclosed even in the share form of a receipt, so nothing that says
# when or where a person was may stand there; it is reduced to a length or a count first.
_SAYS_WHEN_OR_WHERE = frozenset(
    (
        *("time", "date", "day", "month", "year", "hour", "minute"),
        *("place", "location", "address", "lat", "latitude", "lon", "lng", "longitude"),
        *("meter", "station", "stop", "plate", "phone"),
    )
)


class DocumentError(ValueError):
    """A document that may not be published: `name` is the kebab-case reason."""

    def __init__(self, name: str, detail: str) -> None:
        super().__init__(f"{name}: {detail}")
        self.name = name
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Parameter:
    """A dated number with its source. `value` is an integer in `unit`."""

    value: int
    unit: str
    date: str
    reference: str
    grade: str


@dataclass(frozen=True, slots=True)
class Needs:
    """Names with types for event, history and counters; names with dated values for params."""

    event: Mapping[str, ExprType]
    history: Mapping[str, ExprType]
    counters: Mapping[str, ExprType]
    params: Mapping[str, Parameter]

    def types(self) -> dict[str, ExprType]:
        """Every declared name with its type; a parameter is an int."""
        return {
            **self.event,
            **self.history,
            **self.counters,
            **dict.fromkeys(self.params, cast("ExprType", "int")),
        }

    def values(self) -> dict[str, Value]:
        """The parameters as plain values, ready for an evaluation."""
        return {name: parameter.value for name, parameter in self.params.items()}


def read_needs(document: object, *, reserved: frozenset[str] = frozenset()) -> Needs:
    """Check the `needs` of a document; `reserved` names may not be declared.

    Raises DocumentError: `bad-needs`, `name-twice`, `name-reserved`, `names-time-or-place`.
    """
    needs = members(document, _SECTIONS, "bad-needs")
    seen: set[str] = set()
    for section in _SECTIONS:
        for name in mapping(needs[section], "bad-needs"):
            _check_name(section, name, reserved)
            if name in seen:
                raise DocumentError("name-twice", f"{name} is declared twice")
            seen.add(name)
    return Needs(
        event=_types_of(needs["event"]),
        history=_types_of(needs["history"]),
        counters=_types_of(needs["counters"]),
        params={n: _parameter(n, p) for n, p in mapping(needs["params"], "bad-needs").items()},
    )


def pick(types: Mapping[str, ExprType], values: Mapping[str, object]) -> dict[str, Value] | None:
    """The declared values out of `values`; None if one is absent, null or of another type."""
    picked: dict[str, Value] = {}
    if not types:
        return picked
    for name, type_name in types.items():
        value = values.get(name)
        if type(value) is not _TYPES[type_name]:
            return None
        picked[name] = cast("Value", value)
    return picked


def fits_leaf(values: Mapping[str, Value]) -> bool:
    """Whether every integer among the values is within 0…2^53−1."""
    for value in values.values():  # a loop: this runs three times for every event
        if type(value) is int and not 0 <= value <= INTEGER_MAX:
            return False
    return True


def compiled(text: object, types: Mapping[str, ExprType], result: ExprType) -> Expression:
    """The expression of a document's cell, of the wanted type.

    Raises DocumentError: `bad-expression`.
    """
    if not isinstance(text, str):
        raise DocumentError("bad-expression", "an expression is a string")
    try:
        expression = parse(text, types)
    except ExprError as error:
        raise DocumentError("bad-expression", f"{text[:80]!r}: {error}") from error
    if expression.type != result:
        raise DocumentError(
            "bad-expression", f"{text[:80]!r} gives {expression.type}, not {result}"
        )
    return expression


def members(document: object, names: Sequence[str], error: str) -> dict[str, Any]:
    """The object's members, which are exactly `names`; else DocumentError named `error`."""
    found = mapping(document, error)
    if set(found) != set(names):
        odd = ", ".join(sorted(set(found) ^ set(names)))
        raise DocumentError(error, f"members missing or too many: {odd}")
    return found


def mapping(document: object, error: str) -> dict[str, Any]:
    """The value as a JSON object; else DocumentError named `error`."""
    if not isinstance(document, dict):
        raise DocumentError(error, "an object was expected")
    return cast("dict[str, Any]", document)


def items(document: object, error: str) -> list[Any]:
    """The value as a JSON array; else DocumentError named `error`."""
    if not isinstance(document, list):
        raise DocumentError(error, "an array was expected")
    return cast("list[Any]", document)


def text(value: object, error: str) -> str:
    """A string that says something; else DocumentError named `error`."""
    if not isinstance(value, str) or not value.strip():
        raise DocumentError(error, "a text was expected")
    return value


def whole(value: object, error: str, *, least: int = 0, most: int = INTEGER_MAX) -> int:
    """An integer within the range; else DocumentError named `error`."""
    if type(value) is not int or not least <= value <= most:
        raise DocumentError(error, f"an integer from {least} to {most} was expected")
    return value


def identifier(value: object, error: str) -> str:
    """An id of formats.md (`[a-z][a-z0-9.-]{0,31}`); else DocumentError named `error`."""
    if not isinstance(value, str) or _ID.fullmatch(value) is None:
        raise DocumentError(error, f"an id matches {_ID.pattern}")
    return value


def window(document: Mapping[str, Any]) -> tuple[date, date | None]:
    """The half-open window `[day_from, day_to)` in city days.

    Raises DocumentError `bad-window`.
    """
    day_from = _day(document["day_from"])
    day_to = None if document["day_to"] is None else _day(document["day_to"])
    if day_to is not None and not day_from < day_to:
        raise DocumentError("bad-window", "day_from comes before day_to")
    return day_from, day_to


def contains(day_from: date, day_to: date | None, day: date) -> bool:
    """Whether a city day lies in `[day_from, day_to)`."""
    return day_from <= day and (day_to is None or day < day_to)


def _day(value: object) -> date:
    if not isinstance(value, str) or _DAY.fullmatch(value) is None:
        raise DocumentError("bad-window", "a day is written YYYY-MM-DD")
    try:
        return date.fromisoformat(value)
    except ValueError as error:
        raise DocumentError("bad-window", f"{value} is not a day") from error


def _check_name(section: str, name: str, reserved: frozenset[str]) -> None:
    if not is_name(name):
        raise DocumentError("bad-needs", f"{name!r} is not a name of the language")
    if name in reserved:
        raise DocumentError("name-reserved", f"{name} is given to every rule")
    if section == "event" and _SAYS_WHEN_OR_WHERE & set(name.split("_")):
        raise DocumentError("names-time-or-place", f"{name}: reduce it to a length or count")


def _types_of(section: Any) -> dict[str, ExprType]:
    types: dict[str, ExprType] = {}
    for name, type_name in mapping(section, "bad-needs").items():
        if not isinstance(type_name, str) or type_name not in _TYPES:
            raise DocumentError("bad-needs", f"{name}: a type is int, bool or string")
        types[name] = cast("ExprType", type_name)
    return types


def _parameter(name: str, document: object) -> Parameter:
    known = members(document, ("value", "unit", "date", "reference", "grade"), "bad-parameter")
    value = whole(known["value"], "bad-parameter", least=-INTEGER_MAX)
    for key in ("unit", "date", "reference"):
        text(known[key], "bad-parameter")
    if not isinstance(known["grade"], str) or known["grade"] not in GRADES:
        raise DocumentError("bad-parameter", f"{name}: a grade is one of {sorted(GRADES)}")
    return Parameter(value, known["unit"], known["date"], known["reference"], known["grade"])
