"""One vector file, four evaluators: ours, the reference in Node, and two CEL libraries.

The libraries see every case that passes our parser. Where a library is known to differ from the
language, the difference is modelled here rule by rule, and the library must match the model
exactly: an unknown difference fails as much as a known one that disappears.
"""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from backend.kit.expr import ErrorKind, ExprError, Expression, ExprType, Value, parse
from backend.kit.expr.libraries import Answer, cpp_answers, rust_answers
from backend.kit.expr.publication import answer_of
from backend.kit.expr.syntax import Binary, Choice, Literal, Member, Name, Node, Unary

ROOT = Path(__file__).parents[2]
VECTORS = ROOT / "tests/vectors/expr.jsonl"
REFERENCE = ROOT / "tests/expr_reference"
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1

CASES: list[dict[str, Any]] = [json.loads(line) for line in VECTORS.read_text().splitlines()]


def decoded(value: Any) -> Value:
    if isinstance(value, str):
        return int(value)
    return value["s"] if isinstance(value, dict) else value


def values_of(case: Mapping[str, Any]) -> dict[str, Value]:
    return {name: decoded(value) for name, value in case["vars"].items()}


def types_of(values: Mapping[str, Value]) -> dict[str, ExprType]:
    kinds: dict[type, ExprType] = {int: "int", bool: "bool", str: "string"}
    return {name: kinds[type(value)] for name, value in values.items()}


def expected(case: Mapping[str, Any]) -> Answer:
    return (case["error"], None) if "error" in case else (None, decoded(case["result"]))


@cache
def read(text: str, types: frozenset[tuple[str, ExprType]]) -> Expression | ErrorKind:
    try:
        return parse(text, dict(types))
    except ExprError as error:
        return error.kind


def read_case(case: Mapping[str, Any]) -> Expression | ErrorKind:
    return read(case["expr"], frozenset(types_of(values_of(case)).items()))


def tree_of(case: Mapping[str, Any]) -> Node:
    expression = read_case(case)
    assert isinstance(expression, Expression)
    return expression.tree


def ours(case: Mapping[str, Any]) -> Answer:
    expression = read_case(case)
    if not isinstance(expression, Expression):
        return expression, None
    return answer_of(expression, values_of(case))


def same(one: Answer, other: Answer) -> bool:
    return one == other and type(one[1]) is type(other[1])


READABLE = [case for case in CASES if case.get("error") not in {"syntax", "type"}]


class Model:
    """The language written a third time as a plain tree walk, with a library's known quirks."""

    def __init__(self, *, negation_wraps: bool = False, right_error_wins: bool = False) -> None:
        self.negation_wraps = negation_wraps
        self.right_error_wins = right_error_wins

    def answer(self, node: Node, values: Mapping[str, Value]) -> Answer:
        try:
            return None, self.run(node, values)
        except ExprError as error:
            return error.kind, None

    def run(self, node: Node, values: Mapping[str, Value]) -> Any:
        match node:
            case Literal(value):
                return value
            case Name(name):
                return values[name]
            case Unary("!", operand):
                return not self.run(operand, values)
            case Unary(_, operand):
                return self.negated(self.run(operand, values))
            case Member(left, members):
                return self.run(left, values) in members
            case Choice(condition, yes, no):
                return self.run(yes if self.run(condition, values) else no, values)
            case Binary("&&" | "||", _, _):
                return self.logical(node, values)
            case Binary(mark, left, right):
                return strict(mark, self.run(left, values), self.run(right, values))

    def negated(self, value: int) -> int:
        return value if self.negation_wraps and value == INT64_MIN else bounded(-value)

    def logical(self, node: Binary, values: Mapping[str, Value]) -> bool:
        deciding = node.mark == "||"
        sides = [self.answer(side, values) for side in (node.left, node.right)]
        if any(error is None and value is deciding for error, value in sides):
            return deciding
        errors: list[ErrorKind] = [error for error, _ in sides if error is not None]
        if errors:
            raise ExprError(errors[-1 if self.right_error_wins else 0], "")
        return not deciding


