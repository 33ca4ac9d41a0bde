"""Goal: a killed run continues, nothing is sent that was answered, every row ends somewhere.

Method: a door that behaves as the partner door does, reached through httpx's own transport.
"""

import base64
import gzip
import json
import time
from collections import Counter
from pathlib import Path

import httpx
import pytest
from standardwebhooks import Webhook

from backend.kit.sm import Sm2PrivateKey
from backend.partner_client import (
    Credentials,
    Journal,
    PartnerDoor,
    Prepared,
    Report,
    UploadRefused,
    read_credentials,
    send_file,
    sending,
)

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
CREDENTIALS = Credentials("metro", "v1", SECRET, None, ())


class PlatformDoor:
    """Remembers uploads by webhook-id as the real door does; may fail first."""

    def __init__(self, *failures: httpx.Response) -> None:
        self.failures = list(failures)
        self.uploads: dict[str, list[dict]] = {}
        self.posts = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if self.failures:
            return self.failures.pop(0)
        if request.method == "GET":
            events = self.uploads[request.url.path.rpartition("/")[2]]
            return httpx.Response(200, json={"events": [self._fate(e) for e in events]})
        self.posts += 1
        message_id = request.headers["webhook-id"]
        events = json.loads(gzip.decompress(request.content))
        self.uploads[message_id] = [e for e in events if e["data"]["distance_m"] != 13]
        rejected = [
            {"index": index, "event_id": event["id"], "problem": "no-consent"}
            for index, event in enumerate(events)
            if event["data"]["distance_m"] == 13
        ]
        answer = {"upload_id": message_id, "rejected": rejected, "events": []}
        return httpx.Response(202, json=answer)

    @staticmethod
    def _fate(event: dict) -> dict:
        refused = event["data"]["distance_m"] == 0
        return {
            "event_id": event["id"],
            "state": "refused" if refused else "posted",
            "reason": "distance-not-positive" if refused else None,
            "duplicate": event["data"]["distance_m"] == 2,
        }


def prepared(*distances: int) -> Prepared:
    """Events of two rows each, and four rows that became none."""
    found = Prepared(left_out=Counter({"x": 1}), unpaired=Counter({"y": 3}))
    for number, distance in enumerate(distances):
        found.events.add({"id": f"trip-{number}", "data": {"distance_m": distance}}, 2)
    found.rows_total = found.events.rows_total + 4
    return found


def send(platform: PlatformDoor, what: Prepared, journal: Path) -> Report:
    with httpx.Client(transport=httpx.MockTransport(platform)) as http:
        door = PartnerDoor("http://platform", CREDENTIALS, http)
        return send_file(what, door, Journal(journal), lambda *_: None)


def test_every_row_ends_somewhere(tmp_path: Path) -> None:
    report = send(PlatformDoor(), prepared(5, 0, 13, 2), tmp_path / "journal")
    assert report.document() == {
        "rows": 12,
        "events": 4,
        "accepted": 2,
        "duplicate": 2,
        "undecided": 0,
        "rejected": {"no-consent": 2},
        "refused": {"distance-not-positive": 2},
        "left_out": {"x": 1},
        "unpaired": {"y": 3},
        "notes": [],
        "adds_up": True,
    }


def test_a_report_that_loses_a_row_says_so() -> None:
    assert not Report(rows_total=3, events_total=1, accepted=2).document()["adds_up"]


def test_a_killed_run_continues_without_sending_again(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    what = prepared(*range(20, 2_520))
    platform = PlatformDoor()
    first = send(platform, what, journal)
    assert platform.posts == 3
    # The kill came while the last line was being written.
    journal.write_text(journal.read_text("utf-8")[:-20], "utf-8")
    again = send(platform, what, journal)
    assert platform.posts == 4
    assert again.document() == first.document()


def test_a_platform_that_judges_nothing_is_not_waited_for_batch_by_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(10_000))
    monkeypatch.setattr(sending.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(sending.time, "sleep", lambda _: None)
    platform = PlatformDoor()
    monkeypatch.setattr(
        platform, "_fate", lambda e: {"event_id": e["id"], "state": "recorded", "duplicate": False}
    )
    report = send(platform, prepared(*range(20, 5_020)), tmp_path / "journal")
    assert (report.undecided, report.document()["adds_up"]) == (10_000, True)
    assert next(clock) < 2 * sending.PATIENCE_S


def test_the_same_file_gives_the_same_requests(tmp_path: Path) -> None:
    one, two = PlatformDoor(), PlatformDoor()
    send(one, prepared(5, 6), tmp_path / "one")
    send(two, prepared(5, 6), tmp_path / "two")
    assert one.uploads == two.uploads


def test_busy_answers_are_waited_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr("backend.partner_client.door.time.sleep", waited.append)
    busy = httpx.Response(503, headers={"retry-after": "3"})
    report = send(PlatformDoor(busy, busy), prepared(5), tmp_path / "journal")
    assert waited == [3, 3]
    assert report.accepted == 2


def test_a_final_refusal_is_told_with_its_problem(tmp_path: Path) -> None:
    no = httpx.Response(401, json={"title": "Bad signature", "detail": "签名不符"})
    with pytest.raises(UploadRefused, match="401 Bad signature: 签名不符"):
        send(PlatformDoor(no), prepared(5), tmp_path / "journal")


def test_credentials_come_from_a_file_of_their_own_or_the_demos(tmp_path: Path) -> None:
    entry = {
        "partner_id": "metro",
        "scheme": "v1",
        "secret": SECRET,
        "subjects": [{"token": "t", "scenario": "s", "consent_from": "c"}],
    }
    own, demo = tmp_path / "own.json", tmp_path / "demo.json"
    own.write_text(json.dumps(entry), "utf-8")
    demo.write_text(json.dumps({"sign_ins": {"partners": [entry]}}), "utf-8")
    assert read_credentials(own, "metro") == read_credentials(demo, "metro")
    with pytest.raises(ValueError, match="no credentials of partner 'bus'"):
        read_credentials(demo, "bus")


def test_signatures_are_those_of_the_standard_and_of_sm2() -> None:

    Webhook(SECRET).verify(
        b"{}",
        {
            "webhook-id": "m",
            "webhook-timestamp": str(now_s := int(time.time())),
            "webhook-signature": CREDENTIALS.signature("m", now_s, b"{}"),
        },
    )
    key = Sm2PrivateKey.generate()
    sm2 = Credentials("metro", "v1s2", None, key.to_pem().decode(), ())

    der = base64.b64decode(sm2.signature("m", 1, b"{}").removeprefix("v1s2,"))
    assert key.public_key.verify_der(der, b"tanhui-webhook-v1\nm.1.{}")
