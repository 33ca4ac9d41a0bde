"""Two CEL libraries as independent checks of our own evaluator.

The language is a subset of CEL, so an expression that passes our parser also runs in
`common-expression-language` (Rust, `cel`) and in `cel-expr-python` (Google's C++). Where they are
known to answer otherwise than the language says:

- Rust: `-x` of the least int64 wraps to itself instead of `overflow`; where both sides of `&&` or
  `||` fail, it reports the right side's error instead of the left one's.
- C++: names of CEL's own types (`int`, `string`, `list` …) cannot be declared; they are renamed
  for it.
"""

import importlib
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from typing import Any

from backend.kit.expr.checker import ExprType
from backend.kit.expr.compiler import Value
from backend.kit.expr.errors import ErrorKind
from backend.kit.expr.syntax import rename

Answer = tuple["ErrorKind | None", "Value | None"]
"""(the kind of the error or None, the value or None)."""

_CPP_TYPE_NAMES = frozenset(
    ("bool", "bytes", "double", "dyn", "int", "list", "map", "null_type", "string", "type", "uint")
)


class LibraryRefused(RuntimeError):
    """A CEL library does not take an expression that our parser takes, or answers strangely."""


@cache
def _rust() -> Any:
    return importlib.import_module("cel")


@cache
def _cpp() -> Any:
    return importlib.import_module("cel_expr_python.cel")


def rust_answers(text: str) -> Callable[[Mapping[str, Value]], Answer]:
    """The expression compiled by common-expression-language, as a function of values."""
    try:
        program = _rust().compile(text)
    except Exception as error:
        raise LibraryRefused(f"common-expression-language: {error}") from error

    def answer(values: Mapping[str, Value]) -> Answer:
        try:
            return None, program.execute(dict(values))
        except OverflowError:
            return "overflow", None
        except ZeroDivisionError:
            return "division", None
        except Exception as error:
            raise LibraryRefused(f"common-expression-language: {error}") from error

    return answer


@lru_cache(maxsize=1_024)
def _environment(types: tuple[tuple[str, ExprType], ...]) -> Any:
    """Names with types for the C++ library; making one costs more than compiling with it."""
    cel = _cpp()
    of = {"int": cel.Type.INT, "bool": cel.Type.BOOL, "string": cel.Type.STRING}
    return cel.NewEnv(variables={name: of[kind] for name, kind in types})


def cpp_answers(
    text: str, types: Mapping[str, ExprType]
) -> Callable[[Mapping[str, Value]], Answer]:
    """The expression type-checked by cel-expr-python, as a function of values."""
    new_names = {name: f"{name}_" if name in _CPP_TYPE_NAMES else name for name in types}
    error_type = _cpp().Type.ERROR
    try:
        environment = _environment(tuple((new_names[n], kind) for n, kind in types.items()))
        program = environment.compile(rename(text, new_names))
    except Exception as error:
        raise LibraryRefused(f"cel-expr-python: {error}") from error

    def answer(values: Mapping[str, Value]) -> Answer:
        result = program.eval(data={new_names[name]: values[name] for name in new_names})
        value = result.plain_value()
        if result.type() != error_type:
            return None, value
        if "overflow" in value:
            return "overflow", None
        if "divide by zero" in value or "modulus by zero" in value:
            return "division", None
        raise LibraryRefused(f"cel-expr-python: {value}")

    return answer
