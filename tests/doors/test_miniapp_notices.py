"""Notices, settings, who looked, and the signed export of everything."""

import base64
import json
from typing import Any

import pytest

from backend import citizens
from backend.flows.seal_log import CHECKPOINT_KEY
from backend.kit import canonical
from backend.kit.sm import sm3
from backend.rewards import catalogue
from tests.doors.door_world import City, Phone, trip
from tests.flows.redeem_world import a_reward


@pytest.fixture
async def buyer(city: City) -> Phone:
    """Somebody who has bought a ticket."""
    async with city.db.transaction() as tx:
        await catalogue.offer(tx, a_reward(), city.services.clock.now())
    await city.trips(trip(distance_m=12_000))
    phone = await city.person(0)
    await phone.call("POST", "/redemptions", key="k", json={"reward_id": "metro-ticket"})
    return phone


async def test_a_redemption_is_told_of_and_read(city: City, buyer: Phone) -> None:
    page = await buyer.get("/notices")
    [notice] = page["items"]
    assert page["unread"] == 1
    assert (notice["title"], notice["text"]) == ("兑换成功", "“地铁单程票”已到账,使用 10 积分。")
    thief = await city.person(1)
    assert (await thief.get("/notices"))["items"] == []
    stolen = await thief.call("POST", "/notices/read", json={"up_to": notice["notice_id"]})
    assert stolen.json() == {"read": 0, "unread": 0}
    for read in (1, 0):
        answer = await buyer.call("POST", "/notices/read", json={"up_to": notice["notice_id"]})
        assert answer.json() == {"read": read, "unread": 0}
    headers = {
        "authorization": f"Bearer {buyer.tokens['access_token']}",
        "accept-language": "en-GB,zh;q=0.5",
    }
    english = await city.http.get("/miniapp/v1/notices", headers=headers)
    assert english.json()["items"][0]["title"] == "Redeemed"


async def test_settings_are_kept(city: City) -> None:
    phone = await city.sign_in("lin")
    settings = await phone.get("/settings")
    assert (settings["quiet_from"], settings["quiet_to"]) == ("22:00", "08:00")
    chosen = settings | {"quiet_from": "23:30", "push": False, "goal_mg": 20_000_000}
    assert (await phone.call("PUT", "/settings", json=chosen)).json() == chosen
    assert await phone.get("/settings") == chosen
    for bad in ({"quiet_from": "24:00"}, {"goal_mg": -1}, {"goal_mg": 10**13}, {"x": 1}):
        assert (await phone.call("PUT", "/settings", json=chosen | bad)).status_code == 422


async def test_who_looked_is_shown(city: City) -> None:
    phone = await city.sign_in("lin")
    me = (await phone.get("/me"))["citizen_id"]
    async with city.db.transaction() as tx:
        await citizens.access.note_access(
            tx, me, "审计员", "佐证原文", "双重上报核查", city.services.clock.now()
        )
    [looked] = (await phone.get("/accesses"))["items"]
    assert (looked["who"], looked["what"], looked["why"]) == ("审计员", "佐证原文", "双重上报核查")


async def test_the_export_holds_everything_and_is_signed(city: City, buyer: Phone) -> None:
    await buyer.consent()
    made = await buyer.get("/export")
    document: dict[str, Any] = made["document"]
    assert len(document["movements"]) == 2
    assert document["activities"][0]["points"] == 27
    assert len(document["redemptions"][0]["code"]) == 19
    assert document["consents"][0]["partner_id"] == "metro"
    assert document["notices"][0]["facts"]["points"] == 10
    assert sm3(canonical.dumps(document)).hex() == made["sm3"]
    assert made["text"] == f"tanhui-export-v1\n{made['export_id']}\n{made['sm3']}\n"
    key = city.services.vault.sm2_key(CHECKPOINT_KEY).public_key
    signature = base64.b64decode(made["signature"])
    assert key.verify_der(signature, made["text"].encode())
    assert not key.verify_der(signature, made["text"].replace("1", "2").encode())
    other = (await (await city.person(1)).get("/export"))["document"]
    assert other["movements"] == other["redemptions"] == []
    assert document["citizen"]["citizen_id"] not in json.dumps(other)