def bounded(value: int) -> int:
    if not INT64_MIN <= value <= INT64_MAX:
        raise ExprError("overflow", "")
    return value


def strict(mark: str, a: Any, b: Any) -> Any:
    if mark in "/%":
        if b == 0:
            raise ExprError("division", "")
        quotient = bounded(abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1))
        return quotient if mark == "/" else a - quotient * b
    if mark in "+-*":
        return bounded({"+": a + b, "-": a - b, "*": a * b}[mark])
    return {"==": a == b, "!=": a != b}[mark] if mark in {"==", "!="} else ordered(mark, a, b)


def ordered(mark: str, a: int, b: int) -> bool:
    return {"<": a < b, "<=": a <= b, ">": a > b, ">=": a >= b}[mark]


def test_the_vector_file_is_large_and_every_kind_of_answer_is_well_represented():
    kinds = Counter(case.get("error") or type(decoded(case["result"])).__name__ for case in CASES)
    assert len(CASES) >= 10_000
    assert len({json.dumps([case["expr"], case["vars"]]) for case in CASES}) == len(CASES)
    assert set(kinds) == {"int", "bool", "str", "syntax", "type", "overflow", "division"}
    assert min(kinds.values()) >= 400, kinds


def test_our_engine_gives_every_answer():
    assert [case for case in CASES if not same(ours(case), expected(case))] == []


def test_a_plain_tree_walk_gives_every_answer():
    walk = Model()
    for case in READABLE:
        values, tree = values_of(case), tree_of(case)
        assert same(walk.answer(tree, values), expected(case)), case


def test_the_vector_file_is_what_the_generator_and_the_reference_in_node_write(node: str):
    script = [sys.executable, str(REFERENCE / "make_vectors.py")]
    written = subprocess.run(script, capture_output=True, check=True, timeout=120).stdout
    assert written == VECTORS.read_bytes()


def test_the_reference_evaluator_stays_readable():
    assert len((REFERENCE / "evaluator.mjs").read_text().splitlines()) <= 200


def test_cel_expr_python_gives_every_answer():
    for case in READABLE:
        values = values_of(case)
        assert same(
            cpp_answers(case["expr"], dict(sorted(types_of(values).items())))(values),
            expected(case),
        ), case


def test_common_expression_language_differs_by_its_two_known_rules_alone():
    known = {
        "negating the least int64 wraps": Model(negation_wraps=True),
        "the right error of && and || is reported": Model(right_error_wins=True),
    }
    both = Model(negation_wraps=True, right_error_wins=True)
    met: Counter[str] = Counter()
    for case in READABLE:
        values, tree = values_of(case), tree_of(case)
        found = rust_answers(case["expr"])(values)
        assert same(found, both.answer(tree, values)), case
        if not same(found, expected(case)):
            met.update(
                rule for rule, model in known.items() if same(found, model.answer(tree, values))
            )
    assert set(met) == set(known)


def test_an_unknown_difference_would_be_seen():
    """Negative control: an engine that floors instead of truncating does not pass the vectors."""
    wrong = [
        case
        for case in READABLE
        if case["expr"].count("/") and "result" in case and floored(case) != expected(case)
    ]
    assert len(wrong) > 20


def floored(case: Mapping[str, Any]) -> Answer:
    values = values_of(case)
    scope = dict.fromkeys(("true",), True) | dict.fromkeys(("false",), False) | values
    try:
        return None, eval(case["expr"].replace("/", "//"), {}, scope)
    except (SyntaxError, ZeroDivisionError, TypeError):
        return expected(case)


@pytest.fixture
def node() -> str:

    found = shutil.which("node")
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail("the reference evaluator needs Node")
        pytest.skip("Node is not installed: the reference evaluator was not run")
    return found
