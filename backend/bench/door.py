"""What signatures cost at the door: SM2, HMAC-SM3 and HMAC-SHA256 in uploads of 1, 100 and 1,000.

    tanhui bench door

Signed uploads go through the application's own partner door, body and answer included, straight
into a durable database. `share` is the CPU time of checking the signature over all CPU time of the
serving process (the database's own is not in it). One signature covers an upload, so what it costs
per event falls with the size. Schemes alternate within a round and medians are compared.
"""

import base64
import hashlib
import hmac
import json
import os
import secrets
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import uvloop
from fastapi import FastAPI

from backend import partner_api, partners
from backend.bench.scratch import Scratch, scratch
from backend.kit import logs
from backend.kit.clock import SystemClock
from backend.kit.collector import settle_collector
from backend.kit.ids import new_ids
from backend.kit.services import Services
from backend.kit.settings import Settings
from backend.kit.sm import Sm2PrivateKey, hmac_sm3, sm3
from backend.partners import Scheme, sign_content

if TYPE_CHECKING:
    from collections.abc import Generator

SCENARIO = "transit.metro.trip"
CITIZENS = 500
SECRET = bytes(range(32))
UPLOADS = {1: 200, 100: 20, 1_000: 6}
"""Events of an upload → uploads of one scheme in one round."""

NAMES: dict[Scheme, str] = {"v1": "hmac_sha256", "v1sm": "hmac_sm3", "v1s2": "sm2"}


@dataclass(slots=True)
class _Watch:
    """CPU seconds that checking signatures took."""

    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class _Bed:
    """The door over an empty installation, a partner for each scheme, and their subjects."""

    app: FastAPI
    ground: Scratch
    tokens: dict[Scheme, list[str]]
    key: Sm2PrivateKey


def run(*, rounds: int = 5, scale: int = 1) -> dict[str, Any]:
    """Figures by size and scheme; `scale` multiplies the uploads of a round."""
    settle_collector()
    with Path(os.devnull).open("w") as nowhere:
        logs.log_to(nowhere)
        try:
            return uvloop.run(_run(rounds, scale))
        finally:
            logs.log_to(None)


async def _run(rounds: int, scale: int) -> dict[str, Any]:
    async with scratch() as ground:
        bed = await _make_bed(ground)
        figures: dict[str, Any] = {}
        for size, uploads in UPLOADS.items():
            spent: dict[Scheme, list[tuple[float, float, float]]] = {name: [] for name in NAMES}
            for turn in range(rounds + 1):
                for scheme in NAMES:
                    measured = await _measure(bed, scheme, size, uploads * scale)
                    if turn > 0:  # the first round only warms caches
                        spent[scheme].append(measured)
            figures[f"uploads_of_{size}"] = {
                NAMES[scheme]: _figures(found, size * uploads * scale)
                for scheme, found in spent.items()
            }
        return figures


def _figures(found: list[tuple[float, float, float]], events: int) -> dict[str, Any]:
    checking = median(each[0] for each in found)
    cpu = median(each[1] for each in found)
    return {
        "share_of_cpu": round(median(each[0] / each[1] for each in found), 4),
        "signature_us_per_event": round(checking / events * 1e6, 3),
        "door_cpu_us_per_event": round(cpu / events * 1e6, 1),
        "events_per_s": round(events / median(each[2] for each in found)),
    }


async def _measure(
    bed: _Bed, scheme: Scheme, size: int, uploads: int
) -> tuple[float, float, float]:
    """(CPU s of signatures, CPU s of the door, s) for that many uploads, one after another."""
    async with bed.ground.owner.transaction() as tx:
        await tx.execute("TRUNCATE evidence, evidence_body, upload, rejection, outbox")
    requests = [_request(bed, scheme, size) for _ in range(uploads)]
    with _watching() as watch:
        start, cpu = time.perf_counter(), time.process_time()
        for headers, body in requests:
            await _post(bed.app, NAMES[scheme].replace("_", "-"), headers, body)
        return watch.seconds, time.process_time() - cpu, time.perf_counter() - start


