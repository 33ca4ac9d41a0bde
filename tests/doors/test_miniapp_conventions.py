"""Conventions of the citizens' door: ETags, limits, languages, pages of other origins, examples."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from backend.kit.problems import Problem
from backend.kit.services import Services
from miniapp_api.conventions import Limit
from tests.doors.door_world import City, open_city, trip


@pytest.fixture
async def small_city(services: Services) -> AsyncIterator[City]:
    """A city that takes few calls, and whose API another origin's pages may use."""
    changed = {
        "calls_per_person_min": 6,
        "sign_ins_per_address_min": 4,
        "cors_origins": "https://h5.example.cn, https://m.example.cn",
    }
    settings = services.settings.model_copy(update=changed)
    small = Services(services.db, services.vault, services.clock, settings)
    async with open_city(small) as city:
        yield city


async def test_what_has_not_changed_is_not_sent_again(city: City) -> None:
    phone = await city.person(0)
    await city.trips(trip())
    bearer = {"authorization": f"Bearer {phone.tokens['access_token']}"}
    first = await city.http.get("/miniapp/v1/activities", headers=bearer)
    tag = first.headers["etag"]
    assert first.headers["cache-control"] == "private, no-cache"
    for known in (tag, f"W/{tag}", f'"other", {tag}'):
        again = await city.http.get(
            "/miniapp/v1/activities", headers=bearer | {"if-none-match": known}
        )
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    await city.trips(trip(minute=50, hour=8))
    changed = await city.http.get("/miniapp/v1/activities", headers=bearer | {"if-none-match": tag})
    assert changed.status_code == 200
    # Another person's page never answers for this one.
    thief = await city.person(1)
    stolen = await city.http.get(
        "/miniapp/v1/activities",
        headers={"authorization": f"Bearer {thief.tokens['access_token']}", "if-none-match": tag},
    )
    assert (stolen.status_code, stolen.json()["items"]) == (200, [])


async def test_a_person_who_asks_too_often_waits_and_others_do_not(small_city: City) -> None:
    phone, other = await small_city.person(0), await small_city.person(1)
    answers = [await phone.call("GET", "/points") for _ in range(8)]
    assert [each.status_code for each in answers] == [200] * 6 + [429] * 2
    assert answers[-1].json()["type"].endswith("too-many-calls")
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 11
    assert (await other.call("GET", "/points")).status_code == 200


async def test_signing_in_is_limited_by_address(small_city: City) -> None:
    body = {"provider": "sandbox", "code": "nobody"}
    found = [
        (await small_city.http.post("/miniapp/v1/login", json=body)).status_code for _ in range(6)
    ]
    assert found == [401] * 4 + [429] * 2


def test_a_limit_fills_again_with_time() -> None:
    now = [0.0]
    limit = Limit(60, lambda: now[0])
    for _ in range(60):
        limit.take("a")
    with pytest.raises(Problem) as refused:
        limit.take("a")
    assert refused.value.headers["Retry-After"] == "2"
    now[0] = 1.5
    limit.take("a")
    with pytest.raises(Problem):
        limit.take("a")
    limit.take("b")


async def test_only_named_origins_may_call(small_city: City) -> None:
    asked = {
        "origin": "https://h5.example.cn",
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,idempotency-key",
    }
    allowed = await small_city.http.options("/miniapp/v1/redemptions", headers=asked)
    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == "https://h5.example.cn"
    assert "access-control-allow-credentials" not in allowed.headers
    foreign = await small_city.http.options(
        "/miniapp/v1/redemptions", headers=asked | {"origin": "https://evil.example"}
    )
    assert "access-control-allow-origin" not in foreign.headers


async def test_every_body_has_an_example_and_every_answer_is_named(city: City) -> None:
    document: dict[str, Any] = (await city.http.get("/openapi.json")).json()
    schemas = document["components"]["schemas"]
    checked = 0
    for path, methods in document["paths"].items():
        if not path.startswith("/miniapp/v1/"):
            continue
        for method, route in methods.items():
            assert route["summary"], (method, path)
            assert "429" in route["responses"], (method, path)
            assert ("304" in route["responses"]) == (method == "get"), (method, path)
            body = route.get("requestBody")
            if body is None or path.startswith("/miniapp/v1/parking"):
                continue
            name = body["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
            assert schemas[name].get("examples"), f"{method} {path}: {name} has no example"
            checked += 1
    assert checked >= 10
