"""Daily statements over the partners' door: closing, checking, co-signing, and what is refused."""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from backend import evidence, partner_api, partners
from backend.flows import record_events as recording
from backend.kit.canonical import dumps
from backend.kit.services import Services
from backend.kit.sm import Sm2PrivateKey
from tests.doors.partner_door import Door, open_door, problem_of
from tests.evidence.builders import METRO

STATEMENT_KEY = Sm2PrivateKey(0x5EED)
DAY = "2026-11-22"
NEXT_DAY = datetime(2026, 11, 22, 16, 0, tzinfo=UTC)  # midnight in the city


@pytest.fixture
def services(db, vault, clock, settings) -> Services:
    return Services(db=db, clock=clock, settings=settings, vault=vault)


@pytest.fixture
async def door(services: Services) -> AsyncIterator[Door]:
    async with open_door(services) as opened:
        await add_key(opened)
        yield opened


async def add_key(door: Door, key_id: str = "st-1", key=STATEMENT_KEY, **changes) -> None:
    services = door.services
    given = {"valid_from": services.clock.now() - timedelta(days=30), "purpose": "statement"}
    async with services.db.transaction() as tx:
        await partners.add_key(
            tx,
            services.vault,
            "metro",
            key_id,
            scheme="v1s2",
            public_key=key.public_key.to_bytes(),
            **given | changes,
        )


def sm3(data: bytes) -> bytes:
    return hashlib.new("sm3", data).digest()


def plain_root(hashes: list[bytes]) -> bytes:
    """RFC 9162 §2.1.1 word for word, independent of the product's tree."""
    if not hashes:
        return sm3(b"")
    if len(hashes) == 1:
        return hashes[0]
    k = 1
    while k * 2 < len(hashes):
        k *= 2
    return sm3(b"\x01" + plain_root(hashes[:k]) + plain_root(hashes[k:]))


def digests_of(events: list[dict]) -> list[bytes]:
    return sorted(sm3(b"tanhui-event-v1\nmetro\n" + dumps(event)) for event in events)


def root_of(events: list[dict]) -> bytes:
    return plain_root([sm3(b"\x00" + digest) for digest in digests_of(events)])


def a_text(events: list[dict], *, day: str = DAY, partner: str = "metro") -> bytes:
    root = root_of(events).hex()
    return f"tanhui-statement-v1\n{partner}\n{day}\n{len(events)}\n{root}\n".encode()


def signed(text: bytes, key: Sm2PrivateKey = STATEMENT_KEY) -> dict[str, str]:
    return {"signature": base64.b64encode(key.sign_der(text)).decode()}


async def a_day(door: Door, count: int = 5) -> list[dict]:
    """Events received on the day, then the day ends."""
    events = [door.town.event(n) for n in range(count)]
    assert (await door.post(events)).json()["accepted"] == count
    door.services.clock.instant = NEXT_DAY  # pyright: ignore[reportAttributeAccessIssue]
    return events


async def cosign(door: Door, body, *, day: str = DAY):
    return await door.post(body, path=f"/statements/{day}/cosignature", webhook_id="co-1")


