"""Goal: a table is read as its owner sees it, or refused with the place and the remedy.

Method: the same few rows written the way spreadsheets, old exports and other countries write them.
"""

import codecs
from datetime import datetime
from pathlib import Path

import openpyxl
import pytest

from backend.partner_client import MappingError
from backend.partner_client.mapping import FileKind
from backend.partner_client.tables import Formula, open_table

HEADER = ["户号", "日期", "电量"]
ROWS = [["甲一", "2013-01-01", "1.5"], ["乙二", "2013-01-02", "2"]]
TEXT = "\r\n".join(",".join(row) for row in [HEADER, *ROWS]) + "\r\n"
WHOLE = [dict(zip(HEADER, row, strict=True)) for row in ROWS]


def written(tmp_path: Path, data: bytes | str, name: str = "file.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def workbook(tmp_path: Path, *rows: list, sheet: str = "表1", also: str | None = None) -> Path:
    book = openpyxl.Workbook()
    active = book.active
    assert active is not None
    active.title = sheet
    for row in rows:
        active.append(row)
    if also:
        book.create_sheet(also)
    book.save(tmp_path / "file.xlsx")
    return tmp_path / "file.xlsx"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (TEXT.encode(), "utf-8 (detected: every byte fits)"),
        (codecs.BOM_UTF8 + TEXT.encode(), "utf-8-sig (detected: byte order mark)"),
        (TEXT.encode("gb18030"), "gb18030 (detected: not UTF-8"),
        (TEXT.encode("utf-16"), "utf-16 (detected: byte order mark)"),
    ],
)
def test_the_encoding_is_found_and_told(tmp_path: Path, data: bytes, said: str) -> None:
    table = open_table(written(tmp_path, data), FileKind(), HEADER)
    assert list(table.rows()) == WHOLE
    assert said in table.notes[0]


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030", "big5"])
def test_a_declared_encoding_is_held_to_every_byte(tmp_path: Path, encoding: str) -> None:
    path = written(tmp_path, TEXT.encode("gb18030" if encoding == "gb18030" else "utf-8"))
    if encoding == "big5":
        with pytest.raises(MappingError, match=r"is not big5.*byte 0x.. at offset"):
            open_table(path, FileKind(encoding=encoding))
    else:
        table = open_table(path, FileKind(encoding=encoding))
        assert (list(table.rows()), table.notes) == (WHOLE, ())


def test_a_byte_order_mark_is_no_part_of_a_declared_utf8_header(tmp_path: Path) -> None:
    path = written(tmp_path, codecs.BOM_UTF8 + TEXT.encode())
    assert open_table(path, FileKind(encoding="utf-8")).header == tuple(HEADER)


def test_latin_text_is_not_taken_for_chinese(tmp_path: Path) -> None:
    path = written(tmp_path, "Straße,Größe\nKöln,1\n".encode("latin-1"))
    with pytest.raises(MappingError, match="cannot be told"):
        open_table(path, FileKind())
    assert open_table(path, FileKind(encoding="latin-1")).header == ("Straße", "Größe")


def test_a_wrong_byte_far_into_a_file_is_found_before_anything_is_sent(tmp_path: Path) -> None:
    good = b"a,b\n" + b"1,2\n" * 400_000
    with pytest.raises(MappingError, match=r"0xff at offset 1,600,004"):
        open_table(written(tmp_path, good + b"\xff"), FileKind(encoding="utf-8"))


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_the_delimiter_is_found_and_told(tmp_path: Path, delimiter: str) -> None:
    table = open_table(written(tmp_path, TEXT.replace(",", delimiter)), FileKind())
    assert list(table.rows()) == WHOLE
    assert repr(delimiter) in table.notes[1]


def test_a_comma_inside_quotes_is_no_delimiter(tmp_path: Path) -> None:
    table = open_table(written(tmp_path, 'a;b\n"x,y";1\n"p,q,r";2\n'), FileKind())
    assert list(table.rows()) == [{"a": "x,y", "b": "1"}, {"a": "p,q,r", "b": "2"}]


def test_rows_of_another_width_are_not_guessed_at(tmp_path: Path) -> None:
    table = open_table(written(tmp_path, "a,b\n1,2\n1\n1,2,3\n\n4,5\n"), FileKind(delimiter=","))
    assert list(table.rows()) == [{"a": "1", "b": "2"}, None, None, {"a": "4", "b": "5"}]


