"""Texts of cells → times and exact numbers. Pure; what cannot be read is a named fault."""

import re
import unicodedata
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import ROUND_FLOOR, ROUND_HALF_UP, Decimal, InvalidOperation, localcontext
from zoneinfo import ZoneInfo

from backend.partner_client.mapping import Column, FileKind, FromColumn
from backend.partner_client.tables import Formula

AMOUNT_MAX = 2**53 - 1
"""The largest whole number an event may hold."""

_CLOCK = re.compile(r"(\d{1,3}):(\d\d(?::\d\d)?)$")

Value = str | datetime | Decimal | int
Values = dict[str, Value]


class RowFault(Exception):
    """One row or unit that cannot become an event; the argument is the report's reason."""


def text_of(cells: Sequence[str], name: str, column: Column, kind: FileKind) -> str:
    """The text of a column (several joined by a space); empty where one of them is missing."""
    if any(isinstance(cell, Formula) for cell in cells):
        raise RowFault(f"{name}-formula")
    stripped = [cell.strip() for cell in cells]
    if not all(stripped) or any(cell in kind.missing for cell in stripped):
        return ""
    text = " ".join(stripped)
    return text.removesuffix(column.strip_suffix) if column.strip_suffix else text


def time_of(text: str, name: str, column: Column, zone: ZoneInfo, *, native: bool) -> datetime:
    """A time with its zone. `native`: the table held a time, which reads as ISO 8601 too.

    A local time that the clock skipped is a fault; one that it showed twice is the first of
    both unless the mapping says `ambiguous: second`.
    """
    if not text:
        raise RowFault(f"{name}-empty")
    text = unicodedata.normalize("NFKC", text)
    days = 0
    clock = _CLOCK.search(text) if column.hours_past_24 else None
    if clock:
        days, hour = divmod(int(clock[1]), 24)
        text = f"{text[: clock.start()]}{hour:02d}:{clock[2]}"
    at = _parsed(text, column.time or [], native=native)
    if at is None:
        raise RowFault(f"{name}-unreadable")
    if column.year_offset:
        try:
            at = at.replace(year=at.year + column.year_offset)
        except ValueError as error:
            raise RowFault(f"{name}-unreadable") from error
    at += timedelta(days=days)
    if at.tzinfo is not None:
        return at
    return _on_the_clock(at.replace(tzinfo=zone), name, column)


def _parsed(text: str, formats: Sequence[str], *, native: bool) -> datetime | None:
    for each in formats:
        try:
            if each == "iso":
                return datetime.fromisoformat(text)
            return datetime.strptime(text, each)  # noqa: DTZ007 — the zone follows
        except ValueError:
            continue
    if native:
        try:
            return datetime.fromisoformat(text)
        except ValueError:
            return None
    return None


def _on_the_clock(at: datetime, name: str, column: Column) -> datetime:
    first, second = at.utcoffset(), at.replace(fold=1).utcoffset()
    if first == second or first is None or second is None:
        return at
    if first < second:
        raise RowFault(f"{name}-not-on-the-clock")
    return at.replace(fold=1) if column.ambiguous == "second" else at


def number_of(text: str, name: str, kind: FileKind) -> Decimal:
    """The exact number a text spells; full-width digits count as digits."""
    plain = unicodedata.normalize("NFKC", text).strip()
    if not plain:
        raise RowFault(f"{name}-empty")
    if kind.thousands:
        plain = _ungrouped(plain, name, kind)
    if kind.decimal == ",":
        if "." in plain:
            raise RowFault(f"{name}-not-a-number")
        plain = plain.replace(",", ".")
    if "_" in plain:  # Decimal would read it
        raise RowFault(f"{name}-not-a-number")
    try:
        number = Decimal(plain)
    except InvalidOperation as error:
        raise RowFault(f"{name}-not-a-number") from error
    if not number.is_finite():
        raise RowFault(f"{name}-not-a-number")
    return number


def _ungrouped(text: str, name: str, kind: FileKind) -> str:
    """Without thousands separators, which must stand where thousands end."""
    whole, point, rest = text.partition(kind.decimal)
    groups = whole.split(kind.thousands)
    if len(groups) > 1 and (
        not 1 <= len(groups[0].lstrip("+-")) <= 3 or any(len(group) != 3 for group in groups[1:])
    ):
        raise RowFault(f"{name}-not-a-number")
    return "".join(groups) + point + rest


def amount_of(number: Decimal, how: FromColumn) -> int:
    """A number scaled to a whole one. Raises RowFault where it is not whole or too large."""
    with localcontext(prec=60):
        scaled = number * how.multiply
        if abs(scaled) > AMOUNT_MAX:
            raise RowFault(f"{how.column}-too-large")
        if how.round == "down":
            scaled = scaled.to_integral_value(ROUND_FLOOR)
        elif how.round == "nearest":
            scaled = scaled.to_integral_value(ROUND_HALF_UP)
        if scaled != scaled.to_integral_value():
            raise RowFault(f"{how.column}-not-whole")
        return int(scaled)
