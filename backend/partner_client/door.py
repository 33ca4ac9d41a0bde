"""The partner door as a client sees it: signed requests, retries that respect Retry-After."""

import gzip
import time
from collections.abc import Iterator, Sequence
from typing import Any, cast
from urllib.parse import quote

import httpx

from backend.kit import canonical, ids
from backend.partner_client.credentials import Credentials

TRIES_MAX = 8
WAIT_S_MAX = 30


class UploadRefused(Exception):
    """The door refused a whole upload for good; `problem` is its RFC 9457 document."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        super().__init__(f"{status} {problem.get('title', '')}: {problem.get('detail', '')}")
        self.status = status
        self.problem = problem


class PartnerDoor:
    """One partner's way in. `base_url` is the platform's address without a path."""

    def __init__(self, base_url: str, credentials: Credentials, client: httpx.Client) -> None:
        self._root = f"{base_url.rstrip('/')}/partner/v1/{quote(credentials.partner_id)}"
        self._credentials = credentials
        self._client = client

    def send_events(self, events: Sequence[dict[str, Any]], message_id: str) -> dict[str, Any]:
        """Upload events under one signature; the same `message_id` and events may be sent again.

        Returns the door's 202 document. Raises UploadRefused on a final refusal, and
        httpx.TransportError when the platform stays unreachable.
        """
        # mtime=0 keeps the compressed bytes the same for the same events.
        body = gzip.compress(canonical.dumps(list(events)), compresslevel=1, mtime=0)
        headers = {
            "content-type": "application/cloudevents-batch+json",
            "content-encoding": "gzip",
        }
        return self._call("POST", "/events", message_id, body, headers)

    def upload(self, upload_id: str) -> dict[str, Any]:
        """What became of an upload so far."""
        return self._call("GET", f"/uploads/{upload_id}", str(ids.new_id()), b"", {})

    def event(self, event_id: str, source: str) -> dict[str, Any]:
        """What became of one event so far."""
        path = f"/events/{quote(event_id, safe='')}?source={quote(source, safe='')}"
        return self._call("GET", path, str(ids.new_id()), b"", {})

    def statement(self, day: str) -> dict[str, Any]:
        """The platform's statement of a city_day that is over."""
        return self._call("GET", f"/statements/{quote(day)}", str(ids.new_id()), b"", {})

    def statement_digests(self, day: str) -> Iterator[str]:
        """The event digests under that statement's root, ascending, in hex."""
        cursor: str | None = "0"
        while cursor is not None:
            path = f"/statements/{quote(day)}/digests?cursor={quote(cursor)}"
            page = self._call("GET", path, str(ids.new_id()), b"", {})
            yield from page["items"]
            cursor = page["next_cursor"]

    def cosign(self, day: str, signature: str) -> dict[str, Any]:
        """Hand in the signature (DER, base64) over the statement of a day; what stands now."""
        body = canonical.dumps({"signature": signature})
        headers = {"content-type": "application/json"}
        path = f"/statements/{quote(day)}/cosignature"
        return self._call("POST", path, str(ids.new_id()), body, headers)

    def bind(self, code: str, user_ref: str) -> str:
        """Exchange a citizen's one-time binding code for a binding token."""
        body = canonical.dumps({"code": code, "user_ref": user_ref})
        headers = {"content-type": "application/json"}
        answer = self._call("POST", "/bindings", str(ids.new_id()), body, headers)
        return str(answer["binding_token"])

    def ask(self, method: str, path: str, document: object = None) -> dict[str, Any]:
        """Any other route of the door: `path` below the partner's own, `document` as its body.

        Raises UploadRefused and httpx.TransportError as `send_events`.
        """
        body = b"" if document is None else canonical.dumps(document)
        headers = {} if document is None else {"content-type": "application/json"}
        return self._call(method, path, str(ids.new_id()), body, headers)

    def _call(
        self, method: str, path: str, message_id: str, body: bytes, headers: dict[str, str]
    ) -> dict[str, Any]:
        for attempt in range(TRIES_MAX):
            last_try = attempt == TRIES_MAX - 1
            try:
                answer = self._client.request(
                    method,
                    self._root + path,
                    content=body,
                    headers=headers | self._signed(message_id, body),
                )
            except httpx.TransportError:
                if last_try:
                    raise
                time.sleep(min(2**attempt, WAIT_S_MAX))
                continue
            if answer.status_code in (429, 503) and not last_try:
                asked = answer.headers.get("retry-after", "")
                time.sleep(min(int(asked) if asked.isdecimal() else 2**attempt, WAIT_S_MAX))
                continue
            if answer.is_success:
                return answer.json()
            raise UploadRefused(answer.status_code, _problem_of(answer))
        raise AssertionError("every try returns or raises")

    def _signed(self, message_id: str, body: bytes) -> dict[str, str]:
        now_s = int(time.time())
        return {
            "webhook-id": message_id,
            "webhook-timestamp": str(now_s),
            "webhook-signature": self._credentials.signature(message_id, now_s, body),
        }


def _problem_of(answer: httpx.Response) -> dict[str, Any]:
    try:
        document: object = answer.json()
    except ValueError:
        document = None
    if isinstance(document, dict):
        return cast("dict[str, Any]", document)
    return {"detail": answer.text[:200]}
