"""Compiled JSON Schemas: what fits, the reason otherwise, and refusal of what is not supported."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema_rs import validator_for

from backend.evidence import SchemaNotSupported, compile_schema
from backend.methodology import scenarios

TRIP = {
    "type": "object",
    "required": ["distance_m"],
    "properties": {
        "distance_m": {"type": "integer", "minimum": 0, "maximum": 100},
        "line": {"type": ["string", "null"], "maxLength": 3, "pattern": "^[0-9]"},
        "mode": {"enum": ["metro", 1, True]},
        "stops": {"type": "array", "items": {"type": "string", "minLength": 1}, "maxItems": 2},
    },
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"distance_m": 0}, None),
        ({"distance_m": 100, "line": "11号", "mode": 1, "stops": ["a", "b"]}, None),
        ({"distance_m": 1, "line": None}, None),
        ({}, "missing-field"),
        ([], "wrong-type"),
        ({"distance_m": True}, "wrong-type"),
        ({"distance_m": "1"}, "wrong-type"),
        ({"distance_m": -1}, "out-of-range"),
        ({"distance_m": 101}, "out-of-range"),
        ({"distance_m": 1, "line": "1234"}, "bad-value"),
        ({"distance_m": 1, "line": "x"}, "bad-value"),
        ({"distance_m": 1, "mode": "bus"}, "bad-value"),
        ({"distance_m": 1, "mode": []}, "bad-value"),
        ({"distance_m": 1, "stops": [""]}, "bad-value"),
        ({"distance_m": 1, "stops": ["a"] * 3}, "bad-value"),
        ({"distance_m": 1, "more": 1}, "unknown-field"),
    ],
)
def test_reason(value: Any, reason: str | None) -> None:
    assert compile_schema(TRIP)(value) == reason


@pytest.mark.parametrize(
    "schema",
    [
        {"multipleOf": 5},
        {"type": "decimal"},
        {"properties": {"x": {"$ref": "#/y"}}},
        {"anyOf": [{"format": "date"}]},
        {"dependentRequired": {}},
    ],
)
def test_what_is_not_supported_is_an_error(schema: dict[str, Any]) -> None:
    with pytest.raises(SchemaNotSupported):
        compile_schema(schema)


SCALARS = st.none() | st.booleans() | st.integers(-5, 105) | st.text("ab1", max_size=4)
DATA = st.dictionaries(
    st.sampled_from(["distance_m", "line", "mode", "stops", "more", "duration_s", "network"]),
    SCALARS | st.lists(SCALARS, max_size=3),
    max_size=5,
)
SCHEMAS: list[Any] = [
    TRIP,
    {"anyOf": [{"required": ["line"]}, TRIP]},
    {"oneOf": [{"required": ["line"]}, {"required": ["mode"]}, {"minimum": 3}]},
    {"allOf": [TRIP, True]},
    {"properties": {"line": {"const": "a"}}, "additionalProperties": {"type": "integer"}},
    {"properties": {"distance_m": {"exclusiveMinimum": 0, "exclusiveMaximum": 100}}},
    False,
    *(scenario.data_schema for scenario in scenarios().values()),
]


@given(st.sampled_from(SCHEMAS), DATA | SCALARS)
def test_agrees_with_a_full_validator(schema: Any, value: Any) -> None:
    assert (compile_schema(schema)(value) is None) == validator_for(schema).is_valid(value)
