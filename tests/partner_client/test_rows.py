"""Goal: every row of a file is accounted for by name, and pairing is what a person would do.

Method: small files with one quirk each, then the real Shenzhen taps against a count made straight
from the files by other means.
"""

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.partner_client import MappingError, Prepared, Shift, prepare, read_mapping
from backend.partner_client.mapping import Shapes
from backend.partner_client.places import Point, along_m, distance_m, read_shapes
from backend.partner_client.values import RowFault
from tests.partner_client.straight_count import straight_count

MAPPING = Path(__file__).parents[2] / "docs" / "mappings" / "shenzhen-metro-taps.yaml"
HEADER = "card_no,deal_date,deal_type,station\n"
STATIONS = {
    "l": [
        {
            "st": [
                {"n": "太安", "sl": "114.1236,22.5714"},
                {"n": "田贝", "sl": "114.1215,22.5668"},
            ]
        }
    ]
}
TOKENS = ["token-a", "token-b", "token-c"]


def prepared(tmp_path: Path, *lines: str, shift_days: int = 0) -> Prepared:
    data = tmp_path / "taps.csv"
    data.write_text(HEADER + "".join(line + "\n" for line in lines), "utf-8")
    (tmp_path / "szmc.net-metro.json").write_text(json.dumps(STATIONS), "utf-8")
    return prepare(data, read_mapping(MAPPING), MAPPING.parent, TOKENS, Shift(days=shift_days))


def tap(card: str, at: str, kind: str, station: str) -> str:
    return f"{card},2018-09-01 {at},{kind},{station}"


def test_entry_and_exit_become_one_event(tmp_path: Path) -> None:
    found = prepared(
        tmp_path,
        tap("A", "08:20:00", "地铁出站", "田贝站"),
        tap("A", "08:00:00", "地铁入站", "太安"),
        shift_days=1,
    )
    (event,) = found.events
    assert event["time"] == "2018-09-02T08:20:00+08:00"
    assert event["originaltime"] == "2018-09-01T08:20:00+08:00"
    assert 500 < event["data"]["distance_m"] < 600
    assert event["subject"] in TOKENS
    assert list(found.events.counted()) == [(2, event)]


def test_unshifted_events_carry_no_original_time(tmp_path: Path) -> None:
    found = prepared(
        tmp_path,
        tap("A", "08:00:00", "地铁入站", "太安"),
        tap("A", "08:20:00", "地铁出站", "田贝"),
    )
    (event,) = found.events
    assert "originaltime" not in event


def test_what_stays_alone_is_named(tmp_path: Path) -> None:
    found = prepared(
        tmp_path,
        tap("A", "08:00:00", "地铁入站", "太安"),
        tap("A", "09:00:00", "地铁入站", "太安"),
        tap("B", "08:00:00", "地铁出站", "田贝"),
    )
    assert list(found.events) == []
    assert found.unpaired == {"entry-without-exit": 2, "exit-without-entry": 1}


@pytest.mark.parametrize(
    ("station", "reason"),
    [("", "station-empty"), ("无名", "station-unknown"), ("?I岭", "station-damaged")],
)
def test_a_bad_station_is_named_not_sent(tmp_path: Path, station: str, reason: str) -> None:
    found = prepared(
        tmp_path,
        tap("A", "08:00:00", "地铁入站", station),
        tap("A", "08:20:00", "地铁出站", "田贝"),
    )
    assert (list(found.events), found.left_out) == ([], {reason: 2})


def test_other_rows_and_repeated_rows_are_named(tmp_path: Path) -> None:
    bus = tap("A", "08:00:00", "巴士", "M506")
    found = prepared(tmp_path, bus, bus, "A,yesterday,地铁入站,太安")
    assert found.left_out == {"not-a-metro-tap": 1, "duplicate-row": 1, "at-unreadable": 1}


