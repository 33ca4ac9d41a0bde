"""What a rule may need of history: values that the issuer looks up and states beside the award.

Names carry their own meaning, so that the signed document says everything: `between_0700_0900` is
true where the activity ended from 07:00 to before 09:00 of the city. Only truths and counts are
stated, never a time or a place, because the share form of a receipt shows them.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import lru_cache

from backend.kit.expr import ExprType

METER: Mapping[str, ExprType] = {"base_wh": "int", "base_days": "int"}
"""Of the month of home energy that the method compares with."""

PROGRAMME: Mapping[str, ExprType] = {"person_number": "int", "budget_left_percent": "int"}
"""`person_number`: the how-manieth person of the programme this is, in the order of first awards,
from 1. `budget_left_percent`: what the envelope of the event's period still had, rounded down, when
the batch was begun."""

_BETWEEN = re.compile(r"between_([01][0-9]|2[0-4])([0-5][0-9])_([01][0-9]|2[0-4])([0-5][0-9])")
_MONTHS = re.compile(r"months_(0[1-9]|1[0-2])_(0[1-9]|1[0-2])")
_WEEKDAYS = re.compile(r"weekdays_([1-7])_([1-7])")
_MINUTES_OF_DAY = 24 * 60


@lru_cache(maxsize=1024)
def lookup_type(name: str) -> ExprType | None:
    """The type of a value that can be looked up, or None where none has that name."""
    if _hours(name) is not None or _span(name) is not None:
        return "bool"
    return METER.get(name) or PROGRAMME.get(name)


def calendar_names(names: Iterable[str]) -> list[str]:
    """Those of the names that follow from the event's own time alone."""
    return [name for name in names if _hours(name) is not None or _span(name) is not None]


def calendar_value(name: str, local: datetime) -> bool:
    """Whether a moment lies in the hours, weekdays or months that the name says.

    `local` is in the city's zone. Both ends may lie beyond midnight or the turn of the year
    (`between_2200_0600`, `months_12_03`); hours leave out their end, months and weekdays keep it.
    """
    hours = _hours(name)
    if hours is not None:
        begin, end = hours
        minute = local.hour * 60 + local.minute
        return begin <= minute < end if begin < end else minute >= begin or minute < end
    span = _span(name)
    if span is None:
        raise ValueError(f"{name} is no span of the calendar")
    unit, first, last = span
    at = local.month if unit == "months" else local.isoweekday()
    return first <= at <= last if first <= last else at >= first or at <= last


def in_words(name: str) -> str | None:
    """The name in Chinese, for a rule's card; None where it is not one of ours."""
    hours = _hours(name)
    if hours is not None:
        begin, end = (f"{m // 60:02d}:{m % 60:02d}" for m in hours)
        over = "次日" if hours[0] > hours[1] else ""
        return f"结束于 {begin} 至{over} {end} 之间"
    span = _span(name)
    if span is not None:
        unit, first, last = span
        if unit == "months":
            return f"在 {first} 月至 {last} 月"
        return f"在星期{_WEEKDAY[first - 1]}至星期{_WEEKDAY[last - 1]}"
    return _WORDS.get(name)


_WEEKDAY = "一二三四五六日"
_WORDS = {
    "base_wh": "去年同月用电(瓦时)",
    "base_days": "去年同月天数",
    "person_number": "参加本活动的人次序(从 1 起)",
    "budget_left_percent": "预算余额(百分比)",
}


@lru_cache(maxsize=1024)
def _hours(name: str) -> tuple[int, int] | None:
    found = _BETWEEN.fullmatch(name)
    if found is None:
        return None
    begin, end = int(found[1]) * 60 + int(found[2]), int(found[3]) * 60 + int(found[4])
    if begin >= _MINUTES_OF_DAY or end > _MINUTES_OF_DAY or begin == end:
        return None
    return begin, end


@lru_cache(maxsize=1024)
def _span(name: str) -> tuple[str, int, int] | None:
    for unit, pattern in (("months", _MONTHS), ("weekdays", _WEEKDAYS)):
        found = pattern.fullmatch(name)
        if found is not None:
            return unit, int(found[1]), int(found[2])
    return None
