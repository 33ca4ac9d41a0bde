"""Parking over HTTP: a driver, an owner, an operator and a rail, each at their own door."""

import base64
import secrets
from datetime import timedelta
from typing import Any

import httpx
import pytest

from backend import partners
from backend.flows.settle_parking import settle_waiting
from backend.kit import canonical
from backend.kit.clock import to_text
from backend.kit.sm import Sm2PrivateKey
from backend.parking import assets
from backend.partner_client import check_parking_statement, sign_parking_statement
from tests.doors.door_world import City
from tests.doors.partner_door import problem_of
from tests.evidence.builders import signed_headers
from tests.flows.parking_world import (
    GATE_KEY,
    OWNER_KEY,
    ParkingWorld,
    a_contract,
    a_policy,
    a_tariff,
)

OPERATOR_KEY = Sm2PrivateKey(0x1111)
RAIL_KEY = Sm2PrivateKey(0x2222)
PLATE = "粤B99999"


class Caller:
    """A partner that signs with SM2."""

    def __init__(self, city: City, partner_id: str, key: Sm2PrivateKey) -> None:
        self.city, self.partner_id, self.key = city, partner_id, key

    async def __call__(self, method: str, path: str, body: Any = None) -> httpx.Response:
        sent = b"" if body is None else canonical.dumps(body)
        headers = signed_headers(
            sent,
            self.city.services.clock.now(),
            scheme="v1s2",
            key=self.key,
            webhook_id=secrets.token_hex(8),
        )
        if body is not None:
            headers["content-type"] = "application/json"
        return await self.city.http.request(
            method, f"/partner/v1/{self.partner_id}/parking{path}", content=sent, headers=headers
        )


@pytest.fixture
async def operator(city: City) -> Caller:
    services = city.services
    now = services.clock.now()
    async with services.db.transaction() as tx:
        for partner_id, key in (("plaza-op", OPERATOR_KEY), ("rail.sandbox", RAIL_KEY)):
            await partners.register_partner(
                tx, partner_id, partner_id, required_scheme="v1s2", scenarios=[], now=now
            )
            await partners.add_key(
                tx,
                services.vault,
                partner_id,
                "k",
                scheme="v1s2",
                valid_from=now,
                public_key=key.public_key.to_bytes(),
            )
        await partners.add_key(
            tx,
            services.vault,
            "plaza-op",
            "s",
            scheme="v1s2",
            purpose="statement",
            public_key=OWNER_KEY.public_key.to_bytes(),
            valid_from=now - timedelta(days=9),
        )
        parties: Any = (
            ("operator", "operator", "plaza-op", True),
            ("manager", "manager", "plaza-op", True),
            ("platform", "platform", None, True),
            ("city", "city", None, False),
        )
        for party_id, kind, partner_id, merchant in parties:
            await assets.enter_party(
                tx,
                party_id,
                kind=kind,
                name=party_id,
                merchant=merchant,
                now=now,
                partner_id=partner_id,
            )
    caller = Caller(city, "plaza-op", OPERATOR_KEY)
    lot = {
        "name": "示范广场",
        "latitude_udeg": 22_540_000,
        "longitude_udeg": 114_050_000,
        "capacity": 100,
        "base_search_s": 396,
    }
    key = base64.b64encode(GATE_KEY.public_key.to_bytes()).decode()
    gate = {"lane": "1", "purpose": "gate", "public_key": key}
    for method, path, body in (
        ("PUT", "/lots/plaza", lot),
        ("PUT", "/lots/plaza/devices/gate-1", gate),
        ("POST", "/lots/plaza/tariffs", {"document": a_tariff()}),
        ("POST", "/lots/plaza/contracts", {"document": a_contract()}),
    ):
        answer = await caller(method, path, body)
        assert answer.status_code == 200, answer.text
    return caller


async def test_a_space_is_offered_confirmed_found_and_taken_once(city: City, operator: Caller):
    owner, driver = await city.person(0), await city.person(1)
    made = await owner.call("POST", "/parking/spaces", json={"lot_id": "plaza", "label": "B-1"})
    assert made.status_code == 201, made.text
    space_id = made.json()["space_id"]
    early = await owner.call("PUT", f"/parking/spaces/{space_id}/state", json={"state": "offered"})
    assert problem_of(early) == (409, "space-not-confirmed")
    assert (await operator("POST", "/lots/plaza/spaces/B-1/confirmation")).status_code == 200
    opened = await owner.call(
        "PUT", f"/parking/spaces/{space_id}/windows", json={"policy": a_policy()}
    )
    assert len(opened.json()["policy"]) == 64
    bad = await owner.call(
        "PUT", f"/parking/spaces/{space_id}/windows", json={"policy": {"format": "x"}}
    )
    assert problem_of(bad) == (422, "bad-policy")
    foreign = await driver.call(
        "PUT", f"/parking/spaces/{space_id}/state", json={"state": "suspended"}
    )
    assert problem_of(foreign) == (404, "unknown-space")

    start = city.services.clock.now() + timedelta(hours=2)
    span = {"from": to_text(start), "to": to_text(start + timedelta(hours=2))}
    query = "&".join(f"{name}={value}" for name, value in span.items())
    near = await driver.get(f"/parking/lots?near=22.541,114.051&{query}")
    (lot,) = near["items"]
    assert (lot["lot_id"], lot["free"], lot["price_fen"]) == ("plaza", 1, 1_000)
    assert 100 < lot["distance_m"] < 200
    wish = {
        "space_id": space_id,
        "plate": PLATE,
        "starts_at": span["from"],
        "ends_at": span["to"],
        "confirm": True,
    }
    unbound = await driver.call("POST", "/parking/reservations", json=wish)
    assert problem_of(unbound) == (409, "vehicle-not-bound")
    bound = await driver.call("POST", "/parking/vehicles", json={"plate": "粤b·99999"})
    assert bound.json()["plate"] == "粤B***99"
    first = await driver.call("POST", "/parking/reservations", json=wish, key="k1")
    assert first.status_code == 201, first.text
    again = await driver.call("POST", "/parking/reservations", json=wish, key="k1")
    assert again.content == first.content
    second = await driver.call("POST", "/parking/reservations", json=wish)
    assert problem_of(second) == (409, "window-taken")
    assert (await driver.get(f"/parking/lots?near=22.541,114.051&{query}"))["items"] == []
    windows = await driver.get(f"/parking/spaces/{space_id}/windows?{query}")
    assert len(windows["open"]) == len(windows["taken"]) == 1
    reservation = first.json()["reservation_id"]
    gone = await driver.call("DELETE", f"/parking/reservations/{reservation}")
    assert gone.json() == {"reservation_id": reservation, "fee_fen": 0}
    assert (await driver.get("/parking/standing"))["trusted"] is False


