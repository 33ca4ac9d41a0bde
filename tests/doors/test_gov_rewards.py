"""The shop from the officials' side: rewards, stock, policies; by role, each act noted."""

from typing import Any

import pytest

from backend import officials
from tests.doors.door_world import City, trip
from tests.doors.gov_world import Desk
from tests.flows.award_world import rows

REWARD = {
    "name": "社区咖啡",
    "kind": "coupon",
    "supplier": "codes",
    "points_class": "carbon",
    "price_points": 10,
    "terms": "60 天内有效。",
    "day_from": "2026-01-01",
    "refundable": False,
}


@pytest.fixture
async def desks(city: City) -> dict[str, Desk]:
    found: dict[str, Desk] = {}
    async with city.db.transaction() as tx:
        for user, role in (("pam", "partner_manager"), ("ann", "approver")):
            await officials.register(tx, user, user, role, None, city.world.clock)
            token, _ = await officials.access.open_session(tx, user, city.world.clock.now())
            found[user] = Desk(city.http, city.world.clock, user, "", token)
    return found


async def put(desk: Desk, path: str, body: Any) -> Any:
    return await desk.call("PUT", path, json=body)


async def test_a_reward_from_the_desk_to_the_phone(city: City, desks: dict[str, Desk]) -> None:
    pam = desks["pam"]
    assert (await put(desks["ann"], "/rewards/coffee", REWARD)).status_code == 403
    kept = await put(pam, "/rewards/coffee", REWARD)
    assert (kept.status_code, kept.json()["stock"]) == (200, 0)
    stock = {"codes": ["A-1", "A-2"]}
    assert (await pam.call("POST", "/rewards/coffee/stock", json=stock)).status_code == 428
    for _ in range(2):
        stocked = await pam.post("/rewards/coffee/stock", stock, key="s")
        assert stocked["stock"] == 2
    cheaper = await put(pam, "/rewards/coffee", REWARD | {"price_points": 8})
    assert (cheaper.json()["price_points"], cheaper.json()["stock"]) == (8, 2)

    await city.trips(trip(distance_m=12_000))
    phone = await city.person(0)
    bought = await phone.call("POST", "/redemptions", key="k", json={"reward_id": "coffee"})
    code = (await phone.get(f"/redemptions/{bought.json()['redemption_id']}"))["code"]
    assert code == "A-1"
    noted = await rows(city.db, "SELECT act FROM audit_entry ORDER BY entry_id")
    assert [each["act"] for each in noted] == ["reward.keep", "reward.stock", "reward.keep"]


async def test_what_the_desk_may_not_enter(city: City, desks: dict[str, Desk]) -> None:
    pam = desks["pam"]
    for bad in (
        {"price_points": 0},
        {"price_points": -1},
        {"day_to": "2026-01-01"},
        {"kind": "cash"},
        {"stock": 5},
    ):
        assert (await put(pam, "/rewards/coffee", REWARD | bad)).status_code == 422, bad
    foreign = await put(pam, "/rewards/coffee", REWARD | {"points_class": "gold"})
    assert foreign.status_code == 404
    await put(pam, "/rewards/coffee", REWARD)
    await put(pam, "/rewards/ticket", REWARD | {"supplier": "sandbox"})
    for path, body, status in (
        ("coffee", {"count": 5}, 409),
        ("ticket", {"codes": ["A"]}, 409),
        ("coffee", {"codes": ["A", "A"]}, 422),
        ("coffee", {"codes": ["a b"]}, 422),
        ("tea", {"count": 5}, 404),
    ):
        answer = await pam.call("POST", f"/rewards/{path}/stock", json=body, key=str(body))
        assert answer.status_code == status, answer.text
    more = await pam.post("/rewards/ticket/stock", {"count": 5}, key="m")
    assert more["stock"] == 5


async def test_the_law_of_a_place(city: City, desks: dict[str, Desk]) -> None:
    pam = desks["pam"]
    law = {"jurisdiction": "shenzhen", "debit": "nobody", "cash_out": False}
    assert (await put(desks["ann"], "/points-policies/carbon", law)).status_code == 403
    assert (await put(pam, "/points-policies/gold", law)).status_code == 404
    assert (await put(pam, "/points-policies/carbon", law)).status_code == 200
    assert (await pam.get("/points-policies"))["items"] == [law | {"points_class": "carbon"}]
    await put(pam, "/rewards/coffee", REWARD)
    phone = await city.person(0)
    [item] = (await phone.get("/rewards"))["items"]
    assert item["refused"] == "class-not-redeemable"
