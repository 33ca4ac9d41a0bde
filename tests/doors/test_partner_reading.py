"""Bindings, questions about events and uploads, the OpenAPI entries, a database that is away."""

from collections.abc import AsyncIterator
from datetime import timedelta
from urllib.parse import quote
from uuid import UUID

import asyncpg
import pytest
from fastapi import FastAPI

from backend import citizens, evidence, partner_api
from backend.kit.db import Database
from backend.kit.services import Services
from tests.doors.partner_door import Door, open_door, problem_of
from tests.evidence.builders import METRO, as_json, signed_headers


@pytest.fixture
def services(db, vault, clock, settings) -> Services:
    return Services(db=db, clock=clock, settings=settings, vault=vault)


@pytest.fixture
async def door(services: Services) -> AsyncIterator[Door]:
    async with open_door(services) as opened:
        yield opened


async def a_code(services: Services, name: str = "bo", partner_id: str = "metro") -> str:
    """A binding code that a citizen was shown."""
    async with services.db.transaction() as tx:
        citizen_id = await citizens.create_or_get(
            tx, services.vault, "sandbox", name, services.clock
        )
        consent = await citizens.give_consent(
            tx, citizen_id, partner_id, METRO, services.clock.now() - timedelta(days=1)
        )
        code = await citizens.new_binding_code(
            tx, citizen_id, consent.consent_id, partner_id, services.clock
        )
    return code.code


class TestBindings:
    async def test_code_becomes_a_token_that_reports(self, door: Door) -> None:
        asked = {"code": await a_code(door.services), "user_ref": "user-8841"}
        answer = await door.post(asked, path="/bindings", content_type="application/json")
        assert answer.status_code == 201, answer.text
        token = answer.json()["binding_token"]
        assert len(token) >= 22
        async with door.services.db.transaction(readonly=True) as tx:
            stored = await tx.fetch("SELECT * FROM binding")
        assert token not in str([dict(row) for row in stored])
        reported = await door.post([door.town.event(subject=token)], webhook_id="msg-2")
        assert reported.json()["accepted"] == 1
        again = await door.post(asked, path="/bindings", webhook_id="msg-3")
        assert problem_of(again) == (410, "code-spent")

    async def test_expired_unknown_and_foreign_codes(self, door: Door) -> None:
        code = await a_code(door.services)
        foreign = await a_code(door.services, partner_id="bus")
        for wrong in ("nothing", foreign):
            answer = await door.post({"code": wrong, "user_ref": "u"}, path="/bindings")
            assert problem_of(answer) == (404, "unknown-code")
        door.services.clock.advance(minutes=10)  # pyright: ignore[reportAttributeAccessIssue]
        answer = await door.post({"code": code, "user_ref": "u"}, path="/bindings")
        assert problem_of(answer) == (410, "code-spent")

    async def test_requests_out_of_form(self, door: Door) -> None:
        for body in (
            b"", b"[]", b"{}", b'{"code":"x"}', b'{"code":"","user_ref":"u"}', b"\xff",
            b'{"code":1,"user_ref":"u"}', b'{"code":"x","user_ref":"u","z":1}',
            b'{"code":"\\ud800","user_ref":"u"}', as_json({"code": "x" * 257, "user_ref": "u"}),
        ):  # fmt: skip
            answer = await door.post(body=body, path="/bindings")
            assert problem_of(answer) == (422, "bad-shape"), body
        answer = await door.post(body=b" " * 5000, path="/bindings")
        assert problem_of(answer) == (413, "body-too-large")
        answer = await door.post({}, path="/bindings", content_encoding="gzip")
        assert problem_of(answer) == (415, "unsupported-content-encoding")

    async def test_needs_a_signature(self, door: Door) -> None:
        answer = await door.send(b"{}", {"content-type": "application/json"}, path="/bindings")
        assert problem_of(answer) == (401, "missing-signature")


