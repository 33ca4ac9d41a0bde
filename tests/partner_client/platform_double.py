"""A platform over real HTTP that remembers uploads as the partner door does, and may be slow."""

import gzip
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SCHEMA = {
    "type": "object",
    "required": ["trips"],
    "properties": {"trips": {"type": "integer", "minimum": 1}},
    "additionalProperties": False,
}


class Platform:
    """What the platform holds: the first answer to each webhook-id, and every event's identity."""

    def __init__(self) -> None:
        self.url = ""
        self.answers: dict[str, dict[str, Any]] = {}
        self.recorded: Counter[str] = Counter()
        self.posts = 0
        self.answer_after_s = 0.0

    def take(self, message_id: str, events: list[dict[str, Any]]) -> dict[str, Any]:
        """Record an upload, unless its id was seen: then answer as before."""
        self.posts += 1
        if message_id not in self.answers:
            self.recorded.update(event["id"] for event in events)
            states = [
                {"event_id": event["id"], "state": "posted", "reason": None, "duplicate": False}
                for event in events
            ]
            self.answers[message_id] = {"upload_id": message_id, "rejected": [], "events": states}
        return self.answers[message_id]


@contextmanager
def serving(platform: Platform) -> Iterator[Platform]:
    """The platform on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            events = json.loads(gzip.decompress(body))
            answer = platform.take(self.headers["webhook-id"], events)
            time.sleep(platform.answer_after_s)
            self._answer(202, answer)

        def do_GET(self) -> None:
            if "/scenarios/" in self.path:
                self._answer(200, {"data_schema": SCHEMA})
            else:
                self._answer(200, platform.answers[self.path.rpartition("/")[2]])

        def _answer(self, status: int, document: dict[str, Any]) -> None:
            data = json.dumps(document).encode()
            try:
                self.send_response(status)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True  # the sender was killed

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    platform.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield platform
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
