"""One row, pair, group or month → one CloudEvent. Pure."""

import hashlib
from calendar import monthrange
from collections import Counter
from collections.abc import Mapping as Dictionary
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from backend.partner_client.mapping import (
    Assign,
    Constant,
    Datum,
    DistanceAlong,
    DistanceBetween,
    FromColumn,
    Instant,
    Mapping,
    MappingError,
    MonthOf,
    SecondsBetween,
    Text,
    TrueWhen,
)
from backend.partner_client.places import Coordinates, Line, Point, along_m, distance_m
from backend.partner_client.values import RowFault, Values, amount_of, number_of


@dataclass(frozen=True, slots=True)
class Shift:
    """How far old times are moved: by days, or by months where months must stay whole."""

    days: int = 0
    months: int = 0

    def __bool__(self) -> bool:
        return bool(self.days or self.months)

    def moved(self, at: datetime) -> datetime:
        """A time moved on the clock of its own zone. Raises RowFault on a day that is not there."""
        if self.months:
            year, month = divmod(at.year * 12 + at.month - 1 + self.months, 12)
            try:
                at = at.replace(year=year, month=month + 1)
            except ValueError as error:
                raise RowFault("shifted-day-missing") from error
        # Adding nothing would forget which showing of a repeated hour is meant.
        return at + timedelta(days=self.days) if self.days else at

    def moved_month(self, last_second: datetime) -> datetime:
        """The last second of a month moved to that of another month of the same length."""
        if not self.months:
            return last_second
        first = self.moved(last_second.replace(day=1))
        length = monthrange(first.year, first.month)[1]
        if length != last_second.day:
            raise RowFault("shifted-month-of-other-length")
        return first.replace(day=length)


class EventMaker:
    """Makes the events of one mapping."""

    def __init__(
        self,
        mapping: Mapping,
        places: Coordinates,
        lines: Dictionary[str, Line],
        subjects: Sequence[str],
        shift: Shift,
    ) -> None:
        self._mapping = mapping
        self._places = places
        self._lines = lines
        self._subjects = subjects
        self._shift = shift
        self.omitted: Counter[tuple[str, str]] = Counter()
        """How many events go without an optional member of `data`: (member, reason)."""
        if isinstance(mapping.event.subject, Assign) and not subjects:
            raise MappingError("a seeded assignment needs subjects in the credentials")
        if shift.days and shift.months:
            raise MappingError("times are shifted by days or by months, not by both")
        if mapping.months and shift.days:
            raise MappingError("months must stay whole: shift them by --shift-months")

    def event(self, values: Values) -> dict[str, Any]:
        """The CloudEvent of named values. Raises RowFault with the reason."""
        shape = self._mapping.event
        ended = _time(values, shape.time)
        data = {name: self._datum(name, how, values) for name, how in shape.data.items()}
        event: dict[str, Any] = {
            "specversion": "1.0",
            "id": self._event_id(values),
            "source": self._mapping.source,
            "type": self._mapping.scenario,
            "time": self._moved(ended).isoformat(timespec="seconds"),
            "subject": self._subject(values),
            "data": {name: value for name, value in data.items() if value is not None},
        }
        if self._shift:
            event["originaltime"] = ended.isoformat(timespec="seconds")
        return event

    def _moved(self, at: datetime) -> datetime:
        return self._shift.moved_month(at) if self._mapping.months else self._shift.moved(at)

    def _event_id(self, values: Values) -> str:
        parts = [str(values[name]) for name in self._mapping.event.id]
        return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:32]

    def _subject(self, values: Values) -> str:
        how = self._mapping.event.subject
        if not isinstance(how, Assign):
            subject = str(values[how.column])
            if not subject:
                raise RowFault(f"{how.column}-empty")
            return subject
        spelled = f"{how.seed}\x1f{values[how.assign_by]}".encode()
        drawn = int.from_bytes(hashlib.sha256(spelled).digest()[:8])
        return self._subjects[drawn % len(self._subjects)]

    def _datum(self, name: str, how: Datum, values: Values) -> int | str | bool | None:
        """One member of `data`; None leaves an optional one out."""
        match how:
            case FromColumn():
                text = str(values[how.column])
                if not text and how.optional:
                    return None
                return amount_of(number_of(text, how.column, self._mapping.file), how)
            case Text():
                text = str(values[how.text])
                if not text and not how.optional:
                    raise RowFault(f"{how.text}-empty")
                return text or None
            case Constant():
                return how.constant
            case TrueWhen():
                return str(values[how.true_when]) in how.values
            case DistanceBetween():
                return self._between(how, values)
            case DistanceAlong():
                try:
                    return self._along(how, values)
                except RowFault as fault:
                    if not how.optional:
                        raise
                    self.omitted[name, str(fault)] += 1
                    return None
            case SecondsBetween():
                start, end = (_time(values, each) for each in how.seconds_between)
                return round((end.astimezone(UTC) - start.astimezone(UTC)).total_seconds())
            case Instant():
                at = self._moved(_time(values, how.instant))
                if how.spelled == "unix_s":
                    return int(at.timestamp())
                return at.isoformat(timespec="seconds")
            case MonthOf():
                at = self._moved(_time(values, how.month_of))
                return at.year * 100 + at.month if how.spelled == "number" else f"{at:%Y-%m}"

    def _between(self, how: DistanceBetween, values: Values) -> int:
        here, there = (self._place(name, values) for name in how.distance_between)
        if how.same_place and here == there:
            raise RowFault(how.same_place)
        return distance_m(here, there)

    def _along(self, how: DistanceAlong, values: Values) -> int:
        here, there = (self._place(name, values) for name in how.stops)
        line = self._lines.get(str(values[how.along_shape]))
        if line is None or self._mapping.shapes is None:
            raise RowFault(f"{_plain(how.along_shape)}-unknown")
        return along_m(line, here, there, self._mapping.shapes.within_m)

    def _place(self, name: str, values: Values) -> Point:
        place = str(values[name])
        if not place:
            raise RowFault(f"{_plain(name)}-empty")
        if place not in self._places:
            damaged = "\ufffd" in place or "?" in place
            raise RowFault(f"{_plain(name)}-{'damaged' if damaged else 'unknown'}")
        return self._places[place]


def _plain(name: str) -> str:
    """A name without the side it was taken from."""
    return name.rpartition(".")[2]


def _time(values: Values, name: str) -> datetime:
    at = values[name]
    if at == "":
        raise RowFault(f"{_plain(name)}-empty")
    if not isinstance(at, datetime):
        raise MappingError(f"{name} is not a time")
    return at
