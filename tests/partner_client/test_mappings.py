"""Goal: values are exact and named when they are not; joins, months and shifts keep every row.

Method: small files with one quirk each through a mapping of a few lines.
"""

import random
from datetime import datetime
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend.partner_client import MappingError, Prepared, Shift, mapping_of, prepare, spool

BASE = """
format: tanhui-mapping-v1
scenario: test.scenario
source: /test
time_zone: {zone}
file: {{{file}}}
{parts}
columns:
  who: {{column: who}}
  at: {{column: at, time: {time}}}
  amount: {{column: amount}}
event:
  id: [who, at]
  time: at
  subject: {{column: who}}
  data: {{amount: {{column: amount{how}}}}}
"""

MONTHS = """
format: tanhui-mapping-v1
scenario: energy.home.month
source: /test
time_zone: {zone}
{parts}
columns:
  meter: {{column: who}}
  at: {{column: {at}, time: "{time}"}}
  kwh: {{column: amount}}
months: {{by: meter, at: at, add: kwh, {months}}}
event:
  id: [meter, month]
  time: month
  subject: {{column: meter}}
  data:
    energy_wh: {{column: total, multiply: 1000}}
    month: {{month_of: month}}
    days: {{column: days}}
"""


def read(
    tmp_path: Path,
    *rows: str,
    zone: str = "Asia/Shanghai",
    time: str = '"%Y-%m-%d %H:%M"',
    file: str = "",
    how: str = "",
    parts: str = "",
    header: str = "who;at;amount",
    shift: Shift | None = None,
) -> Prepared:
    path = tmp_path / "file.csv"
    path.write_text("\n".join([header, *rows]) + "\n", "utf-8")
    text = BASE.format(zone=zone, time=time, file=f"delimiter: ';', {file}", how=how, parts=parts)
    return prepare(path, mapping_of(text, "test"), tmp_path, [], shift)


def amounts(found: Prepared) -> list[Any]:
    return [event["data"].get("amount") for event in found.events]


def one(tmp_path: Path, amount: str, how: str = "", file: str = "") -> object:
    found = read(tmp_path, f"A;2024-01-01 08:00;{amount}", how=how, file=file)
    return amounts(found)[0] if len(found.events) else next(iter(found.left_out))


@pytest.mark.parametrize(
    ("amount", "how", "file", "expected"),
    [
        ("12", "", "", 12),
        ("12.340", ", multiply: 1000", "", 12_340),
        ("0.1", ", multiply: 0.1", "", "amount-not-whole"),
        ("0.1", ", multiply: 10", "", 1),
        ("1.9", ", round: down", "", 1),
        ("-1.5", ", round: down", "", -2),
        ("1.5", ", round: nearest", "", 2),
        ("1e3", "", "", 1_000),
        ("１２．５", ", multiply: 2", "", 25),
        ("1,234", "", "", "amount-not-a-number"),
        ("1,234,567.8", ", multiply: 10", "thousands: ','", 12_345_678),
        ("1,23", "", "thousands: ','", "amount-not-a-number"),
        ("1.234,5", ", multiply: 10", "thousands: '.', decimal: ','", 12_345),
        ("1_000", "", "", "amount-not-a-number"),
        ("NaN", "", "", "amount-not-a-number"),
        ("inf", "", "", "amount-not-a-number"),
        ("12kWh", "", "", "amount-not-a-number"),
        ("", "", "", "amount-empty"),
        ("NA", "", "missing: [NA]", "amount-empty"),
        ("NA", ", optional: true", "missing: [NA]", None),
        ("9007199254740991", "", "", 2**53 - 1),
        ("9007199254740992", "", "", "amount-too-large"),
        ("1" * 40, "", "", "amount-too-large"),
    ],
)
def test_numbers_are_exact_or_named(
    tmp_path: Path, amount: str, how: str, file: str, expected: object
) -> None:
    assert one(tmp_path, amount, how, file) == expected


@given(kwh=st.decimals("0", "99999", places=3, allow_nan=False))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_scaling_loses_nothing(tmp_path: Path, kwh: Any) -> None:
    assert one(tmp_path, f"{kwh}", ", multiply: 1000") == int(kwh.scaleb(3))


