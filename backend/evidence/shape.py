"""JSON Schemas of scenarios, compiled once into plain functions for the hot path.

Only the part of JSON Schema that scenarios use is supported. An unknown keyword is an error when
the schema is compiled, so that no condition an official wrote is ever silently skipped.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

Check = Callable[[Any], str | None]
"""None if the value fits, else the reason: one of the names in `REASONS`."""

REASONS = ("missing-field", "wrong-type", "unknown-field", "out-of-range", "bad-value")

_ANNOTATIONS = frozenset(
    [
        "$schema",
        "$id",
        "$comment",
        "title",
        "description",
        "examples",
        "default",
        "readOnly",
        "writeOnly",
    ]
)


class SchemaNotSupported(ValueError):
    """A schema uses a keyword, or a form of one, that is not checked at the door."""


def compile_schema(schema: Mapping[str, Any] | bool) -> Check:
    """A function that checks a decoded JSON value. Raises `SchemaNotSupported`."""
    if isinstance(schema, bool):
        return _anything if schema else _nothing
    unknown = schema.keys() - _ANNOTATIONS - _COMPILERS.keys() - _OF_OBJECTS
    if unknown:
        raise SchemaNotSupported(f"keywords not supported: {', '.join(sorted(unknown))}")
    checks = [_COMPILERS[keyword](schema[keyword]) for keyword in _COMPILERS if keyword in schema]
    if not _OF_OBJECTS.isdisjoint(schema):
        checks.append(_object(schema))
    if not checks:
        return _anything
    return checks[0] if len(checks) == 1 else _all(checks)


def _anything(_: object) -> str | None:
    return None


def _nothing(_: object) -> str | None:
    return "bad-value"


def _all(checks: Sequence[Check]) -> Check:
    def check(value: object) -> str | None:
        for each in checks:
            reason = each(value)
            if reason is not None:
                return reason
        return None

    return check


# A bool is an int for Python but not for JSON Schema, hence exact types.
_TYPES: dict[str, type] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": int,  # events hold integers only (formats.md §1)
    "boolean": bool,
    "null": type(None),
}


def _type(names: object) -> Check:
    listed = cast("list[str]", names if isinstance(names, list) else [names])
    if not set(listed) <= _TYPES.keys():
        raise SchemaNotSupported(f"type {names!r}")
    if len(listed) == 1:
        only = _TYPES[listed[0]]
        return lambda value: None if type(value) is only else "wrong-type"
    kinds = frozenset(_TYPES[name] for name in listed)
    return lambda value: None if type(value) in kinds else "wrong-type"


def _enum(values: Sequence[Any]) -> Check:
    allowed: set[tuple[type, Any]] = {(type(value), value) for value in values}
    return lambda value: (
        None
        if type(value) is not dict and type(value) is not list and (type(value), value) in allowed
        else "bad-value"
    )


def _minimum(bound: int) -> Check:
    return lambda value: "out-of-range" if type(value) is int and value < bound else None


def _maximum(bound: int) -> Check:
    return lambda value: "out-of-range" if type(value) is int and value > bound else None


def _length_min(bound: int) -> Check:
    return lambda value: "bad-value" if type(value) is str and len(value) < bound else None


def _length_max(bound: int) -> Check:
    return lambda value: "bad-value" if type(value) is str and len(value) > bound else None


def _pattern(pattern: str) -> Check:
    search = re.compile(pattern, re.ASCII).search
    return lambda value: "bad-value" if type(value) is str and search(value) is None else None


def _items(schema: Mapping[str, Any] | bool) -> Check:
    each = compile_schema(schema)

    def check(value: object) -> str | None:
        if type(value) is list:
            for element in cast("list[object]", value):
                reason = each(element)
                if reason is not None:
                    return reason
        return None

    return check


def _items_min(bound: int) -> Check:
    def check(value: object) -> str | None:
        short = type(value) is list and len(cast("list[object]", value)) < bound
        return "bad-value" if short else None

    return check


def _items_max(bound: int) -> Check:
    def check(value: object) -> str | None:
        long = type(value) is list and len(cast("list[object]", value)) > bound
        return "bad-value" if long else None

    return check


def _any_of(schemas: Sequence[Mapping[str, Any] | bool]) -> Check:
    checks = [compile_schema(schema) for schema in schemas]

    def check(value: object) -> str | None:
        first: str | None = None
        for each in checks:
            reason = each(value)
            if reason is None:
                return None
            first = first or reason
        return first or "bad-value"

    return check


def _one_of(schemas: Sequence[Mapping[str, Any] | bool]) -> Check:
    checks = [compile_schema(schema) for schema in schemas]

    def check(value: object) -> str | None:
        reasons = [each(value) for each in checks]
        if reasons.count(None) == 1:
            return None
        return next((reason for reason in reasons if reason is not None), None) or "bad-value"

    return check


def _all_of(schemas: Sequence[Mapping[str, Any] | bool]) -> Check:
    return _all([compile_schema(schema) for schema in schemas])


_COMPILERS: dict[str, Callable[[Any], Check]] = {
    "type": _type,
    "enum": _enum,
    "const": lambda value: _enum([value]),
    "minimum": _minimum,
    "maximum": _maximum,
    "exclusiveMinimum": lambda bound: _minimum(bound + 1),
    "exclusiveMaximum": lambda bound: _maximum(bound - 1),
    "minLength": _length_min,
    "maxLength": _length_max,
    "pattern": _pattern,
    "items": _items,
    "minItems": _items_min,
    "maxItems": _items_max,
    "anyOf": _any_of,
    "oneOf": _one_of,
    "allOf": _all_of,
}

_OF_OBJECTS = frozenset({"properties", "required", "additionalProperties"})


def _object(schema: Mapping[str, Any]) -> Check:
    properties = {
        name: compile_schema(inner)
        for name, inner in cast("Mapping[str, Any]", schema.get("properties", {})).items()
    }
    required = frozenset(cast("Sequence[str]", schema.get("required", ())))
    others = compile_schema(schema.get("additionalProperties", True))

    def check(value: object) -> str | None:
        if type(value) is not dict:
            return None
        members = cast("dict[str, object]", value)
        if not required <= members.keys():
            return "missing-field"
        for name, member in members.items():
            known = properties.get(name)
            if known is not None:
                reason = known(member)
                if reason is not None:
                    return reason
            elif others is not _anything and others(member) is not None:
                return "unknown-field"
        return None

    return check
