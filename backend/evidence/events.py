"""Reading an upload: from bytes to events whose shape is right, or a named reason for each.

This is the hot path: it runs for every event before the database is asked anything.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, NamedTuple

from backend.evidence.shape import Check
from backend.kit.canonical import NotCanonical, canonical_event, split_upload
from backend.kit.clock import city_day, parse_time
from backend.kit.problems import Problem
from backend.kit.sm import sm3

EVENTS_MAX = 2_000
EVENT_ID_BYTES_MAX = 512
SOURCE_BYTES_MAX = 1_024
"""Both lie in one index entry, which PostgreSQL limits to about 2,700 bytes."""
SUBJECT_BYTES_MAX = 1_024
SCENARIO_BYTES_MAX = 128
TIME_CHARS_MAX = 64


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
    data: dict[str, Any]


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
    return sm3(b"tanhui-event-v1\n" + partner_id.encode() + b"\n" + canonical)


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
    raws = split_upload(data)
    if len(raws) > EVENTS_MAX:
        raise Problem(
            413,
            "too-many-events",
            f"一次最多 {EVENTS_MAX} 条事件,请分批上报",
            event_count=len(raws),
            event_count_max=EVENTS_MAX,
        )
    return _read_events(partner_id, raws, checks, city_tz, replay_allowed=replay_allowed)


def _read_events(
    partner_id: str,
    raws: Sequence[bytes],
    checks: Mapping[str, Check],
    city_tz: str,
    *,
    replay_allowed: bool,
) -> ReadUpload:
    events: list[Event] = []
    rejected: list[Rejected] = []
    subject_hashes: dict[str, bytes] = {}
    prefix = b"tanhui-event-v1\n" + partner_id.encode() + b"\n"
    for n, raw in enumerate(raws):
        try:
            members, canonical = canonical_event(raw)
        except NotCanonical as breach:
            # Without canonical JSON there is no event digest; the raw bytes stand in for it.
            rejected.append(Rejected(n, None, sm3(raw), breach.reason))
            continue
        digest = sm3(prefix + canonical)
        problem = _shape_problem(members, replay_allowed=replay_allowed)
        if problem is None and (check := checks.get(members["type"])) is not None:
            problem = check(members["data"])
        if problem is None:
            try:
                occurred = parse_time(members["time"])
                day = city_day(occurred.instant, city_tz)
            except ValueError:
                problem = "bad-time"
            else:
                subject: str = members["subject"]
                subject_hash = subject_hashes.get(subject)
                if subject_hash is None:
                    subject_hash = subject_hashes[subject] = sm3(subject.encode())
                events.append(
                    Event(
                        n,
                        members["id"],
                        members["source"],
                        members["type"],
                        subject_hash,
                        occurred.instant,
                        members["time"],
                        members.get("originaltime"),
                        day,
                        digest,
                        canonical,
                        members["data"],
                    )
                )
                continue
        rejected.append(Rejected(n, _event_id_of(members), digest, problem))
    return ReadUpload(len(raws), events, rejected)


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
    if "originaltime" in members:
        if not replay_allowed:
            return "originaltime-not-allowed"
        original = members["originaltime"]
        if type(original) is not str:
            return "wrong-type"
        try:
            parse_time(original)
        except ValueError:
            return "bad-time"
    return None


def _event_id_of(members: dict[str, Any]) -> str | None:
    """The event's id, as far as it can be told back to the sender."""
    event_id = members.get("id")
    if type(event_id) is str and len(event_id.encode()) <= EVENT_ID_BYTES_MAX:
        return event_id
    return None
