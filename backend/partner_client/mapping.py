"""The mapping file: how a file's columns become events. YAML, read strictly.

docs/sending-files.md explains every part with examples; docs/mappings/ holds whole ones.
"""

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError


class MappingError(ValueError):
    """The mapping or the file cannot be used; the message names what to mend."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _exact(value: object) -> object:
    # YAML reads 0.1 as a binary fraction; its shortest spelling is what was written.
    return str(value) if isinstance(value, int | float) else value


Names = Annotated[list[str], BeforeValidator(_listed), Field(min_length=1)]
Exact = Annotated[Decimal, BeforeValidator(_exact), Field(allow_inf_nan=False)]
Two = Annotated[list[str], Field(min_length=2, max_length=2)]


class FileKind(_Part):
    """How the file is written. `auto` is found out from the file, and what was found is shown."""

    kind: Literal["auto", "csv", "ndjson", "xlsx"] = "auto"
    encoding: str = "auto"
    delimiter: str = "auto"
    sheet: str | None = None
    header_row: Annotated[int, Field(ge=1)] = 1
    header_rows: Annotated[int, Field(ge=1, le=5)] = 1
    formulas: Literal["refuse", "stored"] = "refuse"
    missing: list[str] = []
    decimal: Literal[".", ","] = "."
    thousands: Literal["", ",", ".", " ", "'"] = ""


class Unfold(_Part):
    """A wide table made long: every column whose name matches becomes a row of its own."""

    columns: str
    name: str
    value: str


class Lookup(_Part):
    """Columns of another table, found by a key: a join of many rows to one."""

    file: str
    by: str
    key: str
    take: list[str]


class Column(_Part):
    """Where a value comes from and what is done to its text. Several columns join by a space.

    A row without a time is left out, unless the time is `optional`.
    """

    column: Names
    time: Annotated[list[str] | None, BeforeValidator(_listed)] = None
    zone: str | None = None
    year_offset: int = 0
    hours_past_24: bool = False
    ambiguous: Literal["first", "second"] = "first"
    strip_suffix: str | None = None
    optional: bool = False


class Keep(_Part):
    """Which rows belong to the scenario; the others are named in the report."""

    column: str
    values: list[str]
    otherwise: str


class Pair(_Part):
    """Two rows of one person become one event."""

    by: str
    kind: str
    first: str
    then: str
    order: str
    only_first: str
    only_then: str


class Group(_Part):
    """All rows with one value become one event, known by its first and its last row."""

    by: str
    order: str


class Months(_Part):
    """Readings of a meter become one event for each calendar month.

    A reading covers an interval, a day or a month. A day counts when it is complete; the rows of
    other days are left out under the name `incomplete`. Names made: `by`, `month` (its last
    second), `days` (complete ones), `total`.
    """

    by: str
    at: str
    add: str
    each: Literal["interval", "day", "month"]
    per_day: Annotated[int, Field(ge=1, le=1_440)] = 1
    readings: str | None = None
    label: Literal["start", "end"] = "start"
    incomplete: str = "incomplete-day"


class Places(_Part):
    """Coordinates by name, from a table or a JSON file beside the mapping or the data file."""

    file: str
    items: str = ""
    name: str
    lon_lat: str | None = None
    lon: str | None = None
    lat: str | None = None


class Shapes(_Part):
    """Lines along which vehicles run, point by point, as in shapes.txt of GTFS."""

    file: str
    shape: str = "shape_id"
    lon: str = "shape_pt_lon"
    lat: str = "shape_pt_lat"
    order: str = "shape_pt_sequence"
    within_m: Annotated[int, Field(ge=1)] = 100


class Assign(_Part):
    """A seeded assignment of subjects to the values of a column (replays of old files)."""

    assign_by: str
    seed: int


class FromColumn(_Part):
    """A whole number from a column, scaled by an exact factor."""

    column: str
    multiply: Exact = Decimal(1)
    round: Literal["exact", "down", "nearest"] = "exact"
    optional: bool = False


class Text(_Part):
    """A text from a column as it stands."""

    text: str
    optional: bool = False


class Constant(_Part):
    """The same value in every event."""

    constant: bool | int | str


class TrueWhen(_Part):
    """True where a column holds one of the values, otherwise false."""

    true_when: str
    values: list[str]


class DistanceBetween(_Part):
    """Metres between two named places along the great circle, rounded down.

    `same_place` names the rows left out because both places are one.
    """

    distance_between: Two
    same_place: str | None = None


class DistanceAlong(_Part):
    """Metres along a shape between the points of it nearest to two stops, rounded down.

    `optional` sends the event without a distance where a stop does not lie on the shape.
    """

    along_shape: str
    stops: Two
    optional: bool = False


class SecondsBetween(_Part):
    """Whole seconds from one time to another."""

    seconds_between: Two


class Instant(_Part):
    """A time as RFC 3339 text or as whole seconds since 1970."""

    instant: str
    spelled: Literal["text", "unix_s"] = "text"


class MonthOf(_Part):
    """The calendar month of a time: `2013-01`, or 201301 as a number."""

    month_of: str
    spelled: Literal["text", "number"] = "text"


Datum = (
    FromColumn
    | Text
    | Constant
    | TrueWhen
    | DistanceBetween
    | DistanceAlong
    | SecondsBetween
    | Instant
    | MonthOf
)


class SubjectColumn(_Part):
    """The column that holds the binding token."""

    column: str


class EventShape(_Part):
    """How an event is made of named values."""

    id: list[str]
    time: str
    subject: Assign | SubjectColumn
    data: dict[str, Datum]


class Mapping(_Part):
    """A whole mapping file."""

    format: Literal["tanhui-mapping-v1"]
    scenario: str
    source: str
    time_zone: str
    file: FileKind = FileKind()
    unfold: Unfold | None = None
    lookups: list[Lookup] = []
    columns: dict[str, Column]
    keep: Keep | None = None
    pair: Pair | None = None
    group: Group | None = None
    months: Months | None = None
    places: Places | None = None
    shapes: Shapes | None = None
    event: EventShape


def read_mapping(path: Path) -> Mapping:
    """Read and check a mapping. Raises MappingError with every fault found."""
    return mapping_of(path.read_text("utf-8"), str(path))


def mapping_of(text: str, name: str) -> Mapping:
    """The mapping a YAML text holds; `name` stands in the errors."""
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise MappingError(f"{name} is not YAML: {error}") from error
    try:
        mapping = Mapping.model_validate(document)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(str(p) for p in e['loc'])}: {e['msg']}" for e in error.errors()
        )
        raise MappingError(f"{name}: {faults}") from error
    _check_names(mapping)
    _check_zones(mapping)
    return mapping


def _check_names(mapping: Mapping) -> None:
    """Every name used must be a declared column, or one that the join of the rows makes."""
    if sum(join is not None for join in (mapping.pair, mapping.group, mapping.months)) > 1:
        raise MappingError("a mapping has at most one of `pair`, `group`, `months`")
    plain = set(mapping.columns)
    used = _names_used(mapping.event)
    unknown = used - _names_made(mapping, plain)
    before: set[str] = set()
    if mapping.keep:
        before.add(mapping.keep.column)
    if mapping.pair:
        before |= {mapping.pair.by, mapping.pair.kind, mapping.pair.order}
    if mapping.group:
        before |= {mapping.group.by, mapping.group.order}
    if mapping.months:
        before |= {mapping.months.by, mapping.months.at, mapping.months.add}
        before |= {mapping.months.readings} if mapping.months.readings else set()
    unknown |= before - plain
    if unknown:
        raise MappingError(f"names that no column declares: {', '.join(sorted(unknown))}")
    values = mapping.event.data.values()
    if not mapping.places and any(isinstance(v, DistanceBetween | DistanceAlong) for v in values):
        raise MappingError("distance_between and along_shape need `places`")
    if not mapping.shapes and any(isinstance(v, DistanceAlong) for v in values):
        raise MappingError("along_shape needs `shapes`")


def _names_made(mapping: Mapping, plain: set[str]) -> set[str]:
    if mapping.pair:
        made = {f"{side}.{name}" for side in ("first", "then") for name in plain}
        return made | {mapping.pair.by}
    if mapping.group:
        made = {f"{side}.{name}" for side in ("first", "last") for name in plain}
        return made | {mapping.group.by}
    if mapping.months:
        return {mapping.months.by, "month", "days", "total"}
    return plain


def _names_used(event: EventShape) -> set[str]:
    subject = event.subject
    used = {*event.id, event.time}
    used.add(subject.assign_by if isinstance(subject, Assign) else subject.column)
    for value in event.data.values():
        match value:
            case FromColumn():
                used.add(value.column)
            case Text():
                used.add(value.text)
            case TrueWhen():
                used.add(value.true_when)
            case DistanceBetween():
                used.update(value.distance_between)
            case DistanceAlong():
                used.update([value.along_shape, *value.stops])
            case SecondsBetween():
                used.update(value.seconds_between)
            case Instant():
                used.add(value.instant)
            case MonthOf():
                used.add(value.month_of)
            case Constant():
                pass
    return used


def _check_zones(mapping: Mapping) -> None:
    for zone in {mapping.time_zone, *(c.zone for c in mapping.columns.values() if c.zone)}:
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise MappingError(f"time zone {zone!r} is not known") from error
