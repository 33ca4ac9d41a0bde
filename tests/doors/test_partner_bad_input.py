"""Bad input at the partners' door: each gets a clear, named answer, and nothing is lost or kept."""

import gzip
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from backend import citizens, partner_api, partners
from backend.kit.clock import FixedClock
from backend.kit.services import Services
from tests.doors.partner_door import BATCH, Door, open_door, problem_of, reasons_of
from tests.evidence.builders import an_event, as_json, signed_headers


@pytest.fixture
def services(db, vault, clock, settings) -> Services:
    return Services(db=db, clock=clock, settings=settings, vault=vault)


@pytest.fixture
async def door(services: Services) -> AsyncIterator[Door]:
    async with open_door(services) as opened:
        yield opened


def spelled(old: str, new: str) -> bytes:
    """The JSON of a good event with one piece of text replaced."""
    text = json.dumps(an_event(subject="SUBJECT"))
    assert old in text
    return text.replace(old, new).encode()


HEADERS_OUT_OF_FORM: list[Any] = [
    ("webhook-id", "x" * 257),
    ("webhook-id", "a b"),
    ("webhook-timestamp", "1795305600.5"),
    ("webhook-timestamp", "+1795305600"),
    ("webhook-timestamp", "1_795_305_600"),
    ("webhook-timestamp", "²"),
    ("webhook-timestamp", "9" * 40),
]

SIGNATURES_THAT_FAIL: list[Any] = [
    "v1",
    "v1,",
    ",",
    "v1,!!!",
    "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE",
    "v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    "v1a,AAAA",
    "  ",
    "v1s2,AAAA v1sm,AAAA",
    "v1,AAAA " * 500,
]

NOT_JSON: list[Any] = [
    b"",
    b"{",
    b"[1,]",
    b"nonsense",
    b"\xef\xbb\xbf[]",
    b'["\xff"]',
    b'[{"a":NaN}]',
    b'[{"a":Infinity}]',
    b'[{"a":01}]',
    b'[{"a":"\x00"}]',
    b"[]]",
    b"[] []",
    b"[" * 100_000,
    b'[{"a":"\\x"}]',
    as_json([an_event()])[:-1],
    as_json([an_event()]).replace(b'"t-1"', b'"t-1'),
    as_json([an_event()]).decode().encode("utf-16"),
]

BROKEN_GZIP: list[Any] = [
    b"",
    b"[]",
    gzip.compress(b"[]")[:-1],
    gzip.compress(b"[]")[:5],
    gzip.compress(b"[]") + b"rest",
    gzip.compress(b"[]")[:-4] + b"\x00\x00\x00\x00",
    gzip.compress(b"") * 129,
]

OUTSIDE_THE_RULES: list[Any] = [
    (spelled("12000", '12000, "distance_m": 12000'), "duplicate-key"),
    (spelled('"id": "t-1"', '"id": "t-1", "id": "t-2"'), "duplicate-key"),
    (spelled("12000", "12000.0"), "fraction"),
    (spelled("12000", "12e3"), "exponent"),
    (spelled("12000", "-0"), "negative-zero"),
    (spelled("12000", "9007199254740992"), "integer-out-of-range"),
    (spelled("12000", "9" * 5000), "integer-out-of-range"),
    (spelled("/gate", r"\ud800"), "lone-surrogate"),
    (spelled("/gate", r"a\u0000b"), "nul-character"),
    (spelled("12000", "[" * 15 + "]" * 15), "too-deep"),
    (spelled("12000", "[" * 3000 + "]" * 3000), "too-deep"),
    (spelled("distance_m", "距离"), "bad-key"),
    (b"[]", "not-an-object"),
    (b'"text"', "not-an-object"),
    (b"null", "not-an-object"),
    (b"1.5", "fraction"),
    (b"{}", "missing-field"),
]

