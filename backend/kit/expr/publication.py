"""What an expression must pass before a method or rule with it may be published."""

import itertools
import math
import random
from collections.abc import Iterator, Mapping, Sequence

from backend.kit.expr.checker import ExprType
from backend.kit.expr.compiler import Value
from backend.kit.expr.errors import ExprError
from backend.kit.expr.expression import Expression, parse
from backend.kit.expr.libraries import Answer, LibraryRefused, cpp_answers, rust_answers
from backend.kit.expr.syntax import literals

SAMPLES_MAX = 256
_INPUT_MAX = 2**53 - 1  # The largest integer a document or an event can hold.


class PublicationRefused(ValueError):
    """The independent libraries do not confirm an expression; it must not be enacted."""


def check_at_publication(
    text: str,
    types: Mapping[str, ExprType],
    samples: Sequence[Mapping[str, Value]] = (),
) -> Expression:
    """The expression, after both CEL libraries gave our answers on boundary values.

    The values are the neighbours of every literal, 0, ±1 and ±(2^53-1) of every name, at most 256
    combinations (the same ones each time), besides `samples`. Raises `ExprError` (our parser) or
    `PublicationRefused`, naming the values in question.
    """
    expression = parse(text, types)
    used: dict[str, ExprType] = {name: types[name] for name in sorted(expression.names)}
    try:
        libraries = (("common-expression-language", rust_answers(text)),)
        libraries += (("cel-expr-python", cpp_answers(text, used)),)
        for values in itertools.chain(_boundaries(expression, used), samples):
            point = {name: values[name] for name in used}
            ours = answer_of(expression, point)
            for library, answer in libraries:
                _compare(library, ours, answer(point), point)
    except LibraryRefused as error:
        raise PublicationRefused(str(error)) from error
    return expression


def answer_of(expression: Expression, values: Mapping[str, Value]) -> Answer:
    """Our own answer in the libraries' form."""
    try:
        return None, expression.evaluate(values)
    except ExprError as error:
        return error.kind, None


def _compare(library: str, ours: Answer, theirs: Answer, point: Mapping[str, Value]) -> None:
    # Which of two errors the Rust library reports differs from the language; that it fails, not.
    both_fail = ours[0] is not None and theirs[0] is not None
    same_value = ours == theirs and type(ours[1]) is type(theirs[1])
    if not both_fail and not same_value:
        raise PublicationRefused(f"{library} answers {theirs} and we {ours} for {dict(point)}")


def _boundaries(
    expression: Expression, types: Mapping[str, ExprType]
) -> Iterator[Mapping[str, Value]]:
    written = literals(expression.tree)
    numbers = {n for n in written if type(n) is int}
    candidates: dict[ExprType, list[Value]] = {
        "int": sorted(
            {0, 1, -1, _INPUT_MAX, -_INPUT_MAX}
            | {n + step for n in numbers for step in (-1, 0, 1) if n + step <= _INPUT_MAX}
        ),
        "bool": [False, True],
        "string": [*sorted({n for n in written if isinstance(n, str)}), ""],
    }
    axes = [candidates[kind] for kind in types.values()]
    if math.prod(map(len, axes)) <= SAMPLES_MAX:
        points = itertools.product(*axes)
    else:
        # Chosen by the text, so that a publication can be repeated exactly.
        chooser = random.Random(expression.text)  # noqa: S311 - samples, not secrets
        points = (tuple(map(chooser.choice, axes)) for _ in range(SAMPLES_MAX))
    return (dict(zip(types, point, strict=True)) for point in points)
