"""Sending a file: deterministic batches, a journal that survives SIGKILL, then the outcome."""

import contextlib
import hashlib
import json
import time
from pathlib import Path
from typing import Any

from backend.partner_client.door import PartnerDoor
from backend.partner_client.report import Report
from backend.partner_client.rows import Prepared, Progress

BATCH_EVENTS = 1_000
PATIENCE_S = 60
"""How long nothing may be judged before the rest is reported as recorded."""

Batch = list[tuple[int, dict[str, Any]]]
"""(rows behind the event, event), in the order in which they are signed."""


class Journal:
    """Answers already received, one JSON line each, beside the file that is being sent.

    Batches and their ids follow from the file, so that a lost journal costs only time: the
    door answers a repeated upload with its first answer. Only the places of the answers are
    held in memory.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._places: dict[str, int] = {}
        if not path.exists():
            return
        with path.open("rb") as file:
            place = 0
            for line in file:
                # The line being written when the process was killed is no JSON.
                with contextlib.suppress(ValueError):
                    self._places[json.loads(line)["message_id"]] = place
                place += len(line)

    def __contains__(self, message_id: str) -> bool:
        return message_id in self._places

    def keep(self, message_id: str, answer: dict[str, Any]) -> None:
        """Add an answer durably enough: the next start reads whole lines only."""
        kept = {"upload_id": answer["upload_id"], "rejected": answer["rejected"]}
        with self._path.open("ab") as file:
            # A leading newline ends a line that a kill cut short.
            file.write(b"\n")
            self._places[message_id] = file.tell()
            file.write(json.dumps({"message_id": message_id, "answer": kept}).encode())

    def answer(self, message_id: str) -> dict[str, Any]:
        """The `upload_id` and `rejected` of the door's answer to a batch."""
        with self._path.open("rb") as file:
            file.seek(self._places[message_id])
            return json.loads(file.readline())["answer"]


def send_file(
    prepared: Prepared, door: PartnerDoor, journal: Journal, progress: Progress
) -> Report:
    """Send every event, wait until each is judged, and account for every row.

    Raises UploadRefused when the door refuses a whole upload, httpx.TransportError when the
    platform cannot be reached; what was sent until then stays sent and is not sent twice.
    """
    events = prepared.events
    sent = 0
    for batch in events.batches(BATCH_EVENTS):
        message_id = _message_id(batch)
        if message_id not in journal:
            journal.keep(message_id, door.send_events([e for _, e in batch], message_id))
        sent += len(batch)
        progress("发送 sending", sent, len(events))
    report = report_of(prepared)
    patience = _Patience()
    judged = 0
    for batch in events.batches(BATCH_EVENTS):
        answer = journal.answer(_message_id(batch))
        _account(report, batch, answer, _outcomes(answer["upload_id"], door, patience))
        judged += len(batch)
        progress("判定 judged", judged, len(events))
    return report


def report_of(prepared: Prepared) -> Report:
    """The part of the report that needs no platform."""
    return Report(
        rows_total=prepared.rows_total,
        events_total=len(prepared.events),
        left_out=prepared.left_out,
        unpaired=prepared.unpaired,
        notes=prepared.notes,
    )


def _message_id(batch: Batch) -> str:
    spelled = json.dumps([event for _, event in batch], sort_keys=True, ensure_ascii=False)
    return "send-" + hashlib.sha256(spelled.encode()).hexdigest()[:40]


def _account(
    report: Report, batch: Batch, answer: dict[str, Any], judged: dict[str, dict[str, Any]]
) -> None:
    by_index = {entry["index"]: entry for entry in answer["rejected"]}
    for index, (rows, event) in enumerate(batch):
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


class _Patience:
    """Runs out when nothing was judged for a while; then nothing else is waited for either."""

    def __init__(self) -> None:
        self._until_s = time.monotonic() + PATIENCE_S

    def renew(self) -> None:
        """Something was judged."""
        if not self.is_over():
            self._until_s = time.monotonic() + PATIENCE_S

    def is_over(self) -> bool:
        """Whether to stop waiting."""
        return time.monotonic() > self._until_s


def _outcomes(upload_id: str, door: PartnerDoor, patience: _Patience) -> dict[str, dict[str, Any]]:
    """What became of each event the door took, once all are judged or patience is over."""
    waiting_before: int | None = None
    while True:
        events = door.upload(upload_id)["events"]
        waiting = sum(1 for event in events if event["state"] == "recorded")
        if waiting != waiting_before:
            patience.renew()
        if not waiting or patience.is_over():
            return {event["event_id"]: event for event in events}
        waiting_before = waiting
        time.sleep(0.5)
