"""Goal: a long list of events is told whole, in order, in bodies of at most 20,000 bytes.

Method: lists of any lengths as a property; the schedule and Retry-After as tables.
"""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.notices import SCHEDULE_S, Notice, Outcome
from backend.notices.schedule import after
from backend.notices.sending import read_retry_after
from backend.notices.telling import BODY_BYTES_MAX, _bodies

NOW = datetime(2026, 11, 22, 4, 0, tzinfo=UTC)


@given(st.lists(st.text(max_size=400), max_size=300))
def test_every_event_is_told_once_in_order_within_the_bound(ids: list[str]) -> None:
    events = [{"event_id": each, "evidence_id": str(n)} for n, each in enumerate(ids)]
    made = list(_bodies(Notice("metro", "event.refused", {"upload_id": "u"}, events), NOW))
    assert all(len(body) <= BODY_BYTES_MAX for _, body in made)
    documents = [msgspec.json.decode(body) for _, body in made]
    assert len({document["id"] for document in documents}) == len(made)
    assert all(document["data"]["upload_id"] == "u" for document in documents)
    assert [each for document in documents for each in document["data"].get("events", [])] == events


def test_an_event_too_long_to_tell_is_named_by_our_own_id() -> None:
    events = [{"event_id": "\x01" * 4000, "evidence_id": "e-1"}, {"evidence_id": "e-2"}]
    made = list(_bodies(Notice("metro", "event.refused", {}, events), NOW))
    told = [each for _, body in made for each in msgspec.json.decode(body)["data"]["events"]]
    assert told == [{"evidence_id": "e-1"}, {"evidence_id": "e-2"}]


def test_data_that_does_not_fit_is_a_fault_of_ours() -> None:
    with pytest.raises(ValueError, match="at most 20000"):
        list(_bodies(Notice("metro", "event.refused", {"x": "y" * 20_000}), NOW))


def test_ten_thousand_refusals_are_few_deliveries() -> None:
    events = [
        {
            "event_id": f"trip-{n:09}",
            "source": "/gate",
            "evidence_id": "019ab8f0-3c00-7a10-8000-000000000002",
            "reason": "distance-too-long",
        }
        for n in range(10_000)
    ]
    assert len(list(_bodies(Notice("metro", "event.refused", {}, events), NOW))) < 100


@pytest.mark.parametrize(
    ("outcome", "state", "wait_s", "quiet_s"),
    [
        (Outcome(1, 200), "delivered", None, None),
        (Outcome(1, 299), "delivered", None, None),
        (Outcome(1, 300), "waiting", 5, None),
        (Outcome(1, 199), "waiting", 5, None),
        (Outcome(1, 410), "dead", None, None),
        (Outcome(1, None, "timeout"), "waiting", 5, None),
        (Outcome(1, 429, retry_after_s=3), "waiting", 5, 3),
        (Outcome(1, 429, retry_after_s=60), "waiting", 60, 60),
        (Outcome(1, 500, retry_after_s=60), "waiting", 60, None),
        (Outcome(1, 503, retry_after_s=10**9), "waiting", 86_400, 86_400),
    ],
)
def test_what_follows_the_first_attempt(outcome, state, wait_s, quiet_s) -> None:
    following = after(0, outcome, NOW)
    assert following.state == state
    assert following.stops_endpoint == (outcome.status == 410)
    for instant, expected_s in ((following.due_at, wait_s), (following.quiet_until, quiet_s)):
        assert instant == (None if expected_s is None else NOW + timedelta(seconds=expected_s))


def test_the_schedule_ends() -> None:
    failed = Outcome(1, 500)
    states = [after(step, failed, NOW).state for step in range(len(SCHEDULE_S))]
    assert states == ["waiting"] * 9 + ["dead"]
    assert sum(SCHEDULE_S) == 75 * 3600 + 35 * 60 + 5


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None), ("", None), ("0", 0), ("120", 120), (" 7 ", 7), ("-1", None), ("1.5", None),
        ("９", None), ("9" * 60, 86_400), ("9" * 100, None), ("soon", None),
        ("Sun, 22 Nov 2026 04:02:00 GMT", 120), ("Sun, 22 Nov 2026 03:00:00 GMT", None),
        ("Sun, 22 Nov 2026 04:02:00 -0000", None), ("Fri, 31 Dec 9999 23:59:59 GMT", 86_400),
        ("Sun, 99 Nov 2026 04:02:00 GMT", None),
    ],
)  # fmt: skip
def test_retry_after(text: str | None, seconds: int | None) -> None:
    assert read_retry_after(text, NOW) == seconds
