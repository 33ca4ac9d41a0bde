"""Which counters an award reads and counts in: the same for real awards and for simulated ones."""

from collections.abc import Callable, Iterable

from backend.incentive.document import Cap, Rule
from backend.incentive.periods import Occasion, counter_name, period_on, period_text

Key = tuple[str, str]
"""(stored name of a counter, period)"""


def needs_keys(rule: Rule, on: Occasion) -> dict[str, Key]:
    """Where the values of the counters are kept that a rule's cells read, by the name they have."""
    found: dict[str, Key] = {}
    for name in rule.needs.counters:
        counter = counter_name(name)
        period = None if counter is None else period_on(name, on)
        if counter is not None and period is not None:
            found[name] = (counter.stored, period)
    return found


def cap_keys(cap: Cap, on: Occasion) -> list[Key]:
    """What is added up as used before a cap: one counter, or one for each value of its scope."""
    window = on.rule if cap.window == "campaign" else period_text(cap.window, on.city_day)
    if cap.scope is None:
        return [(cap.counter, window)]
    return [(cap.counter, f"{window} {value}") for value in cap.values]


def used_before(caps: Iterable[Cap], on: Occasion, read: Callable[[Key], int]) -> tuple[int, ...]:
    """The points used before, for each cap."""
    return tuple([sum([read(key) for key in cap_keys(cap, on)]) for cap in caps])


def kept_keys(names: Iterable[str], on: Occasion) -> list[Key]:
    """The counters that an award on this occasion counts in, of those its programme keeps."""
    found: list[Key] = []
    for name in names:
        period = period_on(name, on)
        if period is not None:
            found.append((name, period))
    return found


def wanted_keys(rule: Rule, on: Occasion, names: Iterable[str]) -> list[Key]:
    """Every counter that applying a rule may read or change, whichever row pays."""
    keys = [*needs_keys(rule, on).values(), *kept_keys(names, on)]
    for cap in rule.caps:
        keys += cap_keys(cap, on)
    if any("_row_" in name for name in names):
        for row in rule.rows:
            keys += kept_keys(names, on._replace(row=row.id))
    return list(dict.fromkeys(keys))
