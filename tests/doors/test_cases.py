"""Cases over both doors: a citizen asks, an official answers, points come back or go by two."""

from typing import Any

import httpx
import pytest

from backend import officials
from backend.rewards import catalogue
from tests.doors.door_world import City, Phone, trip
from tests.doors.gov_world import Desk
from tests.flows.award_world import rows
from tests.flows.redeem_world import a_reward, laws_broken


def name_of(answer: httpx.Response) -> str:
    return answer.json()["type"].rsplit("/", 1)[1]


@pytest.fixture
async def desks(city: City) -> dict[str, Desk]:
    """Two approvers and somebody of the finance office, signed in without the door's ceremony."""
    found: dict[str, Desk] = {}
    clock = city.world.clock
    async with city.db.transaction() as tx:
        for user, role in (("ann", "approver"), ("bob", "approver"), ("fin", "finance")):
            await officials.register(tx, user, f"某{user}", role, None, clock)
            token, _ = await officials.access.open_session(tx, user, clock.now())
            found[user] = Desk(city.http, clock, user, "", token)
    return found


async def appeal(phone: Phone, about_kind: str, about: Any, **more: Any) -> httpx.Response:
    body = {"about_kind": about_kind, "about": about, "words": "这次为什么没有积分?"} | more
    return await phone.call("POST", "/appeals", json=body)


async def decide(desk: Desk, case_id: str, key: str | None = "k", **body: Any) -> httpx.Response:
    asked = {"outcome": "rejected", "reason": "里程超出合理范围。"} | body
    return await desk.call("POST", f"/cases/{case_id}/decision", key=key, json=asked)


async def test_a_refused_activity_is_appealed_and_answered(
    city: City, desks: dict[str, Desk]
) -> None:
    phone = await city.person(0)
    [activity] = await city.trips(trip(distance_m=999_000))
    opened = await appeal(phone, "activity", str(activity))
    assert opened.status_code == 201, opened.text
    case = opened.json()
    assert (case["state"], case["deadline"]) == ("open", "2026-12-07")
    twice = await appeal(phone, "activity", str(activity))
    assert (twice.status_code, name_of(twice)) == (409, "case-open")

    [listed] = (await desks["ann"].get("/cases"))["items"]
    assert (listed["words"], listed["overdue"]) == (None, False)
    read = await desks["ann"].get(f"/cases/{case['appeal_id']}")
    assert read["words"] == "这次为什么没有积分?"
    assert (await desks["fin"].call("GET", "/cases")).status_code == 403
    assert (await decide(desks["fin"], case["appeal_id"])).status_code == 403
    assert (await decide(desks["ann"], case["appeal_id"], None)).status_code == 428
    wrong = await decide(desks["ann"], case["appeal_id"], outcome="upheld", remedy="refund")
    assert (wrong.status_code, name_of(wrong)) == (422, "bad-remedy")
    done = await decide(desks["ann"], case["appeal_id"], outcome="upheld", remedy="partner")
    assert done.status_code == 200, done.text
    again = await decide(desks["bob"], case["appeal_id"], "other")
    assert (again.status_code, name_of(again)) == (409, "case-closed")

    answered = await phone.get(f"/appeals/{case['appeal_id']}")
    assert (answered["outcome"], answered["reason"]) == ("upheld", "里程超出合理范围。")
    assert "更正" in answered["remedy_text"]
    assert [(each["by"], each["act"]) for each in answered["steps"]] == [
        ("citizen", "opened"),
        ("official", "decided"),
    ]
    audited = await rows(city.db, "SELECT act FROM audit_entry WHERE act LIKE 'case.%'")
    assert [each["act"] for each in audited] == ["case.decide"]
    [stored] = await rows(city.db, "SELECT words_sealed FROM case_file")
    assert "积分".encode() not in stored["words_sealed"]


async def test_a_redemption_that_went_wrong_is_refunded(city: City, desks: dict[str, Desk]) -> None:
    phone = await city.person(0)
    await city.trips(trip(distance_m=12_000))
    async with city.db.transaction() as tx:
        await catalogue.offer(tx, a_reward(refundable=False), city.services.clock.now())
    bought = await phone.call("POST", "/redemptions", key="k", json={"reward_id": "metro-ticket"})
    case = (await appeal(phone, "redemption", bought.json()["redemption_id"])).json()
    done = await decide(
        desks["ann"], case["appeal_id"], outcome="upheld", reason="票码无效。", remedy="refund"
    )
    counter = done.json()["counter_transfer"]
    [refund] = await rows(city.db, "SELECT * FROM transfer WHERE act = 'refund'")
    assert (str(refund["transfer_id"]), refund["note"]) == (counter, "票码无效。")
    assert (await phone.get("/points"))["items"][0]["available"] == 27
    assert (await phone.get(f"/appeals/{case['appeal_id']}"))["counter_movement"] == counter
    queued = await rows(city.db, "SELECT ref FROM unsealed WHERE kind = 1")
    assert refund["transfer_id"] in {each["ref"] for each in queued}
    assert await laws_broken(city.world) == []


