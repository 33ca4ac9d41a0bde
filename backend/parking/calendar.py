"""Civil time of a lot: instants of wall-clock minutes, holidays, and the days of a stay.

Everything inside counts in whole seconds since 1970 (UTC), so that a day with a clock change has
23 or 25 hours and nothing special happens.
"""

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo

DAY_MINUTES = 1_440
DOCUMENTS = Path(__file__).parent / "documents"


@dataclass(frozen=True, slots=True)
class Calendar:
    """The city's zone and its holidays; `workdays` are weekend days that are worked (调休)."""

    city_tz: str = "Asia/Shanghai"
    holidays: frozenset[date] = frozenset()
    workdays: frozenset[date] = frozenset()

    def is_holiday(self, day: date) -> bool:
        """Whether the day is a public holiday."""
        return day in self.holidays

    def is_weekend(self, day: date) -> bool:
        """Whether the day is a Saturday or Sunday that is not worked."""
        return day.isoweekday() >= 6 and day not in self.workdays

    def is_banking_day(self, day: date) -> bool:
        """Whether money is paid out on that day."""
        return not self.is_holiday(day) and not self.is_weekend(day)

    def next_banking_day(self, day: date) -> date:
        """The first banking day after `day` (T+1)."""
        after = day + timedelta(days=1)
        while not self.is_banking_day(after):
            after += timedelta(days=1)
        return after

    def second_of(self, day: date, minute: int) -> int:
        """The instant of `minute` after midnight of `day` on the wall clock (0 … 2880)."""
        return _second_of(day, minute, self.city_tz)

    def day_of(self, second: int) -> date:
        """The civil day in which an instant lies."""
        return datetime.fromtimestamp(second, UTC).astimezone(_zone(self.city_tz)).date()


@lru_cache(maxsize=65_536)
def _second_of(day: date, minute: int, city_tz: str) -> int:
    days, rest = divmod(minute, DAY_MINUTES)
    wall = datetime.combine(day + timedelta(days=days), time(rest // 60, rest % 60))
    return int(wall.replace(tzinfo=_zone(city_tz)).timestamp())


@lru_cache(maxsize=16)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def second(instant: datetime) -> int:
    """An aware instant as whole seconds since 1970, its fraction cut."""
    return int(instant.timestamp())


def instant(seconds: int) -> datetime:
    """Seconds since 1970 as an aware instant in UTC."""
    return datetime.fromtimestamp(seconds, UTC)


def minute_of(text: str) -> int:
    """`HH:MM` (00:00 … 24:00) as minutes after midnight. Raises ValueError on other spellings."""
    hours, colon, minutes = text.partition(":")
    if len(hours) != 2 or len(minutes) != 2 or colon != ":" or not (hours + minutes).isdigit():
        raise ValueError(f"a time of day is written HH:MM, not {text[:16]!r}")
    value = int(hours) * 60 + int(minutes)
    if int(minutes) > 59 or value > DAY_MINUTES:
        raise ValueError(f"{text} is not a time of day")
    return value


def days_of(values: Collection[str]) -> frozenset[date]:
    """Days spelled YYYY-MM-DD. Raises ValueError."""
    return frozenset(date.fromisoformat(value) for value in values)


@lru_cache(maxsize=8)
def city_calendar(city_tz: str) -> Calendar:
    """The city's calendar with the holidays shipped in `documents/holidays.json`."""
    shipped = json.loads((DOCUMENTS / "holidays.json").read_text(encoding="utf-8"))
    return Calendar(city_tz, days_of(shipped["holidays"]), days_of(shipped["workdays"]))
