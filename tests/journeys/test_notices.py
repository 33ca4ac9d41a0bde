"""Goal: a partner with nothing but an HTTP server and an off-the-shelf library hears of its events.

Method: the running demo, its door over HTTP, requests signed and notices verified by the library
of Standard Webhooks; a refused trip, an award that is confirmed, a consent that is withdrawn.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

import httpx
import pytest
from standardwebhooks import Webhook

from tests.journeys.installation import Demo

pytestmark = pytest.mark.journey

CONFIRMED_S_MAX = 60
METRO = "transit.metro.trip"


@contextmanager
def an_endpoint() -> Iterator[tuple[str, list[tuple[bytes, dict[str, str]]]]]:
    """A partner's server and what it was sent."""
    got: list[tuple[bytes, dict[str, str]]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            got.append((body, {name.lower(): value for name, value in self.headers.items()}))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hooks", got
    finally:
        server.shutdown()
        server.server_close()


def partner_of(api: str, partner: dict[str, Any]) -> Callable[..., httpx.Response]:
    """Signed requests of a partner, by the library."""
    library = Webhook(partner["secret"])

    def call(method: str, path: str, body: Any = None) -> httpx.Response:
        sent = "" if body is None else json.dumps(body)
        webhook_id, at = f"msg_{uuid4().hex}", datetime.now(UTC)
        headers = {
            "webhook-id": webhook_id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": library.sign(webhook_id, at, sent),
            "content-type": "application/json",
        }
        url = f"{api}/partner/v1/{partner['partner_id']}{path}"
        return httpx.request(method, url, content=sent, headers=headers, trust_env=False)

    return call


def an_event(subject: str, distance_m: int) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": f"notice-{uuid4().hex}",
        "source": "/gate",
        "type": METRO,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "subject": subject,
        "data": {"distance_m": distance_m},
    }


def test_refusal_confirmation_and_withdrawal_arrive(demo: tuple[Demo, dict]) -> None:
    _, told = demo
    partner = next(
        each
        for each in told["sign_ins"]["partners"]
        if each["scheme"] == "v1" and METRO in each["scenarios"]
    )
    api = told["addresses"]["api"].rstrip("/")
    call = partner_of(api, partner)
    with an_endpoint() as (url, got), a_citizen(api) as phone:
        answer = call("PUT", "/webhook", {"url": url})
        assert answer.status_code == 200, answer.text
        library = Webhook(answer.json()["secret"])

        def heard(kind: str) -> list[dict[str, Any]]:
            documents = [library.verify(body, headers) for body, headers in list(got)]
            return [document["data"] for document in documents if document["type"] == kind]

        def wait_for(kind: str, event_id: str | None = None) -> dict[str, Any]:
            deadline_s = time.monotonic() + CONFIRMED_S_MAX
            while True:
                for data in heard(kind):
                    events = {each["event_id"]: each for each in data.get("events", [])}
                    if event_id is None or event_id in events:
                        return data if event_id is None else events[event_id]
                assert time.monotonic() < deadline_s, [body for body, _ in got]
                time.sleep(0.1)

        wait_for("endpoint.ping")
        asked = {"partner_id": partner["partner_id"], "scenario": METRO}
        consent = phone.post("/consents", json=asked).json()
        bound = {"code": consent["binding_code"], "user_ref": uuid4().hex}
        token = call("POST", "/bindings", bound).json()["binding_token"]
        bad, good = (an_event(token, metres) for metres in (999_000, 9_000))
        answer = call("POST", "/events", [bad, good])
        assert answer.status_code == 202, answer.text
        assert wait_for("event.refused", bad["id"])["reason"] == "distance-too-long"
        confirmed = wait_for("award.confirmed", good["id"])
        assert confirmed["points"] > 0
        phone.delete(f"/consents/{consent['consent_id']}").raise_for_status()
        assert wait_for("consent.withdrawn")["consent_id"] == consent["consent_id"]
        assert not any(token.encode() in body for body, _ in got)
        assert call("GET", "/webhook").json()["verified_at"] is not None
        assert call("GET", "/deliveries?state=dead").json()["items"] == []
        # Whoever uses this installation next is told nothing here.
        call("PUT", "/webhook", {"url": url, "types": []}).raise_for_status()


@contextmanager
def a_citizen(api: str) -> Iterator[httpx.Client]:
    """A new citizen, signed in."""
    with httpx.Client(base_url=f"{api}/miniapp/v1", trust_env=False) as phone:
        code = f"n{uuid4().hex[:12]}-1"
        tokens = phone.post("/login", json={"provider": "sandbox", "code": code}).json()
        phone.headers["authorization"] = f"Bearer {tokens['access_token']}"
        yield phone
