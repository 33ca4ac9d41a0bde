"""How long a budget lasts, and whether the bands hold what they say they hold."""

import csv
import random
from datetime import date, timedelta
from pathlib import Path

import pytest

from backend.incentive import concentration, daily_bands, exhaustion, fen_per_tonne, total_bands

WEEK = (10, 12, 11, 13, 20, 40, 35)
SUNDAY = date(2026, 11, 22)


def test_a_week_that_repeats_is_known_exactly() -> None:
    bands = daily_bands(WEEK * 8, 14)
    assert [(b.low, b.expected, b.high) for b in bands] == [(n, n, n) for n in WEEK * 2]
    totals = total_bands(WEEK * 8, 14)
    assert [t.expected for t in totals][-1] == 2 * sum(WEEK)
    assert totals[-1].low == totals[-1].high == 2 * sum(WEEK)


def test_the_day_a_budget_ends() -> None:
    series = WEEK * 8
    assert exhaustion(series, 10, SUNDAY).expected == SUNDAY + timedelta(days=1)
    assert exhaustion(series, 11, SUNDAY).expected == SUNDAY + timedelta(days=2)
    assert exhaustion(series, sum(WEEK), SUNDAY).expected == SUNDAY + timedelta(days=7)
    assert exhaustion(series, 0, SUNDAY) == (SUNDAY, SUNDAY, SUNDAY)
    assert exhaustion([0] * 30, 1, SUNDAY) == (None, None, None)


def test_bands_are_in_order_and_wider_where_the_past_was_wilder() -> None:
    rng = random.Random(7)

    def noisy(spread: int) -> list[int]:
        return [max(0, n * 10 + rng.randint(-spread, spread)) for n in WEEK * 12]

    def width(series: list[int]) -> int:
        bands = daily_bands(series, 28)
        assert all(b.low <= b.expected <= b.high for b in bands)
        assert all(t.low <= t.expected <= t.high for t in total_bands(series, 28))
        return sum(b.high - b.low for b in bands)

    assert width(noisy(5)) < width(noisy(60))
    ends = exhaustion(noisy(60), 30_000, SUNDAY)
    assert ends.early is not None
    assert ends.expected is not None
    assert ends.late is not None
    assert ends.early <= ends.expected <= ends.late


def test_three_weeks_are_needed() -> None:
    with pytest.raises(ValueError, match="20 days are fewer than 21"):
        daily_bands([1] * 20, 1)


def runs_of(path: Path) -> list[list[int]]:
    """Unbroken stretches of daily use in Wh, home by home."""
    days: dict[tuple[str, date], int] = {}
    with path.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            wh = round(float(row["general_supply_kwh_sum"]) * 1000)
            days[row["customer_id"], date.fromisoformat(row["date"])] = wh
    runs: list[list[int]] = []
    for home, day in sorted(days):
        if (home, day - timedelta(1)) not in days:
            runs.append([])
        runs[-1].append(days[home, day])
    return [run for run in runs if len(run) >= 200]


@pytest.mark.realdata
def test_bands_hold_on_days_held_back(real_data: Path) -> None:
    """Six homes: the last 60 days of each stretch, and four weeks at a time after 180 days."""
    runs = runs_of(real_data / "energy" / "sgsc_daily_6homes_2012_2014.csv")
    assert len(runs) >= 6
    held: list[bool] = []
    rolling: list[bool] = []
    for run in runs:
        bands = zip(daily_bands(run[:-60], 60), run[-60:], strict=True)
        held += [band.low <= wh <= band.high for band, wh in bands]
        for at in range(180, len(run) - 27, 28):
            bands = zip(daily_bands(run[:at], 28), run[at : at + 28], strict=True)
            rolling += [band.low <= wh <= band.high for band, wh in bands]
    assert sum(held) / len(held) >= 0.75, sum(held) / len(held)
    assert sum(rolling) / len(rolling) >= 0.75, sum(rolling) / len(rolling)


@pytest.mark.realdata
def test_totals_hold_on_days_held_back(real_data: Path) -> None:
    held: list[bool] = []
    for run in runs_of(real_data / "energy" / "sgsc_daily_6homes_2012_2014.csv"):
        for at in range(180, len(run) - 27, 14):
            band, total = total_bands(run[:at], 28)[-1], sum(run[at : at + 28])
            held.append(band.low <= total <= band.high)
    assert sum(held) / len(held) >= 0.75, sum(held) / len(held)


def test_concentration() -> None:
    even = concentration([5] * 100)
    assert (even.gini, even.top_1_percent, even.top_10_percent) == (0, 10, 100)
    one = concentration([0] * 99 + [7])
    assert (one.gini, one.top_1_percent) == (990, 1000)
    diarist = concentration([500] + [55] * 116 + [35])
    assert diarist.top_person == 500 * 1000 // 6915
    assert concentration([]).gini == 0


def test_the_price_of_a_tonne() -> None:
    """1,250 g for 1 yuan is 800 yuan a tonne."""
    assert fen_per_tonne(100, 1_250_000) == 80_000
    assert fen_per_tonne(None, 1) is None
    assert fen_per_tonne(1, 0) is None
