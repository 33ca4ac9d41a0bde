"""The citizens' door over HTTP: sign-in, consents, activities, and nobody else's rows."""

import asyncio
from datetime import date
from uuid import UUID, uuid4

import pytest

from backend.flows.reverse_points import reverse_points
from tests.doors.door_world import City, Phone, trip


def name_of(problem: dict) -> str:
    return problem["type"].rsplit("/", 1)[1]


class TestSignIn:
    async def test_a_code_signs_in_once(self, city: City) -> None:
        body = {"provider": "sandbox", "code": "lin-1"}
        first = await city.http.post("/miniapp/v1/login", json=body)
        assert set(first.json()) == {"access_token", "expires_at", "refresh_token"}
        again = await city.http.post("/miniapp/v1/login", json=body)
        assert again.status_code == 401
        assert again.headers["content-type"] == "application/problem+json"
        assert name_of(again.json()) == "code-refused"

    async def test_one_name_is_one_citizen(self, city: City) -> None:
        ids = {(await (await city.sign_in("lin")).get("/me"))["citizen_id"] for _ in range(2)}
        assert len(ids) == 1
        assert (await (await city.sign_in("chen")).get("/me"))["citizen_id"] not in ids

    async def test_a_retried_sign_in_gets_its_first_answer(self, city: City) -> None:
        body = {"provider": "sandbox", "code": "lin-1"}
        headers = {"idempotency-key": "try-1"}
        first = await city.http.post("/miniapp/v1/login", json=body, headers=headers)
        again = await city.http.post("/miniapp/v1/login", json=body, headers=headers)
        assert again.content == first.content

    @pytest.mark.parametrize("provider", ["wechat", "alipay"])
    async def test_providers_that_are_not_built(self, city: City, provider: str) -> None:
        answer = await city.http.post("/miniapp/v1/login", json={"provider": provider, "code": "x"})
        assert answer.status_code == 501
        assert name_of(answer.json()) == "provider-not-available"

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"{",
            b"[]",
            b'{"provider":"sandbox"}',
            b'{"provider":"x","code":"a-1"}',
            b"\xff",
            b'{"provider":"sandbox","code":7}',
            b'{"provider":"sandbox","code":"\\ud800-1"}',
            b"[" * 20_000,
        ],
    )
    async def test_bad_shapes(self, city: City, body: bytes) -> None:
        answer = await city.http.post(
            "/miniapp/v1/login", content=body, headers={"content-type": "application/json"}
        )
        assert answer.status_code == 422, answer.text
        assert answer.headers["content-type"] == "application/problem+json"

    async def test_a_body_that_is_too_large(self, city: City) -> None:
        answer = await city.http.post("/miniapp/v1/login", content=b"x" * 70_000)
        assert (answer.status_code, name_of(answer.json())) == (413, "body-too-large")

    async def test_refresh_rotates_and_reuse_ends_the_family(self, city: City) -> None:
        phone = await city.sign_in("lin")
        old = phone.tokens["refresh_token"]

        async def refresh(token: str):
            return await city.http.post("/miniapp/v1/token/refresh", json={"refresh_token": token})

        second = (await refresh(old)).json()
        assert second["refresh_token"] != old
        assert (await refresh(old)).status_code == 401
        assert (await refresh(second["refresh_token"])).status_code == 401
        thief = Phone(city.http, second)
        assert (await thief.call("GET", "/me")).status_code == 401
        assert (await refresh("unknown")).status_code == 401

    async def test_a_retried_refresh_with_its_key_is_no_reuse(self, city: City) -> None:
        phone = await city.sign_in("lin")
        body = {"refresh_token": phone.tokens["refresh_token"]}
        answers = [
            await city.http.post(
                "/miniapp/v1/token/refresh", json=body, headers={"idempotency-key": "r"}
            )
            for _ in range(2)
        ]
        assert answers[0].status_code == 200
        assert answers[0].content == answers[1].content

    async def test_logout_ends_the_tokens(self, city: City) -> None:
        phone = await city.sign_in("lin")
        for _ in range(2):
            assert (await phone.call("POST", "/logout")).status_code == 204
        assert (await city.http.post("/miniapp/v1/logout")).status_code == 401
        assert (await phone.call("GET", "/me")).status_code == 401

    @pytest.mark.parametrize("header", [None, "Bearer ", "Bearer x", "Basic eDp5", "x"])
    async def test_every_other_route_asks_who_it_is(self, city: City, header: str | None) -> None:
        headers = {} if header is None else {"authorization": header}
        for path in ("/me", "/consents", "/points", "/movements", "/activities"):
            answer = await city.http.get(f"/miniapp/v1{path}", headers=headers)
            assert answer.status_code == 401, path
            assert answer.headers["www-authenticate"] == "Bearer"