@pytest.mark.parametrize(
    ("at", "time", "zone", "expected"),
    [
        ("2024-01-01 08:00", '"%Y-%m-%d %H:%M"', "Asia/Shanghai", "2024-01-01T08:00:00+08:00"),
        ("1/2/24 8:05", '"%m/%d/%y %H:%M"', "Asia/Shanghai", "2024-01-02T08:05:00+08:00"),
        ("2024年1月2日 8:05", '"%Y年%m月%d日 %H:%M"', "UTC", "2024-01-02T08:05:00+00:00"),
        ("２０２４-01-02 08:05", '"%Y-%m-%d %H:%M"', "UTC", "2024-01-02T08:05:00+00:00"),
        ("2024-01-02T08:05:00-05:00", "iso", "UTC", "2024-01-02T08:05:00-05:00"),
        ("2024/1/2", '["%Y-%m-%d", "%Y/%m/%d"]', "UTC", "2024-01-02T00:00:00+00:00"),
        ("2024-11-03 01:30", '"%Y-%m-%d %H:%M"', "America/New_York", "2024-11-03T01:30:00-04:00"),
        ("2024-03-10 02:30", '"%Y-%m-%d %H:%M"', "America/New_York", "at-not-on-the-clock"),
        ("2024-02-30 08:00", '"%Y-%m-%d %H:%M"', "UTC", "at-unreadable"),
        ("", '"%Y-%m-%d %H:%M"', "UTC", "at-empty"),
        ("0024-02-29 08:00", '"%Y-%m-%d %H:%M", year_offset: 2000', "UTC",
         "2024-02-29T08:00:00+00:00"),
        ("0000-01-01 08:00", '"%Y-%m-%d %H:%M", year_offset: 2000', "UTC", "at-unreadable"),
        ("2024-02-28 25:10", '"%Y-%m-%d %H:%M", hours_past_24: true', "UTC",
         "2024-02-29T01:10:00+00:00"),
        ("2024-11-03 01:30", '"%Y-%m-%d %H:%M", ambiguous: second', "America/New_York",
         "2024-11-03T01:30:00-05:00"),
        ("2024-01-01 08:00", '"%Y-%m-%d %H:%M", zone: Australia/Brisbane', "UTC",
         "2024-01-01T08:00:00+10:00"),
    ],
)  # fmt: skip
def test_times_have_a_zone_or_a_name(
    tmp_path: Path, at: str, time: str, zone: str, expected: str
) -> None:
    found = read(tmp_path, f"A;{at};1", time=time, zone=zone)
    assert [e["time"] for e in found.events] + list(found.left_out) == [expected]


def test_the_same_event_again_is_named_once_more(tmp_path: Path) -> None:
    row = "A;2024-01-01 08:00;1"
    found = read(tmp_path, row, row, "A;2024-01-01 08:00;2", "A;2024-01-01 09:00")
    assert (len(found.events), found.left_out) == (
        1,
        {"duplicate-row": 1, "same-event-again": 1, "row-of-other-width": 1},
    )


def test_a_subject_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert read(tmp_path, ";2024-01-01 08:00;1").left_out == {"who-empty": 1}


def test_lookups_join_many_rows_to_one(tmp_path: Path) -> None:
    (tmp_path / "cards.csv").write_text("card,token\nA,token-a\nB,token-b\n")
    text = BASE.format(zone="UTC", time='"%Y-%m-%d"', file="", how="", parts=(
        "lookups: [{file: cards.csv, by: card, key: card, take: [who]}]"
    ))  # fmt: skip
    path = tmp_path / "file.csv"
    path.write_text("card,at,amount\nA,2024-01-01,1\nC,2024-01-01,1\n")
    (tmp_path / "cards.csv").write_text("card,who\nA,token-a\nB,token-b\n")
    found = prepare(path, mapping_of(text, "test"), tmp_path, [])
    assert [event["subject"] for event in found.events] == ["token-a"]
    assert found.left_out == {"card-not-in-cards": 1}
    (tmp_path / "cards.csv").write_text("card,who\nA,token-a\nA,token-b\n")
    with pytest.raises(MappingError, match="'A' stands twice"):
        prepare(path, mapping_of(text, "test"), tmp_path, [])


