"""From text to tree: the tokens, the grammar and the limits of docs/formats.md section 10.

Every breach of the grammar or of a limit is an `ExprError` of kind `syntax`; nothing is evaluated
here and the work is linear in the length of the text, which is at most 512 code points.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from backend.kit.expr.errors import ExprError

CODE_POINTS_MAX = 512
NODES_MAX = 128
DEPTH_MAX = 32
INT_MAX = 2**63 - 1
KEYWORDS = frozenset(
    (
        *("as", "break", "const", "continue", "else", "false", "for", "function", "if", "import"),
        *("in", "let", "loop", "namespace", "null", "package", "return", "true", "var", "void"),
        "while",
    )
)

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_INT = re.compile(r"0|[1-9][0-9]{0,18}")
_TOKEN = re.compile(
    r"""(?P<word>[A-Za-z0-9_]+)"""
    r"""|"(?P<string>[ !\x23-\x5b\x5d-\x7e\u4e00-\u9fff]*)\""""
    r"""|(?P<mark><=|>=|==|!=|&&|\|\||[-+*/%!<>?:()\[\],])"""
)


@dataclass(frozen=True, slots=True)
class Literal:
    """An int, a bool or a string written in the expression."""

    value: int | bool | str


@dataclass(frozen=True, slots=True)
class Name:
    """A value looked up by name."""

    name: str


@dataclass(frozen=True, slots=True)
class Unary:
    """`-` or `!` before one operand."""

    mark: str
    operand: "Node"


@dataclass(frozen=True, slots=True)
class Binary:
    """An arithmetic, order, equality or logical operator between two operands."""

    mark: str
    left: "Node"
    right: "Node"


