"""The events route: what a partner's client sees when it reports activities."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from standardwebhooks.webhooks import Webhook

from backend import evidence, partners
from backend.kit.db import Tx
from backend.kit.services import Services
from backend.kit.sm import Sm2PrivateKey
from tests.doors.partner_door import BATCH, Door, open_door, problem_of, reasons_of
from tests.evidence.builders import METRO, SECRET, SM2_KEY, as_json, sign, signed_headers


@pytest.fixture
def services(db, vault, clock, settings) -> Services:
    return Services(db=db, clock=clock, settings=settings, vault=vault)


@pytest.fixture
async def door(services: Services) -> AsyncIterator[Door]:
    async with open_door(services) as opened:
        yield opened


async def test_event_is_durable_before_the_answer(door: Door) -> None:
    answer = await door.post([door.town.event()])
    assert answer.status_code == 202, answer.text
    document = answer.json()
    assert set(document) == {"upload_id", "accepted", "duplicates", "rejected", "events"}
    assert (document["accepted"], document["duplicates"], document["rejected"]) == (1, 0, [])
    (event,) = document["events"]
    assert (event["event_id"], event["state"]) == ("t-1", "recorded")
    async with door.services.db.transaction(readonly=True) as tx:
        row = await tx.fetchrow("SELECT * FROM evidence")
        assert row is not None
        assert str(row["evidence_id"]) == event["evidence_id"]
        assert str(row["city_day"]) == "2026-11-22"
        assert row["occurred_text"] == "2026-11-22T08:00:00+08:00"
        assert (row["origin"], row["evidence_level"]) == ("shared-secret", "L2")
        item = await tx.fetchrow("SELECT topic, key, payload FROM outbox")
        assert item is not None
        assert item["topic"] == "award"
        assert item["key"] == document["upload_id"]
        assert json.loads(item["payload"]) == {"upload_id": document["upload_id"], "count": 1}


async def test_lone_event_empty_array_and_gzip(door: Door) -> None:
    lone = await door.post(door.town.event(1))
    assert lone.json()["accepted"] == 1
    none = await door.post(body=b" [ ] ", webhook_id="msg-2")
    assert none.status_code == 202
    assert none.json() | {"upload_id": ""} == {
        "upload_id": "", "accepted": 0, "duplicates": 0, "rejected": [], "events": [],
    }  # fmt: skip
    packed = gzip.compress(as_json([door.town.event(2)]))
    zipped = await door.post(body=packed, webhook_id="msg-3", content_encoding="gzip")
    assert zipped.json()["accepted"] == 1, zipped.text
    members = gzip.compress(b"[") + gzip.compress(as_json(door.town.event(3)) + b"]")
    zipped = await door.post(body=members, webhook_id="msg-4", content_encoding="GZIP")
    assert zipped.json()["accepted"] == 1, zipped.text


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/cloudevents+json",
        "application/cloudevents-batch+json; charset=utf-8",
        'Application/JSON;charset="UTF-8"',
    ],
)
async def test_content_types_taken(door: Door, content_type: str) -> None:
    answer = await door.post([door.town.event()], content_type=content_type)
    assert answer.status_code == 202


async def test_standard_webhooks_library_works_unchanged(door: Door) -> None:
    body = json.dumps([door.town.event(source="/门")], ensure_ascii=False)
    now = door.services.clock.now()
    signature = Webhook(SECRET).sign("msg_lib", now.replace(tzinfo=None), body)
    headers = {
        "Content-Type": "application/json",
        "Webhook-Id": "msg_lib",
        "Webhook-Timestamp": str(int(now.timestamp())),
        "Webhook-Signature": signature,
    }
    answer = await door.send(body.encode(), headers)
    assert answer.json()["accepted"] == 1, answer.text


async def test_same_webhook_id_gets_the_same_bytes(door: Door) -> None:
    body = as_json([door.town.event(1), door.town.event(1, time="x")])
    first = await door.post(body=body)
    door.services.clock.advance(minutes=20)  # pyright: ignore[reportAttributeAccessIssue]
    again = await door.post(body=body)
    assert again.status_code == first.status_code == 202
    assert again.content == first.content
    assert await door.count("upload") == 1
    other = await door.post(body=body + b" ")
    assert problem_of(other) == (409, "webhook-id-conflict")
    # The bytes as sent decide: the same events in gzip are another body.
    zipped = await door.post(body=gzip.compress(body), content_encoding="gzip")
    assert problem_of(zipped) == (409, "webhook-id-conflict")


async def test_refusal_does_not_burn_a_webhook_id(door: Door) -> None:
    broken = await door.post(body=b"[", webhook_id="msg-x")
    assert problem_of(broken) == (422, "not-json")
    assert (await door.post([door.town.event()], webhook_id="msg-x")).status_code == 202


async def test_webhook_ids_of_partners_do_not_meet(door: Door, services: Services) -> None:
    assert (await door.post([door.town.event()])).status_code == 202
    async with open_door(services, partner_id="bus-1") as other:
        answer = await other.post([other.town.event(data={"distance_m": 1})])
        assert answer.json()["accepted"] == 1, answer.text


async def test_simultaneous_twins_get_the_first_answer(door: Door) -> None:
    body = as_json([door.town.event(n) for n in range(50)])
    answers = await asyncio.gather(*(door.post(body=body) for _ in range(8)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.content for answer in answers}) == 1
    assert await door.count("evidence") == 50
    assert await door.count("upload") == 1


async def test_control_without_the_lock_twins_collide(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def no_lock(self: Tx, key: int) -> None:
        await asyncio.sleep(0)

    monkeypatch.setattr(Tx, "lock", no_lock)
    # All uploads look for a stored answer before any of them writes one.
    everyone = asyncio.Barrier(4)
    found = evidence.stored_answer

    async def look_together(*args, **kwargs):
        answer = await found(*args, **kwargs)
        await asyncio.wait_for(everyone.wait(), 5)
        return answer

    monkeypatch.setattr(evidence, "stored_answer", look_together)
    body = as_json([])
    answers = await asyncio.gather(
        *(door.post(body=body) for _ in range(4)), return_exceptions=True
    )
    alike = {a.content for a in answers if not isinstance(a, BaseException)}
    assert len(alike) > 1 or any(isinstance(a, BaseException) for a in answers)


async def test_overlapping_uploads_under_different_ids(door: Door) -> None:
    """Several requests carry the same events at once: each event is recorded exactly once."""
    events = [door.town.event(n) for n in range(60)]
    bodies = [as_json(events), as_json(events[::-1]), as_json(events[20:] + events[:20])]
    answers = await asyncio.gather(
        *(door.post(body=b, webhook_id=f"msg-{i}") for i, b in enumerate(bodies * 2))
    )
    assert {answer.status_code for answer in answers} == {202}
    assert sum(answer.json()["accepted"] for answer in answers) == 60
    assert sum(answer.json()["duplicates"] for answer in answers) == 300
    assert await door.count("evidence") == await door.count("evidence_body") == 60


async def test_duplicates_and_conflicts(door: Door) -> None:
    first = await door.post([door.town.event(1)])
    recorded = first.json()["events"][0]["evidence_id"]
    respelled = dict(reversed(door.town.event(1).items()))
    again = await door.post(
        [
            respelled,
            door.town.event(1, data={"distance_m": 12001}),
            door.town.event(1, source="/other"),
            door.town.event(2),
            door.town.event(2),
            door.town.event(2, data={"distance_m": 5}),
        ],
        webhook_id="msg-2",
    )
    document = again.json()
    assert (document["accepted"], document["duplicates"]) == (2, 2)
    assert reasons_of(again) == {1: "event-id-conflict", 5: "event-id-conflict"}
    ids = [event["evidence_id"] for event in document["events"]]
    assert [event["event_id"] for event in document["events"]] == ["t-1", "t-1", "t-2", "t-2"]
    assert ids[0] == recorded != ids[1]
    assert ids[2] == ids[3]
    assert {event["state"] for event in document["events"]} == {"recorded"}


async def test_duplicate_shows_its_present_state(door: Door) -> None:
    first = (await door.post([door.town.event(1)])).json()["events"][0]["evidence_id"]
    async with door.services.db.transaction() as tx:
        decision = evidence.Decision(
            first, "refused", "implausible-distance", None, None, None, door.services.clock.now()
        )
        await evidence.decide(tx, [decision])
    again = await door.post([door.town.event(1)], webhook_id="msg-2")
    assert again.json()["events"][0]["state"] == "refused"


async def test_rejected_event_does_not_occupy_its_identity(door: Door) -> None:
    refused = door.town.event(1, subject="nobody")
    answer = await door.post([refused, door.town.event(1)])
    assert reasons_of(answer) == {0: "unknown-subject"}
    assert answer.json()["accepted"] == 1
    conflicting = await door.post([refused], webhook_id="msg-2")
    assert reasons_of(conflicting) == {0: "event-id-conflict"}


async def test_rejections_keep_digest_and_reason_only(door: Door) -> None:
    answer = await door.post([door.town.event(1, subject="身份证号")])
    assert reasons_of(answer) == {0: "unknown-subject"}
    async with door.services.db.transaction(readonly=True) as tx:
        row = await tx.fetchrow("SELECT * FROM rejection")
        assert row is not None
        assert set(row.keys()) == {
            "rejection_id", "upload_id", "partner_id", "n", "digest", "reason", "rejected_at",
        }  # fmt: skip
        upload = await tx.fetchrow("SELECT answer FROM upload")
        assert upload is not None
        assert "身份证号".encode() not in upload["answer"]


class TestSignatures:
    async def test_sm2_upload_is_a_signed_upload(self, services: Services) -> None:
        async with open_door(services, scheme="v1s2") as door:
            answer = await door.post([door.town.event()], scheme="v1s2")
            assert answer.json()["accepted"] == 1, answer.text
            async with services.db.transaction(readonly=True) as tx:
                row = await tx.fetchrow("SELECT origin, evidence_level FROM evidence")
            assert row is not None
            assert tuple(row.values()) == ("signed-upload", "L3")

    async def test_hmac_sm3(self, services: Services) -> None:
        async with open_door(services, scheme="v1sm") as door:
            answer = await door.post([door.town.event()], scheme="v1sm")
            assert answer.json()["accepted"] == 1, answer.text
            weaker = await door.post([door.town.event()], scheme="v1", webhook_id="msg-2")
            assert problem_of(weaker) == (401, "weak-signature")

    async def test_weaker_signature_in_the_list_never_helps(self, services: Services) -> None:
        async with open_door(services, scheme="v1s2") as door:
            async with services.db.transaction() as tx:
                await partners.add_key(
                    tx, services.vault, "metro", "hmac", scheme="v1",
                    valid_from=services.clock.now() - timedelta(days=1), secret=SECRET,
                )  # fmt: skip
            body = as_json([door.town.event()])
            weak = await door.post(body=body, scheme="v1")
            assert problem_of(weak) == (401, "weak-signature")
            headers = signed_headers(body, services.clock.now(), scheme="v1")
            stranger = sign("v1s2", Sm2PrivateKey(7), "msg-1", 0, body)
            headers |= {"content-type": BATCH}
            headers["webhook-signature"] += " " + stranger
            assert problem_of(await door.send(body, headers)) == (401, "bad-signature")
            # The control: what was refused is only weak, not wrong.
            async with services.db.transaction() as tx:
                await partners.register_partner(
                    tx, "metro", "metro", required_scheme="v1", scenarios=[METRO],
                    now=services.clock.now(),
                )  # fmt: skip
            assert (await door.post(body=body, scheme="v1")).status_code == 202

    async def test_stronger_signature_is_welcome(self, services: Services) -> None:
        async with open_door(services) as door:
            async with services.db.transaction() as tx:
                await partners.add_key(
                    tx, services.vault, "metro", "sm2", scheme="v1s2",
                    valid_from=services.clock.now() - timedelta(days=1),
                    public_key=SM2_KEY.public_key.to_bytes(),
                )  # fmt: skip
            body = as_json([door.town.event()])
            headers = signed_headers(body, services.clock.now(), scheme="v1s2")
            hmac = signed_headers(body, services.clock.now())["webhook-signature"]
            headers["webhook-signature"] = f"{hmac} {headers['webhook-signature']}"
            headers["content-type"] = BATCH
            assert (await door.send(body, headers)).status_code == 202
            async with services.db.transaction(readonly=True) as tx:
                assert await tx.fetchval("SELECT origin FROM evidence") == "signed-upload"

    async def test_two_keys_during_rotation(self, door: Door, services: Services) -> None:
        now = services.clock.now()
        fresh = bytes(range(1, 33))
        async with services.db.transaction() as tx:
            ended = await partners.end_keys(tx, "metro", now=now, overlap=timedelta(hours=1))
            assert ended == ["key-1"]
            await partners.add_key(
                tx, services.vault, "metro", "key-2", scheme="v1", valid_from=now,
                secret="whsec_AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=",
            )  # fmt: skip
        assert (await door.post([], webhook_id="old")).status_code == 202
        assert (await door.post([], webhook_id="new", key=fresh)).status_code == 202
        services.clock.advance(hours=1)  # pyright: ignore[reportAttributeAccessIssue]
        late = await door.post([], webhook_id="late")
        assert problem_of(late) == (401, "bad-signature")
        assert (await door.post([], webhook_id="new-2", key=fresh)).status_code == 202
