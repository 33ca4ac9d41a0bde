"""The types of an expression, decided for every branch before anything is evaluated."""

from collections.abc import Mapping
from typing import Literal as Choices

from backend.kit.expr.errors import ExprError
from backend.kit.expr.syntax import Binary, Choice, Literal, Member, Name, Node, Unary

ExprType = Choices["int", "bool", "string"]

ARITHMETIC = frozenset("+-*/%")
ORDER = frozenset(("<", "<=", ">", ">="))
EQUALITY = frozenset(("==", "!="))


def type_of(node: Node, types: Mapping[str, ExprType]) -> ExprType:
    """The type of a tree whose names have `types`, else `ExprError` of kind `type`."""
    match node:
        case Literal(value):
            return _type_of_value(value)
        case Name(name):
            if name not in types:
                raise ExprError("type", f"the name {name!r} is not declared")
            return types[name]
        case Unary(mark, operand):
            wanted: ExprType = "int" if mark == "-" else "bool"
            return _want(wanted, type_of(operand, types), mark)
        case Binary(mark, left, right):
            return _binary(mark, type_of(left, types), type_of(right, types))
        case Member(left, members):
            kind = type_of(left, types)
            for member in members:
                _want(kind, _type_of_value(member), "in")
            return "bool"
        case Choice(condition, yes, no):
            _want("bool", type_of(condition, types), "?:")
            kind = type_of(yes, types)
            return _want(kind, type_of(no, types), "?:")


def _binary(mark: str, left: ExprType, right: ExprType) -> ExprType:
    if mark in EQUALITY:
        _want(left, right, mark)
        return "bool"
    wanted: ExprType = "bool" if mark in {"&&", "||"} else "int"
    _want(wanted, left, mark)
    _want(wanted, right, mark)
    return "int" if mark in ARITHMETIC else "bool"


def _want(wanted: ExprType, found: ExprType, mark: str) -> ExprType:
    if wanted != found:
        raise ExprError("type", f"'{mark}' needs {wanted} here and finds {found}")
    return wanted


def _type_of_value(value: int | bool | str) -> ExprType:
    if isinstance(value, bool):
        return "bool"
    return "int" if isinstance(value, int) else "string"
