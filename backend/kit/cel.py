"""A second opinion on an expression before it is published: two independent CEL libraries.

Our language is a subset of CEL, so what we accept has to compile there and give our answers on
boundary values. Disagreement means that one of us reads the text differently, and then nobody
signs it.
"""

from collections.abc import Mapping

from backend.kit.expr import Expression, ExprType, PublicationRefused, check_at_publication


def disagreement(expression: Expression, types: Mapping[str, ExprType]) -> str | None:
    """What the libraries have against an expression, or None; about 5 ms."""
    try:
        check_at_publication(expression.text, types)
    except PublicationRefused as refused:
        return str(refused)
    return None
