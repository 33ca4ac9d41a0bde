"""Goal: a partner enters its endpoint, sees what became of every notice, and has it sent again.

Method: the door over ASGI with signed requests, a real receiver, real deliveries.
"""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from backend import notices
from backend.kit.clock import FixedClock
from backend.kit.db import Database
from backend.kit.ids import new_id
from backend.kit.services import Services
from backend.kit.settings import Settings
from backend.kit.vault import Vault
from tests.doors.partner_door import Door, open_door, problem_of
from tests.evidence.builders import signed_headers
from tests.flows.notice_world import Office, a_deliverer
from tests.notices.receiver import Answer, a_receiver

pytestmark = pytest.mark.sockets


@pytest.fixture
def services(db: Database, vault: Vault, settings: Settings) -> Services:
    """The door's tools at the present: the library of the standard checks by its own clock."""
    return Services(
        db=db,
        vault=vault,
        clock=FixedClock(datetime.now(UTC) + timedelta(seconds=2)),
        settings=settings.model_copy(update={"webhook_hosts": "hooks.example.cn, *.metro.cn"}),
    )


@pytest.fixture
async def door(services: Services) -> AsyncIterator[Door]:
    async with open_door(services) as door:
        yield door


@pytest.fixture
def office(services: Services) -> Office:
    assert isinstance(services.clock, FixedClock)
    return Office(services.db, services.vault, services.clock)


async def call(
    door: Door, method: str, path: str, body: Any = None, *, key: str | None = None
) -> httpx.Response:
    """A signed request with a JSON body or none."""
    sent = b"" if body is None else json.dumps(body).encode()
    headers = signed_headers(sent, door.services.clock.now(), webhook_id=str(new_id()))
    headers |= {"content-type": "application/json"} if sent else {}
    headers |= {} if key is None else {"idempotency-key": key}
    return await door.client.request(
        method, f"/partner/v1/{door.town.partner_id}{path}", content=sent, headers=headers
    )


async def enter(door: Door, url: str, **more: Any) -> dict[str, Any]:
    answer = await call(door, "PUT", "/webhook", {"url": url, **more})
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return answer.json()