def test_an_open_quotation_mark_is_named_with_its_line(tmp_path: Path) -> None:
    path = written(tmp_path, 'a,b\n1,"2\n' + "3,4\n" * 300_000)
    with pytest.raises(MappingError, match=r"line .*quotation mark"):
        list(open_table(path, FileKind(delimiter=",")).rows())


def test_a_missing_column_is_named_with_what_is_there(tmp_path: Path) -> None:
    path = written(tmp_path, "Customer,Date,kWh_total\nA,2013-01-01,1\n")
    with pytest.raises(MappingError) as refused:
        open_table(path, FileKind(), ["Customer", "kwh_total"])
    assert "has no column kwh_total" in str(refused.value)
    assert "it has Customer, Date, kWh_total" in str(refused.value)
    assert "'kWh_total' meant by 'kwh_total'" in str(refused.value)


def test_a_header_below_a_title_is_pointed_at(tmp_path: Path) -> None:
    path = workbook(tmp_path, ["2013 年用电量"], [None], HEADER, *ROWS)
    with pytest.raises(MappingError, match=r"stands in row 3: declare .*header_row: 3"):
        open_table(path, FileKind(), HEADER)
    assert list(open_table(path, FileKind(header_row=3), HEADER).rows()) == WHOLE


def test_a_header_of_merged_rows_is_joined(tmp_path: Path) -> None:
    path = workbook(
        tmp_path, ["户号", "一月", None, "二月"], [None, "峰", "谷", "峰"], ["A", 1, 2, 3]
    )
    table = open_table(path, FileKind(header_rows=2))
    assert list(table.rows()) == [{"户号": "A", "一月 峰": "1", "一月 谷": "2", "二月 峰": "3"}]


def test_two_columns_of_one_name_are_refused_when_one_is_needed(tmp_path: Path) -> None:
    path = written(tmp_path, "a,a,b\n1,2,3\n")
    assert open_table(path, FileKind(), ["b"]).header == ("a", "a", "b")
    with pytest.raises(MappingError, match="several columns named a"):
        open_table(path, FileKind(), ["a"])


def test_cells_of_a_workbook_read_as_excel_shows_them(tmp_path: Path) -> None:
    path = workbook(
        tmp_path,
        ["n", "x", "at", "yes", "no"],
        [7, 0.1 + 0.2, datetime(2013, 1, 1, 0, 29, 59, 999_997), True, None],  # noqa: DTZ001
    )
    (row,) = open_table(path, FileKind()).rows()
    assert row == {"n": "7", "x": "0.3", "at": "2013-01-01 00:30:00", "yes": "TRUE", "no": ""}


def test_a_formula_is_marked_and_its_stored_value_only_taken_when_asked(tmp_path: Path) -> None:
    path = workbook(tmp_path, ["a", "b"], [1, "=A2*2"])
    (marked,) = open_table(path, FileKind()).rows()
    assert marked is not None
    assert isinstance(marked["b"], Formula)
    # The library that wrote this file computes nothing, so that no value is stored.
    assert list(open_table(path, FileKind(formulas="stored")).rows()) == [{"a": "1", "b": ""}]


def test_a_wrong_sheet_is_named_with_those_there(tmp_path: Path) -> None:
    path = workbook(tmp_path, HEADER, *ROWS, also="说明")
    with pytest.raises(MappingError, match="no sheet '表9'; it has 表1, 说明"):
        open_table(path, FileKind(sheet="表9"))
    assert "not read: 说明" in open_table(path, FileKind()).notes[0]
    with pytest.raises(MappingError, match="no row 1"):
        open_table(path, FileKind(sheet="说明"))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", r"old Excel file \(.xls\)"),
        (b"PK\x03\x04 no archive", "cannot be read as an Excel workbook"),
    ],
)
def test_a_file_that_is_no_table_is_refused(tmp_path: Path, data: bytes, said: str) -> None:
    with pytest.raises(MappingError, match=said):
        open_table(written(tmp_path, data), FileKind())


def test_lines_of_json_keep_numbers_as_spelled(tmp_path: Path) -> None:
    path = written(tmp_path, '{"a": 0.10, "b": null}\nnot json\n[1]\n{"a": "x", "b": true}\n')
    table = open_table(path, FileKind(), ["a", "b"])
    assert list(table.rows()) == [{"a": "0.10", "b": ""}, None, None, {"a": "x", "b": "true"}]
