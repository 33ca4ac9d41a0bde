"""Rows of a file → events, each row accounted for. No network, no clock."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from zoneinfo import ZoneInfo

from backend.partner_client.events import EventMaker, Shift
from backend.partner_client.joins import joined
from backend.partner_client.mapping import Column, Mapping, MappingError
from backend.partner_client.places import Looked, read_places, read_shapes
from backend.partner_client.spool import Seen, Spool
from backend.partner_client.tables import Row, Table, open_table
from backend.partner_client.values import RowFault, Values, text_of, time_of

PROGRESS_ROWS = 5_000

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much is done and of how much (0 where that is unknown)."""


@dataclass(slots=True)
class Prepared:
    """Events ready to be signed, and the rows that did not become one, by reason.

    Every row of the file is counted once: `rows_total` = `events.rows_total` + `left_out` +
    `unpaired`. A cell of an unfolded (wide) table counts as a row. `notes` say how the file was
    read.
    """

    events: Spool = field(default_factory=Spool)
    left_out: Counter[str] = field(default_factory=Counter[str])
    unpaired: Counter[str] = field(default_factory=Counter[str])
    rows_total: int = 0
    notes: list[str] = field(default_factory=list[str])


def prepare(
    path: Path,
    mapping: Mapping,
    mapping_dir: Path,
    subjects: Sequence[str],
    shift: Shift | None = None,
    progress: Progress | None = None,
) -> Prepared:
    """Read the whole file and make its events; they wait on disk when they are many.

    `subjects` are binding tokens for a seeded assignment. Raises MappingError where the file
    cannot be read as the mapping declares, and OSError.
    """
    folders = [mapping_dir, path.parent]
    maker = EventMaker(
        mapping,
        read_places(mapping.places, folders) if mapping.places else {},
        read_shapes(mapping.shapes, folders) if mapping.shapes else {},
        subjects,
        shift or Shift(),
    )
    looked = Looked(mapping.lookups, folders)
    table = open_table(path, mapping.file, _columns_needed(mapping))
    prepared = Prepared(notes=list(table.notes))
    tell = progress or _untold
    rows = _kept_rows(table, mapping, looked, prepared, tell)
    identities = Seen()
    for count, values in joined(rows, mapping, prepared.left_out, prepared.unpaired):
        try:
            event = maker.event(values)
            if identities.add(event["id"]):
                raise RowFault("same-event-again")
        except RowFault as fault:
            prepared.left_out[str(fault)] += count
            continue
        prepared.events.add(event, count)
    for (name, reason), count in sorted(maker.omitted.items()):
        prepared.notes.append(f"{name} 未填 omitted: {reason}, {count:,} events")
    tell("读取 reading", prepared.rows_total, prepared.rows_total)
    return prepared


def _untold(what: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


def _columns_needed(mapping: Mapping) -> list[str]:
    """What the file's header must hold: not what is unfolded or looked up."""
    needed = {name for column in mapping.columns.values() for name in column.column}
    needed |= {lookup.by for lookup in mapping.lookups}
    needed -= {name for lookup in mapping.lookups for name in lookup.take}
    if mapping.unfold:
        needed -= {mapping.unfold.name, mapping.unfold.value}
    return sorted(needed)


def _kept_rows(
    table: Table, mapping: Mapping, looked: Looked, prepared: Prepared, progress: Progress
) -> Iterator[Values]:
    seen = Seen()
    reading = _Reading(table, mapping)
    left_out = prepared.left_out
    for row in reading.rows(prepared.notes):
        prepared.rows_total += 1
        if prepared.rows_total % PROGRESS_ROWS == 0:
            progress("读取 reading", prepared.rows_total, 0)
        if row is None:
            left_out["row-of-other-width"] += 1
        elif seen.add("\x1f".join(f"{key}={value}" for key, value in row.items())):
            left_out["duplicate-row"] += 1
        else:
            try:
                values = reading.values(looked.extended(row))
            except RowFault as fault:
                left_out[str(fault)] += 1
                continue
            keep = mapping.keep
            if keep and values[keep.column] not in keep.values:
                left_out[keep.otherwise] += 1
            else:
                yield values


class _Reading:
    """Rows of one table, unfolded where it is wide, and their values by our names."""

    def __init__(self, table: Table, mapping: Mapping) -> None:
        self._table = table
        self._mapping = mapping
        self._kind = table.kind
        self._native = table.kind.kind == "xlsx"
        self._columns: list[tuple[str, Column, ZoneInfo]] = [
            (name, column, ZoneInfo(column.zone or mapping.time_zone))
            for name, column in mapping.columns.items()
        ]

    def rows(self, notes: list[str]) -> Iterator[Row | None]:
        unfold = self._mapping.unfold
        if unfold is None:
            yield from self._table.rows()
            return
        try:
            wide = [name for name in self._table.header if re.fullmatch(unfold.columns, name)]
        except re.error as error:
            raise MappingError(f"unfold.columns is not a pattern: {error}") from error
        if not wide:
            raise MappingError(f"no column of {self._table.path} matches {unfold.columns!r}")
        notes.append(f"宽表 wide table: {len(wide)} columns unfolded; a cell counts as a row")
        for row in self._table.rows():
            if row is None:
                yield from (None for _ in wide)
                continue
            rest = {name: text for name, text in row.items() if name not in wide}
            for name in wide:
                yield {**rest, unfold.name: name, unfold.value: row[name]}

    def values(self, row: Row) -> Values:
        values: Values = {}
        for name, column, zone in self._columns:
            cells = [row.get(each, "") for each in column.column]
            text = text_of(cells, name, column, self._kind)
            if column.time is None or (column.optional and not text):
                values[name] = text
            else:
                values[name] = time_of(text, name, column, zone, native=self._native)
        return values
