"""A dry run: what the door would reject, found without sending anything."""

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from backend.kit.clock import parse_time
from backend.partner_client.credentials import Subject
from backend.partner_client.report import Report
from backend.partner_client.rows import Prepared
from backend.partner_client.sending import report_of

AHEAD_MAX = timedelta(seconds=300)
"""How far ahead of its clock the door lets a time lie."""

DataCheck = Callable[[Any], str | None]
"""Why `data` does not fit its scenario's schema; None if it does."""


def check_events(
    prepared: Prepared,
    subjects: Mapping[str, Subject],
    data_check: DataCheck | None,
    now: datetime,
) -> Report:
    """The report of a dry run: `rejected` holds what would be, `undecided` what would be sent.

    `subjects` are the credentials' tokens for the scenario; `data_check` is left out where the
    platform could not be asked for the scenario's schema. What only the platform knows (consents
    withdrawn since, sanity bounds, double claims) is not foretold.
    """
    report = report_of(prepared)
    starts: dict[str, datetime] = {}
    for token, subject in subjects.items():
        if subject.consent_from:
            starts[token] = parse_time(subject.consent_from).instant
    would: Counter[str] = Counter()
    for rows, event in prepared.events.counted():
        problem = _problem(event, subjects, starts, data_check, now)
        if problem is None:
            report.undecided += rows
        else:
            would[problem] += rows
    report.rejected = would
    return report


def _problem(
    event: dict[str, Any],
    subjects: Mapping[str, Subject],
    starts: Mapping[str, datetime],
    data_check: DataCheck | None,
    now: datetime,
) -> str | None:
    """The door's name for what is wrong, in the order of its checks."""
    problem = data_check(event["data"]) if data_check else None
    if problem is not None:
        return problem
    try:
        at = parse_time(event["time"]).instant
        parse_time(event.get("originaltime", event["time"]))
    except ValueError:
        return "bad-time"
    if event["subject"] not in subjects:
        return "unknown-subject"
    consent_from = starts.get(event["subject"])
    if consent_from is not None and at < consent_from:
        return "no-consent"
    return "time-in-future" if at > now + AHEAD_MAX else None