@contextmanager
def _watching() -> "Generator[_Watch]":
    """Time `verify_request` where the door calls it."""
    watch, original = _Watch(), partners.verify_request

    def timed(*args: Any, **kwargs: Any) -> partners.SignedRequest:
        start = time.thread_time()
        try:
            return original(*args, **kwargs)
        finally:
            watch.seconds += time.thread_time() - start

    partners.verify_request = timed
    try:
        yield watch
    finally:
        partners.verify_request = original


async def _post(
    app: FastAPI, partner_id: str, headers: list[tuple[bytes, bytes]], body: bytes
) -> None:
    """One request over ASGI itself: no client's CPU is in the figures."""
    path = f"/partner/v1/{partner_id}/events"
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("door", 80),
    }
    answers: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        answers.append(message)

    await app(scope, receive, send)
    if answers[0]["status"] != 202:
        raise RuntimeError(f"the door answered {answers[0]['status']}: {answers[1]['body'][:300]}")


async def _make_bed(ground: Scratch) -> _Bed:
    key = Sm2PrivateKey.generate()
    now = datetime.now(UTC)
    tokens: dict[Scheme, list[str]] = {}
    async with ground.db.transaction() as tx:
        for scheme, name in NAMES.items():
            partner_id = name.replace("_", "-")
            await partners.register_partner(
                tx, partner_id, name, required_scheme=scheme, scenarios=[SCENARIO], now=now
            )
            is_sm2 = scheme == "v1s2"
            await partners.add_key(
                tx,
                ground.vault,
                partner_id,
                "key-1",
                scheme=scheme,
                valid_from=now,
                secret=None if is_sm2 else "whsec_" + base64.b64encode(SECRET).decode(),
                public_key=key.public_key.to_bytes() if is_sm2 else None,
            )
            ids = new_ids(CITIZENS)
            tokens[scheme] = [secrets.token_urlsafe(32) for _ in ids]
            names = ("binding_id", "partner_id", "citizen_id", "token_hash", "user_ref_hash")
            await tx.copy(
                "binding",
                [*names, "created_at"],
                [
                    (i, partner_id, i, sm3(token.encode()), sm3(b"ref" + token.encode()), now)
                    for i, token in zip(ids, tokens[scheme], strict=True)
                ],
            )
            given_at = now.replace(microsecond=0) - timedelta(days=30)
            await tx.copy(
                "consent",
                ["consent_id", "citizen_id", "partner_id", "scenario", "given_at"],
                [(i, i, partner_id, SCENARIO, given_at) for i in ids],
            )
    async with ground.owner.transaction() as tx:
        await tx.execute("ANALYZE binding, consent")
    app = FastAPI()
    services = Services(
        db=ground.db, clock=SystemClock(), settings=Settings(profile="test"), vault=ground.vault
    )
    app.include_router(partner_api.router(services))
    return _Bed(app, ground, tokens, key)


def _request(bed: _Bed, scheme: Scheme, size: int) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Headers and body of a signed upload of new events."""
    start = datetime.now(UTC) - timedelta(hours=20)
    stem = secrets.token_hex(6)
    tokens = bed.tokens[scheme]
    events = [
        {
            "specversion": "1.0",
            "id": f"trip-{stem}-{i:05d}",
            "source": f"/gate/{i % 97}",
            "type": SCENARIO,
            "time": (start + timedelta(seconds=i)).isoformat(timespec="seconds"),
            "subject": tokens[i % len(tokens)],
            "data": {"distance_m": 2_000 + i % 30_000},
        }
        for i in range(size)
    ]
    body = json.dumps(events, ensure_ascii=False).encode()
    timestamp = int(time.time())
    content = sign_content(stem, timestamp, body, scheme)
    made = base64.b64encode(_SIGNERS[scheme](bed.key, content)).decode()
    headers = {
        "content-type": "application/cloudevents-batch+json",
        "webhook-id": stem,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"{scheme},{made}",
    }
    return [(name.encode(), value.encode()) for name, value in headers.items()], body


_SIGNERS: dict[Scheme, Callable[[Sm2PrivateKey, bytes], bytes]] = {
    "v1": lambda _, content: hmac.new(SECRET, content, hashlib.sha256).digest(),
    "v1sm": lambda _, content: hmac_sm3(SECRET, content),
    "v1s2": lambda key, content: key.sign_der(content),
}
