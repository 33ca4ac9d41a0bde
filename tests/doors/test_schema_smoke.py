"""Generated requests over the public and the citizens' doors: never a 5xx by mistake, never a
status that the route's OpenAPI entry does not name."""

import contextlib
from unittest import SkipTest

import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.core.result import Ok

from tests.doors.door_world import City, trip

EXAMPLES_PER_ROUTE = 8
MEANT = {501, 503}
"""Statuses from 500 on that a route may give on purpose: not built, chain away."""


async def test_generated_requests_get_documented_answers(city: City) -> None:
    await city.trips(trip(), trip(distance_m=999_000, minute=1))
    await city.seal()
    phone = await city.person(0)
    document = (await city.http.get("/openapi.json")).json()
    document["paths"] = {
        path: routes
        for path, routes in document["paths"].items()
        if path.startswith(("/public/", "/miniapp/")) and path != "/miniapp/v1/logout"
    }
    schema = schemathesis.openapi.from_dict(document)
    tried = 0
    for result in schema.get_all_operations():
        assert isinstance(result, Ok)
        operation = result.ok()
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            for case in _examples(operation, mode):
                tried += 1
                await _check(city, phone.tokens["access_token"], document, operation, case)
    assert tried >= 20 * EXAMPLES_PER_ROUTE // 2


def _examples(operation, mode) -> list:
    found: list = []

    @settings(
        max_examples=EXAMPLES_PER_ROUTE,
        database=None,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def collect(case) -> None:
        found.append(case)

    # A route without parameters has nothing to get wrong.
    with contextlib.suppress(Unsatisfiable, SkipTest):
        collect()
    return found


async def _check(city: City, token: str, document: dict, operation, case) -> None:
    kwargs = case.as_transport_kwargs(base_url="http://city")
    request = {
        name: kwargs[name]
        for name in ("method", "url", "params", "json", "data")
        if kwargs.get(name) is not None
    }
    headers = {"authorization": f"Bearer {token}"}
    for name, value in (kwargs.get("headers") or {}).items():
        if name.lower() == "idempotency-key":
            headers[name] = str(value).encode("utf-8", "replace").hex()
    if "data" in request:
        request["content"] = request.pop("data")
        headers["content-type"] = "application/json"
    answer = await city.http.request(**request, headers=headers)
    route = document["paths"][operation.path][operation.method.lower()]
    said = (operation.method, operation.path, request, answer.status_code, answer.text[:300])
    assert str(answer.status_code) in route["responses"], said
    assert answer.status_code < 500 or answer.status_code in MEANT, said
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json", said