REJECTED_FOR: list[Any] = [
    ({"without": ("specversion",)}, "missing-field"),
    ({"without": ("id",)}, "missing-field"),
    ({"without": ("source",)}, "missing-field"),
    ({"without": ("type",)}, "missing-field"),
    ({"without": ("time",)}, "missing-field"),
    ({"without": ("subject",)}, "missing-field"),
    ({"without": ("data",)}, "missing-field"),
    ({"specversion": "0.3"}, "bad-specversion"),
    ({"id": ""}, "missing-field"),
    ({"id": 7}, "wrong-type"),
    ({"id": "字" * 171}, "id-too-long"),
    ({"source": "s" * 1025}, "source-too-long"),
    ({"data": []}, "wrong-type"),
    ({"data": "12000"}, "wrong-type"),
    ({"data": None}, "missing-field"),
    ({"data": {}}, "missing-field"),
    ({"data": {"distance_m": "12000"}}, "wrong-type"),
    ({"data": {"distance_m": None}}, "wrong-type"),
    ({"data": {"distance_m": True}}, "wrong-type"),
    ({"data": {"distance_m": 1, "entry_station": 5}}, "wrong-type"),
    ({"time": "2026-11-22"}, "bad-time"),
    ({"time": "2026-11-22 08:00:00+08:00"}, "bad-time"),
    ({"time": "2026-11-22T08:00:00"}, "bad-time"),
    ({"time": "2026-11-22T24:00:00Z"}, "bad-time"),
    ({"time": "2026-02-29T08:00:00Z"}, "bad-time"),
    ({"time": "2026-11-22T08:00:60Z"}, "bad-time"),
    ({"time": "2026-11-22T08:00:00+14:01"}, "bad-time"),
    ({"time": "1999-12-31T23:59:59Z"}, "bad-time"),
    ({"time": "2026-11-22t08:00:00z"}, "bad-time"),
    ({"time": 1795305600}, "wrong-type"),
    ({"originaltime": "2018-09-01T08:00:00+08:00"}, "originaltime-not-allowed"),
    ({"type": "transit.tram.trip"}, "unknown-scenario"),
    ({"subject": "nobody"}, "unknown-subject"),
    ({"time": "2026-10-22T12:00:00+08:00"}, "no-consent"),
    ({"time": "2026-11-22T12:05:01+08:00"}, "time-in-future"),
]


