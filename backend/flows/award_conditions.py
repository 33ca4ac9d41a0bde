"""terms, facts, lines → whether an event counts in a programme, and what its rule may look up.

Events whose points are given some days after the activity stay recorded and come back by the outbox
on their day.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from backend import incentive
from backend.evidence import EvidenceRow
from backend.incentive import BudgetKey, Conditions, Rule, RuleCalendar
from backend.kit import outbox
from backend.kit.clock import city_day, day_bounds
from backend.kit.db import Tx


@dataclass(slots=True)
class Beside:
    """What stands beside the rules of a batch; `excludes` tells whether it may exclude anything."""

    conditions: Conditions
    city_tz: str
    excludes: bool
    recorded: dict[UUID, date] = field(default_factory=dict[UUID, date])

    async def meet(self, tx: Tx, rows: Sequence[EvidenceRow], people: Iterable[UUID]) -> None:
        """Learn about people, who are locked, and when their events were recorded."""
        if not self.excludes:
            return
        await self.conditions.meet(tx, people)
        for row in await tx.fetch(
            "SELECT evidence_id, recorded_at FROM evidence WHERE evidence_id = ANY($1::uuid[])",
            [row.evidence_id for row in rows],
        ):
            self.recorded[row["evidence_id"]] = city_day(row["recorded_at"], self.city_tz)

    def refusal(self, row: EvidenceRow, programme_id: str) -> str | None:
        """Why an event does not count in a programme; None where it does."""
        recorded = self.recorded.get(row.evidence_id, row.city_day)
        return self.conditions.refusal(
            programme_id,
            row.citizen_id,
            row.scenario,
            row.evidence_level,
            row.city_day,
            recorded,
        )

    def looked_up(self, row: EvidenceRow, rule: Rule, budget: BudgetKey) -> Mapping[str, object]:
        """What a rule needs of history that is no method's: spans of time, line, budget."""
        local = row.occurred_at.astimezone(ZoneInfo(self.city_tz))
        spans = {
            name: incentive.calendar_value(name, local)
            for name in incentive.calendar_names(rule.needs.history)
        }
        return {**spans, **self.conditions.standing(rule, budget, row.citizen_id)}

    async def stand(self, tx: Tx, rules: Iterable[Rule], people: Iterable[UUID]) -> None:
        """Open the lines and read the budgets that these rules ask for."""
        asked = {rule.digest: rule for rule in rules if rule.needs.history}
        if asked:
            await self.conditions.open(tx, asked.values(), people)

    def join(self, programme_id: str, citizen_id: UUID) -> None:
        """Give a person the next number, with the award being made; only where a rule asks."""
        lines = self.conditions.lines
        if lines and programme_id in lines:
            lines[programme_id].join(citizen_id)


async def open_conditions(tx: Tx, city_tz: str) -> Beside:
    """What stands beside all rules."""
    found = await incentive.conditions(tx)
    return Beside(found, city_tz, excludes=bool(found))


async def postpone(
    tx: Tx,
    topic: str,
    rows: Sequence[EvidenceRow],
    rules: RuleCalendar,
    beside: Beside,
    now: datetime,
) -> list[EvidenceRow]:
    """The events that are due; the others' uploads come back when the latest of them is.

    An event counts for all its programmes at once, so the longest delay holds.
    """
    if not beside.conditions.terms:
        return list(rows)
    due: list[EvidenceRow] = []
    later: dict[UUID, tuple[datetime, int]] = {}
    for row in rows:
        days = [
            beside.conditions.issue_day(entry.programme.programme_id, row.city_day)
            for entry in rules.in_force(row.city_day, row.scenario)
        ]
        at = day_bounds(max(days, default=row.city_day), beside.city_tz)[0]
        if at <= now:
            due.append(row)
        else:
            latest, count = later.get(row.upload_id, (at, 0))
            later[row.upload_id] = (max(latest, at), count + 1)
    for upload_id, (at, count) in sorted(later.items()):
        payload = {"upload_id": str(upload_id), "count": count}
        await outbox.put(tx, topic, str(upload_id), payload, in_s=(at - now).total_seconds())
    return due
