"""Rows of a file → events, each row accounted for. Pure: no network, no clock."""

import csv
import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from backend.partner_client.mapping import (
    Assign,
    DistanceBetween,
    FromColumn,
    Mapping,
    MappingError,
    Pair,
    Places,
)

EARTH_RADIUS_M = 6_371_008
"""Mean radius of the Earth (IUGG R1, 6,371,008.8 m), rounded down: distances are a lower bound."""

Values = dict[str, str | datetime]
Coordinates = dict[str, tuple[float, float]]


class RowFault(Exception):
    """One row or pair that cannot become an event; the argument is the report's reason."""


@dataclass(slots=True)
class Prepared:
    """Events ready to be signed, and the rows that did not become one, by reason.

    Every row of the file is counted once: `rows_total` = rows behind `events` + `left_out`
    + `unpaired`. `rows_of[event id]` says how many rows an event took.
    """

    events: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    rows_of: dict[str, int] = field(default_factory=dict[str, int])
    left_out: Counter[str] = field(default_factory=Counter[str])
    unpaired: Counter[str] = field(default_factory=Counter[str])
    rows_total: int = 0


def prepare(
    path: Path, mapping: Mapping, mapping_dir: Path, subjects: Sequence[str], shift_days: int
) -> Prepared:
    """Read the whole file and make its events, in the file's order of time.

    `subjects` are binding tokens for a seeded assignment. Raises MappingError where the file
    does not have a declared column or the places file is missing, and OSError, UnicodeError
    where it cannot be read.
    """
    places = _read_places(mapping.places, [mapping_dir, path.parent]) if mapping.places else {}
    maker = _EventMaker(mapping, places, subjects, shift_days)
    prepared = Prepared()
    kept = list(_kept_rows(path, mapping, prepared))
    units = _pairs(kept, mapping.pair, prepared) if mapping.pair else ((row,) for row in kept)
    for unit in units:
        try:
            event = maker.event(unit)
        except RowFault as fault:
            prepared.left_out[str(fault)] += len(unit)
            continue
        prepared.events.append(event)
        prepared.rows_of[event["id"]] = len(unit)
    return prepared


def _kept_rows(path: Path, mapping: Mapping, prepared: Prepared) -> Iterator[Values]:
    seen: set[tuple[str, ...]] = set()
    zone = ZoneInfo(mapping.time_zone)
    for raw in _raw_rows(path, mapping):
        prepared.rows_total += 1
        whole = tuple(f"{key}={value}" for key, value in raw.items())
        if whole in seen:
            prepared.left_out["duplicate-row"] += 1
            continue
        seen.add(whole)
        try:
            values = _values_of(raw, mapping, zone)
        except RowFault as fault:
            prepared.left_out[str(fault)] += 1
            continue
        keep = mapping.keep
        if keep and values[keep.column] not in keep.values:
            prepared.left_out[keep.otherwise] += 1
            continue
        yield values


def _raw_rows(path: Path, mapping: Mapping) -> Iterator[dict[str, str]]:
    with path.open(encoding=mapping.file.encoding, newline="") as file:
        if mapping.file.kind == "ndjson":
            for line in file:
                if line.strip():
                    yield {str(k): _text(v) for k, v in json.loads(line).items()}
            return
        reader = csv.DictReader(file)
        missing = {c.column for c in mapping.columns.values()} - set(reader.fieldnames or ())
        if missing:
            raise MappingError(f"{path} has no column {', '.join(sorted(missing))}")
        for row in reader:
            yield {key: value or "" for key, value in row.items()}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _values_of(raw: dict[str, str], mapping: Mapping, zone: ZoneInfo) -> Values:
    values: Values = {}
    for name, column in mapping.columns.items():
        text = raw.get(column.column, "").strip()
        if column.strip_suffix:
            text = text.removesuffix(column.strip_suffix)
        if column.time is None:
            values[name] = text
            continue
        try:
            at = datetime.strptime(text, column.time)  # noqa: DTZ007 — the zone follows
        except ValueError as error:
            raise RowFault(f"{name}-unreadable") from error
        values[name] = at if at.tzinfo else at.replace(tzinfo=zone)
    return values


def _pairs(
    rows: Sequence[Values], pair: Pair, prepared: Prepared
) -> Iterator[tuple[Values, Values]]:
    """Join each `then` row to the latest open `first` row of the same person, in time order."""
    # The sort is stable: rows of the same second keep the file's order.
    ordered = sorted(rows, key=lambda row: (str(row[pair.by]), row[pair.order]))
    waiting: Values | None = None
    found: list[tuple[Values, Values]] = []
    for row in ordered:
        if waiting is not None and waiting[pair.by] != row[pair.by]:
            prepared.unpaired[pair.only_first] += 1
            waiting = None
        if row[pair.kind] == pair.first:
            if waiting is not None:
                prepared.unpaired[pair.only_first] += 1
            waiting = row
        elif waiting is None:
            prepared.unpaired[pair.only_then] += 1
        else:
            found.append((waiting, row))
            waiting = None
    if waiting is not None:
        prepared.unpaired[pair.only_first] += 1
    found.sort(key=lambda couple: str(couple[1][pair.order]))
    return iter(found)