class TestStatement:
    async def test_is_what_the_events_come_to(self, door: Door) -> None:
        events = await a_day(door)
        answer = await door.get(f"/statements/{DAY}")
        assert answer.status_code == 200, answer.text
        said = answer.json()
        assert (said["partner_id"], said["day"], said["count"]) == ("metro", DAY, 5)
        assert said["root"] == root_of(events).hex()
        assert said["text"].encode() == a_text(events)
        assert said["cosignature"] is None
        assert said["sums"] == [
            {"scenario": METRO, "state": "recorded", "count": 5, "reduction_mg": 0, "points": {}}
        ]
        assert (await door.get(f"/statements/{DAY}")).json() == said

    async def test_a_day_is_stated_from_its_last_instant_on(self, door: Door) -> None:
        clock = door.services.clock
        for instant in (NEXT_DAY - timedelta(days=3), NEXT_DAY - timedelta(microseconds=1)):
            clock.instant = instant  # pyright: ignore[reportAttributeAccessIssue]
            for path in (f"/statements/{DAY}", f"/statements/{DAY}/digests"):
                assert problem_of(await door.get(path)) == (409, "day-not-over")
            assert problem_of(await cosign(door, signed(a_text([])))) == (409, "day-not-over")
        assert await door.count("statement") == 0
        clock.instant = NEXT_DAY  # pyright: ignore[reportAttributeAccessIssue]
        assert (await door.get(f"/statements/{DAY}")).json()["count"] == 0

    async def test_the_day_of_receipt_counts_and_duplicates_do_not(self, door: Door) -> None:
        """An activity of the day before, received today, is today's; one told again is not."""
        yesterday = door.town.event(1, time="2026-11-21T08:00:00+08:00")
        await door.post([yesterday, door.town.event(2)])
        door.services.clock.instant = NEXT_DAY  # pyright: ignore[reportAttributeAccessIssue]
        bad = door.town.event(4, type="no.such.thing")
        again = [yesterday, door.town.event(3), bad]
        assert (await door.post(again, webhook_id="msg-2")).json()["duplicates"] == 1
        first = (await door.get(f"/statements/{DAY}")).json()
        assert first["root"] == root_of([yesterday, door.town.event(2)]).hex()
        door.services.clock.advance(days=1)  # pyright: ignore[reportAttributeAccessIssue]
        second = (await door.get("/statements/2026-11-23")).json()
        assert (second["count"], second["root"]) == (1, root_of([door.town.event(3)]).hex())

    async def test_an_empty_day_has_the_empty_root_and_can_be_cosigned(self, door: Door) -> None:
        said = (await door.get("/statements/2026-11-01")).json()
        assert (said["count"], said["root"]) == (0, sm3(b"").hex())
        answer = await cosign(door, signed(a_text([], day="2026-11-01")), day="2026-11-01")
        assert answer.status_code == 201, answer.text

    @pytest.mark.parametrize("day", ["2026-11-31", "2026-1-01", "22", "1999-01-01", "２026-11-01"])
    async def test_days_out_of_form(self, door: Door, day: str) -> None:
        assert problem_of(await door.get(f"/statements/{day}")) == (422, "bad-shape")

    async def test_needs_a_signature_of_this_partner(self, door: Door) -> None:
        await a_day(door)
        for path in (f"/statements/{DAY}", f"/statements/{DAY}/digests"):
            answer = await door.client.get(f"/partner/v1/metro{path}")
            assert problem_of(answer) == (401, "missing-signature")
            answer = await door.get(path, key=bytes(32))
            assert problem_of(answer) == (401, "bad-signature")

    async def test_an_upload_that_comes_late_is_received_the_next_day(
        self, door: Door, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It was received a moment before midnight, and the day was closed before it held it."""
        await a_day(door, 2)
        closed = (await door.get(f"/statements/{DAY}")).json()
        clock = door.services.clock
        with monkeypatch.context() as patched:
            patched.setattr(clock, "now", a_moment_before_midnight())
            answer = await door.post([door.town.event(9)], webhook_id="msg-9")
        assert answer.json()["accepted"] == 1
        assert (await door.get(f"/statements/{DAY}")).json() == closed
        clock.advance(days=1)  # pyright: ignore[reportAttributeAccessIssue]
        assert (await door.get("/statements/2026-11-23")).json()["count"] == 1

    async def test_control_without_the_held_day_the_event_is_in_no_statement(
        self, door: Door, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def as_it_came(_tx, _clock, _terms, upload):
            return upload

        monkeypatch.setattr(recording, "_on_an_open_day", as_it_came)
        await a_day(door, 2)
        await door.get(f"/statements/{DAY}")
        clock = door.services.clock
        with monkeypatch.context() as patched:
            patched.setattr(clock, "now", a_moment_before_midnight())
            await door.post([door.town.event(9)], webhook_id="msg-9")
        clock.advance(days=1)  # pyright: ignore[reportAttributeAccessIssue]
        counts = [
            (await door.get(f"/statements/{day}")).json()["count"] for day in (DAY, "2026-11-23")
        ]
        assert sum(counts) == 2
        assert await door.count("evidence") == 3


def a_moment_before_midnight():
    """Says 23:59:59 when the request is signed, checked and received, and midnight afterwards."""
    said = [NEXT_DAY - timedelta(seconds=1)] * 3

    def now() -> datetime:
        return said.pop() if said else NEXT_DAY

    return now


class TestDigests:
    async def test_pages_hold_every_digest_in_order(self, door: Door) -> None:
        events = await a_day(door, 1_030)
        listed: list[str] = []
        cursor: str | None = "0"
        pages = 0
        while cursor is not None:
            page = (await door.get(f"/statements/{DAY}/digests?limit=600&cursor={cursor}")).json()
            listed += page["items"]
            cursor = page["next_cursor"]
            pages += 1
        assert pages == 3
        assert [bytes.fromhex(each) for each in listed] == digests_of(events)
        assert (await door.get(f"/statements/{DAY}")).json()["root"] == root_of(events).hex()

    @pytest.mark.parametrize("cursor", ["-1", "x", "1e3", "01", ""])
    async def test_cursor_out_of_form(self, door: Door, cursor: str) -> None:
        answer = await door.get(f"/statements/2026-11-01/digests?cursor={cursor}")
        assert problem_of(answer) == (422, "bad-shape")

    async def test_beyond_the_end(self, door: Door) -> None:
        await a_day(door, 2)
        for cursor in ("2", "1024", "999999999999"):
            answer = await door.get(f"/statements/{DAY}/digests?cursor={cursor}")
            assert answer.json() == {"items": [], "next_cursor": None}


class TestCosignature:
    async def test_stands_once_and_is_told_again(self, door: Door) -> None:
        events = await a_day(door)
        body = signed(a_text(events))
        first = await cosign(door, body)
        assert first.status_code == 201, first.text
        said = first.json()
        assert (said["key_id"], said["signature"]) == ("st-1", body["signature"])
        door.services.clock.advance(seconds=60)  # pyright: ignore[reportAttributeAccessIssue]
        assert (await cosign(door, body)).json() == said
        # SM2 signs with a fresh nonce: another signature over the same text is the same word.
        fresh = signed(a_text(events))
        assert fresh != body
        assert (await cosign(door, fresh)).json() == said
        assert await door.count("cosignature") == 1
        cosigned = (await door.get(f"/statements/{DAY}")).json()["cosignature"]
        assert cosigned == {name: said[name] for name in cosigned}

    async def test_over_anything_else_is_refused(self, door: Door) -> None:
        events = await a_day(door)
        good = a_text(events)
        for wrong in (
            a_text(events[:-1]),
            a_text(events, day="2026-11-21"),
            a_text(events, partner="bus"),
            good.replace(b"\n5\n", b"\n6\n"),
            good[:-1],
            good + b"\n",
            b"tanhui-webhook-v1\n" + good,
        ):
            assert problem_of(await cosign(door, signed(wrong))) == (422, "bad-cosignature"), wrong
        other = Sm2PrivateKey(0xBAD)
        assert problem_of(await cosign(door, signed(good, other))) == (422, "bad-cosignature")
        # The signature of one day, used for another.
        answer = await cosign(door, signed(good), day="2026-11-21")
        assert problem_of(answer) == (422, "bad-cosignature")
        assert await door.count("cosignature") == 0

    async def test_a_wrong_one_is_refused_also_when_a_right_one_stands(self, door: Door) -> None:
        events = await a_day(door)
        assert (await cosign(door, signed(a_text(events)))).status_code == 201
        answer = await cosign(door, signed(a_text(events[:-1])))
        assert problem_of(answer) == (422, "bad-cosignature")

    async def test_by_a_webhook_key_is_refused(self, door: Door) -> None:
        webhook_key = Sm2PrivateKey(0xAB)
        await add_key(door, "hook", webhook_key, purpose="webhook")
        events = await a_day(door)
        answer = await cosign(door, signed(a_text(events), webhook_key))
        assert problem_of(answer) == (422, "bad-cosignature")

    async def test_the_key_must_have_been_valid_on_that_day(self, door: Door) -> None:
        """`from_day <= day < to_day`, by the days of the city; two keys may overlap."""
        events = await a_day(door)
        clock = door.services.clock
        late = Sm2PrivateKey(0xCC)
        await add_key(door, "late", late, valid_from=clock.now())  # from the 23rd on
        answer = await cosign(door, signed(a_text(events), late))
        assert problem_of(answer) == (422, "bad-cosignature")
        # The old key ended on the 23rd: for the 22nd it still speaks.
        async with door.services.db.transaction() as tx:
            await partners.end_key(tx, "metro", "st-1", now=clock.now())
        assert (await cosign(door, signed(a_text(events)))).status_code == 201
        clock.advance(days=1)  # pyright: ignore[reportAttributeAccessIssue]
        empty = a_text([], day="2026-11-23")
        answer = await cosign(door, signed(empty), day="2026-11-23")
        assert problem_of(answer) == (422, "bad-cosignature")
        answer = await cosign(door, signed(empty, late), day="2026-11-23")
        assert answer.json()["key_id"] == "late"

    async def test_before_any_key(self, door: Door) -> None:
        answer = await cosign(door, signed(a_text([], day="2026-10-01")), day="2026-10-01")
        assert problem_of(answer) == (409, "no-statement-key")

    async def test_bodies_out_of_form(self, door: Door) -> None:
        events = await a_day(door)
        der = STATEMENT_KEY.sign_der(a_text(events))
        text = base64.b64encode(der).decode()
        bodies = [b"", b"[]", b"{}", b'{"signature":1}', b'{"signature":""}', b"\xff"]
        bodies.append(b'{"signature":"%s","root":"x"}' % text.encode())
        bodies.append(b'{"signature":"%s="}' % text.encode())
        bodies.append(b'{"signature":"\\u00e9"}')
        for body in bodies:
            path = f"/statements/{DAY}/cosignature"
            assert problem_of(await door.post(body=body, path=path)) == (422, "bad-shape"), body
        raw = base64.b64encode(STATEMENT_KEY.sign(a_text(events))).decode()
        loose = base64.b64encode(der + b"\x00").decode()
        for value in (raw, loose):
            answer = await cosign(door, {"signature": value})
            assert problem_of(answer) == (422, "bad-cosignature")

    async def test_the_request_itself_must_be_signed(self, door: Door) -> None:
        events = await a_day(door)
        path = f"/statements/{DAY}/cosignature"
        answer = await door.post(signed(a_text(events)), path=path, key=bytes(32))
        assert problem_of(answer) == (401, "bad-signature")


async def test_another_partners_day_is_its_own(door: Door, services: Services) -> None:
    events = await a_day(door)
    async with open_door(services, partner_id="bus", names=("bo",)) as bus:
        assert (await bus.get(f"/statements/{DAY}")).json()["count"] == 0
    assert (await door.get(f"/statements/{DAY}")).json()["root"] == root_of(events).hex()


async def test_closing_twice_at_once_closes_once(door: Door) -> None:
    await a_day(door, 20)
    answers = await asyncio.gather(*(door.get(f"/statements/{DAY}") for _ in range(6)))
    assert len({answer.text for answer in answers}) == 1
    assert await door.count("statement") == 1


async def test_statements_wait_in_a_queue_of_their_own(services: Services) -> None:
    """One statement that takes long holds up others, is refused beyond the queue, and holds up no
    upload."""
    gate = partner_api.Gate(running_max=1, waiting_max=0, stating_max=2)
    async with open_door(services, gate=gate) as door:
        async with gate.stating():
            second = asyncio.create_task(door.get("/statements/2026-11-01"))
            await asyncio.sleep(0.2)
            third = await door.get("/statements/2026-11-01")
            assert problem_of(third) == (429, "too-many-requests")
            assert (await door.post([door.town.event(1)])).status_code == 202
            assert not second.done()
        assert (await second).status_code == 200


async def test_closing_waits_for_who_records(door: Door) -> None:
    """An upload of the day is on its way to its commit when the day ends."""
    services = door.services
    async with services.db.transaction() as tx:
        await evidence.hold_day(tx, "metro", datetime.fromisoformat(DAY).date())
        services.clock.instant = NEXT_DAY  # pyright: ignore[reportAttributeAccessIssue]
        asked = asyncio.create_task(door.get(f"/statements/{DAY}"))
        _, waiting = await asyncio.wait([asked], timeout=0.5)
        assert waiting
    assert (await asked).status_code == 200
