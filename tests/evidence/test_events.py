"""Reading uploads: the digest of formats.md, equal content, and that no bytes break the reader."""

import json
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend import evidence
from backend.evidence import ReadUpload, events
from backend.kit import canonical
from backend.kit.canonical import NotJson
from backend.methodology import scenarios
from tests.evidence.builders import an_event, as_json

CHECKS = {name: evidence.compile_schema(s.data_schema) for name, s in scenarios().items()}


def read(data: bytes, partner_id: str = "metro") -> ReadUpload:
    return evidence.read_upload(
        partner_id, data, CHECKS, city_tz="Asia/Shanghai", replay_allowed=True
    )


def test_vector_of_the_formats() -> None:
    (event,) = read(as_json(an_event())).events
    assert event.canonical == (
        b'{"data":{"distance_m":12000},"id":"t-1","source":"/gate","specversion":"1.0",'
        b'"subject":"b","time":"2026-11-22T08:00:00+08:00","type":"transit.metro.trip"}'
    )
    digest = "a0203afdd8fe258b80397b2f044bcdac42d435a2193e81a9668f4291bf47418d"
    assert event.digest.hex() == digest
    assert evidence.event_digest("metro", event.canonical).hex() == digest
    (other,) = read(as_json(an_event()), "metro2").events
    assert other.digest != event.digest


NAMES = st.from_regex(r"[a-z_]{1,10}", fullmatch=True)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
EVENTS = st.builds(
    lambda event_id, extra, data: an_event(id=event_id, **extra, data={**data, "distance_m": 3000}),
    st.from_regex(r"[ -~]{1,30}", fullmatch=True),
    st.dictionaries(st.from_regex(r"x[a-z]{1,8}", fullmatch=True), VALUES, max_size=3),
    st.dictionaries(NAMES, VALUES, max_size=3),
)


def shuffled(value: Any, draw: st.DataObject) -> Any:
    if isinstance(value, dict):
        keys = draw.draw(st.permutations(list(value)))
        return {key: shuffled(value[key], draw) for key in keys}
    if isinstance(value, list):
        return [shuffled(element, draw) for element in value]
    return value


@given(listed=st.lists(EVENTS, max_size=4), ascii_only=st.booleans(), draw=st.data())
def test_spelling_does_not_matter(listed: list[Any], ascii_only: bool, draw: st.DataObject) -> None:
    """Any JSON library's spelling of the same events reads the same, one by one or at once."""
    plain = b"[" + b",".join(canonical.dumps(event) for event in listed) + b"]"
    respelled = json.dumps(
        shuffled(listed, draw),
        ensure_ascii=ascii_only,
        indent=draw.draw(st.sampled_from([None, 1, 4])),
    ).encode()
    first, second = read(plain), read(respelled)
    assert first.event_count == len(listed)
    digests = [one.digest for one in [*first.events, *first.rejected]]
    assert digests == [one.digest for one in [*second.events, *second.rejected]]
    for one in first.events:
        assert canonical.loads_strict(one.canonical)


SPOILERS = [
    '"distance_m":1,"distance_m":1', '"distance_m":1.0', '"distance_m":-0', '"distance_m":1e2',
    '"distance_m":9007199254740992', '"distance_m":1,"x":"\\u0000"', '"distance_m":1,"x":"\\ud800"',
    '"distance_m":1,"x":"\\/"', '"distance_m":1,"x":"\\u0020"', '"distance_m":1,"x":"\\n\\"\\\\"',
    '"distance_m":1,"x":{"y":[[[[[[[[[[[[[[1]]]]]]]]]]]]]]}', '"distance_m":1,"\\u0061":1,"a":1',
    '"distance_m":1,"é":1', '"distance_m":1,"x":" \\u0061 "', '"distance_m":1,"x":"中"',
]  # fmt: skip


