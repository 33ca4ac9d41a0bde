"""Outcomes of the real files, counted straight from them without the product's code."""

import csv
import json
import math
from calendar import monthrange
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from itertools import combinations
from pathlib import Path


def straight_count(taps: Path, stations: Path) -> Counter[str]:
    """Outcomes counted straight from the files, by card, without the product's code."""
    known = {s["n"] for line in json.loads(stations.read_text("utf-8"))["l"] for s in line["st"]}
    with taps.open(encoding="utf-8", newline="") as file:
        raw = [tuple(row.values()) for row in csv.DictReader(file)]
    rows = list(dict.fromkeys(raw))
    counts: Counter[str] = Counter({"duplicate-row": len(raw) - len(rows)})
    by_card: dict[str, list[tuple[str, str, str]]] = {}
    for row in rows:
        if row[2] == "巴士":
            counts["not-a-metro-tap"] += 1
        else:
            by_card.setdefault(row[0], []).append((row[1], row[2], row[7].removesuffix("站")))
    for taps_of_card in by_card.values():
        taps_of_card.sort(key=lambda tap: tap[0])
        kinds = [kind for _, kind, _ in taps_of_card]
        paired: set[int] = set()
        for number in range(1, len(kinds)):
            if (kinds[number - 1], kinds[number]) == ("地铁入站", "地铁出站"):
                paired |= {number - 1, number}
                names = (taps_of_card[number - 1][2], taps_of_card[number][2])
                counts[_trip_outcome(names, known)] += 2
        for number, kind in enumerate(kinds):
            if number not in paired:
                entry = kind == "地铁入站"
                counts["entry-without-exit" if entry else "exit-without-entry"] += 1
    return counts


def _trip_outcome(names: tuple[str, str], known: set[str]) -> str:
    for name in names:
        if not name:
            return "station-empty"
        if name not in known:
            return "station-damaged" if "?" in name else "station-unknown"
    return "same-station" if names[0] == names[1] else "trip"


def rows_of(path: Path) -> list[dict[str, str]]:
    """Every row of a CSV file of ours: UTF-8, commas."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def boardings_count(taps: Path) -> Counter[str]:
    """Rows of the taps file as bus boardings see them."""
    lines = taps.read_text("utf-8").splitlines()[1:]
    single = set(lines)
    buses = sum(1 for line in single if line.split(",")[2] == "巴士")
    return Counter(
        {
            "trip": buses,
            "not-a-bus-boarding": len(single) - buses,
            "duplicate-row": len(lines) - len(single),
        }
    )


def rides_count(rides: Path, stations: Path) -> Counter[str]:
    """Rows of the rentals by what the ride's method says of them."""
    at = {
        row["Station #"]: (float(row["Latitude"]), float(row["Longitude"]))
        for row in rows_of(stations)
    }
    counts: Counter[str] = Counter()
    for row in rows_of(rides):
        if row["From station id"] == row["To station id"]:
            counts["same-station"] += 1
            continue
        metres = int(chord_m(at[row["From station id"]], at[row["To station id"]]))
        seconds = int(row["Tripduration"])
        if metres < 50 or seconds >= 300_000:
            counts["suspicious-unit"] += 1
        elif seconds > 86_400:
            counts["duration-too-long"] += 1
        elif metres * 3.6 > seconds * 40:
            counts["speed-too-high"] += 1
        else:
            counts["ride"] += 1
    return counts


def chord_m(here: tuple[float, float], there: tuple[float, float]) -> float:
    """Metres along the great circle of two (latitude, longitude), through the chord in space."""

    def on_sphere(point: tuple[float, float]) -> tuple[float, float, float]:
        lat, lon = math.radians(point[0]), math.radians(point[1])
        return math.cos(lat) * math.cos(lon), math.cos(lat) * math.sin(lon), math.sin(lat)

    chord = math.dist(on_sphere(here), on_sphere(there))
    return 2 * 6_371_008 * math.asin(chord / 2)


def charges_count(sessions: Path) -> Counter[str]:
    """Rows of the charging sessions by what the charge's method says of them."""
    counts: Counter[str] = Counter()
    for row in rows_of(sessions):
        watt_hours = Fraction(row["kwhTotal"]) * 1000
        seconds = (_clock(row["ended"]) - _clock(row["created"])).total_seconds()
        if watt_hours == 0:
            counts["energy-not-positive"] += 1
        elif watt_hours < 100:
            counts["suspicious-unit"] += 1
        elif seconds > 48 * 3600:
            counts["charge-too-long"] += 1
        elif watt_hours * 3600 > seconds * 500_000:
            counts["power-too-high"] += 1
        else:
            counts["session"] += 1
    return counts


def _clock(text: str) -> datetime:
    return datetime.fromisoformat("2" + text[1:])


MonthOfHome = tuple[str, str]
"""(home, `YYYY-MM`)."""


def home_months(days: Path) -> dict[MonthOfHome, tuple[int, int]]:
    """Complete days and watt-hours of each home and month, from the file of days."""
    months: dict[MonthOfHome, tuple[int, int]] = {}
    for row in rows_of(days):
        if row["n_halfhours"] == "48":
            key = row["customer_id"], row["date"][:7]
            count, watt_hours = months.get(key, (0, 0))
            watt_hours += int(Fraction(row["general_supply_kwh_sum"]) * 1000)
            months[key] = count + 1, watt_hours
    return months