class TestEntering:
    async def test_the_secret_is_shown_once_and_a_ping_arrives_under_it(
        self, door: Door, office: Office
    ) -> None:
        async with a_receiver() as receiver, a_deliverer(office) as deliverer:
            entered = await enter(door, receiver.url)
            assert entered["verified_at"] is None
            await office.send(deliverer)
        (ping,) = receiver.got
        assert ping.verified_by(entered["secret"])["type"] == "endpoint.ping"
        assert ping.id == "msg_" + entered["ping_delivery_id"].replace("-", "")
        stands = (await call(door, "GET", "/webhook")).json()
        assert "secret" not in stands
        assert entered["secret"] not in json.dumps(stands)
        assert stands["types"] == list(notices.TYPES)
        assert stands["verified_at"] is not None
        assert [each["valid_to"] for each in stands["secrets"]] == [None]

    async def test_a_second_put_rotates_unless_told_not_to(
        self, door: Door, office: Office
    ) -> None:
        async with a_receiver() as receiver, a_deliverer(office) as deliverer:
            first = await enter(door, receiver.url)
            kept = await enter(door, receiver.url, rotate=False, types=["event.refused"])
            assert kept["secret"] is None
            assert kept["types"] == ["event.refused"]
            assert len(kept["secrets"]) == 1
            second = await enter(door, receiver.url)
            assert len(second["secrets"]) == 2
            await office.send(deliverer)
        for got in receiver.got:
            got.verified_by(first["secret"])
            got.verified_by(second["secret"])

    async def test_the_same_key_gives_the_same_secret(self, door: Door) -> None:
        body = {"url": "http://127.0.0.1:9000/"}
        first = await call(door, "PUT", "/webhook", body, key="k1")
        again = await call(door, "PUT", "/webhook", body, key="k1")
        assert first.content == again.content
        assert await door.count("webhook_secret") == 1
        other = await call(door, "PUT", "/webhook", {"url": "http://127.0.0.1:9001/"}, key="k1")
        assert problem_of(other) == (409, "idempotency-key-reused")

    async def test_none_is_entered_yet(self, door: Door) -> None:
        assert problem_of(await call(door, "GET", "/webhook")) == (404, "no-webhook")

    @pytest.mark.parametrize(
        "body",
        [
            "x", [], {}, {"url": 1}, {"url": "http://127.0.0.1:9000/", "secret": "x"},
            {"url": "http://127.0.0.1:9000/", "types": ["no.such"]},
            {"url": "http://127.0.0.1:9000/", "types": "event.refused"},
            {"url": "http://127.0.0.1:9000/", "rotate": 1},
        ],
    )  # fmt: skip
    async def test_bad_shapes(self, door: Door, body: Any) -> None:
        answer = await call(door, "PUT", "/webhook", body)
        assert problem_of(answer) == (422, "bad-shape")

    @pytest.mark.parametrize(
        ("url", "problem"),
        [
            ("", "endpoint-malformed"),
            ("https://", "endpoint-malformed"),
            ("https://hooks.example.cn/ x", "endpoint-malformed"),
            ("https://hooks.example.cn/\u0000", "endpoint-malformed"),
            ("https://hooks.example.cn/#a", "endpoint-malformed"),
            ("https://hooks.example.cn:99999/", "endpoint-malformed"),
            ("https://碳.cn/", "endpoint-malformed"),
            ("https://a@hooks.example.cn/", "endpoint-has-credentials"),
            ("http://hooks.example.cn/", "endpoint-not-https"),
            ("ftp://hooks.example.cn/", "endpoint-not-https"),
            ("file:///etc/passwd", "endpoint-malformed"),
            ("https://hooks.example.cn:22/", "endpoint-port-refused"),
            ("http://127.0.0.1:80/", "endpoint-port-refused"),
            ("https://evil.example/", "endpoint-host-not-allowed"),
            ("https://hooks.example.cn.evil.example/", "endpoint-host-not-allowed"),
            ("https://metro.cn/", "endpoint-host-not-allowed"),
            ("https://169.254.169.254/latest/meta-data", "endpoint-host-not-allowed"),
            ("https://x.metro.cn/", "endpoint-unresolvable"),
        ],
    )
    async def test_addresses_that_are_not_called(
        self, door: Door, monkeypatch: pytest.MonkeyPatch, url: str, problem: str
    ) -> None:
        async def nowhere(_host: str, _port: int) -> list[str]:
            raise OSError("no such host")

        monkeypatch.setattr("backend.notices.addresses.resolve_host", nowhere)
        answer = await call(door, "PUT", "/webhook", {"url": url})
        assert problem_of(answer) == (422, problem)
        assert await door.count("webhook_endpoint") == 0

    async def test_a_name_that_leads_inside_is_not_entered(
        self, door: Door, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        addresses = ["93.184.216.34", "10.0.0.5"]

        async def both(_host: str, _port: int) -> list[str]:
            return addresses

        monkeypatch.setattr("backend.notices.addresses.resolve_host", both)
        body = {"url": "https://hooks.example.cn/"}
        answer = await call(door, "PUT", "/webhook", body)
        assert problem_of(answer) == (422, "endpoint-address-refused")
        del addresses[1]
        assert (await call(door, "PUT", "/webhook", body)).status_code == 200

    async def test_production_takes_no_loopback(self, services: Services) -> None:
        strict = services.settings.model_copy(update={"profile": "production"})
        tools = Services(services.db, services.vault, services.clock, strict)
        async with open_door(tools) as door:
            for url in ("http://127.0.0.1:9000/", "https://localhost:9000/", "https://[::1]:9000/"):
                answer = await call(door, "PUT", "/webhook", {"url": url})
                assert problem_of(answer)[1] in {"endpoint-not-https", "endpoint-host-not-allowed"}

    async def test_every_route_is_signed(self, door: Door) -> None:
        nowhere = f"/deliveries/{new_id()}"
        for method, path in (
            ("GET", "/webhook"), ("PUT", "/webhook"), ("GET", "/deliveries"), ("GET", nowhere),
            ("POST", f"{nowhere}/replay"),
        ):  # fmt: skip
            answer = await door.client.request(
                method, f"/partner/v1/metro{path}", headers={"content-type": "application/json"}
            )
            assert problem_of(answer) == (401, "missing-signature")


class TestDeliveries:
    async def test_dead_letters_are_seen_and_replayed(self, door: Door, office: Office) -> None:
        async with (
            a_receiver(Answer(500)) as receiver,
            a_deliverer(office) as deliverer,
        ):
            entered = await enter(door, receiver.url)
            await office.tell()
            for wait_s in notices.SCHEDULE_S:
                office.wait(wait_s)
                await office.send(deliverer)
            page = (await call(door, "GET", "/deliveries?state=dead&limit=1")).json()
            (dead,) = page["items"]
            assert dead["type"] == "consent.withdrawn"
            assert (dead["tries"], dead["last_error"]) == (10, "status-500")
            rest = (
                await call(door, "GET", f"/deliveries?state=dead&cursor={page['next_cursor']}")
            ).json()
            assert [each["type"] for each in rest["items"]] == ["endpoint.ping"]
            assert rest["next_cursor"] is None
            receiver.will(Answer())
            path = f"/deliveries/{dead['webhook_id']}/replay"
            first = await call(door, "POST", path, key="again")
            assert first.status_code == 202
            assert first.json()["state"] == "waiting"
            twin = await call(door, "POST", path, key="again")
            assert twin.content == first.content
            waiting = await call(door, "POST", path)
            assert problem_of(waiting) == (409, "delivery-waiting")
            await office.send(deliverer)
        told = receiver.of_type("consent.withdrawn")
        assert len(told) == 11
        assert len({(got.id, got.body) for got in told}) == 1
        # Time has moved on by days: the attempts' own stamps show it, the library's clock does not.
        one = (await call(door, "GET", f"/deliveries/{dead['delivery_id']}")).json()
        assert one["state"] == "delivered"
        assert one["body"]["id"] == one["webhook_id"] == told[0].id
        assert [(each["n"], each["status"]) for each in one["attempts"]] == [
            *((n, 500) for n in range(1, 11)), (11, 204),
        ]  # fmt: skip
        assert entered["secret"] not in json.dumps(one)

    async def test_a_stopped_endpoint_takes_no_replay(self, door: Door, office: Office) -> None:
        async with a_receiver(Answer(410)) as receiver, a_deliverer(office) as deliverer:
            entered = await enter(door, receiver.url)
            await office.send(deliverer)
            assert (await call(door, "GET", "/webhook")).json()["state"] == "stopped"
            path = f"/deliveries/{entered['ping_delivery_id']}/replay"
            assert problem_of(await call(door, "POST", path)) == (409, "endpoint-stopped")
            await enter(door, receiver.url)
            assert (await call(door, "POST", path)).status_code == 202

    async def test_another_partners_deliveries_are_unknown(
        self, door: Door, services: Services
    ) -> None:
        entered = await enter(door, "http://127.0.0.1:9000/")
        path = f"/deliveries/{entered['ping_delivery_id']}"
        assert (await call(door, "GET", path)).status_code == 200
        async with open_door(services, partner_id="bus") as other:
            await enter(other, "http://127.0.0.1:9000/")
            assert problem_of(await call(other, "GET", path)) == (404, "unknown-delivery")
            answer = await call(other, "POST", f"{path}/replay")
            assert problem_of(answer) == (404, "unknown-delivery")
            (own,) = (await call(other, "GET", "/deliveries")).json()["items"]
            assert own["delivery_id"] != entered["ping_delivery_id"]

    async def test_questions_with_nonsense(self, door: Door) -> None:
        for path in ("x", "%00", "msg_", "msg_zz", str(new_id())):
            answer = await call(door, "GET", f"/deliveries/{path}")
            assert problem_of(answer) == (404, "unknown-delivery")
        answer = await call(door, "GET", "/deliveries?cursor=x")
        assert problem_of(answer) == (422, "bad-shape")
        assert (await call(door, "GET", "/deliveries?state=lost")).status_code == 422
        assert (await call(door, "GET", "/deliveries?limit=201")).status_code == 422
