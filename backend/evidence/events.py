"""Reading an upload: from bytes to events whose shape is right, or a named reason for each.

This is the hot path: it runs for every event before the database is asked anything.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import Meta

from backend.evidence.shape import Check
from backend.kit.canonical import (
    INTEGER_MAX,
    NotCanonical,
    canonical_event,
    canonical_upload,
    canonical_upload_as,
    check_keys,
    split_upload,
)
from backend.kit.clock import city_day, instant_of
from backend.kit.problems import Problem
from backend.kit.sm import sm3, sm3_after

EVENTS_MAX = 2_000
EVENT_ID_BYTES_MAX = 512
SOURCE_BYTES_MAX = 1_024
"""Both lie in one index entry, which PostgreSQL limits to about 2,700 bytes."""
SUBJECT_BYTES_MAX = 1_024
SCENARIO_BYTES_MAX = 128
TIME_CHARS_MAX = 64


class Amends(NamedTuple):
    """The earlier event, of the same partner and source, whose place an event takes."""

    kind: Literal["corrects", "retracts"]
    event_id: str


class Event(NamedTuple):
    """The `n`th event of an upload, its shape right. `subject_hash` is the SM3 of its subject."""

    n: int
    event_id: str
    source: str
    scenario: str
    subject_hash: bytes
    occurred_at: datetime
    occurred_text: str
    originaltime: str | None
    city_day: date
    digest: bytes
    canonical: bytes
    amends: Amends | None = None


class Rejected(NamedTuple):
    """The `n`th event of an upload, which the door turns away."""

    n: int
    event_id: str | None
    digest: bytes
    problem: str


@dataclass(frozen=True, slots=True)
class ReadUpload:
    """What an upload holds, each event once: `event_count` = events + rejected."""

    event_count: int
    events: list[Event]
    rejected: list[Rejected]


def event_digest(partner_id: str, canonical: bytes) -> bytes:
    """SM3 over the partner and the canonical JSON of the whole event (formats.md §2)."""
    return sm3(_prefix(partner_id) + canonical)


def digests_of(partner_id: str) -> Callable[[bytes], bytes]:
    """`event_digest` for many events of one partner."""
    return sm3_after(_prefix(partner_id))


def _prefix(partner_id: str) -> bytes:
    return b"tanhui-event-v1\n" + partner_id.encode() + b"\n"


_subject_hash_of = sm3_after(b"")


def read_upload(
    partner_id: str,
    data: bytes,
    checks: Mapping[str, Check],
    *,
    city_tz: str,
    replay_allowed: bool,
) -> ReadUpload:
    """Split and read an upload. `data` is one event or an array of them, inflated.

    `checks` holds the check of `data` for each known scenario; an event of another scenario passes
    here and is turned away later, where the order of checks puts it.
    Raises `kit.canonical.NotJson` if the upload as a whole is not JSON, `Problem` 413
    `too-many-events` beyond 2,000.
    """
    reading = _Reading(partner_id, checks, city_tz, replay_allowed=replay_allowed)
    usual = canonical_upload_as(_decode_usual, data)
    if usual is not None:
        _refuse_too_many(len(usual[0]))
        for n, (event, canonical) in enumerate(zip(*usual, strict=True)):
            reading.add_usual(n, event, canonical)
        return ReadUpload(len(usual[0]), reading.events, reading.rejected)
    at_once = canonical_upload(data)
    if at_once is not None:
        _refuse_too_many(len(at_once[0]))
        for n, (members, canonical) in enumerate(zip(*at_once, strict=True)):
            reading.add(n, members, canonical)
        return ReadUpload(len(at_once[0]), reading.events, reading.rejected)
    raws = split_upload(data)
    _refuse_too_many(len(raws))
    for n, raw in enumerate(raws):
        try:
            members, canonical = canonical_event(raw)
        except NotCanonical as breach:
            # Without canonical JSON there is no event digest; the raw bytes stand in for it.
            reading.rejected.append(Rejected(n, _id_named_in(raw), sm3(raw), breach.reason))
        else:
            reading.add(n, members, canonical)
    return ReadUpload(len(raws), reading.events, reading.rejected)


class _UsualEvent(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """An event as most are: the seven attributes, flat data, nothing long.

    Decoding into it checks in C what `_shape_problem` checks member by member; whatever does not
    fit, right or wrong, is read the general way. Members stand in canonical order; a character
    takes at most 4 bytes, hence a quarter of the bounds in bytes.
    """

    data: dict[str, Annotated[int, Meta(ge=-INTEGER_MAX, le=INTEGER_MAX)] | str | bool | None]
    id: Annotated[str, Meta(min_length=1, max_length=EVENT_ID_BYTES_MAX // 4)]
    source: Annotated[str, Meta(min_length=1, max_length=SOURCE_BYTES_MAX // 4)]
    specversion: Literal["1.0"]
    subject: Annotated[str, Meta(min_length=1, max_length=SUBJECT_BYTES_MAX // 4)]
    time: Annotated[str, Meta(min_length=1, max_length=TIME_CHARS_MAX)]
    type: Annotated[str, Meta(min_length=1, max_length=SCENARIO_BYTES_MAX // 4)]


_decode_usual_list = msgspec.json.Decoder(list[_UsualEvent]).decode


def _decode_usual(data: bytes) -> list[_UsualEvent]:
    events = _decode_usual_list(data)
    for event in events:
        check_keys(event.data)
    return events


def _refuse_too_many(count: int) -> None:
    if count > EVENTS_MAX:
        raise Problem(
            413,
            "too-many-events",
            f"一次最多 {EVENTS_MAX} 条事件,请分批上报",
            event_count=count,
            event_count_max=EVENTS_MAX,
        )


class _Reading:
    """The events of one upload as they are read: each ends in one of the two lists."""

    def __init__(
        self, partner_id: str, checks: Mapping[str, Check], city_tz: str, *, replay_allowed: bool
    ) -> None:
        self.events: list[Event] = []
        self.rejected: list[Rejected] = []
        self._digest_of = digests_of(partner_id)
        self._checks = checks
        self._city_tz = city_tz
        self._replay_allowed = replay_allowed
        self._subject_hashes: dict[str, bytes] = {}
        self._day_of_hour: dict[str, date] = {}

    def add(self, n: int, members: dict[str, Any], canonical: bytes) -> None:
        """Take up the `n`th event, or reject it for its shape."""
        problem = _shape_problem(members, replay_allowed=self._replay_allowed)
        if problem is not None:
            digest = self._digest_of(canonical)
            self.rejected.append(Rejected(n, _event_id_of(members), digest, problem))
            return
        self._add(
            n,
            members["id"],
            members["source"],
            members["type"],
            members["subject"],
            members["time"],
            members.get("originaltime"),
            members["data"],
            canonical,
            _amends_of(members),
        )

    def add_usual(self, n: int, event: _UsualEvent, canonical: bytes) -> None:
        """Take up the `n`th event, whose members have the right types."""
        self._add(
            n,
            event.id,
            event.source,
            event.type,
            event.subject,
            event.time,
            None,
            event.data,
            canonical,
        )

    def _add(
        self,
        n: int,
        event_id: str,
        source: str,
        scenario: str,
        subject: str,
        time: str,
        originaltime: str | None,
        data: dict[str, Any],
        canonical: bytes,
        amends: Amends | None = None,
    ) -> None:
        digest = self._digest_of(canonical)
        check = self._checks.get(scenario)
        # A retraction reports no activity, so it may leave `data` empty.
        if check is None or (not data and amends is not None and amends.kind == "retracts"):
            problem = None
        else:
            problem = check(data)
        try:
            occurred_at = instant_of(time)
        except ValueError:
            self.rejected.append(Rejected(n, event_id, digest, problem or "bad-time"))
            return
        if problem is not None:
            self.rejected.append(Rejected(n, event_id, digest, problem))
            return
        subject_hash = self._subject_hashes.get(subject)
        if subject_hash is None:
            subject_hash = self._subject_hashes[subject] = _subject_hash_of(subject.encode())
        self.events.append(
            Event(
                n,
                event_id,
                source,
                scenario,
                subject_hash,
                occurred_at,
                time,
                originaltime,
                self._day_of(time, occurred_at),
                digest,
                canonical,
                amends,
            )
        )

    def _day_of(self, time: str, occurred_at: datetime) -> date:
        """The city day; worked out once for each hour of the partner's clock that lies in one."""
        hour = time[:13] + time[-6:]
        day = self._day_of_hour.get(hour)
        if day is None:
            day = city_day(occurred_at, self._city_tz)
            start = occurred_at - timedelta(minutes=int(time[14:16]), seconds=int(time[17:19]))
            last = start + timedelta(seconds=3599)
            if city_day(start, self._city_tz) == city_day(last, self._city_tz):
                self._day_of_hour[hour] = day
        return day


