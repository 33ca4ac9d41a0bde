"""Goal: the citizens' door keeps every promise of the API document towards a stranger.

Method: a new citizen signs in, consents, is bound by a partner, travels, and reads everything; a
second citizen tries to reach the first one's things.
"""

import json
import time
import uuid
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.outside.stranger import Citizen, Stranger, accepted, instant, problem, refused_as

pytestmark = pytest.mark.journey

METRO = {"partner_id": "metro", "scenario": "transit.metro.trip"}
ACTIVITY = {
    "activity_id", "event_id", "city_day", "state", "reduction_mg", "points", "reason", "next_step"
}  # fmt: skip


def consent(citizen: Citizen) -> dict[str, Any]:
    answer = citizen.ask("POST", "/consents", METRO)
    assert answer.status_code == 201, answer.text
    wanted = {"consent_id", "given_at", "binding_code", "binding_code_expires_at"}
    assert wanted <= set(answer.json())
    return answer.json()


def bind(stranger: Stranger, code: str, partner_id: str = "metro", ref: str | None = None) -> Any:
    body = {"code": code, "user_ref": ref or uuid.uuid4().hex}
    return stranger.post(body, partner_id, "/bindings", content_type="application/json")


def test_signing_in_and_out(stranger: Stranger) -> None:
    citizen = stranger.citizen("olga")
    again = {"provider": "sandbox", "code": citizen.code}
    problem(stranger.http.post("/miniapp/v1/login", json=again), 401)
    for body in ({}, {"provider": "sandbox"}, {"provider": "sandbox", "code": 5}, []):
        problem(stranger.http.post("/miniapp/v1/login", json=body), 422)
    for path in ("/me", "/points", "/movements", "/activities", "/consents"):
        assert citizen.ask("GET", path).status_code == 200
        problem(stranger.http.get(f"/miniapp/v1{path}"), 401)
    renewed = stranger.http.post(
        "/miniapp/v1/token/refresh", json={"refresh_token": citizen.tokens["refresh_token"]}
    )
    assert renewed.status_code == 200
    newer = Citizen(stranger.http, renewed.json(), "")
    assert newer.ask("GET", "/me").status_code == 200
    assert newer.ask("POST", "/logout").status_code == 204
    problem(newer.ask("GET", "/me"), 401)


def test_a_binding_code_is_for_one_partner_and_one_use(stranger: Stranger) -> None:
    citizen = stranger.citizen("olga")
    given = consent(citizen)
    problem(bind(stranger, given["binding_code"], "metro-archive"), 404)
    problem(bind(stranger, "unknown"), 404)
    bound = bind(stranger, given["binding_code"])
    assert bound.status_code == 201
    token = bound.json()["binding_token"]
    assert len(token) >= 22  # 128 bit in base64url
    problem(bind(stranger, given["binding_code"]), 410)
    began = datetime.fromisoformat(given["given_at"]).replace(microsecond=0)
    before = (began - timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    at = began.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert refused_as(stranger.post(stranger.event(subject=token, time=before))) == ["no-consent"]
    assert refused_as(stranger.post(stranger.event(subject=token, time=at))) == []
    assert citizen.ask("DELETE", f"/consents/{given['consent_id']}").is_success
    assert len(refused_as(stranger.post(stranger.event(subject=token)))) == 1


def test_a_key_gives_the_first_answer_again(stranger: Stranger) -> None:
    citizen = stranger.citizen("olga")
    key = {"idempotency-key": uuid.uuid4().hex}
    first, second = (citizen.ask("POST", "/consents", METRO, **key) for _ in range(2))
    assert first.content == second.content
    other = METRO | {"partner_id": "metro-archive"}
    problem(citizen.ask("POST", "/consents", other, **key), 409)


def test_an_activity_from_recorded_to_posted(stranger: Stranger) -> None:
    citizen = stranger.citizen(f"petra{uuid.uuid4().hex[:6]}")
    token = bind(stranger, consent(citizen)["binding_code"]).json()["binding_token"]
    trip = stranger.event(subject=token, time=instant(), data={"distance_m": 9000})
    none = stranger.event(subject=token, time=instant(), data={"distance_m": 0})
    accepted(stranger.post([trip, none]))
    deadline_s = time.monotonic() + 40
    while True:
        items = {i["event_id"]: i for i in citizen.ask("GET", "/activities").json()["items"]}
        assert all(set(item) >= ACTIVITY for item in items.values())
        if items[trip["id"]]["state"] == "posted":
            break
        assert time.monotonic() < deadline_s, items
        time.sleep(0.2)
    mine, refused = items[trip["id"]], items[none["id"]]
    assert (mine["reduction_mg"], mine["points"]) == (1_894_086, 20)
    assert (refused["state"], refused["reason"]) == ("refused", "distance-not-positive")
    points = citizen.ask("GET", "/points").json()["items"]
    for member, expected in (("available", 20), ("held", 0), ("debt", 0), ("pending", 0)):
        assert sum(each[member] for each in points) == expected
    moved = citizen.ask("GET", "/movements").json()["items"]
    assert [(each["act"], each["points"]) for each in moved] == [("award", 20)]
    path = f"/activities/{mine['activity_id']}"
    full = citizen.ask("GET", f"{path}/receipt").json()
    share = citizen.ask("GET", f"{path}/receipt?form=share").content
    assert (full["form"], json.loads(share)["form"]) == ("full", "share")
    subject = json.loads(full["leaf"]["fields"][8]["d"])[2]
    for secret in (subject, trip["id"], token):
        assert secret.encode() not in share
    problem(citizen.ask("GET", f"{path}/receipt?form=other"), 422)
    problem(citizen.ask("GET", f"/activities/{refused['activity_id']}/receipt"), 409)
    mallory = stranger.citizen("mallory")
    for foreign in (path, f"{path}/receipt", f"/activities/{uuid.uuid4()}"):
        problem(mallory.ask("GET", foreign), 404)


def test_pages_follow_one_another(stranger: Stranger) -> None:
    citizen = stranger.citizen(f"petra{uuid.uuid4().hex[:6]}")
    token = bind(stranger, consent(citizen)["binding_code"]).json()["binding_token"]
    stranger.post([stranger.event(subject=token, time=instant()) for _ in range(5)])
    seen: list[str] = []
    cursor = ""
    while True:
        page = citizen.ask("GET", f"/activities?limit=2{cursor}").json()
        assert set(page) == {"items", "next_cursor"}
        seen += [item["activity_id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert len(seen) == len(set(seen)) == 5
    for query in ("limit=0", "limit=x", "cursor=zzz"):
        problem(citizen.ask("GET", f"/activities?{query}"), 422)


def test_somebody_elses_consent_cannot_be_withdrawn(stranger: Stranger) -> None:
    given = consent(stranger.citizen("olga"))
    problem(stranger.citizen("mallory").ask("DELETE", f"/consents/{given['consent_id']}"), 404)