class _EventMaker:
    """Makes one event of one row or one pair."""

    def __init__(
        self, mapping: Mapping, places: Coordinates, subjects: Sequence[str], shift_days: int
    ) -> None:
        self._mapping = mapping
        self._places = places
        self._subjects = subjects
        self._shift = timedelta(days=shift_days)
        if isinstance(mapping.event.subject, Assign) and not subjects:
            raise MappingError("a seeded assignment needs subjects in the credentials")

    def event(self, unit: Sequence[Values]) -> dict[str, Any]:
        """The CloudEvent of a unit of rows. Raises RowFault with the reason."""
        values = self._named(unit)
        shape = self._mapping.event
        ended = values[shape.time]
        if not isinstance(ended, datetime):
            raise MappingError(f"{shape.time} is not a time")
        event: dict[str, Any] = {
            "specversion": "1.0",
            "id": self._event_id(values),
            "source": self._mapping.source,
            "type": self._mapping.scenario,
            "time": (ended + self._shift).isoformat(timespec="seconds"),
            "subject": self._subject(values),
            "data": {name: self._amount(how, values) for name, how in shape.data.items()},
        }
        if self._shift:
            event["originaltime"] = ended.isoformat(timespec="seconds")
        return event

    def _named(self, unit: Sequence[Values]) -> Values:
        pair = self._mapping.pair
        if pair is None:
            return unit[0]
        first, then = unit
        named: Values = {pair.by: first[pair.by]}
        named.update({f"first.{key}": value for key, value in first.items()})
        named.update({f"then.{key}": value for key, value in then.items()})
        return named

    def _event_id(self, values: Values) -> str:
        parts = [str(values[name]) for name in self._mapping.event.id]
        return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:32]

    def _subject(self, values: Values) -> str:
        how = self._mapping.event.subject
        if isinstance(how, FromColumn):
            return str(values[how.column])
        spelled = f"{how.seed}\x1f{values[how.assign_by]}".encode()
        drawn = int.from_bytes(hashlib.sha256(spelled).digest()[:8])
        return self._subjects[drawn % len(self._subjects)]

    def _amount(self, how: DistanceBetween | FromColumn, values: Values) -> int:
        if isinstance(how, DistanceBetween):
            here, there = (self._place(name, values) for name in how.distance_between)
            return distance_m(here, there)
        text = str(values[how.column])
        try:
            amount = Decimal(text) * how.multiply
        except InvalidOperation as error:
            raise RowFault(f"{how.column}-not-a-number") from error
        if not amount.is_finite() or amount != int(amount):
            raise RowFault(f"{how.column}-not-whole")
        return int(amount)

    def _place(self, name: str, values: Values) -> tuple[float, float]:
        field_name = name.rpartition(".")[2]
        place = str(values[name])
        if not place:
            raise RowFault(f"{field_name}-empty")
        if place not in self._places:
            damaged = "\ufffd" in place or "?" in place
            raise RowFault(f"{field_name}-damaged" if damaged else f"{field_name}-unknown")
        return self._places[place]


def distance_m(here: tuple[float, float], there: tuple[float, float]) -> int:
    """Great-circle distance of two (longitude, latitude) in degrees, in whole metres, rounded down.

    Haversine on the mean radius: a declared lower bound of the way travelled.
    """
    (lon_1, lat_1), (lon_2, lat_2) = (tuple(map(math.radians, point)) for point in (here, there))
    half = (
        math.sin((lat_2 - lat_1) / 2) ** 2
        + math.cos(lat_1) * math.cos(lat_2) * math.sin((lon_2 - lon_1) / 2) ** 2
    )
    return math.floor(2 * EARTH_RADIUS_M * math.asin(math.sqrt(half)))


def _read_places(places: Places, folders: Sequence[Path]) -> Coordinates:
    path = next((d / places.file for d in folders if (d / places.file).is_file()), None)
    if path is None:
        raise MappingError(f"the places file {places.file} is not beside the mapping or the data")
    found: Coordinates = {}
    for item in _place_items(path, places):
        if places.lon_lat is not None:
            lon, lat = str(item[places.lon_lat]).split(",")
        elif places.lon is not None and places.lat is not None:
            lon, lat = str(item[places.lon]), str(item[places.lat])
        else:
            raise MappingError("places need `lon_lat`, or `lon` and `lat`")
        # A station of several lines appears once a line; the first entry stands for it.
        found.setdefault(str(item[places.name]).strip(), (float(lon), float(lat)))
    return found


def _place_items(path: Path, places: Places) -> list[dict[str, Any]]:
    if path.suffix == ".csv":
        with path.open(encoding="utf-8", newline="") as file:
            return [dict(row) for row in csv.DictReader(file)]
    level: list[Any] = [json.loads(path.read_text("utf-8"))]
    for step in filter(None, places.items.split(".")):
        level = [item for parent in level for item in parent[step]]
    return level
