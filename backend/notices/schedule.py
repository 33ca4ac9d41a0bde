"""What follows an attempt: delivered, again later, or given up."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

SCHEDULE_S = (0, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""The wait before each attempt, counted from the end of the one before: 75 h 35 min in all.

Source: Standard Webhooks 1.0.0, "Deliverability and reliability", the schedule given there.
"""

RETRY_AFTER_S_MAX = 86_400
"""Nobody makes us wait longer than the longest step of the schedule."""

GONE = 410
THROTTLING = frozenset({429, 502, 503, 504})

State = Literal["waiting", "delivered", "dead"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one call: a status, or the name of an error where there was none."""

    duration_ms: int
    status: int | None = None
    error: str | None = None
    retry_after_s: int | None = None

    @property
    def accepted(self) -> bool:
        """Whether the receiver has it: 2xx and nothing else; a redirect is a failure."""
        return self.status is not None and 200 <= self.status < 300


@dataclass(frozen=True, slots=True)
class Next:
    """What becomes of the delivery, and what the endpoint asked for."""

    state: State
    due_at: datetime | None = None
    stops_endpoint: bool = False
    quiet_until: datetime | None = None


def after(step: int, outcome: Outcome, now: datetime) -> Next:
    """What follows attempt `step` (from 0) of the schedule."""
    if outcome.accepted:
        return Next("delivered")
    if outcome.status == GONE:
        return Next("dead", stops_endpoint=True)
    asked_s = min(outcome.retry_after_s or 0, RETRY_AFTER_S_MAX)
    throttled = asked_s > 0 and outcome.status in THROTTLING
    quiet_until = now + timedelta(seconds=asked_s) if throttled else None
    if step + 1 >= len(SCHEDULE_S):
        return Next("dead", quiet_until=quiet_until)
    wait_s = max(SCHEDULE_S[step + 1], asked_s)
    return Next("waiting", now + timedelta(seconds=wait_s), quiet_until=quiet_until)
