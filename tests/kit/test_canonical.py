"""Canonical JSON: the exact rules, and the fast path held against an independent scanner."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend.kit import canonical
from backend.kit.canonical import (
    NotCanonical,
    NotJson,
    canonical_event,
    canonical_upload,
    dumps,
    loads_strict,
    parse_event_json,
    split_upload,
)
from tests.kit.canonical_oracle import Oracle, spelled, verdict_of_oracle

EVENT_CJ = (
    b'{"data":{"distance_m":12000},"id":"t-1","source":"/gate","specversion":"1.0",'
    b'"subject":"b","time":"2026-11-22T08:00:00+08:00","type":"transit.metro.trip"}'
)

law = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def verdict(data: bytes) -> tuple[str, Any]:
    try:
        event, canonical_bytes = canonical_event(data)
    except NotJson:
        return "not-json", None
    except NotCanonical as error:
        return "refused", error.reason
    assert dumps(event) == canonical_bytes
    return "ok", canonical_bytes


def assert_agree(data: bytes) -> None:
    expected, detail = verdict_of_oracle(data)
    found, found_detail = verdict(data)
    assert found == expected, data
    if expected == "refused":
        assert found_detail in detail
    else:
        assert found_detail == detail


keys = st.sampled_from(["a", "b", "id", "data", "z-9", "A.b", "x" * 64, "x" * 65, "", "é", "a b"])
plain_keys = st.sampled_from(["a", "b", "id", "data", "z-9", "A.b"])
atoms = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**53) + 1, 2**53 - 1),
    st.text(max_size=8),
    st.sampled_from([2**53, -(2**53), 10**30, "\x7f", "\u2028", "汉", "😀", "\ud800", "a\x00"]),
)
values = st.recursive(
    atoms,
    lambda v: st.one_of(st.lists(v, max_size=3), st.dictionaries(keys, v, max_size=3)),
    max_leaves=12,
)
events = st.dictionaries(plain_keys, values, max_size=4)


@law
@given(events, st.booleans(), st.sampled_from([None, 1]))
def test_fast_path_agrees_with_the_oracle_on_generated_events(
    event: Any, escape: bool, indent: int | None
):
    text = json.dumps(event, ensure_ascii=escape, indent=indent)
    assert_agree(text.encode("utf-8", "surrogatepass"))


PIECES = [
    b'"a"',
    b'"b"',
    b'"\\u0061"',
    b'"',
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b" ",
    b"\n",
    b"-0",
    b"0",
    b"-1",
    b"1.0",
    b"1e2",
    b"01",
    b"9007199254740991",
    b"9007199254740992",
    b"true",
    b"null",
    b"NaN",
    b'"\\ud800"',
    b'"\\ud83d\\ude00"',
    b'"\\u0000"',
    b"\xff",
    b"\xef\xbb\xbf",
    b'"\\x"',
    b'"\x01"',
    '"汉"'.encode(),
    b'{"a":1}',
    b'{"a":1,"a":1}',
    b'{"a":1,"b":',
    b'"a":',
    b'"time":"2026-01-05T00:00:00-00:00"',
]


@law
@given(st.lists(st.sampled_from(PIECES), max_size=9))
def test_fast_path_agrees_with_the_oracle_on_token_soup(pieces: list[bytes]):
    assert_agree(b"".join(pieces))
    assert_agree(b'{"a":' + b"".join(pieces) + b"}")


def edited(position: int, byte: int) -> bytes:
    base = b'{"id": "t-1", "data": {"n": -10, "m": [1, {"id": "2"}]}, "b": "\\u0041"}'
    position %= len(base)
    return base[:position] + bytes([byte]) + base[position + 1 :]


@law
@given(st.integers(0, 1_000), st.integers(0, 255))
def test_fast_path_agrees_with_the_oracle_after_one_changed_byte(position: int, byte: int):
    assert_agree(edited(position, byte))


@law
@given(values)
def test_dumps_writes_rfc_8785_and_loads_strict_reads_only_that(value: Any):
    try:
        data = dumps(value)
    except NotCanonical:
        return
    assert data == spelled(value)
    assert loads_strict(data) == value
    with pytest.raises(NotCanonical):
        loads_strict(data + b"\n")


def test_event_vector_of_the_formats_document():
    event = json.loads(EVENT_CJ)
    spaced = json.dumps(dict(reversed(event.items()))).encode()
    assert dumps(event) == canonical_event(EVENT_CJ)[1] == canonical_event(spaced)[1] == EVENT_CJ


def test_escapes_are_those_of_rfc_8785():
    text = "".join(map(chr, range(1, 0x20))) + '"\\/\x7f\x80\u2028汉😀'
    assert dumps(text) == (
        rb'"\u0001\u0002\u0003\u0004\u0005\u0006\u0007\b\t\n\u000b\f\r\u000e\u000f\u0010\u0011\u0012'
        rb"\u0013\u0014\u0015\u0016\u0017\u0018\u0019\u001a\u001b\u001c\u001d\u001e\u001f"
        + '\\"\\\\/\x7f\x80\u2028汉😀"'.encode()
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a":1,"a":1}', "duplicate-key"),
        ('{"a":1,"\\u0061":1}', "duplicate-key"),
        ('{"a":{"b":1,"b":[]}}', "duplicate-key"),
        ('{"a":1.0}', "fraction"),
        ('{"a":1e2}', "exponent"),
        ('{"a":1e999}', "exponent"),
        ('{"a":-0}', "negative-zero"),
        ('{"a":-0.0}', "fraction"),
        ('{"a":9007199254740992}', "integer-out-of-range"),
        ('{"a":-9007199254740992}', "integer-out-of-range"),
        ('{"a":' + "9" * 5_000 + "}", "integer-out-of-range"),
        ('{"a":"\\ud800"}', "lone-surrogate"),
        ('{"a":"\\udc00\\ud800"}', "lone-surrogate"),
        ('{"a":"\\u0000"}', "nul-character"),
        ('{"a b":1}', "bad-key"),
        ('{"":1}', "bad-key"),
        ('{"a":1,"a\\n":1}', "bad-key"),
        ('{"' + "k" * 65 + '":1}', "bad-key"),
        ('{"a":' + "[" * 16 + "]" * 16 + "}", "too-deep"),
        ('{"a":' + "[" * 100_000 + "]" * 100_000 + "}", "too-deep"),
        ("[]", "not-an-object"),
        ("12", "not-an-object"),
    ],
)
def test_json_outside_section_1_is_refused_by_name(text: str, reason: str):
    with pytest.raises(NotCanonical) as refusal:
        canonical_event(text.encode())
    assert refusal.value.reason == reason


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b" ",
        b"{",
        b'{"a":1}}',
        b'{"a":1,}',
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b"{'a':1}",
        b'{"a":01}',
        b'{"a":"\x01"}',
        b'\xef\xbb\xbf{"a":1}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":"\xff"}',
        b'{"a":+1}',
        b'{"a":1.5,"b":}',
        b"[" * 100_000,
        b'{"a":' + b"[" * 100_000 + b"}",
        b'{"a":"\\x"}',
        b'{"a" 1}',
        b'{"a":1\x0b}',
    ],
)
def test_a_breach_of_the_grammar_is_another_error(data: bytes):
    for read in (canonical_event, parse_event_json, split_upload):
        with pytest.raises(NotJson):
            read(data)


def test_depth_is_counted_from_the_event():
    event = b'{"a":' + b"[" * 15 + b"]" * 15 + b"}"
    assert canonical_event(event)[1] == event
    assert split_upload(b"[" + event + b"]") == [event]
    with pytest.raises(NotCanonical, match="too-deep"):
        dumps(json.loads(event), depth_max=canonical.RECEIPT_DOCUMENT_DEPTH_MAX)


@pytest.mark.parametrize(
    "odd",
    [
        b'{"a":"\\ud800"}',
        b"[" * 2_000 + b"]" * 2_000,
        b"1e999",
        b'{"a":1,"a":2}',
        b"-0",
        b'"\\u0000"',
        b"9" * 6_000,
        b'{"a": {"b" : [ ]} }',
        b'"[,]"',
    ],
)
def test_one_odd_event_does_not_sink_its_upload(odd: bytes):
    good = b'{"id":"1"}'
    assert split_upload(b" [ " + good + b" ,\n" + odd + b", " + good + b" ] ") == [good, odd, good]
    assert split_upload(b"\t" + odd + b"\n") == ([odd] if not odd.startswith(b"[") else [odd[1:-1]])


@law
@given(st.lists(st.sampled_from(PIECES), max_size=9))
def test_both_splitters_agree_with_the_oracle(pieces: list[bytes]):
    data = b"[" + b"".join(pieces) + b"]"
    try:
        Oracle(data.decode()).document()
    except (NotJson, UnicodeDecodeError):
        with pytest.raises(NotJson):
            read_upload(data)
    else:
        assert split_upload(data) == canonical._split_exact(data.decode())


def read_upload(data: bytes) -> None:
    for event in split_upload(data):
        with contextlib.suppress(NotCanonical):
            parse_event_json(event)


def one_by_one(data: bytes) -> tuple[list[Any], list[bytes]] | None:
    """The upload taken apart and read event by event; None if anything in it is refused."""
    try:
        pairs = [canonical_event(raw) for raw in split_upload(data)]
    except (NotJson, NotCanonical):
        return None
    return [event for event, _ in pairs], [spelled_event for _, spelled_event in pairs]


@law
@given(st.lists(st.sampled_from(PIECES), max_size=9), st.booleans())
def test_an_upload_read_in_one_go_is_what_its_events_are(pieces: list[bytes], wrapped: bool):
    data = b",".join(b'{"a":' + piece + b"}" for piece in pieces) if wrapped else b"".join(pieces)
    for upload in (data, b"[" + data + b"]", b" [ " + data + b" ]"):
        at_once = canonical_upload(upload)
        assert at_once is None or at_once == one_by_one(upload)


@law
@given(st.lists(events, max_size=4), st.sampled_from([None, 1]), st.booleans())
def test_ordinary_uploads_are_read_in_one_go(batch: Any, indent: int | None, escape: bool):
    text = json.dumps(batch, ensure_ascii=escape, indent=indent)
    data = text.encode("utf-8", "surrogatepass")
    expected = one_by_one(data)
    assert canonical_upload(data) == (None if "\\u" in text else expected)


@pytest.mark.parametrize(
    "data",
    [
        b'[{"a":1,"a":2},{}]',
        b'[{"a":-0}]',
        b'[{"a":"\\/"}]',
        b'[{"a":1},2]',
        b'[{"a":1}]]',
        b'[{"a":1.0}]',
        b'[{"a":9007199254740992}]',
        b'[{"a":{"b":1,"b":1}}, {"c":" "}]',
        b'{"a":1,"a":1}',
    ],
)
def test_an_upload_that_needs_a_closer_look_is_not_read_in_one_go(data: bytes):
    assert canonical_upload(data) is None


def test_an_empty_upload_has_no_events():
    assert split_upload(b" [ ] ") == []


def test_python_values_json_does_not_have_are_refused():
    for value in (1.5, b"a", {1: 2}, {"a": {2, 3}}, object()):
        with pytest.raises(NotCanonical):
            dumps(value)
    assert dumps((1, [True, None])) == b"[1,[true,null]]"


def test_without_the_byte_count_a_repeated_key_would_pass():
    """The safeguard of the fast path, removed: msgspec alone keeps the last of two members."""
    raw = b'{"a":1,"a":2}'
    assert canonical._encode(canonical._decode(raw)) == b'{"a":2}'
    with pytest.raises(NotCanonical, match="duplicate-key"):
        canonical_event(raw)