_ATTRIBUTES = (
    ("id", EVENT_ID_BYTES_MAX),
    ("source", SOURCE_BYTES_MAX),
    ("type", SCENARIO_BYTES_MAX),
    ("subject", SUBJECT_BYTES_MAX),
    ("time", TIME_CHARS_MAX),
)


def _shape_problem(members: dict[str, Any], *, replay_allowed: bool) -> str | None:
    """Why the members do not make a CloudEvent of ours, times aside; None if they do."""
    if "specversion" not in members or "data" not in members:
        return "missing-field"
    if members["specversion"] != "1.0":
        return "bad-specversion"
    for name, bytes_max in _ATTRIBUTES:
        value = members.get(name)
        if type(value) is not str:
            return "missing-field" if name not in members or value is None else "wrong-type"
        if not value:
            return "missing-field"
        # Most values are short ASCII; only a long one is measured in bytes.
        if len(value) * 4 > bytes_max and len(value.encode()) > bytes_max:
            return f"{name}-too-long"
    if type(members["data"]) is not dict:
        return "missing-field" if members["data"] is None else "wrong-type"
    if "corrects" in members or "retracts" in members:
        problem = _amending_problem(members)
        if problem is not None:
            return problem
    if "originaltime" in members:
        if not replay_allowed:
            return "originaltime-not-allowed"
        original = members["originaltime"]
        if type(original) is not str:
            return "wrong-type"
        try:
            instant_of(original)
        except ValueError:
            return "bad-time"
    return None


