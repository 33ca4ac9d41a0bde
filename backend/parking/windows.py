"""When a space may be used by others: a policy as data, and the spans it opens.

A policy's document is canonical JSON; its SM3 digest is what `SpaceRegistry` keeps, so an owner can
show which windows were agreed to.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any, Literal

from backend.kit import canonical, needs
from backend.kit.needs import DocumentError
from backend.kit.sm import sm3
from backend.parking.calendar import DAY_MINUTES, Calendar, instant, minute_of, second

FORMAT = "tanhui-window-v1"
BOOKED_MAX = timedelta(days=32)
"""The longest time that is asked about at once."""

_MEMBERS = ("format", "weekly", "dated", "holidays", "quiet", "classes", "violations_max", "text")
CLASSES = ("small", "large", "motorcycle")


@dataclass(frozen=True, slots=True)
class Slot:
    """Open from a minute of a day to a later one, which may lie on the next day (≤ 2880)."""

    from_minute: int
    to_minute: int


@dataclass(frozen=True, slots=True)
class WindowPolicy:
    """A policy ready to ask. `weekly` is by ISO weekday (1 Monday … 7 Sunday)."""

    weekly: Mapping[int, tuple[Slot, ...]]
    dated: Mapping[date, tuple[Slot, ...]]
    holidays: Literal["as-weekday", "as-sunday", "closed"]
    quiet: tuple[Slot, ...]
    classes: frozenset[str]
    violations_max: int
    document: bytes
    digest: bytes


def read_policy(document: bytes | Mapping[str, Any]) -> WindowPolicy:
    """Check a policy. Raises DocumentError: `not-json`, `bad-policy`.

    `weekly` [{days: [1…7], from, to}], `dated` [{day, open, from, to}] (the day's own slots
    instead of the weekly ones; `open` false closes it), `holidays` as-weekday | as-sunday |
    closed, `quiet` [{from, to}] without gate movement, `classes` of vehicles, `violations_max`
    after which a driver is shut out, `text` for people.
    """
    if isinstance(document, bytes):
        try:
            content: Any = canonical.parse_event_json(document)
        except (canonical.NotJson, canonical.NotCanonical) as error:
            raise DocumentError("not-json", str(error)) from error
    else:
        content = document
    found = needs.members(content, _MEMBERS, "bad-policy")
    if found["format"] != FORMAT or found["holidays"] not in ("as-weekday", "as-sunday", "closed"):
        raise DocumentError("bad-policy", "format or holidays is not of this version")
    needs.text(found["text"], "bad-policy")
    classes = frozenset(str(each) for each in needs.items(found["classes"], "bad-policy"))
    if not classes or not classes <= set(CLASSES):
        raise DocumentError("bad-policy", f"classes are some of {', '.join(CLASSES)}")
    spelled = canonical.dumps(content)
    return WindowPolicy(
        weekly=_weekly(found["weekly"]),
        dated=_dated(found["dated"]),
        holidays=found["holidays"],
        quiet=tuple(_slot(each) for each in needs.items(found["quiet"], "bad-policy")),
        classes=classes,
        violations_max=needs.whole(found["violations_max"], "bad-policy", least=1, most=100),
        document=spelled,
        digest=sm3(spelled),
    )


def openings(
    policy: WindowPolicy, calendar: Calendar, from_s: int, to_s: int
) -> Iterator[tuple[int, int]]:
    """The spans (seconds since 1970) the policy opens between two instants, joined and in order."""
    begun: tuple[int, int] | None = None
    day, last = calendar.day_of(from_s) - timedelta(days=1), calendar.day_of(to_s)
    spans: list[tuple[int, int]] = []
    while day <= last:
        spans += [
            (calendar.second_of(day, s.from_minute), calendar.second_of(day, s.to_minute))
            for s in _slots_of(policy, calendar, day)
        ]
        day += timedelta(days=1)
    for begin, end in sorted(spans):
        if begun is not None and begin <= begun[1]:
            begun = (begun[0], max(begun[1], end))
            continue
        if begun is not None:
            yield from _clipped(begun, from_s, to_s)
        begun = (begin, end)
    if begun is not None:
        yield from _clipped(begun, from_s, to_s)


def covers(policy: WindowPolicy, calendar: Calendar, starts_at: datetime, ends_at: datetime) -> str:
    """Why a span may not be booked: "" when it may, else `outside-window` or `gate-closed`.

    A stay may run through the quiet hours, it may not begin or end in them.
    """
    from_s, to_s = second(starts_at), second(ends_at)
    if not any(
        begin <= from_s and to_s <= end for begin, end in openings(policy, calendar, from_s, to_s)
    ):
        return "outside-window"
    quiet = is_quiet(policy, calendar, from_s) or is_quiet(policy, calendar, to_s)
    return "gate-closed" if quiet else ""


def is_quiet(policy: WindowPolicy, calendar: Calendar, at_s: int) -> bool:
    """Whether the gates stay closed at that instant."""
    day = calendar.day_of(at_s)
    return any(
        calendar.second_of(each, slot.from_minute)
        <= at_s
        < calendar.second_of(each, slot.to_minute)
        for each in (day - timedelta(days=1), day)
        for slot in policy.quiet
    )


def open_spans(
    policy: WindowPolicy, calendar: Calendar, starts_at: datetime, ends_at: datetime
) -> list[tuple[datetime, datetime]]:
    """When the policy is open between two instants."""
    spans = openings(policy, calendar, second(starts_at), second(ends_at))
    return [(instant(begin), instant(end)) for begin, end in spans]


@lru_cache(maxsize=4_096)
def policy_of(document: bytes) -> WindowPolicy:
    """A stored policy, read once for each document."""
    return read_policy(document)


def _slots_of(policy: WindowPolicy, calendar: Calendar, day: date) -> tuple[Slot, ...]:
    if day in policy.dated:
        return policy.dated[day]
    weekday = day.isoweekday()
    if calendar.is_holiday(day):
        if policy.holidays == "closed":
            return ()
        if policy.holidays == "as-sunday":
            weekday = 7
    elif day in calendar.workdays:
        weekday = 1
    return policy.weekly.get(weekday, ())


def _clipped(span: tuple[int, int], from_s: int, to_s: int) -> Iterator[tuple[int, int]]:
    begin, end = max(span[0], from_s), min(span[1], to_s)
    if begin < end:
        yield begin, end


def _weekly(value: Any) -> dict[int, tuple[Slot, ...]]:
    weekly: dict[int, list[Slot]] = {}
    for each in needs.items(value, "bad-policy"):
        entry = needs.members(each, ("days", "from", "to"), "bad-policy")
        slot = _slot({"from": entry["from"], "to": entry["to"]})
        for weekday in needs.items(entry["days"], "bad-policy"):
            number = needs.whole(weekday, "bad-policy", least=1, most=7)
            weekly.setdefault(number, []).append(slot)
    return {weekday: tuple(slots) for weekday, slots in weekly.items()}


def _dated(value: Any) -> dict[date, tuple[Slot, ...]]:
    dated: dict[date, list[Slot]] = {}
    for each in needs.items(value, "bad-policy"):
        entry = needs.members(each, ("day", "open", "from", "to"), "bad-policy")
        try:
            day = date.fromisoformat(str(entry["day"]))
        except ValueError as error:
            raise DocumentError("bad-policy", str(error)) from error
        slots = dated.setdefault(day, [])
        if entry["open"] is True:
            slots.append(_slot({"from": entry["from"], "to": entry["to"]}))
    return {day: tuple(slots) for day, slots in dated.items()}


def _slot(value: Any) -> Slot:
    """A slot that ends at or before its beginning ends on the next day."""
    entry = needs.members(value, ("from", "to"), "bad-policy")
    try:
        begin, end = minute_of(str(entry["from"])), minute_of(str(entry["to"]))
    except ValueError as error:
        raise DocumentError("bad-policy", str(error)) from error
    return Slot(begin, end if end > begin else end + DAY_MINUTES)
