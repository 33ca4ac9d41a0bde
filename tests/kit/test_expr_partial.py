"""What is found with some names unknown holds for every value of theirs."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from backend.kit.expr import ExprError, Expression, Value, decided, parse
from backend.kit.expr import partial as partial_module

VECTORS = Path(__file__).parents[1] / "vectors" / "expr.jsonl"


def value_of(written: Any) -> Value:
    if isinstance(written, bool):
        return written
    return written["s"] if isinstance(written, dict) else int(written)


def kind_of(value: Value) -> Any:
    return "bool" if isinstance(value, bool) else "int" if isinstance(value, int) else "string"


def cases() -> list[tuple[Expression, dict[str, Value], Value | None]]:
    """Every vector that can be read: expression, values, and the result or None for an error."""
    found: list[tuple[Expression, dict[str, Value], Value | None]] = []
    for line in VECTORS.read_text("utf-8").splitlines():
        case = json.loads(line)
        values = {name: value_of(v) for name, v in case["vars"].items()}
        try:
            expression = parse(case["expr"], {name: kind_of(v) for name, v in values.items()})
        except ExprError:
            continue
        result = value_of(case["result"]) if "result" in case else None
        found.append((expression, values, result))
    return found


CASES = cases()


def contradictions() -> int:
    """How many vectors say something else than what is found with any one name unknown."""
    wrong = 0
    for expression, values, result in CASES:
        for hidden in (None, *values):
            known = {name: v for name, v in values.items() if name != hidden}
            found = decided(expression, known)
            wrong += found is not None and (found != result or type(found) is not type(result))
    return wrong


def test_no_vector_contradicts_what_is_decided() -> None:
    assert len(CASES) > 5_000
    assert contradictions() == 0


def test_some_is_decided_at_all() -> None:
    found = [decided(expression, values) for expression, values, _ in CASES]
    assert len([value for value in found if value is not None]) > 200


def test_a_guess_is_contradicted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: with unknown names taken for 0 the vectors would object."""

    class Guessing(dict[str, Value]):
        def get(self, name: str, default: Any = None) -> Any:
            return super().get(name, 0)

    plain = partial_module._decided

    def guessing(node: Any, known: Mapping[str, Value]) -> Value | None:
        return plain(node, known if isinstance(known, Guessing) else Guessing(known))

    monkeypatch.setattr(partial_module, "_decided", guessing)
    assert contradictions() > 0
