"""From checked tree to a Python function, with int64 arithmetic that stops on overflow.

Why not one of the two CEL libraries: docs/decisions/0006-expression-language.md (they are slower,
and neither reports errors exactly as the language defines them). The generated text is made of our
own operators, integer and string literals from the tree and names prefixed with `v_`; nothing of
the expression's text is copied into it unread.
"""

from collections.abc import Callable, Mapping

from backend.kit.expr.checker import ARITHMETIC, ExprType
from backend.kit.expr.errors import ExprError
from backend.kit.expr.syntax import Binary, Choice, Literal, Member, Name, Node, Unary

Value = int | bool | str
Run = Callable[[Mapping[str, Value]], Value]

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
_IN_RANGE = f"{INT64_MIN} <= {{0}} <= {INT64_MAX}"
_PYTHON_TYPES: Mapping[ExprType, str] = {"int": "int", "bool": "bool", "string": "str"}


def compile_tree(node: Node, types: Mapping[str, ExprType]) -> tuple[Run, frozenset[str]]:
    """(the function of a mapping of values, the names it reads) of a type-checked tree.

    The function raises `ExprError`: `overflow`, `division`, or `type` for a value that is missing,
    of another type than declared, or an int beyond int64.
    """
    writer = _Writer()
    body = writer.write(node)
    names = sorted(writer.names)
    lines = ["def run(values):"]
    if names:
        lines.append(" try:")
        lines += [f'  v_{name} = values["{name}"]' for name in names]
        lines += [" except KeyError as error:", "  missing(error)"]
    for name in names:
        wrong = f"type(v_{name}) is not {_PYTHON_TYPES[types[name]]}"
        if types[name] == "int":
            wrong += f" or not {_IN_RANGE.format('v_' + name)}"
        lines += [f" if {wrong}:", f'  mistyped("{name}")']
    lines.append(f" return {body}")
    scope: dict[str, object] = {"__builtins__": None, **_HELPERS}
    exec(compile("\n".join(lines), "<expression>", "exec"), scope)  # noqa: S102 - text made here
    return scope["run"], frozenset(names)  # pyright: ignore[reportReturnType] - made by exec


class _Writer:
    """Writes a tree as one Python expression, every part in its own parentheses."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self._results = 0

    def write(self, node: Node) -> str:
        match node:
            case Literal(value):
                return repr(value)
            case Name(name):
                self.names.add(name)
                return f"v_{name}"
            case Unary("!", operand):
                return f"(not {self.write(operand)})"
            case Unary(_, operand):
                return self._bounded(f"-{self.write(operand)}")
            case Binary(mark, left, right):
                return self._binary(mark, left, right)
            case Member(left, members):
                return f"({self.write(left)} in {members!r})"
            case Choice(condition, yes, no):
                yes_text = self.write(yes)
                return f"({yes_text} if {self.write(condition)} else {self.write(no)})"

    def _binary(self, mark: str, left: Node, right: Node) -> str:
        left_text, right_text = self.write(left), self.write(right)
        if mark in {"/", "%"}:
            helper = "divide" if mark == "/" else "remainder"
            return f"{helper}({left_text}, {right_text})"
        if mark in ARITHMETIC:
            return self._bounded(f"{left_text} {mark} {right_text}")
        if mark not in {"&&", "||"}:
            return f"({left_text} {mark} {right_text})"
        word = "and" if mark == "&&" else "or"
        if _can_fail(left):
            # The right side may absorb an error of the left one, so it is evaluated even then.
            return f"absorb_{word}(lambda: {left_text}, lambda: {right_text})"
        return f"({left_text} {word} {right_text})"

    def _bounded(self, text: str) -> str:
        self._results += 1
        result = f"r{self._results}"
        return f"({result} if {_IN_RANGE.format(f'({result} := {text})')} else overflow())"


def _can_fail(node: Node) -> bool:
    match node:
        case Literal() | Name():
            return False
        case Unary(mark, operand):
            return mark == "-" or _can_fail(operand)
        case Binary(mark, left, right):
            return mark in ARITHMETIC or _can_fail(left) or _can_fail(right)
        case Member(left, _):
            return _can_fail(left)
        case Choice(condition, yes, no):
            return _can_fail(condition) or _can_fail(yes) or _can_fail(no)


def _overflow() -> int:
    raise ExprError("overflow", "a result is beyond 64 bits")


def _divide(dividend: int, divisor: int) -> int:
    if divisor > 0 and dividend >= 0:
        return dividend // divisor
    if divisor == 0:
        raise ExprError("division", "by zero")
    quotient = abs(dividend) // abs(divisor)
    if (dividend < 0) != (divisor < 0):
        return -quotient
    return quotient if quotient <= INT64_MAX else _overflow()


def _remainder(dividend: int, divisor: int) -> int:
    if divisor > 0 and dividend >= 0:
        return dividend % divisor
    if divisor == 0:
        raise ExprError("division", "by zero")
    if dividend == INT64_MIN and divisor == -1:
        return _overflow()
    remainder = abs(dividend) % abs(divisor)
    return -remainder if dividend < 0 else remainder


def _absorb_and(left: Callable[[], bool], right: Callable[[], bool]) -> bool:
    try:
        decided = not left()
    except ExprError as error:
        if _holds(right, error):
            raise
        return False
    return False if decided else right()


def _absorb_or(left: Callable[[], bool], right: Callable[[], bool]) -> bool:
    try:
        decided = left()
    except ExprError as error:
        if not _holds(right, error):
            raise
        return True
    return True if decided else right()


def _holds(right: Callable[[], bool], left_error: ExprError) -> bool:
    """The right side's value; if it fails as well, the left side's error is the one reported."""
    try:
        return right()
    except ExprError:
        raise left_error from None


def _missing(error: KeyError) -> None:
    raise ExprError("type", f"no value for the name {error.args[0]!r}") from None


def _mistyped(name: str) -> None:
    raise ExprError("type", f"the value of {name!r} is not of its declared type")


_HELPERS: dict[str, object] = {
    "type": type,
    "int": int,
    "bool": bool,
    "str": str,
    "KeyError": KeyError,
    "overflow": _overflow,
    "divide": _divide,
    "remainder": _remainder,
    "absorb_and": _absorb_and,
    "absorb_or": _absorb_or,
    "missing": _missing,
    "mistyped": _mistyped,
}
