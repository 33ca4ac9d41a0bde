"""The mapping file: how a file's columns become events. YAML, read strictly.

```yaml
format: tanhui-mapping-v1
scenario: transit.metro.trip
source: /gates/2018-09-01          # CloudEvents source
time_zone: Asia/Shanghai           # of times without an offset
file: {kind: csv, encoding: utf-8} # or ndjson
columns:                           # our name: where it comes from
  card:    {column: card_no}
  at:      {column: deal_date, time: "%Y-%m-%d %H:%M:%S"}
  kind:    {column: deal_type}
  station: {column: station, strip_suffix: 站}
keep: {column: kind, values: [地铁入站, 地铁出站], otherwise: not-a-metro-tap}
pair:                              # two rows → one event; leave out where a row is an event
  by: card
  first: 地铁入站
  then: 地铁出站
  kind: kind
  order: at
  only_first: entry-without-exit   # the report's names for what stays alone
  only_then: exit-without-entry
places:                            # for distance_between
  file: stations.json
  items: l.st                      # lists to walk down
  name: n
  lon_lat: sl
event:
  id: [card, first.at, then.at]    # hashed together
  time: then.at                    # the instant the activity ended
  subject: {assign_by: card, seed: 7}   # or {column: token}
  data:
    distance_m: {distance_between: [first.station, then.station]}
    energy_wh:  {column: kwh, multiply: 1000}
```
"""

from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError


class MappingError(ValueError):
    """The mapping cannot be used; the message names the line of thought to mend."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FileKind(_Part):
    """How the file is written."""

    kind: Literal["csv", "ndjson"] = "csv"
    encoding: str = "utf-8"


class Column(_Part):
    """Where a value comes from and what is done to its text."""

    column: str
    time: str | None = None
    strip_suffix: str | None = None


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


class Places(_Part):
    """Coordinates by name, from a JSON or CSV file beside the mapping or the data file."""

    file: str
    items: str = ""
    name: str
    lon_lat: str | None = None
    lon: str | None = None
    lat: str | None = None


class Assign(_Part):
    """A seeded assignment of subjects to the values of a column (replays of old files)."""

    assign_by: str
    seed: int


class FromColumn(_Part):
    """A whole number from a column, scaled by an exact whole factor."""

    column: str
    multiply: int = 1


class DistanceBetween(_Part):
    """Metres between two named places along the great circle, rounded down."""

    distance_between: Annotated[list[str], Field(min_length=2, max_length=2)]


class EventShape(_Part):
    """How an event is made of named values."""

    id: list[str]
    time: str
    subject: Assign | FromColumn
    data: dict[str, DistanceBetween | FromColumn]


class Mapping(_Part):
    """A whole mapping file."""

    format: Literal["tanhui-mapping-v1"]
    scenario: str
    source: str
    time_zone: str
    file: FileKind = FileKind()
    columns: dict[str, Column]
    keep: Keep | None = None
    pair: Pair | None = None
    places: Places | None = None
    event: EventShape


def read_mapping(path: Path) -> Mapping:
    """Read and check a mapping. Raises MappingError with every fault found."""
    try:
        document = yaml.safe_load(path.read_text("utf-8"))
    except yaml.YAMLError as error:
        raise MappingError(f"{path} is not YAML: {error}") from error
    try:
        mapping = Mapping.model_validate(document)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(str(p) for p in e['loc'])}: {e['msg']}" for e in error.errors()
        )
        raise MappingError(f"{path}: {faults}") from error
    _check_names(mapping)
    return mapping


def _check_names(mapping: Mapping) -> None:
    """Every name used must be a declared column, with `first.`/`then.` where rows are paired."""
    plain = set(mapping.columns)
    named = (
        {f"{side}.{name}" for side in ("first", "then") for name in plain} | {mapping.pair.by}
        if mapping.pair
        else plain
    )
    subject = mapping.event.subject
    used = [*mapping.event.id, mapping.event.time]
    used.append(subject.assign_by if isinstance(subject, Assign) else subject.column)
    for value in mapping.event.data.values():
        if isinstance(value, DistanceBetween):
            used += value.distance_between
            if mapping.places is None:
                raise MappingError("distance_between needs `places`")
        else:
            used.append(value.column)
    unknown = sorted(set(used) - named)
    if mapping.pair:
        pair = mapping.pair
        unknown += sorted({pair.by, pair.kind, pair.order} - plain)
    if mapping.keep and mapping.keep.column not in plain:
        unknown.append(mapping.keep.column)
    if unknown:
        raise MappingError(f"names that no column declares: {', '.join(unknown)}")