class _Named(msgspec.Struct):
    """The one member of an event that tells its sender which one it was."""

    id: str


_decode_named = msgspec.json.Decoder(_Named).decode


def _id_named_in(raw: bytes) -> str | None:
    """The id that an event outside canonical JSON still names; None where that is in doubt."""
    # Two members of that name, or one in disguise.
    if raw.count(b'"id"') != 1 or b"\\u00" in raw:
        return None
    try:
        event_id = _decode_named(raw).id
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    return _event_id_of({"id": event_id})


def _amending_problem(members: dict[str, Any]) -> str | None:
    """Why the members do not name an earlier event as they should; None if they do."""
    if "corrects" in members and "retracts" in members:
        return "corrects-and-retracts"
    name = "corrects" if "corrects" in members else "retracts"
    event_id = members[name]
    if type(event_id) is not str:
        return "wrong-type"
    if not event_id:
        return "missing-field"
    if len(event_id.encode()) > EVENT_ID_BYTES_MAX:
        return f"{name}-too-long"
    return f"{name}-itself" if event_id == members["id"] else None


def _amends_of(members: dict[str, Any]) -> Amends | None:
    if "corrects" in members:
        return Amends("corrects", members["corrects"])
    return Amends("retracts", members["retracts"]) if "retracts" in members else None


def _event_id_of(members: dict[str, Any]) -> str | None:
    """The event's id, as far as it can be told back to the sender."""
    event_id = members.get("id")
    if type(event_id) is str and len(event_id.encode()) <= EVENT_ID_BYTES_MAX:
        return event_id
    return None