@dataclass(frozen=True, slots=True)
class Member:
    """`left in [literal, …]`."""

    left: "Node"
    members: tuple[int | bool | str, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """`condition ? yes : no`."""

    condition: "Node"
    yes: "Node"
    no: "Node"


Node = Literal | Name | Unary | Binary | Member | Choice


@dataclass(frozen=True, slots=True)
class _Token:
    """A word, a string or a mark, with the position of its first character."""

    kind: str
    text: str
    at: int


def is_name(text: str) -> bool:
    """Whether `text` can stand as a name in an expression."""
    return _NAME.fullmatch(text) is not None and text not in KEYWORDS


def read(text: str) -> Node:
    """The tree of an expression, else `ExprError` of kind `syntax`."""
    if len(text) > CODE_POINTS_MAX:
        raise ExprError("syntax", f"longer than {CODE_POINTS_MAX} code points")
    parser = _Parser(_tokens(text))
    node, _ = parser.choice()
    parser.expect_end()
    return node


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    at, end = 0, len(text)
    while True:
        while at < end and text[at] == " ":
            at += 1
        if at == end:
            break
        match = _TOKEN.match(text, at)
        if match is None:
            raise ExprError("syntax", f"no token can start at character {at + 1}")
        kind = match.lastgroup or ""
        tokens.append(_Token(kind, match[kind], at))
        at = match.end()
    tokens.append(_Token("end", "", end))
    return tokens


class _Parser:
    """Recursive descent; every method returns (tree, depth).

    Parentheses are the only recursion besides the branches of `?:`, and each of them adds at least
    one level; `_enter` stops an expression whose brackets alone are too deep before the stack is.
    """

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._nodes = 0
        self._open = 0

    def choice(self) -> tuple[Node, int]:
        """`cond = or ["?" or ":" cond]`, read in a loop because only its tail recurs."""
        parts: list[tuple[tuple[Node, int], tuple[Node, int]]] = []
        last = self._or()
        while self._accept("?"):
            yes = self._or()
            self._expect(":")
            parts.append((last, yes))
            last = self._or()
        for (condition, c_depth), (yes, y_depth) in reversed(parts):
            no, n_depth = last
            depth = self._count(1 + max(c_depth, y_depth, n_depth))
            last = (Choice(condition, yes, no), depth)
        return last

    def expect_end(self) -> None:
        """Nothing but blanks may follow."""
        if self._peek.kind != "end":
            raise self._unexpected()

    def _or(self) -> tuple[Node, int]:
        return self._chain(("||",), self._and)

    def _and(self) -> tuple[Node, int]:
        return self._chain(("&&",), self._relation)

    def _relation(self) -> tuple[Node, int]:
        left, depth = self._add()
        token = self._peek
        if token.kind == "mark" and token.text in ("<", "<=", ">", ">=", "==", "!="):
            self._at += 1
            right, right_depth = self._add()
            depth = self._count(1 + max(depth, right_depth))
            return Binary(token.text, left, right), depth
        if token.kind == "word" and token.text == "in":
            self._at += 1
            return self._members(left, depth)
        return left, depth

    def _members(self, left: Node, depth: int) -> tuple[Node, int]:
        self._expect("[")
        members = [self._literal()]
        while self._accept(","):
            members.append(self._literal())
        self._expect("]")
        return Member(left, tuple(members)), self._count(1 + max(depth, 1))

    def _add(self) -> tuple[Node, int]:
        return self._chain(("+", "-"), self._multiply)

    def _multiply(self) -> tuple[Node, int]:
        return self._chain(("*", "/", "%"), self._unary)

    def _chain(
        self, marks: tuple[str, ...], operand: Callable[[], tuple[Node, int]]
    ) -> tuple[Node, int]:
        left, depth = operand()
        while self._peek.kind == "mark" and self._peek.text in marks:
            mark = self._next().text
            right, right_depth = operand()
            depth = self._count(1 + max(depth, right_depth))
            left = Binary(mark, left, right)
        return left, depth

    def _unary(self) -> tuple[Node, int]:
        for mark in ("-", "!"):
            if self._accept(mark):
                operand, depth = self._primary()
                return Unary(mark, operand), self._count(1 + depth)
        return self._primary()

    def _primary(self) -> tuple[Node, int]:
        token = self._peek
        if token.kind == "mark" and token.text == "(":
            self._at += 1
            self._open += 1
            if self._open >= DEPTH_MAX:
                raise ExprError("syntax", f"deeper than {DEPTH_MAX} levels")
            node, depth = self.choice()
            self._expect(")")
            self._open -= 1
            return node, self._bound(depth + 1)
        if token.kind == "word" and is_name(token.text):
            self._at += 1
            return Name(token.text), self._count(1)
        return Literal(self._literal()), 1

    def _literal(self) -> int | bool | str:
        token = self._next()
        self._count(1)
        if token.kind == "string":
            return token.text
        if token.kind == "word" and token.text in ("true", "false"):
            return token.text == "true"
        if token.kind == "word" and _INT.fullmatch(token.text) and int(token.text) <= INT_MAX:
            return int(token.text)
        self._at -= 1
        raise self._unexpected()

    def _count(self, depth: int) -> int:
        """Count one node and bound its depth."""
        self._nodes += 1
        if self._nodes > NODES_MAX:
            raise ExprError("syntax", f"more than {NODES_MAX} nodes")
        return self._bound(depth)

    @staticmethod
    def _bound(depth: int) -> int:
        if depth > DEPTH_MAX:
            raise ExprError("syntax", f"deeper than {DEPTH_MAX} levels")
        return depth

    @property
    def _peek(self) -> _Token:
        return self._tokens[self._at]

    def _next(self) -> _Token:
        token = self._tokens[self._at]
        self._at += token.kind != "end"
        return token

    def _accept(self, mark: str) -> bool:
        token = self._peek
        found = token.kind == "mark" and token.text == mark
        self._at += found
        return found

    def _expect(self, mark: str) -> None:
        if not self._accept(mark):
            raise self._unexpected()

    def _unexpected(self) -> ExprError:
        token = self._peek
        found = f"{token.text!r}" if token.kind != "end" else "the end"
        return ExprError("syntax", f"{found} cannot stand at character {token.at + 1}")


def rename(text: str, new_names: Mapping[str, str]) -> str:
    """The text of a readable expression with some of its names replaced."""
    parts: list[str] = []
    at = 0
    for token in _tokens(text):
        if token.kind == "word" and token.text in new_names:
            parts += (text[at : token.at], new_names[token.text])
            at = token.at + len(token.text)
    return "".join((*parts, text[at:]))


def literals(node: Node) -> list[int | bool | str]:
    """All literals of a tree, those of lists included."""
    match node:
        case Literal(value):
            return [value]
        case Name():
            return []
        case Unary(_, operand):
            return literals(operand)
        case Binary(_, left, right):
            return literals(left) + literals(right)
        case Member(left, members):
            return literals(left) + list(members)
        case Choice(condition, yes, no):
            return literals(condition) + literals(yes) + literals(no)
