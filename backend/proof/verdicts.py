"""The ten steps of a check and what can become of each (formats.md §13)."""

from dataclasses import dataclass
from typing import Literal

Step = Literal[
    "issuer",
    "format",
    "leaf",
    "path",
    "checkpoint",
    "anchor",
    "posted",
    "method",
    "rule",
    "origin",
]

STEPS: tuple[Step, ...] = (
    "issuer",
    "format",
    "leaf",
    "path",
    "checkpoint",
    "anchor",
    "posted",
    "method",
    "rule",
    "origin",
)

Outcome = Literal["ok", "failed", "stated", "not_checked", "hidden"]


class StepFailed(Exception):
    """A step does not hold; the message is the reason shown."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One line of a check: the step, its outcome, and a sentence why."""

    step: Step
    verdict: Outcome
    reason: str


def holds(verdicts: list[Verdict]) -> bool:
    """Whether a check as a whole holds: the issuer is known and nothing failed."""
    return verdicts[0].verdict == "ok" and all(each.verdict != "failed" for each in verdicts)