class TestQuestions:
    async def test_event(self, door: Door) -> None:
        odd = "2026/11/22 早 %2F?#"
        recorded = (await door.post([door.town.event(id=odd)])).json()["events"][0]
        answer = await door.get("/events/" + quote(odd, safe=""))
        assert answer.status_code == 200, answer.text
        document = answer.json()
        assert document["event_id"] == odd
        assert document["evidence_id"] == recorded["evidence_id"]
        assert (document["state"], document["reason"]) == ("recorded", None)
        assert (document["city_day"], document["type"]) == ("2026-11-22", METRO)
        async with door.services.db.transaction() as tx:
            await evidence.decide(
                tx,
                [
                    evidence.Decision(
                        UUID(recorded["evidence_id"]), "refused", "implausible-distance",
                        None, None, None, door.services.clock.now(),
                    )
                ],
            )  # fmt: skip
        document = (await door.get("/events/" + quote(odd, safe=""))).json()
        assert (document["state"], document["reason"]) == ("refused", "implausible-distance")

    async def test_event_of_two_sources(self, door: Door) -> None:
        await door.post([door.town.event(), door.town.event(source="/other?&")])
        assert problem_of(await door.get("/events/t-1")) == (409, "source-needed")
        answer = await door.get("/events/t-1?source=" + quote("/other?&", safe=""))
        assert answer.json()["source"] == "/other?&"
        answer = await door.get("/events/t-1?source=/none")
        assert problem_of(answer) == (404, "unknown-event")

    async def test_upload(self, door: Door) -> None:
        given = await door.post([door.town.event(1), door.town.event(2, subject="nobody")])
        answer = await door.get("/uploads/" + given.json()["upload_id"])
        assert answer.status_code == 200
        document = answer.json()
        (event,) = document.pop("events")
        assert event == given.json()["events"][0] | {"reason": None, "duplicate": False}
        assert {**given.json(), **document, "events": None} == {**document, "events": None}
        assert (document["webhook_id"], document["event_count"]) == ("msg-1", 2)
        assert document["received_at"] == "2026-11-22T04:00:00Z"

    async def test_what_is_not_there_or_not_ours(self, door: Door, services: Services) -> None:
        given = await door.post([door.town.event(1)])
        upload_id = given.json()["upload_id"]
        for event_id in ("none", "%00", "x" * 3000, "%F0%9F%92%A9"):
            answer = await door.get(f"/events/{event_id}")
            assert problem_of(answer) == (404, "unknown-event")
        for wrong in ("none", "019ab8f0-3c00-7a10-8000-000000000001", "%00"):
            assert problem_of(await door.get(f"/uploads/{wrong}")) == (404, "unknown-upload")
        async with open_door(services, partner_id="bus") as other:
            assert problem_of(await other.get("/events/t-1")) == (404, "unknown-event")
            answer = await other.get(f"/uploads/{upload_id}")
            assert problem_of(answer) == (404, "unknown-upload")

    async def test_questions_are_signed_and_not_stored(self, door: Door) -> None:
        await door.post([door.town.event(1)], webhook_id="same")
        for _ in range(2):  # a GET may use any webhook-id, again and again
            assert (await door.get("/events/t-1", webhook_id="same")).status_code == 200
        assert await door.count("upload") == 1
        bare = await door.client.get("/partner/v1/metro/events/t-1")
        assert problem_of(bare) == (401, "missing-signature")
        headers = signed_headers(b"x", door.services.clock.now())
        wrong = await door.client.get("/partner/v1/metro/events/t-1", headers=headers)
        assert problem_of(wrong) == (401, "bad-signature")


async def test_openapi_lists_every_refusal(services: Services) -> None:
    app = FastAPI()
    app.include_router(partner_api.router(services))
    document = app.openapi()
    paths = document["paths"]
    root = "/partner/v1/{partner_id}"
    assert set(paths) >= {
        f"{root}/events", f"{root}/bindings", f"{root}/events/{{event_id}}",
        f"{root}/uploads/{{upload_id}}", f"{root}/statements/{{day}}",
        f"{root}/statements/{{day}}/digests", f"{root}/statements/{{day}}/cosignature",
    }  # fmt: skip
    post = paths[f"{root}/events"]["post"]
    assert set(post["responses"]) == {
        "202", "401", "408", "409", "413", "415", "422", "429", "503",
    }  # fmt: skip
    for name, path in paths.items():
        for route in path.values():
            # Who changes a thing of parking's own gets it back as it is now.
            assert "200" not in route["responses"] or "get" in path or "/parking/" in name
            names = {parameter["name"] for parameter in route["parameters"]}
            assert {"webhook-id", "webhook-timestamp", "webhook-signature"} <= names
            for status, answer in route["responses"].items():
                (content,) = answer["content"].values()
                assert "schema" in content
                assert "example" in content or content["examples"], status
    assert set(post["requestBody"]["content"]) == {
        "application/json", "application/cloudevents+json", "application/cloudevents-batch+json",
    }  # fmt: skip


class TestDatabaseAway:
    async def test_stopped_and_full(
        self, door: Door, services: Services, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for error in (
            ConnectionRefusedError(),
            TimeoutError(),
            asyncpg.ConnectionDoesNotExistError("gone"),
            asyncpg.AdminShutdownError("stopping"),
            asyncpg.CannotConnectNowError("starting"),
            asyncpg.DiskFullError("no space"),
            asyncpg.TooManyConnectionsError("full"),
            asyncpg.ReadOnlySQLTransactionError("standby"),
            asyncpg.QueryCanceledError("too slow"),
        ):

            def fail(*_: object, error: Exception = error, **__: object) -> None:
                raise error

            with monkeypatch.context() as patched:
                patched.setattr(Database, "transaction", fail)
                for answer in (await door.post([]), await door.get("/events/t-1")):
                    assert problem_of(answer) == (503, "database-away")
                    assert int(answer.headers["retry-after"]) > 0
        assert (await door.post([])).status_code == 202

    async def test_killed_between_signature_and_commit(
        self, door: Door, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The connection ends after the rows were written: 503, nothing stored; again: 202."""
        store = evidence.store_upload

        async def store_then_die(tx, *args):
            await store(tx, *args)
            # Ending one's own connection is what a stopping server does to it.
            await tx.execute("SELECT pg_terminate_backend(pg_backend_pid())")

        with monkeypatch.context() as patched:
            patched.setattr(evidence, "store_upload", store_then_die)
            answer = await door.post([door.town.event()])
            assert problem_of(answer) == (503, "database-away")
        assert await door.count("evidence") == await door.count("upload") == 0
        assert (await door.post([door.town.event()])).json()["accepted"] == 1
