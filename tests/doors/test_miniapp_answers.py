"""A citizen's whole life at the door: nearly every operation answered; strangers get nothing."""

import re
from typing import Any
from uuid import uuid4

from backend.rewards import catalogue
from tests.doors.door_world import City, Phone, trip
from tests.flows.redeem_world import a_reward

SETTINGS = {
    "quiet_from": "22:00",
    "quiet_to": "08:00",
    "push": True,
    "ranking": False,
    "goal_mg": 1_000_000,
}
LISTS = (
    "/me",
    "/devices",
    "/consents",
    "/points",
    "/points/at?day=2026-11-22",
    "/movements",
    "/activities",
    "/rewards",
    "/redemptions",
    "/shares",
    "/appeals",
    "/notices",
    "/settings",
    "/accesses",
    "/report",
    "/ranking",
    "/certificate",
    "/export",
    "/consents/text?partner_id=metro&scenario=transit.metro.trip",
    "/parking/lots?near=22.5,114.0&from=2026-11-23T08:00:00%2B08:00&to=2026-11-23T10:00:00%2B08:00",
    "/parking/vehicles",
    "/parking/reservations",
    "/parking/stays",
    "/parking/standing",
    "/parking/spaces",
    "/parking/income",
)


async def done(phone: Phone, method: str, path: str, body: Any = None, **more: Any) -> Any:
    answer = await phone.call(method, path, json=body, **more)
    assert answer.status_code < 300, (method, path, answer.status_code, answer.text)
    return answer.json() if "json" in answer.headers.get("content-type", "") else None


async def lived(city: City) -> tuple[Phone, dict[str, str]]:
    """Somebody who has used everything once, and the ids of what is theirs."""
    async with city.db.transaction() as tx:
        await catalogue.offer(tx, a_reward(), city.services.clock.now())
    [activity] = await city.trips(trip(distance_m=22_000))
    phone = await city.person(0)
    old = await city.person(0)
    consent = await done(phone, "POST", "/consents", _consent(), key="c")
    bought = await done(phone, "POST", "/redemptions", {"reward_id": "metro-ticket"}, key="b")
    await city.anchored(await city.seal())
    shared = await done(phone, "POST", f"/activities/{activity}/share", {"days": 3})
    words = {"about_kind": "activity", "about": str(activity), "words": "少算了一段。"}
    appeal = await done(phone, "POST", "/appeals", words, key="a")
    await done(phone, "PUT", "/settings", SETTINGS)
    await done(phone, "PUT", "/me/phone", {"code": "13800000001-x"})
    await done(phone, "PUT", "/me/age", {"under_14": False})
    await done(phone, "POST", "/push-grants", {"topics": ["redemption.posted"]})
    [notice] = (await phone.get("/notices"))["items"]
    await done(phone, "POST", "/notices/read", {"up_to": notice["notice_id"]})
    devices = (await old.get("/devices"))["items"]
    return phone, {
        "activity_id": str(activity),
        "redemption_id": bought["redemption_id"],
        "consent_id": consent["consent_id"],
        "share_id": shared["share_id"],
        "appeal_id": appeal["appeal_id"],
        "device_id": next(each["device_id"] for each in devices if each["current"]),
    }


def _consent() -> dict[str, str]:
    return {"partner_id": "metro", "scenario": "transit.metro.trip"}


async def test_nearly_every_operation_is_answered(city: City) -> None:
    phone, ids = await lived(city)
    for path in LISTS:
        await done(phone, "GET", path)
    for kind, name in (("activities", "activity_id"), ("redemptions", "redemption_id")):
        await phone.get(f"/{kind}/{ids[name]}")
        await phone.get(f"/{kind}/{ids[name]}/receipt")
    await phone.get(f"/consents/{ids['consent_id']}/receipt")
    await phone.get(f"/appeals/{ids['appeal_id']}")
    await done(phone, "POST", f"/redemptions/{ids['redemption_id']}/refund", key="r")
    for path in ("shares/{share_id}", "appeals/{appeal_id}", "consents/{consent_id}"):
        await done(phone, "DELETE", "/" + path.format(**ids))
    await done(phone, "DELETE", f"/devices/{ids['device_id']}")
    refresh = {"refresh_token": phone.tokens["refresh_token"]}
    renewed = await city.http.post("/miniapp/v1/token/refresh", json=refresh)
    await done(Phone(city.http, renewed.json()), "POST", "/logout")
    await done(await city.person(0), "DELETE", "/devices")
    await done(await city.person(0), "DELETE", "/me", key="bye")

    document = (await city.http.get("/openapi.json")).json()
    known = {
        (method.upper(), path)
        for path, methods in document["paths"].items()
        for method in methods
        if path.startswith("/miniapp/")
    }
    seen = city.app.state.measures.by_route
    good = {(method, route) for method, route, status in seen if status < 300}
    undocumented = [
        (method, route, status)
        for method, route, status in seen
        if (method, route) in known
        and str(status) not in document["paths"][route][method.lower()]["responses"]
    ]
    assert undocumented == []
    assert len(good & known) >= 0.8 * len(known), sorted(known - good)


async def test_a_stranger_reaches_nothing_of_it(city: City) -> None:
    """Every route with an id of somebody else's: refused, and never a byte of theirs."""
    _, ids = await lived(city)
    thief = await city.person(1)
    document = (await city.http.get("/openapi.json")).json()
    tried = 0
    for path, methods in document["paths"].items():
        names = re.findall(r"\{(\w+)\}", path)
        if not path.startswith("/miniapp/") or not names:
            continue
        for method, route in methods.items():
            there = path.removeprefix("/miniapp/v1").format(
                **{name: ids.get(name, str(uuid4())) for name in names}
            )
            body = _example(document, route)
            answer = await thief.call(method.upper(), there, key=f"t{tried}", json=body)
            known = names[-1] in ids
            expected = {403, 404} if known else {200, 403, 404, 409, 422}
            assert answer.status_code in expected, (method, path, answer.text)
            if known:
                assert not any(value in answer.text for value in ids.values() if value not in there)
            tried += 1
    assert tried >= 12


def _example(document: dict[str, Any], route: dict[str, Any]) -> Any:
    body = route.get("requestBody")
    if body is None:
        return None
    name = body["content"]["application/json"]["schema"].get("$ref", "").rpartition("/")[2]
    return (document["components"]["schemas"].get(name, {}).get("examples") or [None])[0]