@given(st.lists(st.sampled_from(SPOILERS), min_size=1, max_size=5), st.booleans())
def test_at_once_and_one_by_one_agree(members: list[str], array: bool) -> None:
    """The fast way through a whole upload never takes what the exact way refuses or changes."""
    texts = [
        as_json(an_event(data={})).replace(b'"data": {}', b'"data": {' + each.encode() + b"}")
        for each in members
    ]
    data = b"[ " + b" , ".join(texts) + b" ]" if array else texts[0]
    at_once = canonical.canonical_upload(data)
    if at_once is None:
        return
    exact = [canonical.parse_event_json(raw) for raw in canonical.split_upload(data)]
    assert at_once[0] == exact
    assert at_once[1] == [canonical.dumps(value) for value in exact]


@given(st.lists(EVENTS, min_size=1, max_size=4))
def test_usual_events_read_as_the_general_way_reads_them(listed: list[Any]) -> None:
    with_usual = read(as_json(listed))
    # An extension attribute in one event makes the whole upload take the general way.
    general = read(as_json([*listed, an_event(x=1)]))
    assert with_usual.events == general.events[: len(with_usual.events)]
    assert with_usual.rejected == general.rejected
    for event, sent in zip(with_usual.events, listed, strict=False):
        assert event.digest == evidence.event_digest("metro", canonical.dumps(sent))


@pytest.mark.parametrize("zone", ["Asia/Shanghai", "Asia/Kathmandu", "Australia/Lord_Howe", "UTC"])
@given(st.lists(st.integers(1_767_225_600, 1_798_761_600), max_size=9), st.data())
def test_city_day_of_every_minute_and_offset(
    zone: str, times: list[int], draw: st.DataObject
) -> None:
    offset = draw.draw(st.sampled_from(["Z", "+08:00", "+05:45", "-03:30", "+14:00", "+00:01"]))
    locals_ = [datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S") for at in times]
    texts = [text + offset for text in locals_]
    upload = evidence.read_upload(
        "metro",
        as_json([an_event(time=text, id=str(n)) for n, text in enumerate(texts)]),
        CHECKS,
        city_tz=zone,
        replay_allowed=False,
    )
    days = [datetime.fromisoformat(text).astimezone(ZoneInfo(zone)).date() for text in texts]
    assert [event.city_day for event in upload.events] == days


def test_control_without_the_count_a_repeated_key_would_pass(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    twice = as_json(an_event()).replace(b'"id": "t-1"', b'"id": "t-0", "id": "t-1"')
    assert read(twice).rejected[0].problem == "duplicate-key"

    def trusting(data: bytes) -> Any:
        event = json.loads(data)
        return [event], [canonical.dumps(event)]

    monkeypatch.setattr(events, "canonical_upload", trusting)
    assert len(read(twice).events) == 1


@given(st.binary(max_size=80) | st.text(max_size=80).map(str.encode))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    try:
        upload = read(data)
    except NotJson:
        with pytest.raises((ValueError, RecursionError)):
            json.loads(data.decode(), parse_constant=int)
        return
    assert upload.event_count == len(upload.events) + len(upload.rejected)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from([*an_event(), "x", "é"]), inner, max_size=8)
    ),
    max_leaves=20,
)


@given(JSON_VALUES, st.sampled_from(sorted(an_event())))
def test_any_json_is_read_or_rejected_by_name(value: Any, name: str) -> None:
    for candidate in (value, [value], an_event(**{name: value})):
        text = json.dumps(candidate)
        if "NaN" in text or "Infinity" in text:
            continue
        upload = read(text.encode())
        assert upload.event_count == len(upload.events) + len(upload.rejected)
        assert all(one.problem and one.problem.islower() for one in upload.rejected)


def test_city_day_is_of_the_city() -> None:
    late = an_event(time="2026-11-22T16:00:00Z")
    before = an_event(time="2026-11-22T15:59:59.999999999Z", id="t-2")
    days = [str(event.city_day) for event in read(as_json([late, before])).events]
    assert days == ["2026-11-23", "2026-11-22"]


def test_bounds_of_id_and_source_fit_the_index() -> None:
    fits = an_event(id="字" * 170, source="s" * 1024)
    assert len(read(as_json(fits)).events) == 1
