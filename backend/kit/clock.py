"""Time: one clock for the process, civil days of the city, and the spelling of event times."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Protocol
from zoneinfo import ZoneInfo

DAY_OPEN = 4_294_967_295
"""`day_to` on chain of a window without an end (formats.md §3)."""

_EPOCH_DAY = date(1970, 1, 1)
_TIME = re.compile(
    r"20[0-9]{2}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,9})?"
    r"(?:Z|[+-](?:(?:0[0-9]|1[0-3]):[0-5][0-9]|14:00))",
    re.ASCII,
)


class Clock(Protocol):
    """What tells the time. Tests hand in a `FixedClock`."""

    def now(self) -> datetime:
        """The present instant, aware, in UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The present instant, aware, in UTC."""
        return datetime.now(UTC)


@dataclass
class FixedClock:
    """A clock that stands still until it is told to move."""

    instant: datetime

    def now(self) -> datetime:
        """The instant the clock was set to."""
        return self.instant

    def advance(self, **by: float) -> None:
        """Move on by `timedelta(**by)`."""
        self.instant += timedelta(**by)


@dataclass(frozen=True, slots=True)
class EventTime:
    """An event's time: the instant (UTC, fraction cut) and the spelling it came in."""

    instant: datetime
    text: str


@lru_cache(maxsize=4096)
def instant_of(text: str) -> datetime:
    """The instant of a time spelled as `parse_time` reads it, in UTC, its fraction cut."""
    if _TIME.fullmatch(text) is None:
        raise ValueError(f"not a time of the form YYYY-MM-DDThh:mm:ss[.f](Z|±hh:mm): {text[:64]!r}")
    offset = "Z" if text.endswith("Z") else text[-6:]
    return datetime.fromisoformat(text[:19] + offset).astimezone(UTC)


def parse_time(text: str) -> EventTime:
    """Read a time as formats.md §2 spells it; the fraction is kept in the text only.

    Raises ValueError on any other spelling, a second of 60, an offset beyond 14:00,
    or a year outside 2000-2099.
    """
    return EventTime(instant=instant_of(text), text=text)


@lru_cache(maxsize=16)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


@lru_cache(maxsize=8192)
def city_day(instant: datetime, city_tz: str) -> date:
    """The civil date of an aware instant in the city's zone (formats.md §3)."""
    if instant.tzinfo is None:
        raise ValueError("a naive time has no civil date in the city")
    return instant.astimezone(_zone(city_tz)).date()


def day_bounds(day: date, city_tz: str) -> tuple[datetime, datetime]:
    """The first instant of a civil day of the city and that of the next, in UTC."""
    zone = _zone(city_tz)
    starts = (datetime.combine(each, time.min, zone) for each in (day, day + timedelta(days=1)))
    start, end = (each.astimezone(UTC) for each in starts)
    return start, end


def day_number(day: date) -> int:
    """Days since 1970-01-01, as days are written on chain (u32)."""
    return (day - _EPOCH_DAY).days


def day_number_open(day: date | None) -> int:
    """`day_number`, with None (no end) as 4294967295."""
    return DAY_OPEN if day is None else day_number(day)


def whole_second(instant: datetime) -> datetime:
    """The instant with its fraction cut."""
    return instant.replace(microsecond=0)


def to_text(instant: datetime) -> str:
    """RFC 3339 in UTC, to the second: `2026-11-22T08:00:00Z`."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
