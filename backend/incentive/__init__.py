"""Incentive: what a reduction is worth, by decision tables, caps, counters and budgets."""

from backend.incentive.apply import Reduction, RulePaid, RuleRefused, apply_rule, cut
from backend.incentive.awards import Award, awarded_before, store_awards
from backend.incentive.budget import (
    BudgetKey,
    BudgetState,
    LeaseShort,
    Purses,
    budget_period,
    budgets,
    close_period,
    close_purses,
    fold_purses,
    lease,
    open_purses,
    set_envelope,
)
from backend.incentive.card import Words, card
from backend.incentive.counters import (
    CounterBook,
    CounterKey,
    counted,
    period_of,
    read_counters,
    write_counters,
)
from backend.incentive.document import Cap, Rule, read_rule
from backend.incentive.laws import check_laws
from backend.incentive.programmes import (
    Programme,
    RuleCalendar,
    RuleInForce,
    calendar,
    create_programme,
    document_of,
    in_force,
    programme_of,
    publish,
    set_status,
)
from backend.incentive.releases import StandingAward, counter_keys, release, standing_awards
from backend.incentive.review import Finding, review
from backend.incentive.shipped import shipped_rules

__all__ = [
    "Award",
    "BudgetKey",
    "BudgetState",
    "Cap",
    "CounterBook",
    "CounterKey",
    "Finding",
    "LeaseShort",
    "Programme",
    "Purses",
    "Reduction",
    "Rule",
    "RuleCalendar",
    "RuleInForce",
    "RulePaid",
    "RuleRefused",
    "StandingAward",
    "Words",
    "apply_rule",
    "awarded_before",
    "budget_period",
    "budgets",
    "calendar",
    "card",
    "check_laws",
    "close_period",
    "close_purses",
    "counted",
    "counter_keys",
    "create_programme",
    "cut",
    "document_of",
    "fold_purses",
    "in_force",
    "lease",
    "open_purses",
    "period_of",
    "programme_of",
    "publish",
    "read_counters",
    "read_rule",
    "release",
    "review",
    "set_envelope",
    "set_status",
    "shipped_rules",
    "standing_awards",
    "store_awards",
    "write_counters",
]