class TestConsents:
    async def test_a_consent_comes_with_a_code_the_partner_can_use_once(self, city: City) -> None:
        from backend import citizens
        from backend.kit.sm import sm3

        phone = await city.sign_in("lin")
        given = await phone.consent()
        assert given.status_code == 201
        assert {"consent_id", "given_at", "binding_code", "binding_code_expires_at"} <= set(
            given.json()
        )
        services = city.services
        async with services.db.transaction() as tx:
            token = await citizens.exchange_code(
                tx,
                services.vault,
                "metro",
                given.json()["binding_code"],
                "u-1",
                services.clock,
            )
            who = await citizens.reporters_of(tx, "metro", [sm3(token.encode())])
        assert [str(each.citizen_id) for each in who.values()] == [
            (await phone.get("/me"))["citizen_id"]
        ]

    async def test_the_same_key_gets_the_same_code(self, city: City) -> None:
        phone = await city.sign_in("lin")
        first = await phone.consent(key="k1")
        assert (await phone.consent(key="k1")).content == first.content
        other = await phone.consent(key="k2")
        assert other.json()["consent_id"] == first.json()["consent_id"]
        assert other.json()["binding_code"] != first.json()["binding_code"]
        conflict = await phone.call(
            "POST",
            "/consents",
            key="k1",
            json={"scenario": "transit.metro.trip", "partner_id": "metro"},
        )
        assert (conflict.status_code, name_of(conflict.json())) == (409, "idempotency-key-reused")
        foreign = await (await city.sign_in("chen")).consent(key="k1")
        assert foreign.json()["consent_id"] != first.json()["consent_id"]

    async def test_an_unknown_partner_or_scenario(self, city: City) -> None:
        phone = await city.sign_in("lin")
        for body, status in (
            ({"partner_id": "bus", "scenario": "transit.metro.trip"}, 404),
            ({"partner_id": "metro", "scenario": "bike.shared.ride"}, 422),
            ({"partner_id": "METRO", "scenario": "transit.metro.trip"}, 422),
        ):
            assert (await phone.call("POST", "/consents", json=body)).status_code == status

    async def test_withdrawing_is_for_the_owner(self, city: City) -> None:
        phone = await city.sign_in("lin")
        consent_id = (await phone.consent()).json()["consent_id"]
        thief = await city.sign_in("thief")
        assert (await thief.call("DELETE", f"/consents/{consent_id}")).status_code == 404
        assert (await thief.get("/consents"))["items"] == []
        gone = await phone.call("DELETE", f"/consents/{consent_id}")
        assert gone.status_code == 200
        assert gone.json()["withdrawn_at"] is not None
        again = await phone.call("DELETE", f"/consents/{consent_id}")
        assert again.json() == gone.json()
        assert (await phone.get("/consents"))["items"][0]["withdrawn_at"] is not None
        assert (await phone.call("DELETE", f"/consents/{uuid4()}")).status_code == 404
        assert (await phone.call("DELETE", "/consents/x")).status_code == 422

    async def test_twins_make_one_consent(self, city: City) -> None:
        phone = await city.sign_in("lin")
        answers = await asyncio.gather(*(phone.consent() for _ in range(6)))
        assert {answer.status_code for answer in answers} == {201}
        assert len({answer.json()["consent_id"] for answer in answers}) == 1


