"""When a space is open, and which plates look alike."""

import pytest

from backend.kit.needs import DocumentError
from backend.kit.problems import Problem
from backend.parking.calendar import Calendar, days_of
from backend.parking.plates import Plates, alike, masked, normalised
from backend.parking.windows import covers, read_policy
from tests.flows.parking_world import a_policy, at

QINGDAO = a_policy(
    weekly=[
        {"days": [1, 2, 3, 4, 5], "from": "18:00", "to": "07:30"},
        {"days": [6, 7], "from": "00:00", "to": "24:00"},
    ],
    quiet=[{"from": "22:00", "to": "06:00"}],
    holidays="as-sunday",
)


@pytest.mark.parametrize(
    ("begin", "end", "reason"),
    [
        ("11-18 18:00", "11-19 07:30", ""),
        ("11-18 17:59", "11-19 07:30", "outside-window"),
        ("11-18 18:00", "11-19 07:31", "outside-window"),
        ("11-18 22:00", "11-19 07:00", "gate-closed"),
        ("11-18 21:59", "11-19 06:00", ""),
        ("11-18 21:00", "11-19 05:59", "gate-closed"),
        ("11-20 19:00", "11-22 20:00", ""),  # Friday night into an open weekend
        ("11-22 20:00", "11-23 07:00", "outside-window"),  # Sunday ends at midnight
        ("10-01 09:00", "10-01 12:00", ""),
    ],
)
def test_a_public_body_shares_its_nights_and_weekends(begin: str, end: str, reason: str):
    calendar = Calendar(holidays=days_of(["2026-10-01"]))
    assert covers(read_policy(QINGDAO), calendar, at(begin), at(end)) == reason


def test_a_dated_entry_replaces_the_week():
    dated = [{"day": "2026-11-18", "open": False, "from": "00:00", "to": "24:00"}]
    policy = read_policy(a_policy(dated=dated))
    assert covers(policy, Calendar(), at("11-18 09:00"), at("11-18 10:00")) == "outside-window"
    assert covers(policy, Calendar(), at("11-19 09:00"), at("11-19 10:00")) == ""


def test_a_policy_that_cannot_be_read_is_refused():
    for changes in (
        {"holidays": "maybe"},
        {"classes": []},
        {"classes": ["boat"]},
        {"weekly": [{"days": [8], "from": "00:00", "to": "01:00"}]},
        {"quiet": [{"from": "x", "to": "01:00"}]},
    ):
        with pytest.raises(DocumentError):
            read_policy(a_policy(**changes))


def test_plates_are_found_and_read_again_and_look_alike(vault):
    plates = Plates(vault)
    assert plates.hash("粤B·12345") == plates.hash("粤b 12345")
    assert plates.hash("粤B12345") != plates.hash("粤B12346")
    sealed = plates.seal("粤B12345", plates.hash("粤B12345"))
    assert plates.open(sealed, plates.hash("粤B12345")) == "粤B12345"
    assert masked("粤B12345") == "粤B***45"
    assert alike("粤B1234S", ["粤B12345", "粤B99999", "粤B1234", "粤B12355"]) == [
        "粤B1234",
        "粤B12345",
    ]
    assert alike("粤BI2O45", ["粤B12045"]) == ["粤B12045"]
    for bad in ("", "AB", "粤B-12345-67890", "粤B1234!"):
        with pytest.raises(Problem, match="bad-plate"):
            normalised(bad)
