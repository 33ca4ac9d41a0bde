"""Sending a file: deterministic batches, a journal that survives SIGKILL, then the outcome."""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backend.partner_client.door import PartnerDoor
from backend.partner_client.report import Report
from backend.partner_client.rows import Prepared

BATCH_EVENTS = 1_000
OUTCOME_WAIT_S = 60

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much is done and of how much."""


@dataclass(frozen=True, slots=True)
class _Batch:
    message_id: str
    events: Sequence[dict[str, Any]]


class Journal:
    """Answers already received, one JSON line each, beside the file that is being sent.

    Batches and their ids follow from the file, so that a lost journal costs only time: the
    door answers a repeated upload with its first answer.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.answers: dict[str, dict[str, Any]] = {}
        if path.exists():
            for line in path.read_text("utf-8").splitlines():
                try:
                    entry = json.loads(line)
                except ValueError:
                    continue  # The line being written when the process was killed.
                self.answers[entry["message_id"]] = entry["answer"]

    def keep(self, message_id: str, answer: dict[str, Any]) -> None:
        """Add an answer durably enough: the next start reads whole lines only."""
        self.answers[message_id] = answer
        with self._path.open("a", encoding="utf-8") as file:
            # A leading newline ends a line that a kill cut short.
            file.write("\n" + json.dumps({"message_id": message_id, "answer": answer}))


def send_file(
    prepared: Prepared, door: PartnerDoor, journal: Journal, progress: Progress
) -> Report:
    """Send every event, wait until each is judged, and account for every row.

    Raises UploadRefused when the door refuses a whole upload, httpx.TransportError when the
    platform cannot be reached; what was sent until then stays sent and is not sent twice.
    """
    batches = _batches(prepared.events)
    sent = 0
    for batch in batches:
        if batch.message_id not in journal.answers:
            journal.keep(batch.message_id, door.send_events(batch.events, batch.message_id))
        sent += len(batch.events)
        progress("发送 sending", sent, len(prepared.events))
    report = Report(
        rows_total=prepared.rows_total,
        events_total=len(prepared.events),
        left_out=prepared.left_out,
        unpaired=prepared.unpaired,
    )
    for batch in batches:
        _account(report, prepared, batch, journal.answers[batch.message_id], door, progress)
    return report


def _batches(events: Sequence[dict[str, Any]]) -> list[_Batch]:
    batches: list[_Batch] = []
    for start in range(0, len(events), BATCH_EVENTS):
        part = events[start : start + BATCH_EVENTS]
        spelled = json.dumps(part, sort_keys=True, ensure_ascii=False).encode()
        batches.append(_Batch("send-" + hashlib.sha256(spelled).hexdigest()[:40], part))
    return batches


def _account(
    report: Report,
    prepared: Prepared,
    batch: _Batch,
    answer: dict[str, Any],
    door: PartnerDoor,
    progress: Progress,
) -> None:
    by_index = {entry["index"]: entry for entry in answer["rejected"]}
    judged = _outcomes(answer["upload_id"], door, progress)
    for index, event in enumerate(batch.events):
        rows = prepared.rows_of[event["id"]]
        if index in by_index:
            report.rejected[by_index[index]["problem"]] += rows
            continue
        outcome = judged[event["id"]]
        if outcome["duplicate"]:
            report.duplicate += rows
        elif outcome["state"] == "recorded":
            report.undecided += rows
        elif outcome["state"] == "refused":
            report.refused[outcome["reason"]] += rows
        else:
            report.accepted += rows


def _outcomes(upload_id: str, door: PartnerDoor, progress: Progress) -> dict[str, dict[str, Any]]:
    """What became of each event the door took, once all are judged or time is up."""
    deadline_s = time.monotonic() + OUTCOME_WAIT_S
    while True:
        events = door.upload(upload_id)["events"]
        waiting = sum(1 for event in events if event["state"] == "recorded")
        progress("判定 judged", len(events) - waiting, len(events))
        if not waiting or time.monotonic() > deadline_s:
            return {event["event_id"]: event for event in events}
        time.sleep(0.5)

