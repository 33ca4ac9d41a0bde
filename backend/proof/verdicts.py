"""The ten steps of a check and what can become of each (formats.md §13)."""

from dataclasses import dataclass
from typing import Any, Literal

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
class StepVerdict:
    """One line of a check: the step, its outcome, and a sentence why."""

    step: Step
    verdict: Outcome
    reason: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The whole check: ten lines in order."""

    steps: tuple[StepVerdict, ...]

    @property
    def ok(self) -> bool:
        """Whether the issuer is known and nothing failed."""
        known = self.steps[0].verdict == "ok"
        return known and all(each.verdict != "failed" for each in self.steps)

    def document(self) -> dict[str, Any]:
        """The check as `tanhui verify --json` prints it."""
        return {
            "ok": self.ok,
            "steps": [
                {"step": each.step, "verdict": each.verdict, "reason": each.reason}
                for each in self.steps
            ],
        }
