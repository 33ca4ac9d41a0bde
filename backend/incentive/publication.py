"""What is checked once, when a rule is published, beyond what reading it checks."""

from backend.incentive.document import GIVEN, Rule
from backend.incentive.lookups import lookup_type
from backend.incentive.periods import counter_name
from backend.incentive.review import review
from backend.kit.cel import disagreement
from backend.kit.expr import ExprType
from backend.kit.needs import DocumentError

ROWS_MAX = 200
CAPS_MAX = 32
"""What an official can still read, and a receipt still hold."""


def check_publication(rule: Rule) -> None:
    """Refuse what this platform could not serve, and expressions that CEL reads differently.

    Raises DocumentError `too-long`, `unknown-history`, `unknown-counter`, `cel-disagrees`, or the
    name of a finding of `review` with an input that shows it.
    """
    if len(rule.rows) > ROWS_MAX or len(rule.caps) > CAPS_MAX:
        raise DocumentError("too-long", f"at most {ROWS_MAX} rows and {CAPS_MAX} caps")
    for name, type_name in rule.needs.history.items():
        if lookup_type(name) != type_name:
            raise DocumentError("unknown-history", f"nothing is looked up as {name}: {type_name}")
    for name, type_name in rule.needs.counters.items():
        counter = counter_name(name)
        if counter is None or counter.scope == "row" or type_name != "int":
            raise DocumentError("unknown-counter", f"no counter is kept as {name}: {type_name}")
    types: dict[str, ExprType] = {**rule.needs.types(), **GIVEN}
    for row in rule.rows:
        for expression in (row.when, row.points):
            against = disagreement(expression, types)
            if against is not None:
                raise DocumentError("cel-disagrees", f"row {row.id}: {against}")
    for finding in review(rule):
        raise DocumentError(finding.name, str(finding))
