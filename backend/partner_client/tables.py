"""Tables as people have them: CSV of any encoding and delimiter, Excel workbooks, NDJSON.

Read row by row, so that a file may be larger than memory. What had to be found out about a file
is told, never silently assumed.
"""

import codecs
import csv
import difflib
import importlib
import io
import json
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, cast

from backend.partner_client.mapping import FileKind, MappingError

SNIFF_BYTES = 64 * 1024
HEADER_SEARCH_ROWS = 20
FIELD_CHARS_MAX = 1_000_000
DELIMITERS = ",;\t|"

Row = dict[str, str]


class Formula(str):
    """A cell that holds a formula in place of a value."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Table:
    """A table ready to be read: how it is written, and what had to be found out (`notes`)."""

    path: Path
    kind: FileKind
    header: tuple[str, ...]
    notes: tuple[str, ...]

    def rows(self) -> Iterator[Row | None]:
        """Every row under the header; None for one with more or fewer fields than the header."""
        if self.kind.kind == "ndjson":
            yield from _ndjson_rows(self.path, self.kind.encoding)
            return
        width = len(self.header)
        for cells in _cells_under_header(self.path, self.kind):
            yield dict(zip(self.header, cells, strict=True)) if len(cells) == width else None


def open_table(path: Path, declared: FileKind, needed: Sequence[str] = ()) -> Table:
    """Find out how a file is written and read its header.

    `needed` are columns it must have. Raises MappingError where the file cannot be read as
    declared or a column is missing, saying what stands there instead.
    """
    notes: list[str] = []
    kind = declared.model_copy(update={"kind": _kind_of(path, declared.kind)})
    if kind.kind == "xlsx":
        kind = _with_sheet(path, kind, notes)
    else:
        kind = kind.model_copy(update={"encoding": _encoding_of(path, kind.encoding, notes)})
    if kind.kind == "csv":
        kind = kind.model_copy(update={"delimiter": _delimiter_of(path, kind, notes)})
    header = _ndjson_header(path, kind.encoding) if kind.kind == "ndjson" else _header(path, kind)
    _check_header(path, kind, header, needed)
    return Table(path, kind, tuple(header), tuple(notes))


def _kind_of(path: Path, declared: str) -> str:
    with path.open("rb") as file:
        head = file.read(SNIFF_BYTES)
    if not head.strip():
        raise MappingError(f"{path} is empty")
    if head.startswith(b"\xd0\xcf\x11\xe0"):
        raise MappingError(f"{path} is an old Excel file (.xls): save it as .xlsx or CSV")
    if declared != "auto":
        return declared
    if head.startswith(b"PK\x03\x04"):
        return "xlsx"
    return "ndjson" if head.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"{") else "csv"


def _encoding_of(path: Path, declared: str, notes: list[str]) -> str:
    if declared != "auto":
        try:
            name = codecs.lookup(declared).name
        except LookupError as error:
            raise MappingError(f"encoding {declared!r} is not known") from error
        chosen = "utf-8-sig" if name == "utf-8" else name
        fault = _fault_in(path, chosen)
        if fault:
            raise MappingError(f"{path} is not {declared}, as the mapping declares: {fault}")
        return chosen
    with path.open("rb") as file:
        head = file.read(4)
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        chosen, why = "utf-16", "byte order mark"
    elif head.startswith(codecs.BOM_UTF8):
        chosen, why = "utf-8-sig", "byte order mark"
    elif _fault_in(path, "utf-8") is None:
        chosen, why = "utf-8", "every byte fits"
    else:
        chosen, why = "gb18030", "not UTF-8; its characters are common Chinese ones"
    fault = _fault_in(path, chosen)
    if fault is None and chosen == "gb18030" and not _reads_as_chinese(path):
        fault = "as gb18030 it would not read as Chinese"
    if fault:
        raise MappingError(
            f"{path}: the encoding cannot be told ({fault}); declare it as `file: {{encoding: …}}`"
        )
    notes.append(f"编码 encoding: {chosen} (detected: {why})")
    return chosen


def _fault_in(path: Path, encoding: str) -> str | None:
    """Where the first byte stands that is not of the encoding; None if all are."""
    decoder = codecs.getincrementaldecoder(encoding)()
    offset = 0
    with path.open("rb") as file:
        while True:
            block = file.read(1 << 20)
            # What the decoder holds back from the block before counts into the error's place.
            held = len(decoder.getstate()[0])
            try:
                decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                place = offset - held + error.start
                value = error.object[error.start]
                return f"byte 0x{value:02x} at offset {place:,}"
            if not block:
                return None
            offset += len(block)


def _reads_as_chinese(path: Path) -> bool:
    """Nearly every byte sequence is some GB18030; real text keeps to the common characters."""
    with path.open("rb") as file:
        raw = file.read(1 << 20)
    foreign = [c for c in raw.decode("gb18030", "ignore") if ord(c) > 127]
    common = sum(1 for c in foreign if c.encode("gb2312", "ignore"))
    return common >= len(foreign) * 9 // 10


def _delimiter_of(path: Path, kind: FileKind, notes: list[str]) -> str:
    if kind.delimiter != "auto":
        if len(kind.delimiter) != 1:
            raise MappingError(f"the delimiter must be one character, not {kind.delimiter!r}")
        return kind.delimiter
    with path.open("rb") as file:
        # A sequence cut at the end of the piece is ignored.
        piece = file.read(SNIFF_BYTES).decode(kind.encoding, "ignore")
    best, best_width = ",", 1
    for delimiter in DELIMITERS:
        records = list(csv.reader(io.StringIO(piece), delimiter=delimiter))[kind.header_row - 1 :]
        widths = [len(record) for record in records[:HEADER_SEARCH_ROWS] if record]
        if widths and min(widths) == max(widths) > best_width:
            best, best_width = delimiter, widths[0]
    if best != ",":
        notes.append(f"分隔符 delimiter: {best!r} (detected)")
    return best


def _records(path: Path, kind: FileKind) -> Generator[list[str], None, None]:
    """Every record of the file as texts, header and empty ones included, as people count rows."""
    if kind.kind == "xlsx":
        yield from _sheet_rows(path, kind)
        return
    csv.field_size_limit(FIELD_CHARS_MAX)
    with path.open(encoding=kind.encoding, newline="") as file:
        reader = csv.reader(file, delimiter=kind.delimiter)
        try:
            yield from reader
        except csv.Error as error:
            raise MappingError(
                f"{path}, line {reader.line_num:,}: {error}; is a quotation mark left open?"
            ) from error


def first_records(path: Path, kind: FileKind) -> list[list[str]]:
    """The first records of a file, header included, where a header may be looked for."""
    with closing(_records(path, kind)) as records:
        return list(islice(records, HEADER_SEARCH_ROWS))


def _cells_under_header(path: Path, kind: FileKind) -> Iterator[list[str]]:
    with closing(_records(path, kind)) as records:
        for number, record in enumerate(records, 1):
            if record and number >= kind.header_row + kind.header_rows:
                yield record


def _header(path: Path, kind: FileKind) -> list[str]:
    with closing(_records(path, kind)) as records:
        found: list[list[str]] = []
        for number, record in enumerate(records, 1):
            if number >= kind.header_row:
                found.append([cell.strip() for cell in record])
            if len(found) == kind.header_rows:
                break
    if not found:
        raise MappingError(f"{path} has no row {kind.header_row}, where the header should be")
    if len(found) == 1:
        return found[0]
    # A merged cell holds its text in its first column only; the last row is never merged across.
    for upper in found[:-1]:
        for column in range(1, len(upper)):
            upper[column] = upper[column] or upper[column - 1]
    width = max(map(len, found))
    padded = [row + [""] * (width - len(row)) for row in found]
    return [" ".join(filter(None, dict.fromkeys(column))) for column in zip(*padded, strict=True)]


def _check_header(path: Path, kind: FileKind, header: Sequence[str], needed: Sequence[str]) -> None:
    missing = sorted(set(needed) - set(header))
    if missing:
        hints = [f"{path} has no column {', '.join(missing)}"]
        if kind.kind != "ndjson":
            hints += _hints(path, kind, header, missing)
        raise MappingError("; ".join(hints))
    doubled = sorted({name for name in needed if header.count(name) > 1})
    if doubled:
        raise MappingError(f"{path} has several columns named {', '.join(doubled)}")


def _hints(
    path: Path, kind: FileKind, header: Sequence[str], missing: Sequence[str]
) -> Iterator[str]:
    with closing(_records(path, kind)) as records:
        for number, record in enumerate(records, 1):
            if number > HEADER_SEARCH_ROWS:
                break
            if set(missing) <= {cell.strip() for cell in record}:
                yield f"it stands in row {number}: declare `file: {{header_row: {number}}}`"
                return
    yield "it has " + ", ".join(name or "(no name)" for name in header[:40])
    for name in missing:
        close = difflib.get_close_matches(name, header, 1)
        if close:
            yield f"is {close[0]!r} meant by {name!r}?"


def _ndjson_rows(path: Path, encoding: str) -> Generator[Row | None, None, None]:
    with path.open(encoding=encoding) as file:
        for line in file:
            if not line.strip():
                continue
            try:
                document: object = json.loads(line, parse_float=str, parse_int=str)
            except ValueError:
                document = None
            if isinstance(document, dict):
                members = cast("dict[str, object]", document)
                yield {key: _json_text(value) for key, value in members.items()}
            else:
                yield None


def _json_text(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _ndjson_header(path: Path, encoding: str) -> list[str]:
    with closing(_ndjson_rows(path, encoding)) as rows:
        first = next((row for row in rows if row), None)
        return list(first or ())


def _workbook(path: Path, *, stored: bool) -> Any:
    # Loaded when needed: most files are text.
    openpyxl: Any = importlib.import_module("openpyxl")
    try:
        return openpyxl.load_workbook(path, read_only=True, data_only=stored)
    except Exception as error:
        # The library tells a broken archive in many ways.
        raise MappingError(f"{path} cannot be read as an Excel workbook: {error}") from error


def _with_sheet(path: Path, kind: FileKind, notes: list[str]) -> FileKind:
    book = _workbook(path, stored=False)
    names = [str(sheet.title) for sheet in book.worksheets]
    book.close()
    if not names:
        raise MappingError(f"{path} has no sheet with cells")
    if kind.sheet is not None and kind.sheet not in names:
        raise MappingError(f"{path} has no sheet {kind.sheet!r}; it has {', '.join(names)}")
    if kind.sheet is None and len(names) > 1:
        others = ", ".join(names[1:])
        notes.append(f"工作表 sheet: {names[0]} (the first; not read: {others})")
    return kind.model_copy(update={"sheet": kind.sheet or names[0]})


def _sheet_rows(path: Path, kind: FileKind) -> Iterator[list[str]]:
    book = _workbook(path, stored=kind.formulas == "stored")
    try:
        sheet = book[kind.sheet]
        # Some programs write a wrong extent into the file; the cells themselves are right.
        sheet.reset_dimensions()
        width = 0
        for number, cells in enumerate(sheet.iter_rows(), 1):
            texts = [_cell_text(cell) for cell in cells]
            if number < kind.header_row + kind.header_rows:
                width = _trimmed(texts)
                yield texts[:width]
            elif not any(texts):
                yield []
            else:
                # Excel stores no empty cells at the end of a row.
                filled = texts + [""] * (width - len(texts))
                yield filled[: max(width, _trimmed(filled))]
    finally:
        book.close()


def _trimmed(texts: Sequence[str]) -> int:
    return max((place for place, text in enumerate(texts, 1) if text), default=0)


def _cell_text(cell: Any) -> str:
    value = cell.value
    if value is None:
        return ""
    if cell.data_type == "f":
        return Formula(str(value))
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float):
        # Excel shows and computes with 15 digits; the rest is the noise of binary fractions.
        return f"{value:.15g}"
    if isinstance(value, datetime):
        whole = (value + timedelta(microseconds=500_000)).replace(microsecond=0)
        return whole.isoformat(" ")
    if isinstance(value, date):
        return datetime.combine(value, time()).isoformat(" ")
    return str(value)
