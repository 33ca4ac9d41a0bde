"""Rows → units that become one event each: a row, a pair, a group, a month of readings. Pure."""

from calendar import monthrange
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from itertools import groupby
from typing import Any

from backend.partner_client.mapping import Group, Mapping, MappingError, Months, Pair
from backend.partner_client.spool import Sorter
from backend.partner_client.values import RowFault, Value, Values, number_of

Joined = tuple[int, Values]
"""How many rows an event takes, and the names it is made of."""


def joined(
    rows: Iterator[Values], mapping: Mapping, left_out: Counter[str], unpaired: Counter[str]
) -> Iterator[Joined]:
    """The units of a mapping; rows that join nothing are counted by reason."""
    if mapping.pair:
        return _pairs(rows, mapping.pair, unpaired)
    if mapping.group:
        return _groups(rows, mapping.group)
    if mapping.months:
        return _months(rows, mapping, mapping.months, left_out)
    return ((1, row) for row in rows)


def _order(value: Value) -> tuple[int, Any]:
    """Numbers in the order of numbers, also where they are spelled as text."""
    if isinstance(value, str):
        try:
            number = Decimal(value)
        except InvalidOperation:
            return (1, value)
        return (0, number) if number.is_finite() else (1, value)
    return (0, value)


def _sorted(rows: Iterator[Values], by: str, order: str) -> Iterator[Values]:
    # The sort is stable: rows of the same second keep the file's order.
    sorter = Sorter(lambda unit: (str(unit[0][by]), _order(unit[0][order])))
    for row in rows:
        sorter.add((row,))
    return (unit[0] for unit in sorter.sorted())


def _pairs(rows: Iterator[Values], pair: Pair, unpaired: Counter[str]) -> Iterator[Joined]:
    """Join each `then` row to the latest open `first` row of the same person, in time order."""
    waiting: Values | None = None
    found = Sorter(lambda unit: _order(unit[1][pair.order]))
    for row in _sorted(rows, pair.by, pair.order):
        if waiting is not None and waiting[pair.by] != row[pair.by]:
            unpaired[pair.only_first] += 1
            waiting = None
        if row[pair.kind] == pair.first:
            if waiting is not None:
                unpaired[pair.only_first] += 1
            waiting = row
        elif waiting is None:
            unpaired[pair.only_then] += 1
        else:
            found.add((waiting, row))
            waiting = None
    if waiting is not None:
        unpaired[pair.only_first] += 1
    for first, then in found.sorted():
        yield 2, _sides(pair.by, {"first": first, "then": then})


def _groups(rows: Iterator[Values], group: Group) -> Iterator[Joined]:
    """All rows with one value, by their first and last in order."""
    for _, members in groupby(_sorted(rows, group.by, group.order), lambda row: row[group.by]):
        yield _ends(members, group.by)


def _ends(members: Iterator[Values], by: str) -> Joined:
    first = last = next(members)
    count = 1
    for member in members:
        last = member
        count += 1
    return count, _sides(by, {"first": first, "last": last})


def _sides(by: str, sides: dict[str, Values]) -> Values:
    named: Values = {by: next(iter(sides.values()))[by]}
    for side, row in sides.items():
        named.update({f"{side}.{key}": value for key, value in row.items()})
    return named


@dataclass(slots=True)
class _Sum:
    """What the complete days of one meter and month add up to."""

    last_second: datetime
    rows: int = 0
    days: int = 0
    total: Decimal = field(default_factory=Decimal)


def _months(
    rows: Iterator[Values], mapping: Mapping, months: Months, left_out: Counter[str]
) -> Iterator[Joined]:
    """Sum the readings of each meter over the complete days of each month."""
    readings = _readable(rows, mapping, months, left_out)
    days = groupby(
        _sorted(readings, months.by, months.at), lambda row: (row[months.by], _day(row, months))
    )
    for (meter, _), days_of_month in groupby(days, lambda day: (day[0][0], _month(day[0][1]))):
        found: _Sum | None = None
        for (_, day), members in days_of_month:
            of_day = list(members)
            reason, covered = _judged(of_day, day, months)
            if reason is not None:
                left_out[reason] += len(of_day)
                continue
            found = found or _Sum(_last_second(day))
            found.rows += len(of_day)
            found.days += covered
            found.total += sum((Decimal(str(row[months.add])) for row in of_day), Decimal())
        if found is not None:
            values: Values = {"month": found.last_second, "days": found.days}
            yield found.rows, {months.by: meter, **values, "total": found.total}


def _readable(
    rows: Iterator[Values], mapping: Mapping, months: Months, left_out: Counter[str]
) -> Iterator[Values]:
    for row in rows:
        try:
            amount = number_of(str(row[months.add]), months.add, mapping.file)
        except RowFault as fault:
            left_out[str(fault)] += 1
            continue
        yield {**row, months.add: amount}


def _day(row: Values, months: Months) -> datetime:
    """Midnight of the day a reading belongs to; one labelled by its end lies before it."""
    at = row[months.at]
    if not isinstance(at, datetime):
        raise MappingError(f"`{months.at}` of months must be a column with a `time`")
    if months.label == "end":
        at -= timedelta(microseconds=1)
    return at.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)


def _month(day: datetime) -> tuple[int, int]:
    return day.year, day.month


def _judged(rows: list[Values], day: datetime, months: Months) -> tuple[str | None, int]:
    """Why the readings of a day (of a month, where each covers one) do not count; days covered."""
    if months.each == "month":
        reason = None if len(rows) == 1 else "conflicting-readings"
        return reason, monthrange(day.year, day.month)[1]
    if len({row[months.at] for row in rows}) < len(rows):
        return "conflicting-readings", 0
    if months.each == "day":
        if len(rows) > 1:
            return "conflicting-readings", 0
        if months.readings is None:
            return None, 1
        count = str(rows[0][months.readings])
    else:
        count = str(len(rows))
    return (None, 1) if count == str(_expected(day, months)) else (months.incomplete, 0)


def _expected(day: datetime, months: Months) -> int:
    """Readings of a whole day, which is 23 or 25 hours long where the clock changes."""
    length = (day + timedelta(days=1)).astimezone(UTC) - day.astimezone(UTC)
    return months.per_day * round(length.total_seconds()) // 86_400


def _last_second(day: datetime) -> datetime:
    last_day = monthrange(day.year, day.month)[1]
    return day.replace(day=last_day, hour=23, minute=59, second=59)
