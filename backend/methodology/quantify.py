"""From activity data to a reduction in milligrams of CO2e: pure, and the same in every run."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from backend.kit.expr import ExprError
from backend.kit.needs import INTEGER_MAX, Value, fits_leaf, pick
from backend.methodology.derived import with_derived
from backend.methodology.document import Method

_NOTHING: Mapping[str, object] = {}


class Quantified(NamedTuple):
    """A reduction with every value it came from, besides the document's own parameters."""

    reduction_mg: int
    inputs: dict[str, Value]
    history: dict[str, Value]


@dataclass(frozen=True, slots=True)
class Refused:
    """No reduction; `reason` is kebab-case: `missing-field`, a bound's reason or `rule-error`."""

    reason: str


def quantify(
    method: Method,
    data: Mapping[str, object],
    history: Mapping[str, object] = _NOTHING,
) -> Quantified | Refused:
    """Apply a method to an event's `data` and to values looked up in the issuer's tables.

    Integers that the scenario derives (`duration_s` from start and end) are worked out first;
    where their sources are absent, `data` holds them already. A needed field that is absent, null
    or of another type refuses `missing-field`. Bounds are checked in order, then the formula runs.
    An error of arithmetic, or a value that does not fit a leaf (0…2^53−1), refuses `rule-error`.
    """
    if method.derived:
        data = with_derived(method.derived, data)
    inputs = pick(method.needs.event, data)
    looked_up = pick(method.needs.history, history)
    if inputs is None or looked_up is None:
        return Refused("missing-field")
    values = {**method.params, **inputs, **looked_up}
    try:
        for bound in method.bounds:
            if bound.expression.evaluate(values) is not True:
                return Refused(bound.reason)
        reduction_mg = method.formula.evaluate(values)
    except ExprError:
        return Refused("rule-error")
    if type(reduction_mg) is not int or not 0 <= reduction_mg <= INTEGER_MAX:
        return Refused("rule-error")
    if not (fits_leaf(inputs) and fits_leaf(looked_up)):
        return Refused("rule-error")
    return Quantified(reduction_mg, inputs, looked_up)
