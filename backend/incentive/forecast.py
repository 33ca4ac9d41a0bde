"""How long a budget lasts: seasonal naive by weekday, with bands from its own past errors.

A day is expected to be like the same weekday of the last known week. How wrong that would have been
is measured at every earlier day of the series (rolling origin), for the same distance ahead; the
bands hold the middle 80 % of those errors. Chosen because it measured better on totals than a
weekday profile with a trend. Whole numbers throughout.
"""

from collections.abc import Sequence
from datetime import date, timedelta
from itertools import accumulate
from typing import NamedTuple

SEASON_DAYS = 7
SERIES_DAYS_MIN = 21
"""Three weeks: one to look back to, two to measure errors on."""

ERRORS_MIN = 10
HORIZON_DAYS_MAX = 1_830
PARTS = 1_000
_LOW, _HIGH = 10, 90


class Band(NamedTuple):
    """The middle 80 % of what may come, and what is expected."""

    low: int
    expected: int
    high: int


class Exhaustion(NamedTuple):
    """City days on which a budget ends: early (10 %), expected, late (90 %).

    None: not within five years.
    """

    early: date | None
    expected: date | None
    late: date | None


def daily_bands(series: Sequence[int], horizon_days: int) -> list[Band]:
    """The days after a daily series, each with its band. Raises ValueError below three weeks."""
    _check(series)
    bands: list[Band] = []
    for ahead in range(1, horizon_days + 1):
        expected = _naive(series, len(series), ahead)
        errors = _errors(series, ahead)
        low, high = (_quantile(errors, percent) for percent in (_LOW, _HIGH))
        bands.append(Band(max(expected + low, 0), expected, max(expected + high, 0)))
    return bands


def total_bands(series: Sequence[int], horizon_days: int) -> list[Band]:
    """Sums from the first day after the series up to each of the next days, with their bands."""
    _check(series)
    expected = list(
        accumulate(_naive(series, len(series), ahead) for ahead in range(1, horizon_days + 1))
    )
    sums = [0, *accumulate(series)]
    bands: list[Band] = []
    low = high = PARTS
    for ahead, total in enumerate(expected, start=1):
        parts = _ratios(series, sums, ahead)
        # Too far ahead for a short series to have been wrong: the last known spread holds.
        if len(parts) >= ERRORS_MIN:
            low, high = _quantile(parts, _LOW), _quantile(parts, _HIGH)
        bands.append(Band(total * low // PARTS, total, -(-total * high // PARTS)))
    return bands


def exhaustion(series: Sequence[int], left: int, last_day: date) -> Exhaustion:
    """When the points left will be gone, after a daily series that ends on `last_day`."""
    if left <= 0:
        return Exhaustion(last_day, last_day, last_day)
    bands = total_bands(series, HORIZON_DAYS_MAX)

    def reached(sums: Sequence[int]) -> date | None:
        ahead = next((n for n, total in enumerate(sums, start=1) if total >= left), None)
        return None if ahead is None else last_day + timedelta(days=ahead)

    return Exhaustion(
        reached([band.high for band in bands]),
        reached([band.expected for band in bands]),
        reached([band.low for band in bands]),
    )


def _check(series: Sequence[int]) -> None:
    if len(series) < SERIES_DAYS_MIN:
        raise ValueError(f"{len(series)} days are fewer than {SERIES_DAYS_MIN}")


def _naive(series: Sequence[int], origin: int, ahead: int) -> int:
    """What is expected `ahead` days after the first `origin` days of a series."""
    return series[origin - SEASON_DAYS + (ahead - 1) % SEASON_DAYS]


def _errors(series: Sequence[int], ahead: int) -> list[int]:
    """How wrong the forecasts so many weeks ahead were; of fewer weeks where those are too few."""
    weeks = -(-ahead // SEASON_DAYS)
    while weeks > 1 and len(series) - weeks * SEASON_DAYS < ERRORS_MIN:
        weeks -= 1
    lag = weeks * SEASON_DAYS
    return sorted(series[at] - series[at - lag] for at in range(lag, len(series)))


def _ratios(series: Sequence[int], sums: Sequence[int], ahead: int) -> list[int]:
    """Actual over expected sums `ahead` days from every day of the series, in thousandths."""
    week, rest = divmod(ahead, SEASON_DAYS)
    found: list[int] = []
    for origin in range(SEASON_DAYS, len(series) - ahead + 1):
        start = origin - SEASON_DAYS
        expected = week * (sums[origin] - sums[start]) + sums[start + rest] - sums[start]
        if expected > 0:
            found.append((sums[origin + ahead] - sums[origin]) * PARTS // expected)
    return sorted(found)


def _quantile(ascending: Sequence[int], percent: int) -> int:
    """The value below which `percent` of a population lies, judged from a sample of it."""
    place = (len(ascending) + 1) * percent // 100
    if percent > 50:
        place = -(-(len(ascending) + 1) * percent // 100)
    return ascending[min(max(place, 1), len(ascending)) - 1]
