"""Signing in over HTTP: WeChat's server side, devices, a phone, an age, and the consents' text."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from backend.app import create_app
from backend.chain import ChainClient
from backend.citizens import providers
from backend.kit.services import Services
from backend.kit.settings import Settings
from backend.kit.sm import sm3
from tests.citizens.provider_server import ProviderServer
from tests.doors.door_world import AWAY, City, Phone, open_city

SESSION = "/sns/jscode2session"


def name_of(answer: httpx.Response) -> str:
    return answer.json()["type"].rsplit("/", 1)[1]


@pytest.fixture
async def there() -> AsyncIterator[ProviderServer]:
    async with ProviderServer().serve() as there:
        yield there


@pytest.fixture
async def wechat_city(
    db: Any, vault: Any, clock: Any, settings: Settings, there: ProviderServer
) -> AsyncIterator[City]:
    changed = {"wechat_app_id": "wx", "wechat_secret": "s", "wechat_url": there.url}
    services = Services(db, vault, clock, settings.model_copy(update=changed))
    async with open_city(services) as city:
        yield city


async def sign_in(city: City, code: str, **more: Any) -> httpx.Response:
    body = {"provider": "wechat", "code": code} | more
    return await city.http.post("/miniapp/v1/login", json=body)


async def test_a_person_signs_in_by_wechat(wechat_city: City, there: ProviderServer) -> None:
    there.answers[SESSION] = lambda query, _: {"openid": f"o-{query['js_code'][0]}"}
    first = await sign_in(wechat_city, "a1", device="Pixel 9")
    assert first.status_code == 200
    assert "session_key" not in first.text
    phone = Phone(wechat_city.http, first.json())
    me = await phone.get("/me")
    assert me["provider"] == "wechat"
    again = Phone(wechat_city.http, (await sign_in(wechat_city, "a2")).json())
    assert (await again.get("/me"))["citizen_id"] == me["citizen_id"]
    assert name_of(await sign_in(wechat_city, "a1")) == "code-refused"
    async with wechat_city.db.transaction() as tx:
        [row] = await tx.fetch("SELECT openid_sealed FROM citizen_identity")
    assert b"o-a" not in row["openid_sealed"]


async def test_a_retry_asks_nobody_again(wechat_city: City, there: ProviderServer) -> None:
    there.answers[SESSION] = {"openid": "o-1"}
    body, headers = {"provider": "wechat", "code": "a1"}, {"idempotency-key": "k"}
    answers = [
        await wechat_city.http.post("/miniapp/v1/login", json=body, headers=headers)
        for _ in range(2)
    ]
    assert answers[0].content == answers[1].content
    assert len(there.asked) == 1


async def test_a_dead_provider_takes_nothing_else_down(
    wechat_city: City, there: ProviderServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(providers, "TIMEOUT_S", 60)
    there.free.clear()
    there.answers[SESSION] = {"errcode": 40226}
    waiting = [asyncio.create_task(sign_in(wechat_city, f"a{n}")) for n in range(30)]
    await asyncio.sleep(0.05)
    phone = await wechat_city.sign_in("lin")
    assert (await phone.call("GET", "/points")).status_code == 200
    assert not any(each.done() for each in waiting)
    there.free.set()
    assert {name_of(await each) for each in waiting} == {"account-at-risk"}


async def test_devices_are_listed_and_signed_out(city: City) -> None:
    async def device(code: str, name: str) -> Phone:
        body = {"provider": "sandbox", "code": code, "device": name}
        return Phone(city.http, (await city.http.post("/miniapp/v1/login", json=body)).json())

    first, second = await device("lin-1", "旧手机"), await device("lin-2", "新手机")
    thief = await city.sign_in("thief")
    items = (await second.get("/devices"))["items"]
    assert {(each["device"], each["current"]) for each in items} == {
        ("旧手机", False),
        ("新手机", True),
    }
    old = next(each["device_id"] for each in items if each["device"] == "旧手机")
    assert (await thief.call("DELETE", f"/devices/{old}")).status_code == 404
    assert (await second.call("DELETE", f"/devices/{old}")).status_code == 204
    assert (await first.call("GET", "/me")).status_code == 401
    refresh = {"refresh_token": second.tokens["refresh_token"]}
    renewed = (await city.http.post("/miniapp/v1/token/refresh", json=refresh)).json()
    second = Phone(city.http, renewed)
    assert [each["device"] for each in (await second.get("/devices"))["items"]] == ["新手机"]
    assert (await second.call("DELETE", "/devices")).status_code == 204
    assert (await second.call("GET", "/me")).status_code == 401
    assert (await thief.call("GET", "/me")).status_code == 200


@pytest.mark.parametrize("device", ["a\u202eb", "a\nb", "", "x" * 65, "a\u0000"])
async def test_a_device_s_name_is_plain_text(city: City, device: str) -> None:
    body = {"provider": "sandbox", "code": "lin-1", "device": device}
    assert (await city.http.post("/miniapp/v1/login", json=body)).status_code == 422


async def test_a_phone_is_bound_once_and_shown_masked(city: City) -> None:
    lin, chen = await city.sign_in("lin"), await city.sign_in("chen")
    bound = await lin.call("PUT", "/me/phone", json={"code": "13800000001-x"})
    assert bound.json() == {"phone": "138****0001", "under_14": None}
    assert (await lin.get("/me"))["phone"] == "138****0001"
    again = await lin.call("PUT", "/me/phone", json={"code": "13800000001-x"})
    assert name_of(again) == "code-refused"
    taken = await chen.call("PUT", "/me/phone", json={"code": "13800000001-y"})
    assert (taken.status_code, name_of(taken)) == (409, "phone-bound")
    assert (await chen.call("PUT", "/me/phone", json={"code": "phone-1"})).status_code == 401
    async with city.db.transaction() as tx:
        [row] = await tx.fetch("SELECT t::text AS row FROM citizen_identity AS t")
    assert "13800000001" not in row["row"]
    assert b"13800000001".hex() not in row["row"]


async def test_who_is_under_14_needs_a_guardian(city: City) -> None:
    phone = await city.sign_in("lin")
    assert (await phone.consent()).status_code == 201
    said = await phone.call("PUT", "/me/age", json={"under_14": True})
    assert said.json()["under_14"] is True
    refused = await phone.consent()
    assert (refused.status_code, name_of(refused)) == (403, "guardian-needed")
    bought = await phone.call("POST", "/redemptions", key="k", json={"reward_id": "x"})
    assert name_of(bought) == "guardian-needed"
    # Growing up is not a matter of saying so again.
    again = await phone.call("PUT", "/me/age", json={"under_14": False})
    assert again.json()["under_14"] is True


async def test_a_consent_keeps_the_text_that_was_agreed_to(city: City) -> None:
    phone = await city.sign_in("lin")
    where = "partner_id=metro&scenario=transit.metro.trip"
    shown = await phone.get(f"/consents/text?{where}")
    assert shown["sensitive"] is True
    assert "行踪" in shown["text"]
    body = {"partner_id": "metro", "scenario": "transit.metro.trip", "text_version": "2020-01"}
    outdated = await phone.call("POST", "/consents", json=body)
    assert (outdated.status_code, name_of(outdated)) == (409, "consent-text-outdated")
    body["text_version"] = shown["text_version"]
    given = (await phone.call("POST", "/consents", json=body)).json()
    path = f"/consents/{given['consent_id']}/receipt"
    receipt = await phone.get(path)
    assert receipt["text"] == shown["text"]
    assert receipt["text_sm3"] == sm3(shown["text"].encode()).hex()
    assert receipt["given_at"] == given["given_at"]
    assert (await (await city.sign_in("thief")).call("GET", path)).status_code == 404
    for bad, status in (
        ("partner_id=bus&scenario=transit.metro.trip", 404),
        ("partner_id=metro&scenario=bike.shared.ride", 422),
        ("partner_id=metro", 422),
    ):
        assert (await phone.call("GET", f"/consents/text?{bad}")).status_code == status


async def test_wechat_is_off_until_it_is_set_up(services: Services) -> None:
    async with ChainClient(AWAY) as client:
        app = create_app(services=services, client=client)
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://city") as http:
            answer = await http.post("/miniapp/v1/login", json={"provider": "wechat", "code": "x"})
    assert (answer.status_code, name_of(answer)) == (501, "provider-not-available")
