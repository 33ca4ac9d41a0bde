"""Prices as cases an official can read, and what a price may not do."""

from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.kit.needs import DocumentError
from backend.parking.calendar import Calendar, days_of, second
from backend.parking.tariff import (
    Priced,
    TariffError,
    cancellation_fee,
    charge,
    read_tariff,
)
from tests.flows.parking_world import a_tariff

FILES = sorted((Path(__file__).parent / "cases").glob("*.yaml"))
WRITTEN = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in FILES]


def tariff_of(written: dict):
    given_ = dict(written["tariff"])
    params = {
        name: {"value": value, "unit": "fen", "date": "2026", "reference": "例", "grade": "G"}
        for name, value in given_.pop("params").items()
    }
    needs = {"event": {}, "history": {}, "counters": {}, "params": params}
    return read_tariff(a_tariff(**given_, needs=needs))


def calendar_of(written: dict) -> Calendar:
    said = written.get("calendar", {})
    return Calendar(
        said.get("zone", "Asia/Shanghai"),
        days_of(said.get("holidays", [])),
        days_of(said.get("workdays", [])),
    )


@pytest.mark.parametrize(
    ("written", "case"), [(w, c) for w in WRITTEN for c in w["cases"]], ids=lambda v: v.get("name")
)
def test_a_price_gives_what_is_written(written: dict, case: dict):
    calendar = calendar_of(written)
    zone = ZoneInfo(calendar.city_tz)
    begin, end = (
        second(datetime.fromisoformat(case[name]).replace(tzinfo=zone)) for name in ("from", "to")
    )
    more = {k: v for k, v in case.items() if k not in ("name", "from", "to", "fen")}
    found = charge(tariff_of(written), Priced(begin, end, **more), calendar)
    assert found.amount_fen == case["fen"]
    assert sum(part.minutes for part in found.parts) == -(-(end - begin) // 60)


@pytest.mark.parametrize(
    ("written", "case"),
    [(w, c) for w in WRITTEN for c in w["cancelled"]],
    ids=lambda v: v.get("name"),
)
def test_cancelling_costs_what_is_written(written: dict, case: dict):
    fee_fen = cancellation_fee(
        tariff_of(written),
        notice_s=case["notice_s"],
        booked_s=case.get("booked_s", 7_200),
        since_reserved_s=case.get("since_reserved_s", 86_400),
        price_fen=900,
        by_owner=case.get("by_owner", False),
    )
    assert fee_fen == case["fee_fen"]


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"day": "0 - 1"}, "negative-charge"),
        ({"total": "0 - sum_fen"}, "negative-charge"),
        ({"day": "9223372036854775807 + minutes"}, "tariff-fails"),
        ({"day": "minutes / (minutes - minutes)"}, "tariff-fails"),
        ({"total": "sum_fen * 1000000"}, "charge-too-large"),
    ],
)
def test_a_price_that_goes_wrong_is_named(changes: dict, name: str):
    with pytest.raises(TariffError) as refused:
        charge(read_tariff(a_tariff(**changes)), Priced(0, 7_200), Calendar())
    assert refused.value.name == name


def test_impossible_times_are_named():
    for left_s in (0, -60, 500 * 86_400):
        with pytest.raises(TariffError, match="impossible-times"):
            charge(read_tariff(a_tariff()), Priced(0, left_s), Calendar())


@pytest.mark.parametrize(
    "changes",
    [
        {"day": "minutes +"},
        {"day": "plate"},
        {"day": "true"},
        {"day_to": "2025-01-01"},
        {"parking_day": "25:00"},
        {"bands": [{"name": "Night", "from": "22:00", "to": "06:00"}]},
        {"format": "x"},
    ],
)
def test_a_price_that_cannot_be_read_is_refused(changes: dict):
    with pytest.raises(DocumentError):
        read_tariff(a_tariff(**changes))


@settings(max_examples=60, deadline=None)
@given(begin=st.integers(1_700_000_000, 1_900_000_000), length=st.integers(1, 40 * 86_400))
def test_no_minute_is_lost_or_counted_twice(begin: int, length: int):
    bands = [{"name": "night", "from": "22:00", "to": "06:00"}]
    by_minute = read_tariff(
        a_tariff(
            parking_day="05:00",
            bands=bands,
            day="minutes - night_minutes + night_minutes",
            total="sum_fen",
        )
    )
    for zone in ("Asia/Shanghai", "Europe/London"):
        found = charge(by_minute, Priced(begin, begin + length), Calendar(zone))
        assert found.amount_fen == -(-length // 60)
