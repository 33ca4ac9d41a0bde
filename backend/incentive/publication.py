"""What is checked once, when a rule is published, beyond what reading it checks."""

from backend.incentive.counters import COUNTERS
from backend.incentive.document import GIVEN, Rule
from backend.incentive.review import review
from backend.kit.cel import disagreement
from backend.kit.expr import ExprType
from backend.kit.needs import DocumentError


def check_publication(rule: Rule) -> None:
    """Refuse what this platform could not serve, and expressions that CEL reads differently.

    Raises DocumentError `unknown-history`, `unknown-counter`, `cel-disagrees`, or the name of a
    finding of `review` with an input that shows it.
    """
    if rule.needs.history:
        names = ", ".join(rule.needs.history)
        raise DocumentError("unknown-history", f"in none of the issuer's tables: {names}")
    for name, type_name in rule.needs.counters.items():
        if name not in COUNTERS or type_name != "int":
            raise DocumentError("unknown-counter", f"{name}: one of {', '.join(COUNTERS)}, int")
    types: dict[str, ExprType] = {**rule.needs.types(), **GIVEN}
    for row in rule.rows:
        for expression in (row.when, row.points):
            against = disagreement(expression, types)
            if against is not None:
                raise DocumentError("cel-disagrees", f"row {row.id}: {against}")
    for finding in review(rule):
        raise DocumentError(finding.name, str(finding))
