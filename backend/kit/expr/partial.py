"""What an expression comes to while only some of its names are known."""

from collections.abc import Mapping

from backend.kit.expr.compiler import Value
from backend.kit.expr.expression import Expression
from backend.kit.expr.syntax import Binary, Choice, Literal, Member, Name, Node, Unary


def decided(expression: Expression, known: Mapping[str, Value]) -> Value | None:
    """The value that an expression has for every value of its other names, or None.

    None is always a safe answer: arithmetic and order are not looked into. An error on one side of
    `&&` or `||` is absorbed where the other side decides, so it cannot change what is found here.
    """
    return _decided(expression.tree, known)


def _decided(node: Node, known: Mapping[str, Value]) -> Value | None:
    match node:
        case Literal(value):
            return value
        case Name(name):
            return known.get(name)
        case Unary("!", operand):
            value = _decided(operand, known)
            return None if value is None else not value
        case Binary("&&" | "||" as mark, left, right):
            decides = mark == "||"
            found = (_decided(left, known), _decided(right, known))
            if decides in found:
                return decides
            return None if None in found else not decides
        case Binary("==" | "!=" as mark, left, right):
            one, other = _decided(left, known), _decided(right, known)
            if one is None or other is None:
                return None
            return (one == other) is (mark == "==")
        case Member(left, members):
            value = _decided(left, known)
            return None if value is None else value in members
        case Choice(condition, yes, no):
            chosen = _decided(condition, known)
            if chosen is None:
                return None
            return _decided(yes if chosen else no, known)
        case _:
            return None