def test_a_missing_column_is_a_named_error(tmp_path: Path) -> None:
    data = tmp_path / "taps.csv"
    data.write_text("card_no,deal_date\nA,2018-09-01 08:00:00\n", "utf-8")
    (tmp_path / "szmc.net-metro.json").write_text(json.dumps(STATIONS), "utf-8")
    with pytest.raises(MappingError, match="no column deal_type, station"):
        prepare(data, read_mapping(MAPPING), MAPPING.parent, TOKENS)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("tanhui-mapping-v1", "tanhui-mapping-v9", "format"),
        ("time: then.at", "time: last.at", "last.at"),
        ("seed: 20180901", "seed: soon", "seed"),
        ("pair:", "pairs:", "pairs"),
        ("format:", "format: [", "not YAML"),
    ],
)
def test_a_faulty_mapping_says_where(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = tmp_path / "mapping.yaml"
    path.write_text(MAPPING.read_text("utf-8").replace(old, new, 1), "utf-8")
    with pytest.raises(MappingError, match=said):
        read_mapping(path)


@given(st.lists(st.tuples(st.sampled_from("AB"), st.sampled_from(["地铁入站", "地铁出站"]),
                          st.integers(0, 59)), max_size=20))  # fmt: skip
def test_every_row_is_counted_once(tmp_path_factory: pytest.TempPathFactory, taps: list) -> None:
    lines = [tap(card, f"08:{minute:02d}:00", kind, "太安") for card, kind, minute in taps]
    found = prepared(tmp_path_factory.mktemp("taps"), *lines)
    counted = found.events.rows_total + found.left_out.total() + found.unpaired.total()
    assert counted == found.rows_total == len(taps)


def test_distance_is_symmetric_and_a_known_length() -> None:
    here, there = (114.0, 22.0), (114.0, 23.0)
    assert distance_m(here, there) == distance_m(there, here)
    # One degree of a meridian on the mean radius: π·R/180.
    assert distance_m(here, there) == 111_195
    assert distance_m(here, here) == 0


@pytest.mark.parametrize(
    ("here", "there", "expected"),
    [
        ((114.0, 22.2), (114.0, 22.7), 55_597),
        ((114.0005, 22.2), (114.0, 22.7), 55_597),
        ((114.0, 22.7), (114.0, 22.2), "stops-against-shape"),
        ((114.0, 22.2), (114.0, 22.2), "stops-against-shape"),
        ((114.01, 22.2), (114.0, 22.7), "stop-off-shape"),
        ((114.0, 22.2), (114.0, 23.1), "stop-off-shape"),
    ],
)
def test_distance_along_a_shape_is_between_the_points_nearest_to_the_stops(
    tmp_path: Path, here: Point, there: Point, expected: int | str
) -> None:
    header = "shape_id,shape_pt_lat,shape_pt_lon,shape_pt_sequence\n"
    (tmp_path / "shapes.txt").write_text(header + "s,23,114,10\ns,22,114,2\ns,22.5,114,9\n")
    line = read_shapes(Shapes(file="shapes.txt"), [tmp_path])["s"]
    try:
        found: int | str = along_m(line, here, there, 100)
    except RowFault as fault:
        found = str(fault)
    assert found == expected


@pytest.mark.realdata
def test_the_shenzhen_taps_agree_with_a_count_straight_from_the_file(real_data: Path) -> None:
    folder = real_data / "transit"
    taps = folder / "szt_taps_2018-09-01.csv"
    expected = straight_count(taps, folder / "szmc.net-metro.json")
    found = prepare(taps, read_mapping(MAPPING), MAPPING.parent, TOKENS)
    still = sum(1 for event in found.events if event["data"]["distance_m"] == 0)
    seen = Counter(
        {
            "trip": 2 * (len(found.events) - still),
            "same-station": 2 * still,
            **found.left_out,
            **found.unpaired,
        }
    )
    assert seen == expected
    assert seen.total() == found.rows_total == 15_672
    assert (expected["entry-without-exit"], expected["exit-without-entry"]) == (3_783, 3_556)
