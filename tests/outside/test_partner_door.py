"""Goal: the partners' door keeps every promise of the API document towards a stranger.

Method: httpx and the off-the-shelf standardwebhooks library against the running demo.
"""

import gzip
import json
import random
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest

from tests.outside.stranger import Stranger, accepted, instant, problem, refused_as

pytestmark = pytest.mark.journey

MIB = 2**20


def test_both_schemes_are_accepted_and_a_weaker_one_is_not(stranger: Stranger) -> None:
    assert accepted(stranger.post(stranger.event()))["accepted"] == 1
    by_library = stranger.post([stranger.event("metro-archive")], "metro-archive")
    assert accepted(by_library)["accepted"] == 1
    body = json.dumps([stranger.event()]).encode()
    headers = stranger.headers("metro", body, webhook_id="weak")
    at = int(headers["webhook-timestamp"])
    weak = stranger.sign("metro-archive", body, "weak", at)
    assert problem(stranger.post(body, headers=headers | {"webhook-signature": weak}), 401)
    both = {"webhook-signature": f"{weak} v9,xx {headers['webhook-signature']}"}
    assert accepted(stranger.post(body, headers=headers | both))["accepted"] == 1


@pytest.mark.parametrize(("age_s", "status"), [(295, 202), (-295, 202), (303, 401), (-303, 401)])
def test_timestamps_may_be_five_minutes_off(stranger: Stranger, age_s: int, status: int) -> None:
    assert stranger.post([stranger.event()], age_s=age_s).status_code == status


def test_whatever_is_wrong_with_the_signature_is_401(stranger: Stranger) -> None:
    body = json.dumps([stranger.event()]).encode()
    headers = stranger.headers("metro", body)
    assert problem(stranger.post(body + b" ", headers=headers), 401) == "bad-signature"
    for name in ("webhook-id", "webhook-timestamp", "webhook-signature"):
        partial = {key: value for key, value in headers.items() if key != name}
        problem(stranger.post(body, headers=partial), 401)
    for stamp in ("abc", "-5", "1e9", "9" * 30):
        problem(stranger.post(body, headers=headers | {"webhook-timestamp": stamp}), 401)
    problem(stranger.http.post("/partner/v1/nobody/events", content=body, headers=headers), 401)
    problem(stranger.http.get("/partner/v1/metro/events/x"), 401)
    problem(stranger.http.get("/partner/v1/metro/events/x", headers=headers), 401)


def test_gzip_is_signed_as_sent(stranger: Stranger) -> None:
    raw = json.dumps([stranger.event(), stranger.event()]).encode()
    packed = gzip.compress(raw)

    def send(data: bytes, **how: Any) -> Any:
        # The HMAC library signs text only, so the packed bytes go by SM2.
        return stranger.post(data, **({"content_encoding": "gzip"} | how))

    assert accepted(send(packed))["accepted"] == 2
    plainly = stranger.headers("metro", raw, content_encoding="gzip")
    assert problem(stranger.post(packed, headers=plainly), 401) == "bad-signature"
    problem(send(packed[:-6]), 422)
    problem(send(raw), 422)
    problem(send(packed + b"x"), 422)
    problem(send(raw, content_encoding="br"), 415)
    for kind in ("text/plain", "application/xml", "application/jsonx"):
        problem(stranger.post(raw, content_type=kind), 415)
    assert stranger.post(raw, content_type="application/json; charset=utf-8").status_code == 202


def test_sizes_are_bounded(stranger: Stranger) -> None:
    events = [stranger.event() for _ in range(2001)]
    assert accepted(stranger.post(events[:2000]))["accepted"] == 2000
    assert problem(stranger.post(events), 413) == "too-many-events"
    small = json.dumps([stranger.event()]).encode()
    full = small[:-1] + b" " * (4 * MIB - len(small)) + b"]"
    over = full[:-1] + b" ]"
    assert accepted(stranger.post(full))["accepted"] == 1
    problem(stranger.post(over), 413)
    unpacked = {"content_encoding": "gzip"}
    assert accepted(stranger.post(gzip.compress(full), **unpacked))["duplicates"] == 1
    problem(stranger.post(gzip.compress(over), **unpacked), 413)
    bomb = gzip.compress(b"[" + b" " * (100 * MIB) + b"]", 1)
    problem(stranger.post(bomb, **unpacked), 413)
    headers = stranger.headers("metro", b"")
    problem(stranger.post(b" " * (100 * MIB), headers=headers), 413)