def half_hour_months(half_hours: Path) -> dict[MonthOfHome, tuple[int, int]]:
    """The same from the file of half hours."""
    of_day: dict[tuple[str, str], list[Fraction]] = defaultdict(list)
    for row in rows_of(half_hours):
        of_day[row["customer_id"], row["reading_datetime"][:10]].append(
            Fraction(row["general_supply_kwh"])
        )
    months: dict[MonthOfHome, tuple[int, int]] = {}
    for (home, day), readings in of_day.items():
        if len(readings) == 48:
            count, watt_hours = months.get((home, day[:7]), (0, 0))
            months[home, day[:7]] = count + 1, watt_hours + int(sum(readings) * 1000)
    return months


METHOD_FROM, RULE_FROM = "2012-12", "2014-01"
"""The first months, twelve years on, that a method (2024-12-27) and a rule (2026-01-01) cover."""


def months_count(months: dict[MonthOfHome, tuple[int, int]]) -> Counter[str]:
    """Days by what becomes of their month when it is sent twelve years on.

    A month that a method refuses for itself is no base for the next year.
    """
    counts: Counter[str] = Counter()
    for (home, month), (days, watt_hours) in months.items():
        year, number = map(int, month.split("-"))
        month_before = f"{year - 1}-{number:02d}"
        length, length_before = (monthrange(y, number)[1] for y in (year, year - 1))
        days_before, before = months.get((home, month_before), (0, 0))
        a_day, a_day_before = Fraction(watt_hours, days), Fraction(before, length_before)
        implausible_before = month_before >= METHOD_FROM and a_day_before < 100
        if month < METHOD_FROM:
            fate = "no-method-in-force"
        elif days < length:
            fate = "partial-month"
        elif watt_hours == 0:
            fate = "energy-not-positive"
        elif a_day < 100:
            fate = "suspicious-unit"
        elif days_before < length_before or implausible_before:
            fate = "base-month-missing"
        elif a_day_before < 100:
            fate = "base-energy-out-of-range"
        elif a_day * 10 < a_day_before:
            fate = "saving-too-large"
        else:
            fate = "no-rule-in-force" if month < RULE_FROM else "month"
        counts[fate] += days
    return counts


def runs_count(folder: Path) -> Counter[str]:
    """Stop times of the bus runs, by whether the shape reaches both ends of the run."""
    stops = {r["stop_id"]: (float(r["stop_lat"]), float(r["stop_lon"]))
             for r in rows_of(folder / "stops.txt")}  # fmt: skip
    shape_of = {r["trip_id"]: r["shape_id"] for r in rows_of(folder / "trips.txt")}
    runs: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for row in rows_of(folder / "stop_times.txt"):
        runs[row["trip_id"]].append((int(row["stop_sequence"]), row["stop_id"]))
    points: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for row in rows_of(folder / "shapes.txt"):
        points[row["shape_id"]].append((float(row["shape_pt_lat"]), float(row["shape_pt_lon"])))
    counts: Counter[str] = Counter()
    for trip, listed in runs.items():
        ends = stops[min(listed)[1]], stops[max(listed)[1]]
        away_m = max(min(chord_m(end, p) for p in points[shape_of[trip]]) for end in ends)
        counts["with-distance" if away_m <= 100 else "without-distance"] += len(listed)
    return counts


def shape_lengths_m(shapes: Path) -> dict[str, float]:
    """The length of each shape, point by point."""
    points: dict[str, list[tuple[int, tuple[float, float]]]] = defaultdict(list)
    for row in rows_of(shapes):
        place = float(row["shape_pt_lat"]), float(row["shape_pt_lon"])
        points[row["shape_id"]].append((int(row["shape_pt_sequence"]), place))
    lengths: dict[str, float] = {}
    for shape, listed in points.items():
        ordered = [place for _, place in sorted(listed)]
        lengths[shape] = sum(map(chord_m, ordered, ordered[1:]))
    return lengths


@dataclass(frozen=True, slots=True)
class Ride:
    """One ride or boarding as its partner reported it; `person` is whoever it was booked to."""

    event_id: str
    person: object
    ends: datetime
    seconds: int
    digest: bytes

    @property
    def starts(self) -> datetime:
        """When it began: a boarding is a point in time."""
        return self.ends - timedelta(seconds=min(self.seconds, 86_400))


def twice_claimed(rides: Iterable[Ride]) -> set[str]:
    """The rides of one kind that a stronger one of the same person contradicts, pair by pair.

    Two cannot both be true if they share more than a minute or end within one; the earlier start
    is the stronger, then the smaller digest (docs/decisions/0011-double-claims.md).
    """
    minute = timedelta(minutes=1)
    of_person: dict[object, list[Ride]] = defaultdict(list)
    for ride in rides:
        of_person[ride.person].append(ride)
    losers: set[str] = set()
    for of_one in of_person.values():
        for a, b in combinations(of_one, 2):
            shared = min(a.ends, b.ends) - max(a.starts, b.starts)
            if shared > minute or abs(a.ends - b.ends) < minute:
                losers.add(max(a, b, key=lambda ride: (ride.starts, ride.digest)).event_id)
    return losers
