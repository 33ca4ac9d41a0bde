"""Goal: a proposed mapping is usable, explains itself, and claims nothing it cannot see.

Method: headers and sample rows of many kinds, then every real file; each proposal is read as a
mapping and, where it needs no file of its own, applied.
"""

from pathlib import Path

import openpyxl
import pytest

from backend.partner_client import MappingError, Shift, mapping_of, prepare, propose

TOKENS = [f"token-{number:02d}" for number in range(20)]


def proposed(tmp_path: Path, text: str, name: str = "file.csv") -> str:
    path = tmp_path / name
    path.write_text(text, "utf-8")
    return propose(path)


def test_a_chinese_export_with_units_in_its_header(tmp_path: Path) -> None:
    rows = "".join(
        f"{n},U{n:03d},2024年3月{n % 28 + 1}日 8:05,2024年3月{n % 28 + 1}日 9:10,{n}.5\n"
        for n in range(40)
    )
    text = proposed(tmp_path, "订单编号,用户编号,开始时间,结束时间,充电电量(千瓦时)\n" + rows)
    mapping = mapping_of(text, "proposal")
    assert mapping.scenario == "ev.charge.session"
    found = prepare(tmp_path / "file.csv", mapping, tmp_path, TOKENS)
    assert (len(found.events), found.left_out) == (40, {})
    assert next(iter(found.events))["data"] == {
        "energy_wh": 500,
        "start": "2024-03-01T08:05:00+08:00",
        "end": "2024-03-01T09:10:00+08:00",
    }


def test_a_distance_in_kilometres_is_scaled(tmp_path: Path) -> None:
    rows = "".join(f"R{n},2024-03-01 08:{n:02d},{n}.25,{n + 5}\n" for n in range(30))
    text = proposed(tmp_path, "ride id,end time,distance (km),minutes\n" + rows, "bike.csv")
    mapping = mapping_of(text, "proposal")
    found = prepare(tmp_path / "bike.csv", mapping, tmp_path, TOKENS)
    assert mapping.scenario == "bike.shared.ride"
    assert [e["data"] for e in found.events][3] == {"distance_m": 3_250, "duration_s": 480}


def test_day_and_month_that_both_read_are_told_as_a_doubt(tmp_path: Path) -> None:
    head = "ride id,end time,distance (km)\n"
    doubtful = proposed(tmp_path, head + "A,1/2/2024 08:00,1\nB,3/4/2024 08:00,1\n")
    assert "低 low: 几种写法都读得通 also readable as %d/%m/%Y" in doubtful
    assert "also readable" not in proposed(tmp_path, head + "A,1/20/2024 08:00,1\n")


def test_a_wide_workbook_under_a_title_is_unfolded(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(["2023 年居民用电"])
    sheet.append([None])
    sheet.append(["户号", *(f"2023-{month:02d}" for month in range(1, 13))])
    sheet.append(["A1", *(100 + month for month in range(12))])
    sheet.append(["A2", *(200 + month for month in range(12))])
    book.save(tmp_path / "file.xlsx")
    mapping = mapping_of(propose(tmp_path / "file.xlsx"), "proposal")
    assert mapping.file.header_row == 3
    found = prepare(tmp_path / "file.xlsx", mapping, tmp_path, TOKENS)
    assert (len(found.events), found.left_out, found.rows_total) == (24, {}, 24)


def test_missing_marks_and_thousands_are_declared(tmp_path: Path) -> None:
    rows = "".join(f'M{n % 3},2024-03-{n + 1:02d},"1,{n:03d}.5"\n' for n in range(28))
    text = proposed(tmp_path, "meter,date,kwh\nM0,2024-03-29,NA\n" + rows)
    mapping = mapping_of(text, "proposal")
    assert (mapping.file.missing, mapping.file.thousands) == (["NA"], ",")
    found = prepare(tmp_path / "file.csv", mapping, tmp_path, TOKENS)
    assert found.left_out == {"energy-empty": 1}


def test_a_file_of_nothing_we_know_says_what_is_lacking(tmp_path: Path) -> None:
    text = proposed(tmp_path, "colour,weight\nred,1\nblue,2\n")
    assert "No scenario fits" in text
    assert all(line.startswith("#") for line in text.splitlines())
    with pytest.raises(MappingError):
        mapping_of(text, "proposal")


def test_the_same_file_is_proposed_the_same(tmp_path: Path) -> None:
    text = "ride id,end time,distance (km)\nA,1/20/2024 08:00,1\n"
    assert proposed(tmp_path, text) == proposed(tmp_path, text)


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("file", "scenario", "events"),
    [
        ("transit/szt_taps_2018-09-01.csv", "transit.metro.trip", None),
        ("transit/gtfs_cairns_2014/stop_times.txt", "transit.bus.trip", 143),
        ("bike/healthy-ride-rentals-2017-q4.csv", "bike.shared.ride", None),
        ("ev/workplace_charging_sessions.csv", "ev.charge.session", 2_347),
        ("energy/sgsc_daily_6homes_2012_2014.csv", "energy.home.month", 136),
        ("energy/sgsc_halfhour_2homes_2013-01_2014-02.csv", "energy.home.month", 28),
        ("parking/birmingham_occupancy_2016-10-04_2016-11-20.csv", None, None),
        ("demand_response/lcl_dtou_2013-01_2013-03.csv", None, None),
        ("bike/healthyridestations2017.csv", None, None),
    ],
)
def test_every_real_file(
    real_data: Path, tmp_path: Path, file: str, scenario: str | None, events: int | None
) -> None:
    path = real_data / file
    text = propose(path)
    if scenario is None:
        assert "No scenario fits" in text
        return
    mapping = mapping_of(text, "proposal")
    assert mapping.scenario == scenario
    explained = sum(1 for line in text.splitlines() if line.lstrip().startswith("#"))
    assert explained >= len(mapping.columns)
    if mapping.places and mapping.places.file == "stations.csv":
        assert "put your file of station coordinates here" in text
        return
    shift = Shift(months=144) if mapping.months else None
    assert len(prepare(path, mapping, tmp_path, TOKENS, shift).events) == events