@pytest.mark.parametrize(
    "body",
    [
        b'[{"a":NaN}]', b"[Infinity]", b"\xef\xbb\xbf[]", b'["\xff"]', b'["\xed\xa0\x80"]', b"[{",
        b"", b"[] x", b"[" * 100_000, b"[01]", b'["\x01"]',
    ],
)  # fmt: skip
def test_what_is_no_json_is_422_and_burns_no_id(stranger: Stranger, body: bytes) -> None:
    webhook_id = uuid.uuid4().hex
    assert problem(stranger.post(body, webhook_id=webhook_id), 422) == "not-json"
    assert accepted(stranger.post(b"[]", webhook_id=webhook_id))["accepted"] == 0


FOREIGN = {
    "fraction": ("5000", "5000.5"),
    "exponent": ("5000", "5e3"),
    "whole fraction": ("5000", "5000.0"),
    "negative zero": ("5000", "-0"),
    "beyond 2^53": ("5000", "9007199254740992"),
    "endless": ("5000", "1" * 5000),
    "key twice": ('"source"', '"source":"q","source"'),
    "lone surrogate": ("/gates", "\\ud800"),
    "NUL": ("/gates", "\\u0000"),
    "key outside the set": ("distance_m", "dist m"),
    "17 deep": ("5000", '5000,"x":' + "[" * 15 + "]" * 15),
    "no time": ('"time"', '"times"'),
    "bad time": ("T", "t"),
    "empty subject": ('"subject": "', '"subject": "", "x": "'),
    "number for an id": ('"id": "', '"id": 5, "x": "'),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_one_bad_event_never_sinks_its_batch(stranger: Stranger, name: str) -> None:
    old, new = FOREIGN[name]
    event = stranger.event()
    good = [json.dumps(stranger.event()) for _ in range(2)]
    poison = json.dumps(event).replace(old, new, 1)
    assert poison != json.dumps(event)
    told = accepted(stranger.post(f"[{good[0]},{poison},{good[1]}]".encode()))
    assert told["accepted"] == 2
    assert [each["index"] for each in told["rejected"]] == [1]
    assert told["rejected"][0]["event_id"] in (event["id"], None)
    assert len(refused_as(stranger.post(poison.encode()))) == 1
    # Rejected events do not occupy their identity.
    assert accepted(stranger.post(event))["accepted"] == 1


def test_sixteen_levels_are_allowed(stranger: Stranger) -> None:
    deep: Any = []
    for _ in range(13):
        deep = [deep]
    event = stranger.event(data={"distance_m": 5000, "x": deep})
    assert accepted(stranger.post(event))["accepted"] == 1


def test_the_same_request_has_the_same_answer(stranger: Stranger) -> None:
    body = json.dumps([stranger.event() for _ in range(200)]).encode()
    webhook_id = uuid.uuid4().hex
    with ThreadPoolExecutor(8) as pool:
        twins = list(
            pool.map(lambda age: stranger.post(body, webhook_id=webhook_id, age_s=age), range(8))
        )
    assert {twin.status_code for twin in twins} == {202}
    assert len({twin.content for twin in twins}) == 1
    assert accepted(twins[0])["accepted"] == 200
    other = stranger.post([stranger.event()], webhook_id=webhook_id)
    assert problem(other, 409) == "webhook-id-conflict"
    elsewhere = stranger.post(
        [stranger.event("metro-archive")], "metro-archive", webhook_id=webhook_id
    )
    assert accepted(elsewhere)["accepted"] == 1


def test_an_event_counts_once_however_often_it_is_sent(stranger: Stranger) -> None:
    events = [stranger.event() for _ in range(100)]
    orders = [events, events[::-1]] * 3
    with ThreadPoolExecutor(6) as pool:
        told = [accepted(answer) for answer in pool.map(stranger.post, orders)]
    assert sum(each["accepted"] for each in told) == 100
    assert all(each["accepted"] + each["duplicates"] == 100 for each in told)
    changed = events[0] | {"data": {"distance_m": 1}}
    assert refused_as(stranger.post(changed)) == ["event-id-conflict"]
    extended = events[1] | {"extension": "x"}
    assert refused_as(stranger.post(extended)) == ["event-id-conflict"]


def test_the_order_of_the_checks(stranger: Stranger) -> None:
    known = stranger.event()
    stranger.post(known)
    never = {"subject": "nobody", "time": "2090-01-01T00:00:00Z"}
    for event, name in (
        (known | never | {"type": "no.such"}, "event-id-conflict"),
        (stranger.event(**never, type="no.such"), "unknown-scenario"),
        (stranger.event(**never), "unknown-subject"),
        (stranger.event(time="2000-01-01T00:00:00Z"), "no-consent"),
        (stranger.event(time="2090-01-01T00:00:00Z"), "time-in-future"),
    ):
        assert refused_as(stranger.post(event)) == [name]
    foreign = stranger.partners["metro-archive"]["subjects"][0]["token"]
    assert refused_as(stranger.post(stranger.event(subject=foreign))) == ["unknown-subject"]


def test_times_to_the_second(stranger: Stranger) -> None:
    assert refused_as(stranger.post(stranger.event(time=instant(298)))) == []
    assert refused_as(stranger.post(stranger.event(time=instant(303)))) == ["time-in-future"]
    began = datetime.fromisoformat(stranger.partners["metro"]["subjects"][5]["consent_from"])
    before = (began - timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%S.999Z")
    assert refused_as(stranger.post(stranger.event(time=before))) == ["no-consent"]
    at = began.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert refused_as(stranger.post(stranger.event(time=at))) == []
    original = {"originaltime": "2019-01-01T00:00:00+08:00"}
    assert len(refused_as(stranger.post(stranger.event(**original)))) == 1
    replayed = stranger.post(stranger.event("metro-archive", **original), "metro-archive")
    assert refused_as(replayed) == []


@pytest.mark.parametrize(
    ("distance_m", "reason"),
    [(0, "distance-not-positive"), (-5, "distance-not-positive"), (150_001, "distance-too-long")],
)
def test_out_of_bounds_is_recorded_and_refused(
    stranger: Stranger, distance_m: int, reason: str
) -> None:
    found = settled(stranger, distance_m)
    assert (found["state"], found["reason"]) == ("refused", reason)


def test_the_last_value_within_bounds_is_awarded(stranger: Stranger) -> None:
    found = settled(stranger, 150_000)
    assert (found["state"] != "refused", found["reason"]) == (True, None)


def settled(stranger: Stranger, distance_m: int) -> dict[str, Any]:
    """What the partner is told about a trip once it is decided."""
    # A traveller and a moment of its own: trips that overlap are claims of the same journey.
    traveller = stranger.partners["metro"]["subjects"][distance_m % 7 + 8]["token"]
    moment = instant(-random.randrange(3600, 20 * 86_400))
    event = stranger.event(subject=traveller, time=moment, data={"distance_m": distance_m})
    assert accepted(stranger.post(event))["accepted"] == 1
    deadline_s = time.monotonic() + 20
    while (found := stranger.get(f"/events/{event['id']}").json())["state"] == "recorded":
        assert time.monotonic() < deadline_s
        time.sleep(0.1)
    return found


def test_questions_about_events_and_uploads(stranger: Stranger) -> None:
    event = stranger.event(id=f"a/b c?d#e%2F中{uuid.uuid4().hex}", source="/s/1")
    told = accepted(stranger.post([event, event | {"source": "/s/2"}]))
    path = "/events/" + quote(event["id"], safe="")
    problem(stranger.get(path), 409)
    found = stranger.get(f"{path}?source=%2Fs%2F2")
    assert found.status_code == 200
    assert (found.json()["event_id"], found.json()["source"]) == (event["id"], "/s/2")
    for missing in (f"{path}?source=x", "/events/none", f"/uploads/{uuid.uuid4()}", "/uploads/x"):
        problem(stranger.get(missing), 404)
    upload = stranger.get(f"/uploads/{told['upload_id']}")
    assert upload.status_code == 200
    assert upload.json()["accepted"] == 2
    problem(stranger.get(f"/uploads/{told['upload_id']}", "metro-archive"), 404)
    problem(stranger.get(f"{path}?source=%2Fs%2F2", "metro-archive"), 404)


def test_an_unexpected_method_or_address_is_a_problem(stranger: Stranger) -> None:
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS"):
        problem(stranger.http.request(method, "/partner/v1/metro/events"), 405)
    for path in ("/partner/v1/metro/nothing", "/nothing", "/public/v1", "/%00"):
        problem(stranger.http.get(path), 404)
