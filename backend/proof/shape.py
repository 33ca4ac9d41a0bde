"""Shapes of values from outside: exact members, spellings, bounds, or a refusal that says where."""

import re
from datetime import date
from typing import Any, cast

ID = re.compile(r"[a-z][a-z0-9.-]{0,31}")
"""Ids of partners, classes, programmes, rules, methods and issuers."""

HEX32 = re.compile(r"[0-9a-f]{64}")
ADDRESS = re.compile(r"0x[0-9a-f]{40}")
NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
"""Names an expression can use (formats.md §10)."""

VERSION_MAX = 2**32 - 1
"""Versions travel on chain as uint32."""

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


class ShapeError(ValueError):
    """A value that does not have the shape formats.md gives it; the message says where."""


def members(value: Any, names: frozenset[str], where: str) -> dict[str, Any]:
    """`value` as an object with exactly these members. Raises `ShapeError`."""
    if type(value) is not dict or cast("dict[str, Any]", value).keys() != names:
        raise ShapeError(f"{where} must have exactly the members {', '.join(sorted(names))}")
    return cast("dict[str, Any]", value)


def text(value: Any, pattern: re.Pattern[str] | None, where: str) -> str:
    """`value` as a non-empty string of that spelling. Raises `ShapeError`."""
    if (
        type(value) is not str
        or not value
        or (pattern is not None and not pattern.fullmatch(value))
    ):
        raise ShapeError(f"{where} is not spelled as it must be")
    return value


def integer(value: Any, low: int, high: int, where: str) -> int:
    """`value` as an integer (not a bool) within bounds. Raises `ShapeError`."""
    if type(value) is not int or not low <= value <= high:
        raise ShapeError(f"{where} is not an integer of {low} to {high}")
    return value


def day(value: Any, where: str) -> date:
    """`value` as a civil day `YYYY-MM-DD`. Raises `ShapeError`."""
    spelled = text(value, _DAY, where)
    try:
        return date.fromisoformat(spelled)
    except ValueError as error:
        raise ShapeError(f"{where} is not a day of the calendar") from error
