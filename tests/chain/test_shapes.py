"""Reading JSON from strangers: depth is judged before the parser can overflow the stack."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.chain.shapes import JSON_DEPTH_MAX, parse_json

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=20,
)


@given(values)
def test_it_reads_what_the_library_reads(value: object) -> None:
    assert parse_json(json.dumps(value).encode()) == value


def test_depth_is_bounded_and_brackets_in_strings_do_not_count() -> None:
    deepest = b"[" * JSON_DEPTH_MAX + b"]" * JSON_DEPTH_MAX
    assert parse_json(deepest) is not None
    quoted = json.dumps(['"[[[[' * 100, "\\", '{"']).encode()
    assert parse_json(quoted)[0].count("[") == 400
    for broken in (b"[" + deepest + b"]", b"[" * 1_000_000, b'{"a":' * 1_000_000, b'"[', b"\xff"):
        with pytest.raises(ValueError, match=r".*"):
            parse_json(broken)
