"""What is checked once, when a method is published, beyond what reading it checks."""

from backend.kit.cel import disagreement
from backend.kit.needs import DocumentError
from backend.methodology.document import Method
from backend.methodology.scenarios import scenarios


def check_publication(method: Method) -> None:
    """Refuse what this platform could not serve, and expressions that CEL reads differently.

    Raises DocumentError `unknown-scenario`, `unknown-history`, `unknown-counter` or
    `cel-disagrees`.
    """
    known = scenarios()
    for scenario in method.scenarios:
        if scenario not in known:
            raise DocumentError("unknown-scenario", scenario)
        tables = known[scenario].history
        odd = [name for name, kind in method.needs.history.items() if tables.get(name) != kind]
        if odd:
            names = ", ".join(odd)
            raise DocumentError("unknown-history", f"in none of the issuer's tables: {names}")
    if method.needs.counters:
        names = ", ".join(method.needs.counters)
        raise DocumentError("unknown-counter", f"counters belong to programmes: {names}")
    types = method.needs.types()
    for expression in (method.formula, *(bound.expression for bound in method.bounds)):
        against = disagreement(expression, types)
        if against is not None:
            raise DocumentError("cel-disagrees", against)
