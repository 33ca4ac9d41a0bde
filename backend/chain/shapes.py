"""What a piece of JSON is, told to the type checker as well."""

import json
import re
from typing import Any, TypeGuard

JSON_DEPTH_MAX = 32
_STRING_OR_BRACKET = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', re.DOTALL)


def _refuse_constant(name: str) -> Any:
    # Python would read NaN and Infinity, and write them back as an answer nobody can parse.
    raise ValueError(f"{name} is not JSON")


def parse_json(body: bytes) -> Any:
    """JSON nested at most 32 deep. Raises ValueError.

    The depth is counted before parsing: py-evm raises Python's recursion limit so far that
    the standard parser would overflow the stack, which ends the process.
    """
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(body):
        first = body[match.start()]
        if first in b"[{":
            depth += 1
            if depth > JSON_DEPTH_MAX:
                raise ValueError(f"JSON nested more than {JSON_DEPTH_MAX} deep")
        elif first in b"]}":
            depth -= 1
    return json.loads(body, parse_constant=_refuse_constant)


def is_object(value: Any) -> TypeGuard[dict[str, Any]]:
    """Whether a value is a JSON object."""
    return isinstance(value, dict)


def is_list(value: Any) -> TypeGuard[list[Any]]:
    """Whether a value is a JSON array."""
    return isinstance(value, list)
