"""A second opinion on an expression before it is published: Google's CEL compiler.

Our language is a subset of CEL, so whatever we accept has to compile there, to the same type.
Disagreement means that one of the two reads the text differently, and then nobody signs it.
"""

import importlib
from collections.abc import Mapping
from typing import Any

from backend.kit.expr import Expression, ExprType


def disagreement(expression: Expression, types: Mapping[str, ExprType]) -> str | None:
    """What the CEL compiler has against an expression, or None if it agrees on its type."""
    # Its stubs need a library that we do not have; what is used here is spelled out below.
    cel: Any = importlib.import_module("cel_expr_python.cel")
    known = {"int": cel.Type.INT, "bool": cel.Type.BOOL, "string": cel.Type.STRING}
    try:
        env = cel.NewEnv(variables={name: known[kind] for name, kind in types.items()})
        found = env.compile(expression.text).return_type()
    except Exception as error:  # noqa: BLE001 - its errors have no common class
        return f"CEL refuses {expression.text!r}: {str(error)[:300]}"
    if found != known[expression.type]:
        return f"CEL gives {expression.text!r} the type {found.name()}, not {expression.type}"
    return None
