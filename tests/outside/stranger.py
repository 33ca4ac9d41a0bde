"""A stranger's tools: what the demo told, httpx, the off-the-shelf standardwebhooks library.

Of this project only the SM2 signer is borrowed, since no common Python library has one.
"""

import base64
import json
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from standardwebhooks.webhooks import Webhook

from backend.kit.sm import Sm2PrivateKey

BATCH = "application/cloudevents-batch+json"


def instant(offset_s: int = 0) -> str:
    """Now plus some seconds, to the second."""
    return (datetime.now(UTC) + timedelta(seconds=offset_s)).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class Stranger:
    """Somebody with the addresses and sign-ins that the demo told, and nothing else."""

    told: dict[str, Any]

    def __post_init__(self) -> None:
        self.http = httpx.Client(
            base_url=self.told["addresses"]["api"], timeout=60, trust_env=False
        )
        self.partners = {each["partner_id"]: each for each in self.told["sign_ins"]["partners"]}

    def sign(self, partner_id: str, body: bytes, webhook_id: str, at: int) -> str:
        """A webhook-signature by the partner's own required scheme."""
        partner = self.partners[partner_id]
        if partner["scheme"] == "v1":
            moment = datetime.fromtimestamp(at, UTC)
            return Webhook(partner["secret"]).sign(webhook_id, moment, body.decode())
        lines = partner["private_key_pem"].splitlines()
        der = base64.b64decode("".join(line for line in lines if "---" not in line))
        start = der.index(b"\x04\x20") + 2  # the scalar is the only 32-byte OCTET STRING
        text = b"tanhui-webhook-v1\n" + f"{webhook_id}.{at}.".encode() + body
        key = Sm2PrivateKey(int.from_bytes(der[start : start + 32]))
        return "v1s2," + base64.b64encode(key.sign_der(text)).decode()

    def headers(
        self,
        partner_id: str,
        body: bytes,
        webhook_id: str | None = None,
        age_s: int = 0,
        **more: str,
    ) -> dict[str, str]:
        """The three signed headers, a content type, and `more` (underscores become hyphens)."""
        webhook_id = webhook_id or f"msg_{uuid.uuid4().hex}"
        at = int(time.time()) - age_s
        return {
            "webhook-id": webhook_id,
            "webhook-timestamp": str(at),
            "webhook-signature": self.sign(partner_id, body, webhook_id, at),
            "content-type": BATCH,
        } | {name.replace("_", "-"): value for name, value in more.items()}

    def event(self, partner_id: str = "metro", **changes: Any) -> dict[str, Any]:
        """A metro trip of now with a fresh id; `changes` replace its attributes."""
        return {
            "specversion": "1.0",
            "id": f"o-{uuid.uuid4().hex[:12]}",
            "source": "/gates",
            "type": "transit.metro.trip",
            "time": instant(),
            "subject": self.partners[partner_id]["subjects"][5]["token"],
            "data": {"distance_m": 5000},
        } | changes

    def post(
        self, body: Any, partner_id: str = "metro", path: str = "/events", **signed: Any
    ) -> httpx.Response:
        """Sign and post JSON or bytes; `headers` in `signed` replaces the signing."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = signed.pop("headers", None) or self.headers(partner_id, data, **signed)
        return self.http.post(f"/partner/v1/{partner_id}{path}", content=data, headers=headers)

    def get(self, path: str, partner_id: str = "metro") -> httpx.Response:
        """A signed question of a partner."""
        return self.http.get(
            f"/partner/v1/{partner_id}{path}", headers=self.headers(partner_id, b"")
        )

    def citizen(self, name: str) -> "Citizen":
        """Sign in a sandbox citizen of that name."""
        code = f"{name}-{uuid.uuid4().hex[:8]}"
        answer = self.http.post("/miniapp/v1/login", json={"provider": "sandbox", "code": code})
        assert answer.status_code == 200, answer.text
        assert set(answer.json()) == {"access_token", "expires_at", "refresh_token"}
        return Citizen(self.http, answer.json(), code)

    def rpc(self, method: str, *params: Any) -> dict[str, Any]:
        """One call through the public proxy."""
        call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        answer = self.http.post("/public/v1/chain/rpc", json=call)
        assert answer.status_code == 200, answer.text
        return answer.json()


@dataclass
class Citizen:
    """A signed-in citizen."""

    http: httpx.Client
    tokens: dict[str, str]
    code: str

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        """A request with the bearer token."""
        headers["authorization"] = f"Bearer {self.tokens['access_token']}"
        return self.http.request(method, f"/miniapp/v1{path}", json=body, headers=headers)


def problem(answer: httpx.Response, status: int) -> str:
    """The problem's name, after checking that the answer is one as api.md promises."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert document["status"] == status
    assert document["title"].isascii()
    assert not document["detail"].isascii()
    if status in (429, 503):
        assert int(answer.headers["retry-after"]) > 0
    return document["type"].rsplit("/", 1)[1]


def accepted(answer: httpx.Response) -> dict[str, Any]:
    """A 202's body, after checking its members."""
    assert answer.status_code == 202, answer.text
    told = answer.json()
    assert set(told) == {"upload_id", "accepted", "duplicates", "rejected", "events"}
    assert all(set(each) == {"index", "event_id", "problem"} for each in told["rejected"])
    assert all(set(each) == {"event_id", "evidence_id", "state"} for each in told["events"])
    assert told["accepted"] + told["duplicates"] == len(told["events"])
    return told


def refused_as(answer: httpx.Response) -> list[str]:
    """The problems of a 202's rejected events, in order."""
    return [each["problem"] for each in accepted(answer)["rejected"]]
