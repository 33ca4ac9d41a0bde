"""The counters of one event under one rule, read and counted while its award is made.

Most rules use counters without a scope; these are found by name alone, as fast as can be. The rest
goes by the occasion of the award (`usage.py`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from backend.incentive.counters import CounterBook, CounterKey, period_of
from backend.incentive.document import Cap, Rule
from backend.incentive.periods import Occasion, counted, counter_name, rule_ref
from backend.incentive.usage import Key, kept_keys, needs_keys, used_before, wanted_keys


@dataclass(slots=True)
class PlainUse:
    """Counters without a scope, of the event's own periods, by name."""

    rule: Rule
    by_name: dict[str, CounterKey]

    def wanted(self) -> Iterable[CounterKey]:
        """Everything that will be read or changed."""
        return self.by_name.values()

    def needed(self, book: CounterBook) -> dict[str, int]:
        """The counters that the rule's cells need."""
        return {name: book.read(self.by_name[name]) for name in self.rule.needs.counters}

    def caps(self, _rows: Sequence[str]) -> tuple[Cap, ...]:
        """The caps that concern the award."""
        return self.rule.caps

    def used_before(self, book: CounterBook, _caps: Sequence[Cap]) -> tuple[int, ...]:
        """The points used before, for each of these caps."""
        return tuple([book.read(self.by_name[name]) for name in self.rule.cap_counters])

    def count(self, book: CounterBook, amount: int, _rows: Sequence[str]) -> None:
        """Count the award."""
        for name, key in self.by_name.items():
            book.add(key, counted(name, amount))


@dataclass(slots=True)
class ScopedUse:
    """Counters of any kind; `names` are those that the programme keeps."""

    rule: Rule
    names: tuple[str, ...]
    citizen_id: UUID
    on: Occasion

    def wanted(self) -> Iterable[CounterKey]:
        """Everything that may be read or changed, whichever row pays."""
        return [self._key(key) for key in wanted_keys(self.rule, self.on, self.names)]

    def needed(self, book: CounterBook) -> dict[str, int]:
        """The counters that the rule's cells need."""
        asked = needs_keys(self.rule, self.on)
        return {name: book.read(self._key(key)) for name, key in asked.items()}

    def caps(self, rows: Sequence[str]) -> tuple[Cap, ...]:
        """The caps that concern an award by these rows."""
        return self.rule.caps_of(self.on.scenario, self.on.evidence_level, rows)

    def used_before(self, book: CounterBook, caps: Sequence[Cap]) -> tuple[int, ...]:
        """The points used before, for each of these caps."""
        return used_before(caps, self.on, lambda key: book.read(self._key(key)))

    def count(self, book: CounterBook, amount: int, rows: Sequence[str]) -> None:
        """Count the award, by its row where it is exactly one."""
        on = self.on._replace(row=rows[0]) if len(rows) == 1 else self.on
        for name, period in kept_keys(self.names, on):
            book.add(self._key((name, period)), counted(name, amount))

    def _key(self, key: Key) -> CounterKey:
        return (self.citizen_id, self.rule.programme, *key)


Use = PlainUse | ScopedUse


def use_of(
    rule: Rule,
    names: tuple[str, ...],
    citizen_id: UUID,
    city_day: date,
    scenario: str,
    evidence_level: str,
    *,
    plain: bool,
) -> Use:
    """The counters of an event under a rule; `plain` as `is_plain` says of rule and names."""
    if plain:
        programme_id = rule.programme
        return PlainUse(
            rule,
            {name: (citizen_id, programme_id, name, period_of(name, city_day)) for name in names},
        )
    on = Occasion(city_day, scenario, evidence_level, rule_ref(rule.id, rule.version), None)
    return ScopedUse(rule, names, citizen_id, on)


def is_plain(rule: Rule, names: Iterable[str]) -> bool:
    """Whether a rule and all counters its programme keeps can do without the occasion."""
    for name in (*names, *rule.needs.counters):
        counter = counter_name(name)
        if counter is None or counter.scope is not None or counter.back:
            return False
        if counter.window == "campaign":
            return False
    return not rule.scoped
