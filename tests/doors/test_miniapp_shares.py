"""Shared receipts: what the link opens, and what those without its key get."""

import base64
import json
from typing import Any
from uuid import UUID

import pytest

from backend.kit.sm import SealBroken, sm4_gcm_decrypt
from tests.doors.door_world import City, Phone, trip


@pytest.fixture
async def shared(city: City) -> tuple[Phone, dict[str, Any], UUID]:
    """A confirmed activity and a link to its receipt."""
    phone = await city.person(0)
    [activity] = await city.trips(trip())
    assert (await phone.call("POST", f"/activities/{activity}/share", json={})).status_code == 409
    await city.anchored(await city.seal())
    made = await phone.call("POST", f"/activities/{activity}/share", json={"days": 7})
    assert made.status_code == 201, made.text
    return phone, made.json(), activity


def opened(ciphertext: bytes, share_id: str, key: str) -> bytes:
    """As the visitor's browser does, from formats.md §15 alone."""
    context = f"tanhui-share-v1\n{share_id}".encode()
    raw = base64.urlsafe_b64decode(key + "==")
    return sm4_gcm_decrypt(raw, ciphertext[:12], ciphertext[12:], context)


async def fetched(city: City, share_id: str) -> Any:
    return await city.http.get(f"/public/v1/shared/{share_id}")


async def test_the_link_opens_the_share_form(city: City, shared: tuple) -> None:
    phone, made, activity = shared
    before, _, fragment = made["link"].partition("#")
    assert before.endswith("/verify")
    share_id, _, key = fragment.partition(".")
    assert share_id == made["share_id"]
    answer = await fetched(city, share_id)
    assert answer.headers["content-type"] == "application/octet-stream"
    receipt = opened(answer.content, share_id, key)
    own = await phone.call("GET", f"/activities/{activity}/receipt?form=share")
    assert receipt == own.content
    assert json.loads(receipt)["form"] == "share"


async def test_without_the_key_there_is_nothing(city: City, shared: tuple, settings: Any) -> None:
    _, made, _ = shared
    ciphertext = (await fetched(city, made["share_id"])).content
    key = made["link"].rpartition(".")[2]
    with pytest.raises(SealBroken):
        opened(ciphertext, made["share_id"], "A" * 21 + ("A" if key[-1] != "A" else "Q"))
    with pytest.raises(SealBroken):
        opened(ciphertext, "A" * 22, key)
    async with city.db.transaction() as tx:
        tables = await tx.fetch(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
        )
        for table in tables:
            rows = await tx.fetch(f"SELECT t::text AS row FROM {table['table_name']} AS t")
            assert not any(key in row["row"] for row in rows), table["table_name"]


async def test_every_link_has_a_key_of_its_own(city: City, shared: tuple) -> None:
    phone, made, activity = shared
    city.world.clock.advance(seconds=1)
    again = (await phone.call("POST", f"/activities/{activity}/share", json={}, key="k")).json()
    assert again["share_id"] != made["share_id"]
    listed = (await phone.get("/shares"))["items"]
    assert [each["share_id"] for each in listed] == [again["share_id"], made["share_id"]]
    assert "link" not in listed[0]
    first = await phone.get("/shares?limit=1")
    second = await phone.get(f"/shares?limit=1&cursor={first['next_cursor']}")
    assert first["items"] + second["items"] == listed
    assert second["next_cursor"] is None


async def test_revoked_or_expired_it_is_gone(city: City, shared: tuple) -> None:
    phone, made, activity = shared
    thief = await city.person(1)
    path = f"/shares/{made['share_id']}"
    assert (await thief.call("DELETE", path)).status_code == 404
    stolen = await thief.call("POST", f"/activities/{activity}/share", json={})
    assert stolen.status_code == 404
    other = (await phone.call("POST", f"/activities/{activity}/share", json={"days": 9})).json()
    gone = await phone.call("DELETE", path)
    assert gone.json()["revoked_at"] is not None
    assert (await phone.call("DELETE", path)).json() == gone.json()
    answer = await fetched(city, made["share_id"])
    assert (answer.status_code, answer.json()["type"].rsplit("/")[-1]) == (410, "share-gone")
    assert (await fetched(city, other["share_id"])).status_code == 200
    city.world.clock.advance(days=9)
    assert (await fetched(city, other["share_id"])).status_code == 410
    assert (await fetched(city, "A" * 22)).status_code == 404
    assert (await fetched(city, "A" * 21 + "B")).status_code == 422
