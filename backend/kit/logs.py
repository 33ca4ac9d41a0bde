"""One structured line per unit of work: ids and counts, never personal data."""

import json
import sys
from datetime import UTC, datetime
from typing import Any, TextIO


class _Sink:
    stream: TextIO | None = None


def log_to(stream: TextIO | None) -> None:
    """Send lines elsewhere than standard error; None puts standard error back."""
    _Sink.stream = stream


def log(event: str, **ids: Any) -> None:
    """Write one JSON line: the instant, what happened in the past tense, and the ids concerned."""
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    line = json.dumps({"at": at, "event": event, **ids}, ensure_ascii=False, default=str)
    stream = _Sink.stream if _Sink.stream is not None else sys.stderr
    stream.write(line + "\n")
    stream.flush()
