"""An expression in Chinese, for people who are not to learn a language to read their rule."""

from collections.abc import Callable

from backend.kit.expr.compiler import Value
from backend.kit.expr.expression import Expression
from backend.kit.expr.syntax import Binary, Choice, Literal, Member, Name, Node, Unary

NameWords = Callable[[str], str]
ValueWords = Callable[[str, Value], str]
"""(name that it stands beside, or "", value) → how the value is shown."""

_COMPARED = {
    "==": "为",
    "!=": "不为",
    ">": "大于",
    ">=": "不小于",
    "<": "小于",
    "<=": "不大于",
}
_ARITHMETIC = {"+": "+", "-": "−", "*": "×", "/": "÷", "%": "除余"}
_STRENGTH = {"?": 0, "||": 1, "&&": 2, "==": 3, "+": 4, "-": 4, "*": 5, "/": 5, "%": 5}


def in_chinese(expression: Expression, name: NameWords, value: ValueWords) -> str:
    """The expression in words. `/` is `÷`, of which the remainder is dropped; `%` is the remainder.

    Parts are put in parentheses wherever the order of reading could be doubted.
    """
    return _Writer(name, value).write(expression.tree, 0)


class _Writer:
    """Writes a tree; what binds weaker than `least` is put in parentheses."""

    def __init__(self, name: NameWords, value: ValueWords) -> None:
        self._name = name
        self._value = value

    def write(self, node: Node, least: int) -> str:
        strength, text = self._text(node)
        return f"({text})" if strength < least else text

    def _text(self, node: Node) -> tuple[int, str]:
        match node:
            case Literal(value):
                return 9, self._value("", value)
            case Name(name):
                return 9, self._name(name)
            case Unary("!", operand):
                return 8, f"非({self.write(operand, 0)})"
            case Unary(_, operand):
                return 8, f"−{self.write(operand, 8)}"
            case Binary("&&" | "||" as mark, left, right):
                strength = _STRENGTH[mark]
                word = ",且" if mark == "&&" else ",或"
                return strength, f"{self.write(left, strength)}{word}{self.write(right, strength)}"
            case Binary(mark, left, right) if mark in _COMPARED:
                return (
                    3,
                    f"{self._beside(right, left)}{_COMPARED[mark]} {self._beside(left, right)}",
                )
            case Binary(mark, left, right):
                strength = _STRENGTH[mark]
                shown = f" {_ARITHMETIC[mark]} "
                return (
                    strength,
                    f"{self.write(left, strength)}{shown}{self.write(right, strength + 1)}",
                )
            case Member(left, members):
                listed = "、".join(self._value(_name_of(left), member) for member in members)
                if len(members) == 1:
                    return 3, f"{self.write(left, 4)}为 {listed}"
                return 3, f"{self.write(left, 4)}为 {listed} 之一"
            case Choice(condition, yes, no):
                return 0, (
                    f"若{self.write(condition, 1)},则 {self.write(yes, 1)};否则 {self.write(no, 0)}"
                )

    def _beside(self, other: Node, node: Node) -> str:
        """One side of a comparison; a literal is shown as a value of the name on the other side."""
        if isinstance(node, Literal):
            return self._value(_name_of(other), node.value)
        return self.write(node, 4)


def _name_of(node: Node) -> str:
    return node.name if isinstance(node, Name) else ""