@pytest.mark.parametrize(
    ("shift", "expected"),
    [
        (Shift(days=1), "2024-03-01T08:00:00+08:00"),
        (Shift(months=12), "shifted-day-missing"),
        (Shift(months=48), "2028-02-29T08:00:00+08:00"),
        (Shift(months=-1), "2024-01-29T08:00:00+08:00"),
    ],
)
def test_shifts_move_the_clock_not_the_hour(tmp_path: Path, shift: Shift, expected: str) -> None:
    found = read(tmp_path, "A;2024-02-29 08:00;1", shift=shift)
    assert [e["time"] for e in found.events] + list(found.left_out) == [expected]
    assert all(e["originaltime"] == "2024-02-29T08:00:00+08:00" for e in found.events)


def test_a_shift_keeps_the_hour_where_the_clock_changed_between(tmp_path: Path) -> None:
    found = read(tmp_path, "A;2024-01-15 08:00;1", zone="America/New_York", shift=Shift(months=6))
    assert [e["time"] for e in found.events] == ["2024-07-15T08:00:00-04:00"]


def months(
    tmp_path: Path,
    *rows: str,
    shift: Shift | None = None,
    header: str = "who,at,amount",
    each: str = "each: day",
    zone: str = "Asia/Shanghai",
    time: str = "%Y-%m-%d",
    at: str = "at",
    parts: str = "",
) -> Prepared:
    path = tmp_path / "file.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    text = MONTHS.format(zone=zone, months=each, time=time, at=at, parts=parts)
    found = prepare(path, mapping_of(text, "test"), tmp_path, [], shift)
    assert found.events.rows_total + found.left_out.total() == found.rows_total
    return found


def data(found: Prepared) -> list[dict[str, Any]]:
    return [event["data"] for event in found.events]


def test_days_become_months_in_any_order(tmp_path: Path) -> None:
    rows = [f"A,2024-02-{day:02d},0.125" for day in range(1, 30)] + ["B,2024-02-01,1"]
    random.Random(7).shuffle(rows)
    found = months(tmp_path, *rows)
    assert data(found) == [
        {"energy_wh": 3_625, "month": "2024-02", "days": 29},
        {"energy_wh": 1_000, "month": "2024-02", "days": 1},
    ]
    assert {event["time"] for event in found.events} == {"2024-02-29T23:59:59+08:00"}
    assert [rows for rows, _ in found.events.counted()] == [29, 1]


def test_days_that_contradict_or_lack_readings_do_not_count(tmp_path: Path) -> None:
    found = months(tmp_path, "A,2024-02-01,1", "A,2024-02-01,2", "A,2024-02-02,", "A,2024-02-03,3")
    assert data(found) == [{"energy_wh": 3_000, "month": "2024-02", "days": 1}]
    assert found.left_out == {"conflicting-readings": 2, "kwh-empty": 1}


@pytest.mark.parametrize(
    ("label", "hours", "days"), [("start", range(24), 1), ("end", range(1, 25), 1)]
)
def test_a_reading_belongs_to_the_day_its_label_means(
    tmp_path: Path, label: str, hours: range, days: int
) -> None:
    rows = [f"A,2024-01-{31 + h // 24 if h < 24 else '31'} {h:02d}:00,1" for h in hours]
    each = f"each: interval, per_day: 24, label: {label}"
    found = months(
        tmp_path, *rows, each=each, time='%Y-%m-%d %H:%M", hours_past_24: true, zone: "UTC'
    )
    assert data(found) == [{"energy_wh": 24_000, "month": "2024-01", "days": days}]


@pytest.mark.parametrize(("readings", "days"), [(24, 0), (23, 1)])
def test_the_day_the_clock_springs_is_whole_with_an_hour_less(
    tmp_path: Path, readings: int, days: int
) -> None:
    hours = [h for h in range(24) if h != 2][:readings]
    rows = [f"A,2024-03-10 {h:02d}:00,1" for h in hours]
    rows += ["A,2024-03-10 03:30,1"] if readings == 24 else []
    found = months(
        tmp_path, *rows, each="each: interval, per_day: 24", zone="America/New_York",
        time="%Y-%m-%d %H:%M",
    )  # fmt: skip
    assert [d["days"] for d in data(found)] == [1] * days


