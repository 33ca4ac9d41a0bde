"""Integers worked out of an event's `data` before a method sees it.

Nothing that says when or where a person was may enter a formula (formats.md §9), so instants and
months are reduced to lengths first. A scenario declares which: `{name, from, to}` are the whole
seconds from one instant to another (`absolute` without sign), `{name, month}` the days that the
calendar gives a month.
"""

from calendar import monthrange
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from backend.kit.clock import instant_of


@dataclass(frozen=True, slots=True)
class Derivation:
    """One derived integer: seconds between two fields, or the days of a month in `source`."""

    name: str
    source: str
    until: str | None
    absolute: bool

    def of(self, data: Mapping[str, object]) -> int | None:
        """The integer, or None if a field is absent or does not hold what it should."""
        first = data.get(self.source)
        if not isinstance(first, str):
            return None
        try:
            if self.until is None:
                return monthrange(int(first[:4]), int(first[5:7]))[1]
            last = data.get(self.until)
            if not isinstance(last, str):
                return None
            between = instant_of(last) - instant_of(first)
        except ValueError:
            return None
        seconds = between.days * 86_400 + between.seconds
        return abs(seconds) if self.absolute else seconds


def read_derivations(listed: Iterable[Mapping[str, Any]]) -> tuple[Derivation, ...]:
    """The derivations a scenario declares."""
    return tuple(
        Derivation(each["name"], each["month"], None, absolute=False)
        if "month" in each
        else Derivation(
            each["name"], each["from"], each["to"], absolute=each.get("absolute", False)
        )
        for each in listed
    )


def with_derived(
    derivations: Iterable[Derivation], data: Mapping[str, object]
) -> Mapping[str, object]:
    """`data` with its derived integers; where a source is absent, what `data` holds stays.

    So the inputs stated in a receipt, which hold the derived integers and not their sources, give
    the same values as the event did.
    """
    found = dict(data)
    for each in derivations:
        if each.source in data:
            value = each.of(data)
            found[each.name] = value
    return found
