"""A rule run over events in memory: what an award flow would do, with nothing written.

Counters start from what real awards counted before the window and grow with the simulated ones.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple
from uuid import UUID

from backend.incentive.apply import Reduction, RuleRefused, apply_rule, cut
from backend.incentive.document import Rule
from backend.incentive.periods import Occasion, counted, rule_ref
from backend.incentive.usage import Key, kept_keys, needs_keys, used_before


class TrialEvent(NamedTuple):
    """A quantified event: who, when, and every value that a rule may need of it."""

    citizen_id: UUID
    city_day: date
    reduction: Reduction
    inputs: Mapping[str, object]
    history: Mapping[str, object]


class Paid(NamedTuple):
    """What an event earns. `cut_by` is the cap that left less than `points_before_caps`."""

    amount: int
    points_before_caps: int
    cut_by: str | None
    rows: tuple[str, ...]


@dataclass(slots=True)
class Trial:
    """One run: its counters by person, the people in line, and what of the budget is left.

    `names` are the counters that the run keeps. `left` are points by budget period; a period that
    is not listed has no budget.
    """

    names: tuple[str, ...]
    envelope: Mapping[str, int]
    left: dict[str, int]
    used: dict[tuple[UUID, str, str], int] = field(default_factory=dict[tuple[UUID, str, str], int])
    line: dict[UUID, int] = field(default_factory=dict[UUID, int])

    def count(self, citizen_id: UUID, on: Occasion, amount: int) -> None:
        """Add an award to the counters."""
        used = self.used
        for name, period in kept_keys(self.names, on):
            key = (citizen_id, name, period)
            used[key] = used.get(key, 0) + counted(name, amount)

    def pay(self, rule: Rule, event: TrialEvent, period: str) -> Paid | str:
        """Apply a rule to the next event; what it earns, or the reason of a refusal.

        Reasons: `missing-field`, `rule-error`, `budget-exhausted`, `budget-period-closed`.
        """
        citizen_id, reduction = event.citizen_id, event.reduction
        on = Occasion(
            event.city_day,
            reduction.scenario,
            reduction.evidence_level,
            rule_ref(rule.id, rule.version),
            None,
        )

        def read(key: Key) -> int:
            return self.used.get((citizen_id, *key), 0)

        counters = {name: read(key) for name, key in needs_keys(rule, on).items()}
        history = event.history
        if rule.needs.history:
            history = {**history, **self._standing(citizen_id, period)}
        paid = apply_rule(rule, reduction, event.inputs, history, counters)
        if isinstance(paid, RuleRefused):
            return paid.reason
        rows: Sequence[str] = paid.rows
        caps = rule.caps_of(reduction.scenario, reduction.evidence_level, rows)
        amount, cut_by = cut(caps, paid.points_before_caps, used_before(caps, on, read))
        if amount:
            if period not in self.left:
                return "budget-period-closed"
            if amount > self.left[period]:
                return "budget-exhausted"
            self.left[period] -= amount
        if len(rows) == 1:
            on = on._replace(row=rows[0])
        self.count(citizen_id, on, amount)
        self.line.setdefault(citizen_id, len(self.line) + 1)
        return Paid(amount, paid.points_before_caps, cut_by, paid.rows)

    def _standing(self, citizen_id: UUID, period: str) -> dict[str, object]:
        envelope = self.envelope.get(period, 0)
        return {
            "person_number": self.line.get(citizen_id, len(self.line) + 1),
            "budget_left_percent": self.left.get(period, 0) * 100 // envelope if envelope else 0,
        }