async def test_taking_points_back_needs_two(city: City, desks: dict[str, Desk]) -> None:
    phone = await city.person(0)
    await city.trips(trip(distance_m=12_000))
    [award] = await rows(city.db, "SELECT transfer_id FROM transfer")
    body = {"transfer_id": str(award["transfer_id"]), "reason": "同一行程重复上报。"}
    refused = await desks["fin"].call("POST", "/clawbacks", key="c", json=body)
    assert refused.status_code == 403
    case = await desks["ann"].post("/clawbacks", body, key="c", status=201)
    assert (await phone.get("/points"))["items"][0]["available"] == 27
    path = f"/cases/{case['case_id']}/second"
    word = {"agree": True, "reason": "复核属实。"}
    own = await desks["ann"].call("POST", path, key="s", json=word)
    assert (own.status_code, name_of(own)) == (403, "second-person-needed")
    alone = await decide(desks["bob"], case["case_id"])
    assert name_of(alone) == "bad-remedy"
    done = await desks["bob"].post(path, word, key="s")
    [reversal] = await rows(city.db, "SELECT * FROM transfer WHERE act = 'reverse'")
    assert done["counter_transfer"] == str(reversal["transfer_id"])
    assert reversal["note"] == "复核属实。"
    assert (await phone.get("/points"))["items"][0]["available"] == 0
    # The citizen reads why, and may appeal against it.
    [mine] = (await phone.get("/appeals"))["items"]
    assert (mine["kind"], mine["reason"]) == ("clawback", "复核属实。")
    assert (await phone.call("DELETE", f"/appeals/{mine['appeal_id']}")).status_code == 409
    moved = (await phone.get("/movements"))["items"][0]
    assert (await appeal(phone, "movement", moved["movement_id"])).status_code == 201
    assert await laws_broken(city.world) == []


async def test_a_second_person_who_disagrees_moves_nothing(
    city: City, desks: dict[str, Desk]
) -> None:
    await city.trips(trip(distance_m=12_000))
    [award] = await rows(city.db, "SELECT transfer_id FROM transfer")
    body = {"transfer_id": str(award["transfer_id"]), "reason": "疑似重复。"}
    case = await desks["ann"].post("/clawbacks", body, key="c", status=201)
    word = {"agree": False, "reason": "证据不足。"}
    await desks["bob"].post(f"/cases/{case['case_id']}/second", word, key="s")
    assert await rows(city.db, "SELECT 1 FROM transfer WHERE act = 'reverse'") == []
    await desks["bob"].post("/clawbacks", body, key="d", status=201)


async def test_a_case_is_about_one_s_own_things(city: City) -> None:
    phone, thief = await city.person(0), await city.person(1)
    [activity] = await city.trips(trip(distance_m=12_000))
    assert (await appeal(thief, "activity", str(activity))).status_code == 404
    assert (await appeal(phone, "redemption", str(activity))).status_code == 404
    assert (await appeal(phone, "data", str(activity))).status_code == 404
    assert (await appeal(phone, "activity", None)).status_code == 404
    mine = (await appeal(phone, "data", None, kind="correction")).json()
    for method in ("GET", "DELETE"):
        answer = await thief.call(method, f"/appeals/{mine['appeal_id']}")
        assert (answer.status_code, name_of(answer)) == (404, "unknown-case")
    gone = await phone.call("DELETE", f"/appeals/{mine['appeal_id']}")
    assert gone.json()["state"] == "withdrawn"
    assert (await phone.call("DELETE", f"/appeals/{mine['appeal_id']}")).status_code == 200


@pytest.mark.parametrize("words", ["", "  ", "x" * 1_001, "a\u202eb", "a\u0000b", "a\u0007"])
async def test_words_are_plain(city: City, words: str) -> None:
    phone = await city.sign_in("lin")
    assert (await appeal(phone, "data", None, words=words)).status_code == 422


async def test_twenty_open_cases_are_enough(city: City) -> None:
    phone = await city.sign_in("lin")
    for _ in range(20):
        assert (await appeal(phone, "data", None)).status_code == 201
    assert name_of(await appeal(phone, "data", None)) == "too-many-cases"
