"""Where named places lie, how far apart, and how far along a line. Distances round down."""

import bisect
import json
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from backend.partner_client.mapping import FileKind, Lookup, MappingError, Places, Shapes
from backend.partner_client.tables import Row, open_table
from backend.partner_client.values import RowFault

EARTH_RADIUS_M = 6_371_008
"""Mean radius of the Earth (IUGG R1, 6,371,008.8 m), rounded down: distances are a lower bound."""

Point = tuple[float, float]
"""(longitude, latitude) in degrees."""

Coordinates = dict[str, Point]


def distance_m(here: Point, there: Point) -> int:
    """Great-circle distance of two (longitude, latitude) in degrees, in whole metres, rounded down.

    A declared lower bound of the way travelled.
    """
    return math.floor(_apart_m(here, there))


def _apart_m(here: Point, there: Point) -> float:
    """Haversine on the mean radius."""
    (lon_1, lat_1), (lon_2, lat_2) = (tuple(map(math.radians, point)) for point in (here, there))
    half = (
        math.sin((lat_2 - lat_1) / 2) ** 2
        + math.cos(lat_1) * math.cos(lat_2) * math.sin((lon_2 - lon_1) / 2) ** 2
    )
    return 2 * EARTH_RADIUS_M * math.asin(math.sqrt(half))


@dataclass(frozen=True, slots=True)
class Line:
    """A shape: its points in order, and for each the metres from the start along the line."""

    points: tuple[Point, ...]
    from_start_m: tuple[float, ...]

    def nearest(self, place: Point) -> tuple[float, float]:
        """(metres along the line, metres away from it) of the line's point nearest to a place."""
        narrowing = math.cos(math.radians(place[1]))
        best = (0.0, math.inf)
        for number in range(len(self.points) - 1):
            here, there = self.points[number], self.points[number + 1]
            step_x, step_y = (there[0] - here[0]) * narrowing, there[1] - here[1]
            to_x, to_y = (place[0] - here[0]) * narrowing, place[1] - here[1]
            square = step_x**2 + step_y**2
            share = (to_x * step_x + to_y * step_y) / square if square else 0.0
            share = min(1.0, max(0.0, share))
            foot = (here[0] + share * (there[0] - here[0]), here[1] + share * (there[1] - here[1]))
            away_m = _apart_m(place, foot)
            if away_m < best[1]:
                length_m = self.from_start_m[number + 1] - self.from_start_m[number]
                best = (self.from_start_m[number] + share * length_m, away_m)
        return best


def along_m(line: Line, here: Point, there: Point, within_m: int) -> int:
    """Metres along a line between the points nearest to two places, rounded down.

    Raises RowFault where a place lies farther than `within_m` from the line, or behind the other.
    """
    (start_m, away_here_m), (end_m, away_there_m) = line.nearest(here), line.nearest(there)
    if max(away_here_m, away_there_m) > within_m:
        raise RowFault("stop-off-shape")
    if end_m <= start_m:
        raise RowFault("stops-against-shape")
    return math.floor(end_m - start_m)


def _beside(name: str, folders: Sequence[Path]) -> Path:
    path = next((d / name for d in folders if (d / name).is_file()), None)
    if path is None:
        raise MappingError(f"the file {name} is not beside the mapping or the data")
    return path


def _rows(path: Path, needed: Sequence[str]) -> Iterator[Row]:
    table = open_table(path, FileKind(), needed)
    return (row for row in table.rows() if row is not None)


def read_places(places: Places, folders: Sequence[Path]) -> Coordinates:
    """Coordinates by name. Raises MappingError where the file or a column of it is missing."""
    path = _beside(places.file, folders)
    found: Coordinates = {}
    for item in _place_items(path, places):
        try:
            point = _point(item, places)
        except (KeyError, ValueError) as error:
            raise MappingError(f"{path}: no coordinates in {item!r:.200}") from error
        # A station of several lines appears once a line; the first entry stands for it.
        found.setdefault(str(item[places.name]).strip(), point)
    return found


def _point(item: dict[str, Any], places: Places) -> Point:
    if places.lon_lat is not None:
        lon, lat = str(item[places.lon_lat]).split(",")
    elif places.lon is not None and places.lat is not None:
        lon, lat = str(item[places.lon]), str(item[places.lat])
    else:
        raise MappingError("places need `lon_lat`, or `lon` and `lat`")
    return float(lon), float(lat)


def _place_items(path: Path, places: Places) -> Iterator[dict[str, Any]]:
    if path.suffix != ".json":
        needed = [places.name, places.lon_lat, places.lon, places.lat]
        yield from _rows(path, [name for name in needed if name])
        return
    level: list[Any] = [json.loads(path.read_text("utf-8"))]
    for step in filter(None, places.items.split(".")):
        level = [item for parent in level for item in parent[step]]
    yield from level


def read_shapes(shapes: Shapes, folders: Sequence[Path]) -> dict[str, Line]:
    """Every line of a shapes file by its id."""
    path = _beside(shapes.file, folders)
    needed = [shapes.shape, shapes.order, shapes.lon, shapes.lat]
    points: dict[str, list[tuple[int, Point]]] = defaultdict(list)
    for row in _rows(path, needed):
        shape, order, lon, lat = (row[name] for name in needed)
        try:
            bisect.insort(points[shape], (int(order), (float(lon), float(lat))))
        except ValueError as error:
            raise MappingError(f"{path}: no point in {row!r:.200}") from error
    return {shape: _line([point for _, point in listed]) for shape, listed in points.items()}


def _line(points: Sequence[Point]) -> Line:
    from_start_m = [0.0]
    for here, there in pairwise(points):
        from_start_m.append(from_start_m[-1] + _apart_m(here, there))
    return Line(tuple(points), tuple(from_start_m))


class Looked:
    """The tables a mapping looks up: adds their columns to a row."""

    def __init__(self, lookups: Sequence[Lookup], folders: Sequence[Path]) -> None:
        self._tables: list[tuple[Lookup, dict[str, Row]]] = []
        for lookup in lookups:
            path = _beside(lookup.file, folders)
            by_key: dict[str, Row] = {}
            for row in _rows(path, [lookup.key, *lookup.take]):
                if row[lookup.key] in by_key:
                    raise MappingError(f"{path}: {lookup.key} {row[lookup.key]!r} stands twice")
                by_key[row[lookup.key]] = {name: row[name] for name in lookup.take}
            self._tables.append((lookup, by_key))

    def extended(self, row: Row) -> Row:
        """The row with what was looked up. Raises RowFault where a key is not found."""
        for lookup, by_key in self._tables:
            found = by_key.get(row.get(lookup.by, ""))
            if found is None:
                raise RowFault(f"{lookup.by}-not-in-{Path(lookup.file).stem}")
            row = row | found
        return row
