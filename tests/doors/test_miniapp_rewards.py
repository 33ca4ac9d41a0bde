"""Rewards over HTTP: the catalogue, buying once, what was handed over, and nobody else's."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from backend.rewards import Policy, catalogue
from tests.doors.door_world import City, Phone, trip
from tests.flows.redeem_world import a_reward


def name_of(answer: Any) -> str:
    return answer.json()["type"].rsplit("/", 1)[1]


@pytest.fixture
async def buyer(city: City) -> Phone:
    """Somebody with 27 points before a shop with two rewards."""
    async with city.db.transaction() as tx:
        for reward in (
            a_reward(),
            a_reward(reward_id="ecny-1", kind="ecny", name="数字人民币 1 元", face_fen=100),
        ):
            await catalogue.offer(tx, reward, city.services.clock.now())
    await city.trips(trip(distance_m=12_000))
    return await city.person(0)


async def buy(phone: Phone, key: str | None, reward_id: str = "metro-ticket") -> Any:
    return await phone.call("POST", "/redemptions", key=key, json={"reward_id": reward_id})


async def test_the_catalogue_says_what_the_law_forbids(city: City, buyer: Phone) -> None:
    items = (await buyer.get("/rewards"))["items"]
    assert [(each["reward_id"], each["refused"]) for each in items] == [
        ("ecny-1", "no-cash-out"),
        ("metro-ticket", None),
    ]
    assert items[1]["price_points"] == 10
    assert items[1]["class"] == "carbon"
    page = await buyer.get("/rewards?limit=1")
    assert (await buyer.get(f"/rewards?cursor={page['next_cursor']}"))["items"] == items[1:]
    async with city.db.transaction() as tx:
        law = Policy("carbon", "shenzhen", "nobody", cash_out=False)
        await catalogue.set_policy(tx, law, city.services.clock.now())
    refused = {each["refused"] for each in (await buyer.get("/rewards"))["items"]}
    assert refused == {"class-not-redeemable"}
    assert name_of(await buy(buyer, "k")) == "class-not-redeemable"


async def test_buying_needs_a_key_and_a_double_tap_buys_one(city: City, buyer: Phone) -> None:
    bare = await buy(buyer, None)
    assert (bare.status_code, name_of(bare)) == (428, "idempotency-key-needed")
    taps = await asyncio.gather(*(buy(buyer, "tap") for _ in range(5)))
    assert {tap.status_code for tap in taps} == {201}
    assert len({tap.content for tap in taps}) == 1
    assert (await buy(buyer, "tap", "ecny-1")).status_code == 409
    [item] = (await buyer.get("/redemptions"))["items"]
    assert item["state"] == "posted"
    assert len(item["code"]) == 19
    points = (await buyer.get("/points"))["items"][0]
    assert (points["available"], points["held"]) == (17, 0)
    moved = (await buyer.get("/movements"))["items"]
    assert [(each["act"], each["points"]) for each in moved] == [("redeem", -10), ("award", 27)]


async def test_a_redemption_has_a_receipt(city: City, buyer: Phone) -> None:
    bought = (await buy(buyer, "k")).json()
    path = f"/redemptions/{bought['redemption_id']}"
    assert (bought["state"], bought["code"]) == ("held", None)
    assert (await buyer.call("GET", f"{path}/receipt")).status_code == 409
    await city.anchored(await city.seal())
    receipt = (await buyer.call("GET", f"{path}/receipt")).json()
    assert receipt["documents"] == {"method": None, "rule": None}
    assert receipt["origin"] == {"kind": "issuer"}


async def test_giving_back(city: City, buyer: Phone) -> None:
    bought = (await buy(buyer, "k")).json()
    path = f"/redemptions/{bought['redemption_id']}/refund"
    assert (await buyer.call("POST", path)).status_code == 428
    answers = [await buyer.call("POST", path, key="r") for _ in range(2)]
    assert answers[0].status_code == 200
    assert answers[0].json() == answers[1].json()
    assert answers[0].json()["state"] == "refunded"
    assert answers[0].json()["code"] is None
    assert (await buyer.get("/points"))["items"][0]["available"] == 27


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"reward_id": "Metro"},
        {"reward_id": "metro-ticket", "price_points": -5},
        {"reward_id": "metro-ticket", "count": 2},
        {"reward_id": "a" * 33},
        {"reward_id": "x\u202e"},
    ],
)
async def test_bad_bodies(buyer: Phone, body: dict) -> None:
    assert (await buyer.call("POST", "/redemptions", key="k", json=body)).status_code == 422


async def test_nobody_reaches_anothers_redemption(city: City, buyer: Phone) -> None:
    bought = (await buy(buyer, "k")).json()
    thief = await city.person(1)
    path = f"/redemptions/{bought['redemption_id']}"
    for method, where in (("GET", path), ("GET", f"{path}/receipt"), ("POST", f"{path}/refund")):
        answer = await thief.call(method, where, key="k")
        assert (answer.status_code, name_of(answer)) == (404, "unknown-redemption")
    assert (await thief.get("/redemptions"))["items"] == []
    poor = await buy(thief, "k")
    assert (poor.status_code, name_of(poor)) == (409, "points-short")
    assert (await buyer.call("GET", f"/redemptions/{uuid4()}")).status_code == 404
