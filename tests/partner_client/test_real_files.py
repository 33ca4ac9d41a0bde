"""Goal: each real file becomes the events a count straight from it foretells, row for row.

Method: the shipped mappings over the files as published, against counts and sums made by other
means (tests/partner_client/straight_count.py).
"""

from collections import Counter
from pathlib import Path

import pytest

from backend.partner_client import Prepared, Shift, prepare, read_mapping
from tests.partner_client import straight_count as straight

pytestmark = pytest.mark.realdata

MAPPINGS = Path(__file__).parents[2] / "docs" / "mappings"
TOKENS = [f"token-{number:02d}" for number in range(20)]


def read(file: Path, mapping: str, shift: Shift | None = None) -> Prepared:
    found = prepare(file, read_mapping(MAPPINGS / mapping), MAPPINGS, TOKENS, shift)
    parts = found.events.rows_total + found.left_out.total() + found.unpaired.total()
    assert parts == found.rows_total
    return found


def test_bus_boardings(real_data: Path) -> None:
    taps = real_data / "transit" / "szt_taps_2018-09-01.csv"
    found = read(taps, "shenzhen-bus-boardings.yaml")
    assert Counter({"trip": len(found.events), **found.left_out}) == straight.boardings_count(taps)
    assert {str(event["data"]) for event in found.events} == {"{'trips': 1}"}


def test_rides_and_their_straight_lines(real_data: Path) -> None:
    folder = real_data / "bike"
    rides, stations = (
        folder / "healthy-ride-rentals-2017-q4.csv",
        folder / "healthyridestations2017.csv",
    )
    found = read(rides, "pittsburgh-bike-rides.yaml")
    expected = straight.rides_count(rides, stations)
    assert (
        found.left_out == {"same-station": expected.pop("same-station")} == {"same-station": 2_006}
    )
    assert len(found.events) == expected.total() == 9_641
    at = {
        row["Station #"]: (float(row["Latitude"]), float(row["Longitude"]))
        for row in straight.rows_of(stations)
    }
    away = [
        (straight.chord_m(at[row["From station id"]], at[row["To station id"]]),
         int(row["Tripduration"]))
        for row in straight.rows_of(rides) if row["From station id"] != row["To station id"]
    ]  # fmt: skip
    sent = [(event["data"]["distance_m"], event["data"]["duration_s"]) for event in found.events]
    # Two formulas may round one metre apart.
    assert all(abs(a[0] - b[0]) <= 1 and a[1] == b[1] for a, b in zip(away, sent, strict=True))


def test_charging_sessions(real_data: Path) -> None:
    sessions = real_data / "ev" / "workplace_charging_sessions.csv"
    found = read(sessions, "workplace-charging.yaml")
    rows = straight.rows_of(sessions)
    assert (len(found.events), found.left_out) == (len(rows), {})
    events = list(found.events)
    energy_wh = [event["data"]["energy_wh"] for event in events]
    assert energy_wh == [int(straight.Fraction(row["kwhTotal"]) * 1000) for row in rows]
    assert (energy_wh.count(0), max(energy_wh)) == (38, 20_950)
    assert {event["time"][:4] for event in events} == {"2014", "2015"}
    assert all(event["time"] == event["data"]["end"] for event in events)


@pytest.mark.parametrize(
    ("file", "mapping", "expected", "left_out"),
    [
        ("sgsc_daily_6homes_2012_2014.csv", "days", straight.home_months, 96),
        ("sgsc_halfhour_2homes_2013-01_2014-02.csv", "half-hours", straight.half_hour_months, 768),
    ],
)
def test_home_months(real_data: Path, file: str, mapping: str, expected, left_out: int) -> None:
    path = real_data / "energy" / file
    found = read(path, f"home-energy-{mapping}.yaml")
    months = {
        (e["data"]["meter_ref"], e["data"]["month"]): (e["data"]["days"], e["data"]["energy_wh"])
        for e in found.events
    }
    assert months == expected(path)
    assert found.left_out == {"incomplete-day": left_out}


def test_half_hours_give_the_events_of_the_days_to_the_last_byte(real_data: Path) -> None:
    folder, shift = real_data / "energy", Shift(months=144)
    days = read(folder / "sgsc_daily_6homes_2012_2014.csv", "home-energy-days.yaml", shift)
    half_hours = read(
        folder / "sgsc_halfhour_2homes_2013-01_2014-02.csv", "home-energy-half-hours.yaml", shift
    )
    of_days = {event["id"]: event for event in days.events}
    assert len(of_days) == 136
    assert len({event["subject"] for event in of_days.values()}) == 6
    assert all(of_days[event["id"]] == event for event in half_hours.events)
    assert len(half_hours.events) == 28
    assert {e["time"][:7] for e in of_days.values()} == {e["data"]["month"] for e in days.events}


def test_bus_runs_and_the_lengths_of_their_shapes(real_data: Path) -> None:
    folder = real_data / "transit" / "gtfs_cairns_2014"
    found = read(folder / "stop_times.txt", "cairns-bus-runs.yaml")
    expected = straight.runs_count(folder)
    seen: Counter[str] = Counter()
    distances_m: Counter[int] = Counter()
    for rows, event in found.events.counted():
        known = "distance_m" in event["data"]
        seen["with-distance" if known else "without-distance"] += rows
        distances_m[event["data"].get("distance_m", 0)] += 1
    assert seen == expected
    assert (seen.total(), len(found.events)) == (5_115, 143)
    assert "stop-off-shape, 32 events" in found.notes[-1]
    lengths_m = straight.shape_lengths_m(folder / "shapes.txt")
    # The published shapes: 31.3 to 32.6 km of route 110, 44.4 and 44.5 km of 110N.
    for distance_m in set(distances_m) - {0}:
        assert min(abs(distance_m - length_m) for length_m in lengths_m.values()) < 60