def test_a_wide_table_of_months_is_unfolded(tmp_path: Path) -> None:
    found = months(
        tmp_path, "A,1.5,2,,NaN", header="who,2023-01,2023-02,2023-03,2023-04",
        each="each: month", at="month", time="%Y-%m",
        parts="unfold: {columns: '\\d{4}-\\d{2}', name: month, value: amount}",
    )  # fmt: skip
    assert data(found) == [
        {"energy_wh": 1_500, "month": "2023-01", "days": 31},
        {"energy_wh": 2_000, "month": "2023-02", "days": 28},
    ]
    assert found.left_out == {"kwh-empty": 1, "kwh-not-a-number": 1}
    assert (found.rows_total, "4 columns unfolded" in found.notes[-1]) == (4, True)


def test_a_wide_table_of_half_hours_is_unfolded(tmp_path: Path) -> None:
    slots = [f"{n // 2:02d}:{n % 2 * 30:02d}" for n in range(48)]
    found = months(
        tmp_path,
        "A,2024-01-01," + ",".join(["0.5"] * 48),
        "A,2024-01-02," + ",".join(["0.5"] * 47 + [""]),
        header="who,day," + ",".join(slots),
        each="each: interval, per_day: 48", at="[day, slot]", time="%Y-%m-%d %H:%M",
        parts="unfold: {columns: '\\d{2}:\\d{2}', name: slot, value: amount}",
    )  # fmt: skip
    assert data(found) == [{"energy_wh": 24_000, "month": "2024-01", "days": 1}]
    assert found.left_out == {"incomplete-day": 47, "kwh-empty": 1}


@pytest.mark.parametrize(
    ("shift", "expected"),
    [(12, "shifted-month-of-other-length"), (48, "2028-02"), (144, "2036-02")],
)
def test_months_move_only_to_months_of_their_length(
    tmp_path: Path, shift: int, expected: str
) -> None:
    found = months(tmp_path, "A,2024-02-01,1", shift=Shift(months=shift))
    assert [d["month"] for d in data(found)] + list(found.left_out) == [expected]


def test_months_are_not_moved_by_days(tmp_path: Path) -> None:
    with pytest.raises(MappingError, match="--shift-months"):
        months(tmp_path, "A,2024-02-01,1", shift=Shift(days=1))


def test_times_and_formulas_of_a_workbook(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    for row in (
        ["who", "at", "amount"],
        ["A", datetime(2024, 1, 1, 8, 30), 1.5],  # noqa: DTZ001
        ["A", "2024-01-01 09:30", 2],
        ["A", "2024-01-01 10:30", "=C2+C3"],
    ):
        sheet.append(row)
    book.save(tmp_path / "file.xlsx")
    text = BASE.format(
        zone="Asia/Shanghai", time='"%Y-%m-%d %H:%M"', file="", how=", multiply: 2", parts=""
    )
    found = prepare(tmp_path / "file.xlsx", mapping_of(text, "test"), tmp_path, [])
    assert [(e["time"][11:16], e["data"]["amount"]) for e in found.events] == [
        ("08:30", 3),
        ("09:30", 4),
    ]
    assert found.left_out == {"amount-formula": 1}


def test_sorting_through_files_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [f"A{n % 7},2024-01-{n % 31 + 1:02d},{n}.5" for n in range(217)]
    whole = months(tmp_path, *rows)
    monkeypatch.setattr(spool, "SORT_ROWS", 10)
    assert list(months(tmp_path, *rows).events) == list(whole.events)


def test_what_was_seen_is_known_for_certain_among_many() -> None:
    seen = spool.Seen()
    assert not any(seen.add(str(n)) for n in range(20_000))
    assert all(seen.add(str(n)) for n in range(20_000))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("time_zone: UTC", "time_zone: Mars/Olympus"),
        ("columns:", "pair: 1\ncolumns:"),
        ("{column: amount}\nevent", "{column: amount, tme: x}\nevent"),
        ("data: {amount: {column: amount}}", "data: {amount: {distance_between: [who, at]}}"),
    ],
)
def test_a_faulty_mapping_is_refused(text: str, said: str) -> None:
    whole = BASE.format(zone="UTC", time='"%Y"', file="", how="", parts="")
    mapping_of(whole, "test")
    assert text in whole
    with pytest.raises(MappingError):
        mapping_of(whole.replace(text, said), "test")
