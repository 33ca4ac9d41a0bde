"""An expression ready to run."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from backend.kit.expr.checker import ExprType, type_of
from backend.kit.expr.compiler import Run, compile_tree
from backend.kit.expr.syntax import Node, read


@dataclass(frozen=True, slots=True)
class Expression:
    """A parsed, type-checked and compiled expression; make it with `parse` and keep it.

    `evaluate` takes a mapping with a value for each of `names` (others are ignored) and returns an
    int, a bool or a str according to `type`. It raises `ExprError`: `overflow`, `division`, or
    `type` for a missing value or one of another type than declared.
    """

    text: str
    type: ExprType
    names: frozenset[str]
    tree: Node = field(repr=False)
    evaluate: Run = field(repr=False, compare=False)


def parse(text: str, types: Mapping[str, ExprType]) -> Expression:
    """The expression of `text` over names with `types`; linear work, nothing is evaluated.

    Raises `ExprError` of kind `syntax` (grammar and limits, decided first) or `type`.
    """
    tree = read(text)
    kind = type_of(tree, types)
    run, names = compile_tree(tree, types)
    return Expression(text=text, type=kind, names=names, tree=tree, evaluate=run)