class TestSignature:
    async def test_unknown_partner(self, door: Door) -> None:
        headers = signed_headers(b"[]", door.services.clock.now(), content_type=BATCH)
        for name in ["nobody", "NOBODY", "a%00b", "%E5%9C%B0%E9%93%81", "x" * 500]:
            url = f"/partner/v1/{name}/events"
            answer = await door.client.post(url, content=b"[]", headers=headers)
            assert problem_of(answer) == (401, "unknown-partner")
            assert "www-authenticate" in answer.headers

    @pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
    async def test_missing_header(self, door: Door, name: str) -> None:
        headers = signed_headers(b"[]", door.services.clock.now(), content_type=BATCH)
        del headers[name]
        assert problem_of(await door.send(b"[]", headers)) == (401, "missing-signature")

    async def test_headers_out_of_form(self, door: Door) -> None:
        for name, value in HEADERS_OUT_OF_FORM:
            headers: dict[Any, Any] = signed_headers(
                b"[]", door.services.clock.now(), content_type=BATCH
            )
            headers[name] = value.encode("latin-1")
            answer = problem_of(await door.send(b"[]", headers))
            assert answer == (401, "bad-signature-headers"), (name, value)

    async def test_wrong_or_malformed_signature(self, door: Door) -> None:
        for value in SIGNATURES_THAT_FAIL:
            headers = signed_headers(b"[]", door.services.clock.now(), content_type=BATCH)
            headers["webhook-signature"] = value
            status, name = problem_of(await door.send(b"[]", headers))
            assert status == 401, value
            assert name in {"bad-signature", "missing-signature"}, value

    async def test_spare_bits_of_base64(self, door: Door) -> None:
        headers = signed_headers(b"[]", door.services.clock.now(), content_type=BATCH)
        signature = headers["webhook-signature"]
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        last = alphabet[alphabet.index(signature[-2]) | 1]
        headers["webhook-signature"] = signature[:-2] + last + "="
        assert problem_of(await door.send(b"[]", headers)) == (401, "bad-signature")

    @pytest.mark.parametrize("shift_s", [-301, 301, -86400])
    async def test_timestamp_out_of_window(self, door: Door, shift_s: int) -> None:
        at = door.services.clock.now() + timedelta(seconds=shift_s)
        headers = signed_headers(b"[]", at, content_type=BATCH)
        assert problem_of(await door.send(b"[]", headers)) == (401, "timestamp-out-of-window")

    @pytest.mark.parametrize("shift_s", [-300, 300])
    async def test_timestamp_at_the_edge(self, door: Door, shift_s: int) -> None:
        at = door.services.clock.now() + timedelta(seconds=shift_s)
        headers = signed_headers(b"[]", at, content_type=BATCH)
        assert (await door.send(b"[]", headers)).status_code == 202

    async def test_body_changed_by_one_byte(self, door: Door) -> None:
        body = as_json([door.town.event()])
        headers = signed_headers(body, door.services.clock.now(), content_type=BATCH)
        for at in (0, len(body) // 2, len(body) - 1):
            changed = body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
            assert problem_of(await door.send(changed, headers)) == (401, "bad-signature")
        assert problem_of(await door.send(body + b" ", headers)) == (401, "bad-signature")
        assert (await door.send(body, headers)).status_code == 202

    async def test_signature_covers_the_packed_bytes(self, door: Door) -> None:
        body = as_json([door.town.event()])
        headers = signed_headers(
            body, door.services.clock.now(), content_type=BATCH, content_encoding="gzip"
        )
        answer = await door.send(gzip.compress(body), headers)
        assert problem_of(answer) == (401, "bad-signature")

    async def test_key_of_another_partner(self, door: Door, services: Services) -> None:
        async with open_door(services, partner_id="bus", scheme="v1s2") as other:
            answer = await other.post([], scheme="v1")
            assert problem_of(answer)[0] == 401


class TestBody:
    async def test_not_json(self, door: Door) -> None:
        for body in NOT_JSON:
            assert problem_of(await door.post(body=body)) == (422, "not-json"), body[:40]
        assert await door.count("upload") == 0

    async def test_content_type_not_taken(self, door: Door) -> None:
        for content_type in ["text/plain", "application/xml", "", "application/json; charset=gbk"]:
            answer = await door.post([], content_type=content_type)
            assert problem_of(answer) == (415, "unsupported-content-type"), content_type

    async def test_content_encoding_not_taken(self, door: Door) -> None:
        for encoding in ["br", "deflate", "gzip, gzip", "zstd"]:
            answer = await door.post([], content_encoding=encoding)
            assert problem_of(answer) == (415, "unsupported-content-encoding"), encoding

    async def test_broken_gzip(self, door: Door) -> None:
        for body in BROKEN_GZIP:
            answer = await door.post(body=body, content_encoding="gzip")
            assert problem_of(answer) == (422, "bad-gzip"), body[:40]

    async def test_gzip_bomb(self, door: Door) -> None:
        bomb = gzip.compress(bytes(200 * 1024 * 1024), 9)
        assert len(bomb) < 300_000
        answer = await door.post(body=bomb, content_encoding="gzip")
        assert problem_of(answer) == (413, "body-too-large")

    async def test_size_limit_is_exact(self, door: Door) -> None:
        limit = 4 * 1024 * 1024
        fits = b"[" + b" " * (limit - 2) + b"]"
        assert (await door.post(body=fits, webhook_id="fits")).status_code == 202
        packed = gzip.compress(fits)
        answer = await door.post(body=packed, webhook_id="zip", content_encoding="gzip")
        assert answer.status_code == 202
        over = b"[" + b" " * (limit - 1) + b"]"
        assert problem_of(await door.post(body=over)) == (413, "body-too-large")
        answer = await door.post(body=gzip.compress(over), content_encoding="gzip")
        assert problem_of(answer) == (413, "body-too-large")

    async def test_too_many_events(self, door: Door) -> None:
        most = await door.post(body=b"[" + b"0," * 1999 + b"0]")
        assert most.status_code == 202
        assert len(most.json()["rejected"]) == 2000
        for more in (
            b"[" + b"0," * 2000 + b"0]",
            as_json([an_event(id=str(n)) for n in range(2001)]),
        ):
            assert problem_of(await door.post(body=more, webhook_id="m")) == (
                413,
                "too-many-events",
            )


class TestEvents:
    async def test_json_outside_the_rules_rejects_one_event(self, door: Door) -> None:
        for n, (raw, reason) in enumerate(OUTSIDE_THE_RULES):
            good = as_json(door.town.event(n))
            answer = await door.post(body=b"[" + good + b"," + raw + b"]", webhook_id=f"msg-{n}")
            assert reasons_of(answer) == {1: reason}, raw[:200]
            assert answer.json()["accepted"] == 1
            assert answer.json()["events"][0]["event_id"] == f"t-{n}"

    async def test_all_of_them_in_one_upload(self, door: Door) -> None:
        raws = [raw for raw, _ in OUTSIDE_THE_RULES]
        answer = await door.post(body=b"[" + b",".join([*raws, as_json(door.town.event())]) + b"]")
        assert list(reasons_of(answer).values()) == [reason for _, reason in OUTSIDE_THE_RULES]
        assert answer.json()["accepted"] == 1

    async def test_lone_bad_event_is_a_202_too(self, door: Door) -> None:
        assert reasons_of(await door.post(body=b"3")) == {0: "not-an-object"}

    async def test_deepest_event_that_is_allowed(self, door: Door) -> None:
        nested: Any = 1
        for _ in range(14):  # the event and its data are the first two of 16 levels
            nested = [nested]
        event = door.town.event(data={"distance_m": 1, "x": nested})
        assert (await door.post([event])).json()["accepted"] == 1

    async def test_reason_of_a_rejected_event(self, door: Door) -> None:
        for n, (changes, reason) in enumerate(REJECTED_FOR):
            events = [door.town.event(1, **changes), door.town.event(f"good-{n}")]
            answer = await door.post(events, webhook_id=f"msg-{n}")
            assert reasons_of(answer) == {0: reason}, changes
            assert answer.json()["accepted"] == 1

    async def test_implausible_quantity_is_recorded(self, door: Door) -> None:
        distances_m = [-1, 0, 2**53 - 1, -(2**53) + 1]
        events = [door.town.event(m, data={"distance_m": m}) for m in distances_m]
        assert (await door.post(events)).json()["accepted"] == 4

    async def test_odd_but_right_times(self, door: Door) -> None:
        times = [
            "2026-11-22T12:05:00+08:00",
            "2026-11-22T04:05:00.999999999Z",
            "2026-11-22T18:05:00+14:00",
            "2026-11-21T16:00:00-12:00",
            "2026-11-22T09:34:59.5+05:45",
        ]
        answer = await door.post([door.town.event(n, time=time) for n, time in enumerate(times)])
        assert answer.json()["accepted"] == len(times), answer.text

    async def test_order_of_checks(self, door: Door) -> None:
        """Each event has its own flaw and all later ones; the first in the order is named."""
        recorded = await door.post([door.town.event(1)])
        assert recorded.json()["accepted"] == 1
        late = "2026-11-22T13:00:00+08:00"
        never = "2001-01-01T00:00:00Z"
        answer = await door.post(
            [
                door.town.event(1, specversion="2", type="x.y", subject="nobody", time=late),
                door.town.event(1, type="x.y", subject="nobody", time=late),
                door.town.event(2, type="x.y", subject="nobody", time=late),
                door.town.event(2, subject="nobody", time=late),
                door.town.event(2, time=never),
                door.town.event(2, time=late),
            ],
            webhook_id="msg-2",
        )
        assert list(reasons_of(answer).values()) == [
            "bad-specversion",
            "event-id-conflict",
            "unknown-scenario",
            "unknown-subject",
            "no-consent",
            "time-in-future",
        ]


class TestConsent:
    async def test_covers_from_its_whole_second(
        self, services: Services, clock: FixedClock
    ) -> None:
        given = clock.now() - timedelta(hours=1) + timedelta(milliseconds=700)
        async with open_door(services, given_at=given) as door:
            before = door.town.event(1, time="2026-11-22T10:59:59.999+08:00")
            at = door.town.event(2, time="2026-11-22T11:00:00+08:00")
            answer = await door.post([before, at])
            assert reasons_of(answer) == {0: "no-consent"}
            assert answer.json()["accepted"] == 1

    async def test_withdrawn(self, door: Door, services: Services) -> None:
        first = await door.post([door.town.event(1)])
        assert first.json()["accepted"] == 1
        citizen_id = door.town.citizen_ids["an"]
        async with services.db.transaction() as tx:
            (consent,) = await citizens.consents_of_citizen(tx, citizen_id, before=None, limit=9)
            await citizens.withdraw_consent(
                tx, citizen_id, consent.consent_id, services.clock.now()
            )
        answer = await door.post([door.town.event(1), door.town.event(2)], webhook_id="msg-2")
        # What was recorded before the withdrawal stays recorded.
        assert reasons_of(answer) == {1: "consent-withdrawn"}
        assert answer.json()["duplicates"] == 1

    async def test_consent_to_another_scenario(self, services: Services) -> None:
        async with open_door(services, consented_to=("transit.bus.trip",)) as door:
            assert reasons_of(await door.post([door.town.event()])) == {0: "no-consent"}

    async def test_scenario_the_partner_may_not_report(self, services: Services) -> None:
        async with open_door(services, scenarios=("transit.bus.trip",)) as door:
            answer = await door.post([door.town.event()])
            assert reasons_of(answer) == {0: "scenario-not-allowed"}

    async def test_binding_of_another_partner(self, door: Door, services: Services) -> None:
        async with open_door(services, partner_id="bus") as other:
            foreign = next(iter(door.town.subjects.values()))
            answer = await other.post([other.town.event(subject=foreign)])
            assert reasons_of(answer) == {0: "unknown-subject"}


class TestReplayPartner:
    async def test_originaltime_travels_in_the_digest(self, services: Services) -> None:
        async with open_door(services, replay=True) as door:
            original = "2018-09-01T08:00:00+08:00"
            event = door.town.event(originaltime=original)
            answer = await door.post([event, door.town.event(2, originaltime="yesterday")])
            assert reasons_of(answer) == {1: "bad-time"}
            other = door.town.event(originaltime="2018-09-02T08:00:00+08:00")
            answer = await door.post([event, other], webhook_id="msg-2")
            assert answer.json()["duplicates"] == 1
            assert reasons_of(answer) == {1: "event-id-conflict"}
            async with services.db.transaction(readonly=True) as tx:
                assert await tx.fetchval("SELECT originaltime FROM evidence") == original

    async def test_never_in_production(self, services: Services) -> None:
        settings = services.settings.model_copy(update={"profile": "production"})
        production = Services(services.db, services.vault, services.clock, settings)
        async with open_door(production, replay=True) as door:
            answer = await door.post([door.town.event(originaltime="2018-09-01T08:00:00+08:00")])
            assert reasons_of(answer) == {0: "originaltime-not-allowed"}


async def test_too_busy(services: Services) -> None:
    gate = partner_api.Gate(running_max=1, waiting_max=0)
    async with open_door(services, gate=gate) as door, gate.recording():
        answer = await door.post([])
        assert problem_of(answer) == (429, "too-many-requests")
        assert int(answer.headers["retry-after"]) > 0
    small = partner_api.Gate(bytes_max=100)
    async with open_door(services, gate=small, partner_id="bus") as door:
        answer = await door.post([door.town.event()])
        assert problem_of(answer) == (429, "too-many-requests")
        # The bytes of the refused request were given back.
        assert (await door.post([])).status_code == 202


async def test_key_that_is_not_valid_yet(services: Services) -> None:
    async with open_door(services) as door:
        later = services.clock.now() + timedelta(days=1)
        async with services.db.transaction() as tx:
            await partners.end_keys(tx, "metro", now=services.clock.now())
            await partners.add_key(
                tx, services.vault, "metro", "key-2", scheme="v1", valid_from=later,
                secret="whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
            )  # fmt: skip
        assert problem_of(await door.post([])) == (401, "bad-signature")
