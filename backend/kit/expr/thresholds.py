"""The values around which an expression changes its answer, as far as its text shows them."""

from collections.abc import Iterator, Mapping

from backend.kit.expr.checker import EQUALITY, ORDER
from backend.kit.expr.compiler import Value, compile_tree
from backend.kit.expr.errors import ExprError
from backend.kit.expr.expression import Expression
from backend.kit.expr.syntax import Binary, Choice, Literal, Member, Name, Node, Unary

Thresholds = dict[str, set[Value]]


def thresholds(expression: Expression, known: Mapping[str, int]) -> tuple[Thresholds, bool]:
    """What each name of an expression is compared with, and whether that is all there is to it.

    `known` are names with fixed values; what is made of these and of literals alone is worked out.
    The second value is False where a name also stands in a calculation, so that its answer may
    change elsewhere too.
    """
    found: Thresholds = {}
    simple = [_collect(node, known, found) for node in _atoms(expression.tree)]
    return found, all(simple)


def _atoms(node: Node) -> Iterator[Node]:
    """The parts of a condition between which only `!`, `&&`, `||` and `?:` stand."""
    match node:
        case Unary("!", operand):
            yield from _atoms(operand)
        case Binary("&&" | "||", left, right):
            yield from _atoms(left)
            yield from _atoms(right)
        case Choice(condition, yes, no):
            for part in (condition, yes, no):
                yield from _atoms(part)
        case _:
            yield node


def _collect(node: Node, known: Mapping[str, int], found: Thresholds) -> bool:
    """Add what an atom compares a name with; False if it is more than such a comparison."""
    match node:
        case Literal():
            return True
        case Name(name):
            found.setdefault(name, set())
            return True
        case Member(Name(name), members) if name not in known:
            found.setdefault(name, set()).update(members)
            return True
        case Binary(mark, Name(name), other) if _compares(mark) and name not in known:
            return _add(found, name, other, known)
        case Binary(mark, other, Name(name)) if _compares(mark) and name not in known:
            return _add(found, name, other, known)
        case _:
            for name in _names(node):
                if name not in known:
                    found.setdefault(name, set()).update(_numbers(node))
            return False


def _compares(mark: str) -> bool:
    return mark in EQUALITY or mark in ORDER


def _add(found: Thresholds, name: str, other: Node, known: Mapping[str, int]) -> bool:
    if isinstance(other, Literal):
        found.setdefault(name, set()).add(other.value)
        return True
    if any(each not in known for each in _names(other)):
        for each in {name, *_names(other)} - known.keys():
            found.setdefault(each, set()).update(_numbers(other))
        return False
    try:
        run, _ = compile_tree(other, dict.fromkeys(known, "int"))
        found.setdefault(name, set()).add(run(known))
    except ExprError:
        return False
    return True


def _names(node: Node) -> set[str]:
    match node:
        case Name(name):
            return {name}
        case Literal():
            return set()
        case Unary(_, operand):
            return _names(operand)
        case Binary(_, left, right):
            return _names(left) | _names(right)
        case Member(left, _):
            return _names(left)
        case Choice(condition, yes, no):
            return _names(condition) | _names(yes) | _names(no)


def _numbers(node: Node) -> set[int]:
    match node:
        case Literal(value):
            return {value} if type(value) is int else set()
        case Name():
            return set()
        case Unary(_, operand):
            return _numbers(operand)
        case Binary(_, left, right):
            return _numbers(left) | _numbers(right)
        case Member(left, members):
            return _numbers(left) | {m for m in members if type(m) is int}
        case Choice(condition, yes, no):
            return _numbers(condition) | _numbers(yes) | _numbers(no)
