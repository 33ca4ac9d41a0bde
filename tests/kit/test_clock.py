"""Goal: an instant, a civil day and a spelled time mean the same on every machine."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.kit.clock import (
    DAY_OPEN,
    FixedClock,
    city_day,
    day_number,
    day_number_open,
    parse_time,
    to_text,
    whole_second,
)

SHANGHAI = "Asia/Shanghai"


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-11-22T08:00:00+08:00", datetime(2026, 11, 22, tzinfo=UTC)),
        ("2026-11-22T00:00:00Z", datetime(2026, 11, 22, tzinfo=UTC)),
        ("2026-11-22T00:00:00.999999999Z", datetime(2026, 11, 22, tzinfo=UTC)),
        ("2026-11-22T14:00:00+14:00", datetime(2026, 11, 22, tzinfo=UTC)),
        ("2026-11-21T10:00:00-14:00", datetime(2026, 11, 22, tzinfo=UTC)),
        ("2024-02-29T00:00:00Z", datetime(2024, 2, 29, tzinfo=UTC)),
        ("2000-01-01T00:00:00Z", datetime(2000, 1, 1, tzinfo=UTC)),
        ("2099-12-31T23:59:59Z", datetime(2099, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ],
)
def test_times_are_read_as_formats_spell_them(text: str, instant: datetime) -> None:
    read = parse_time(text)
    assert (read.instant, read.text) == (instant, text)


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-22t08:00:00Z",
        "2026-11-22T08:00:00z",
        "2026-11-22 08:00:00Z",
        "2026-11-22T08:00:00",
        "2026-11-22T24:00:00Z",
        "2026-11-22T08:60:00Z",
        "2026-11-22T08:00:60Z",
        "2026-11-22T08:00Z",
        "2026-11-22T08:00:00.Z",
        "2026-11-22T08:00:00.1234567890Z",
        "2026-11-22T08:00:00+14:01",
        "2026-11-22T08:00:00+15:00",
        "2026-11-22T08:00:00+0800",
        "2026-02-29T08:00:00Z",
        "2026-13-01T08:00:00Z",
        "1999-12-31T23:59:59Z",
        "2100-01-01T00:00:00Z",
        "２026-11-22T08:00:00Z",
        "2026-11-22T08:00:00Z\n",
        "",
    ],
)
def test_other_spellings_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_time(text)


def test_the_day_is_the_citys_whatever_the_servers_zone() -> None:
    before = datetime(2026, 11, 21, 15, 59, 59, tzinfo=UTC)
    assert city_day(before, SHANGHAI) == date(2026, 11, 21)
    assert city_day(before + timedelta(seconds=1), SHANGHAI) == date(2026, 11, 22)
    assert city_day(before, "America/New_York") == date(2026, 11, 21)
    with pytest.raises(ValueError, match="naive"):
        city_day(before.replace(tzinfo=None), SHANGHAI)


def test_days_across_a_change_of_clocks() -> None:
    # Clocks went back on 2026-11-01 at 02:00 in New York: 01:30 comes twice, in one day.
    first = datetime(2026, 11, 1, 5, 30, tzinfo=UTC)
    assert {city_day(first + timedelta(hours=h), "America/New_York") for h in (0, 1)} == {
        date(2026, 11, 1)
    }


def test_days_on_chain() -> None:
    assert day_number(date(1970, 1, 1)) == 0
    assert day_number(date(2026, 11, 22)) == 20_779
    assert (day_number_open(None), day_number_open(date(1970, 1, 2))) == (DAY_OPEN, 1)


@given(st.integers(946_800_000, 4_102_300_000), st.integers(-840, 840))
def test_any_offset_spells_the_same_instant(unix_s: int, minutes: int) -> None:
    instant = datetime.fromtimestamp(unix_s, UTC)
    sign, size = "-" if minutes < 0 else "+", abs(minutes)
    local = (instant + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%S")
    spelled = f"{local}{sign}{size // 60:02d}:{size % 60:02d}"
    assert parse_time(spelled).instant == whole_second(instant)
    assert parse_time(to_text(instant)).instant == whole_second(instant)


def test_a_fixed_clock_moves_only_when_told() -> None:
    clock = FixedClock(datetime(2026, 1, 1, tzinfo=UTC))
    clock.advance(minutes=5)
    assert clock.now() == datetime(2026, 1, 1, 0, 5, tzinfo=UTC)