async def test_a_stay_is_paid_by_notice_and_its_statement_signed(city: City, operator: Caller):
    services, driver = city.services, await city.person(1)
    await driver.call("POST", "/parking/vehicles", json={"plate": PLATE})
    now = services.clock.now()
    gate = ParkingWorld(services.db, services.vault, services.clock)  # type: ignore[arg-type]
    batch = gate.batch(
        ("in", now - timedelta(hours=3), PLATE), ("out", now - timedelta(hours=1), PLATE)
    )
    signed = {
        "device_id": "gate-1",
        "payload": batch.payload.decode(),
        "signature": base64.b64encode(batch.signature).decode(),
    }
    forged = signed | {"signature": base64.b64encode(b"no").decode()}
    answer = await operator("POST", "/passes", {"batches": [signed, forged]})
    assert answer.json()["batches"] == [
        {"device_id": "gate-1", "stored": 2, "known": 0, "turned": []},
        {"device_id": "gate-1", "problem": "bad-device-signature"},
    ]
    (stay,) = (await driver.get("/parking/stays"))["items"]
    assert (stay["charge_fen"], stay["payment"]) == (1_000, "due")
    keyless = await driver.call("POST", f"/parking/stays/{stay['stay_id']}/pay")
    assert problem_of(keyless) == (428, "idempotency-key-needed")
    order = (await driver.call("POST", f"/parking/stays/{stay['stay_id']}/pay", key="p")).json()
    notice = {
        "notice_id": "n-1",
        "kind": "paid",
        "order_id": order["order_id"],
        "rail_ref": "r-1",
        "amount_fen": 1_000,
        "paid_at": to_text(now),
    }
    assert problem_of(await operator("POST", "/notices", [notice])) == (403, "not-a-rail")
    rail = Caller(city, "rail.sandbox", RAIL_KEY)
    forger = Caller(city, "rail.sandbox", OPERATOR_KEY)
    assert problem_of(await forger("POST", "/notices", [notice])) == (401, "bad-signature")
    told = await rail("POST", "/notices", [notice])
    assert told.json()["notices"] == [{"notice_id": "n-1", "outcome": "paid"}]
    assert (await driver.get("/parking/stays"))["items"][0]["payment"] == "paid"

    services.clock.advance(days=1)  # type: ignore[attr-defined]
    await settle_waiting(services.db, services.clock, "Asia/Shanghai")
    day = now.date().isoformat()
    listed = (await operator("GET", f"/statements/{day}")).json()["items"]
    assert [each["party"] for each in listed] == ["manager", "operator"]
    path = f"/lots/plaza/statements/{day}/0/operator"
    file = (await operator("GET", path)).content
    check = check_parking_statement(file)
    assert (check.holds, check.total_fen) == (True, 200)
    changed = file.replace(b'"charge_fen":1000', b'"charge_fen":1001')
    assert not check_parking_statement(changed).holds
    with pytest.raises(ValueError, match="not signed"):
        sign_parking_statement(check_parking_statement(changed), OWNER_KEY)
    body = {"signature": sign_parking_statement(check, OWNER_KEY)}
    assert (await operator("POST", f"{path}/cosignature", body)).status_code == 201
    others = await operator("GET", f"/lots/plaza/statements/{day}/0/city")
    assert problem_of(others) == (404, "unknown-statement")


async def test_a_contract_the_rail_cannot_execute_comes_back_with_one_it_can(operator: Caller):
    shares = a_contract()["shares"]
    shares = [shares[0] | {"via": "split"}, *shares[1:]]
    wanted = a_contract(version=2, day_from="2027-01-01", shares=shares)
    refused = await operator("POST", "/lots/plaza/contracts", {"document": wanted})
    assert problem_of(refused) == (409, "rail-cannot-execute")
    said = refused.json()
    assert {flaw["name"] for flaw in said["flaws"]} == {"split-too-large", "split-not-returnable"}
    taken = await operator("POST", "/lots/plaza/contracts", {"document": said["proposal"]})
    assert taken.status_code == 200, taken.text
    short = a_contract(version=3, day_from="2028-01-01", shares=shares[1:])
    refused = await operator("POST", "/lots/plaza/contracts", {"document": short})
    assert problem_of(refused) == (422, "shares-not-whole")
