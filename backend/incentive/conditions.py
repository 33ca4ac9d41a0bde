"""What stands beside the rules when awards are made: terms, facts, blacklists, lines, budgets.

Most programmes have none of it; then one question to the database says so and nothing more is done.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from uuid import UUID

from backend.incentive.budget import BudgetKey, budgets
from backend.incentive.document import Rule
from backend.incentive.people import (
    NO_FACTS,
    Blacklisted,
    Line,
    blacklisted,
    close_line,
    facts_of,
    open_line,
)
from backend.incentive.terms import TermsCalendar, terms_calendar
from backend.kit.db import Tx


@dataclass(slots=True)
class Conditions:
    """The conditions of a batch; `terms` alone are known before the people are locked."""

    terms: TermsCalendar
    listed: frozenset[str]
    facts: Mapping[UUID, Mapping[str, str]] = field(default_factory=dict[UUID, Mapping[str, str]])
    blacklists: Mapping[tuple[str, UUID], Sequence[Blacklisted]] = field(
        default_factory=dict[tuple[str, UUID], Sequence[Blacklisted]]
    )
    lines: dict[str, Line] = field(default_factory=dict[str, Line])
    left_percent: Mapping[BudgetKey, int] = field(default_factory=dict[BudgetKey, int])

    def __bool__(self) -> bool:
        return bool(self.terms) or bool(self.listed)

    def issue_day(self, programme_id: str, city_day: date) -> date:
        """The first city day on which an activity's points may be given."""
        return city_day + timedelta(days=self.terms.of(programme_id, city_day).issue_delay_days)

    def refusal(
        self,
        programme_id: str,
        citizen_id: UUID,
        scenario: str,
        evidence_level: str,
        city_day: date,
        recorded_day: date,
    ) -> str | None:
        """Why an event does not count in a programme.

        Reasons in this order: `scenario-not-covered`, `evidence-level-not-covered`,
        `claim-too-late`, `not-eligible`, `blacklisted`.
        """
        terms = self.terms.of(programme_id, city_day)
        reason = terms.refusal(scenario, evidence_level, city_day, recorded_day)
        if reason is not None:
            return reason
        if not terms.eligibility.admits(self.facts.get(citizen_id, NO_FACTS)):
            return "not-eligible"
        entries = self.blacklists.get((programme_id, citizen_id), ())
        return "blacklisted" if any(each.covers(city_day) for each in entries) else None

    async def meet(self, tx: Tx, citizen_ids: Iterable[UUID]) -> None:
        """Learn what is asked about some people, who are locked."""
        people = list(citizen_ids)
        if self.terms:
            self.facts = await facts_of(tx, people)
        if self.listed:
            self.blacklists = await blacklisted(tx, self.listed, people)

    def standing(self, rule: Rule, budget: BudgetKey, citizen_id: UUID) -> dict[str, object]:
        """What a rule may need of its programme: the person's number, what the budget has left."""
        found: dict[str, object] = {}
        line = self.lines.get(rule.programme)
        if line is not None:
            found["person_number"] = line.number_of(citizen_id)
        if "budget_left_percent" in rule.needs.history:
            found["budget_left_percent"] = self.left_percent.get(budget, 0)
        return found

    async def open(self, tx: Tx, rules: Iterable[Rule], citizen_ids: Iterable[UUID]) -> None:
        """Hold the lines that these rules ask for, and read what their budgets have left."""
        asked = list(rules)
        people = list(citizen_ids)
        for programme_id in sorted(
            {rule.programme for rule in asked if "person_number" in rule.needs.history}
        ):
            self.lines[programme_id] = await open_line(tx, programme_id, people)
        if any("budget_left_percent" in rule.needs.history for rule in asked):
            self.left_percent = {
                (b.programme_id, b.period): (b.envelope - b.issued) * 100 // b.envelope
                for b in await budgets(tx)
                if b.envelope
            }

    async def close(self, tx: Tx) -> None:
        """Store the new numbers of the lines."""
        for line in self.lines.values():
            await close_line(tx, line)


async def conditions(tx: Tx) -> Conditions:
    """What stands beside the rules of every programme."""
    terms = await terms_calendar(tx)
    listed = await tx.fetch(
        "SELECT DISTINCT programme_id FROM blacklisting WHERE lifted_at IS NULL"
    )
    return Conditions(terms, frozenset(row["programme_id"] for row in listed))
