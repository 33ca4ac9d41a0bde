"""Generated requests over the officials' door, each with a role that may: documented answers only.

How many operations answered 2xx at least once is counted: requests that are all refused say little.
"""

from typing import Any

import pytest
import schemathesis
from schemathesis import GenerationMode
from schemathesis.core.result import Ok

from backend.officials import roles
from tests.doors import test_schema_smoke
from tests.doors.door_world import City, trip
from tests.doors.gov_world import Desk, enrolled, founded
from tests.doors.test_schema_smoke import MEANT

EXAMPLES_PER_ROUTE = 3
ENDS_SESSIONS = ("/gov/v1/logout", "/gov/v1/me/password", "/gov/v1/login")


async def test_generated_requests_get_documented_answers(
    city: City, cheap_hashing: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    await city.trips(trip())
    admins = await founded(city.http, city.services)
    desks = {"system_admin": admins[0], "security_admin": admins[1]}
    for role in roles.ROLES:
        if role not in desks:
            desks[role] = await enrolled(admins, role.replace("_", "-"), role)
    document = (await city.http.get("/openapi.json")).json()
    document["paths"] = {
        path: routes
        for path, routes in document["paths"].items()
        if path.startswith("/gov/") and path not in ENDS_SESSIONS
    }
    schema = schemathesis.openapi.from_dict(document)
    answered: dict[tuple[str, str], set[int]] = {}
    monkeypatch.setattr(test_schema_smoke, "EXAMPLES_PER_ROUTE", EXAMPLES_PER_ROUTE)
    for result in schema.get_all_operations():
        assert isinstance(result, Ok)
        operation = result.ok()
        allowed: Desk | None = None
        seen = answered.setdefault((operation.method, operation.path), set())
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            for case in test_schema_smoke._examples(operation, mode):
                # The first role that comes past the gate asks from then on.
                for desk in [allowed] if allowed else list(desks.values()):
                    status = await _status(city, desk, document, operation, case)
                    seen.add(status)
                    if status not in (401, 403):
                        allowed = desk
                        break
    reading = {key: seen for key, seen in answered.items() if key[0] == "get"}
    open_ = [key for key, seen in reading.items() if "{" not in key[1] and 200 in seen]
    assert len(open_) >= 9, reading


async def _status(city: City, desk: Desk, document: dict, operation: Any, case: Any) -> int:
    kwargs = case.as_transport_kwargs(base_url="http://city")
    request = {
        name: kwargs[name]
        for name in ("method", "url", "params", "json", "data")
        if kwargs.get(name) is not None
    }
    headers = {"authorization": f"Bearer {desk.token}"}
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
    return answer.status_code