class TestActivities:
    async def test_an_activity_on_its_way(self, city: City) -> None:
        phone = await city.person(0)
        ids = await city.world.record(trip(distance_m=12_000))
        item = (await phone.get("/activities"))["items"][0]
        assert (item["activity_id"], item["state"]) == (str(ids[0]), "recorded")
        assert (item["points"], item["reduction_mg"], item["reason"]) == (None, None, None)
        await city.trips()
        item = (await phone.get("/activities"))["items"][0]
        assert item["state"] == "awarded"
        assert item["reduction_mg"] == 12_000 * (271_818 - 61_364) // 1_000
        assert item["points"] == item["reduction_mg"] // 100_000 + 2
        assert item["city_day"] == "2026-11-21"
        size = await city.seal()
        assert (await phone.get("/activities"))["items"][0]["state"] == "logged"
        await city.anchored(size)
        assert (await phone.get("/activities"))["items"][0]["state"] == "confirmed"
        assert (await phone.get("/points"))["items"][0]["pending"] == item["points"]
        await city.posted(0, size)
        assert (await phone.get("/activities"))["items"][0]["state"] == "posted"
        held = (await phone.get("/points"))["items"]
        assert [
            (each["class"], each["available"], each["pending"], each["debt"]) for each in held
        ] == [("carbon", item["points"], 0, 0)]
        assert held[0]["expiring"] == [{"month": "2028-11", "points": item["points"]}]

    async def test_a_refusal_says_why_and_what_to_do(self, city: City) -> None:
        phone = await city.person(0)
        await city.trips(trip(distance_m=999_000))
        item = (await phone.get("/activities"))["items"][0]
        assert (item["state"], item["reason"]) == ("refused", "distance-too-long")
        assert "合作平台" in item["reason_text"]
        assert item["awards"] == []

    async def test_a_cap_says_so(self, city: City) -> None:
        phone = await city.person(0)
        await city.trips(*(trip(distance_m=30_000, minute=n) for n in range(2)))
        last = (await phone.get("/activities"))["items"][0]
        assert last["reason"] == "cap-reached"
        assert "每日上限" in last["reason_text"]
        assert sum(each["points"] for each in (await phone.get("/activities"))["items"]) == 60

    async def test_zero_points_end_at_awarded(self, city: City) -> None:
        phone = await city.person(0)
        ids = await city.trips(trip(distance_m=1))
        item = (await phone.get("/activities"))["items"][0]
        assert (item["state"], item["points"]) == ("awarded", 0)
        answer = await phone.call("GET", f"/activities/{ids[0]}/receipt")
        assert (answer.status_code, name_of(answer.json())) == (409, "no-points-no-receipt")

    async def test_a_reversal_shows(self, city: City) -> None:
        phone = await city.person(0)
        await city.trips(trip(distance_m=12_000))
        movement = (await phone.get("/movements"))["items"][0]
        await reverse_points(
            city.db,
            city.services.clock,
            of_transfer=UUID(movement["movement_id"]),
            note="test",
            city_tz="Asia/Shanghai",
        )
        assert (await phone.get("/activities"))["items"][0]["state"] == "reversed"
        moved = (await phone.get("/movements"))["items"]
        assert [each["act"] for each in moved] == ["reverse", "award"]
        assert sum(each["points"] for each in moved) == 0
        assert (await phone.get("/points"))["items"][0]["available"] == 0

    async def test_pages_follow_each_other(self, city: City) -> None:
        phone = await city.person(0)
        days = [date(2026, 11, day) for day in range(1, 8)]
        ids = await city.trips(*(trip(day=day) for day in days))
        seen: list[str] = []
        for path in ("/activities", "/movements"):
            cursor, seen = "", []
            while True:
                page = await phone.get(f"{path}?limit=3{cursor}")
                seen += [each["activity_id"] for each in page["items"]]
                if page["next_cursor"] is None:
                    break
                cursor = f"&cursor={page['next_cursor']}"
            assert sorted(seen) == sorted(str(each) for each in ids)
        for query in ("limit=0", "limit=9999", "cursor=x"):
            assert (await phone.call("GET", f"/activities?{query}")).status_code == 422

    async def test_nobody_sees_anothers_activity(self, city: City) -> None:
        ids = await city.trips(trip(person=0))
        thief = await city.person(1)
        assert (await thief.get("/activities"))["items"] == []
        assert (await thief.get("/movements"))["items"] == []
        for path in (f"/activities/{ids[0]}", f"/activities/{ids[0]}/receipt"):
            answer = await thief.call("GET", path)
            assert (answer.status_code, name_of(answer.json())) == (404, "unknown-activity")

    async def test_a_receipt_comes_once_it_is_confirmed(self, city: City) -> None:
        phone = await city.person(0)
        ids = await city.trips(trip())
        path = f"/activities/{ids[0]}/receipt"
        assert (await phone.call("GET", path)).status_code == 409
        await city.anchored(await city.seal())
        full = (await phone.call("GET", path)).json()
        assert (full["format"], full["form"]) == ("tanhui-receipt-v1", "full")
        share = (await phone.call("GET", f"{path}?form=share")).json()
        assert share["form"] == "share"
        assert (await phone.call("GET", f"{path}?form=other")).status_code == 422

    async def test_withdrawn_before_the_award(self, city: City) -> None:
        phone = await city.person(0)
        await city.world.record(trip())
        consent = (await phone.get("/consents"))["items"][0]
        await phone.call("DELETE", f"/consents/{consent['consent_id']}")
        await city.trips()
        item = (await phone.get("/activities"))["items"][0]
        assert (item["state"], item["reason"]) == ("refused", "consent-withdrawn")


async def test_the_door_checks_the_owner_itself(
    city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control: with the owner's condition removed, the thief reads the activity."""
    from backend.views import activities

    ids = await city.trips(trip(person=0))
    thief = await city.person(1)
    path = f"/activities/{ids[0]}"
    assert (await thief.call("GET", path)).status_code == 404
    whole = activities.activity_of

    async def open_to_all(tx, _citizen_id, activity_id):
        owner = await tx.fetchval(
            "SELECT citizen_id FROM evidence WHERE evidence_id = $1", activity_id
        )
        return await whole(tx, owner, activity_id)

    monkeypatch.setattr("backend.views.activity_of", open_to_all)
    assert (await thief.call("GET", path)).status_code == 200
