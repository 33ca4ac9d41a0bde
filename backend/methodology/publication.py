"""What is checked once, when a method is published, beyond what reading it checks."""

from backend.kit.cel import disagreement
from backend.kit.needs import DocumentError
from backend.methodology.document import Method


def check_publication(method: Method) -> None:
    """Refuse what this platform could not serve, and expressions that CEL reads differently.

    Raises DocumentError `unknown-history`, `unknown-counter` or `cel-disagrees`.
    """
    if method.needs.history:
        names = ", ".join(method.needs.history)
        raise DocumentError("unknown-history", f"in none of the issuer's tables: {names}")
    if method.needs.counters:
        names = ", ".join(method.needs.counters)
        raise DocumentError("unknown-counter", f"counters belong to programmes: {names}")
    types = method.needs.types()
    for expression in (method.formula, *(bound.expression for bound in method.bounds)):
        against = disagreement(expression, types)
        if against is not None:
            raise DocumentError("cel-disagrees", against)
