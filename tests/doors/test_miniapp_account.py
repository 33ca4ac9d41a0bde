"""The account over time: past balances, the month's report, the certificate."""

from datetime import date
from uuid import UUID

from backend.flows.reverse_points import reverse_points
from tests.doors.door_world import City, trip


async def test_the_balance_of_any_past_day(city: City) -> None:
    phone = await city.person(0)
    assert (await phone.get("/points/at?day=2026-11-22"))["items"] == []
    await city.trips(trip(distance_m=12_000))
    city.world.clock.advance(days=2)
    phone = await city.person(0)
    await city.trips(trip(distance_m=22_000, day=date(2026, 11, 23)))
    then = {}
    for day in (21, 22, 23, 24):
        items = (await phone.get(f"/points/at?day=2026-11-{day}"))["items"]
        then[day] = [(each["class"], each["points"]) for each in items]
    assert then == {21: [], 22: [("carbon", 27)], 23: [("carbon", 27)], 24: [("carbon", 75)]}
    for bad in ("2026-11-25", "1999-01-01", "x", "2026-02-30"):
        assert (await phone.call("GET", f"/points/at?day={bad}")).status_code == 422
    thief = await city.person(1)
    assert (await thief.get("/points/at?day=2026-11-24"))["items"] == []


async def test_a_month_by_needs_against_one_s_own_past(city: City) -> None:
    phone = await city.person(0)
    await city.trips(
        trip(distance_m=12_000),
        trip(distance_m=22_000, minute=40, hour=6),
        trip(distance_m=10_000, day=date(2026, 10, 5)),
        trip(1, distance_m=9_000),
    )
    await phone.call(
        "PUT",
        "/settings",
        json={
            "quiet_from": "22:00",
            "quiet_to": "08:00",
            "push": True,
            "ranking": False,
            "goal_mg": 9_000_000,
        },
    )
    report = await phone.get("/report")
    each_m = 271_818 - 61_364
    assert report["month"] == "2026-11"
    assert report["reduction_mg"] == 12_000 * each_m // 1_000 + 22_000 * each_m // 1_000
    assert report["previous_month_mg"] == 10_000 * each_m // 1_000
    assert (report["activities"], report["goal_mg"]) == (2, 9_000_000)
    assert report["forecast_mg"] == report["reduction_mg"] * 30 // 22
    assert [(each["title"], len(each["scenarios"])) for each in report["needs"]] == [
        ("衣", 0),
        ("食", 0),
        ("住", 0),
        ("行", 1),
        ("用", 0),
    ]
    assert len(report["trend"]) == 13
    october = await phone.get("/report?month=2026-10")
    assert (october["activities"], october["forecast_mg"]) == (1, None)
    for bad in ("2026-12", "2026-13", "x"):
        assert (await phone.call("GET", f"/report?month={bad}")).status_code == 422


async def test_what_was_taken_back_does_not_count(city: City) -> None:
    phone = await city.person(0)
    await city.trips(trip(distance_m=12_000))
    movement = (await phone.get("/movements"))["items"][0]
    assert movement["act_text"] == "发放"
    await reverse_points(
        city.db,
        city.services.clock,
        of_transfer=UUID(movement["movement_id"]),
        note="误报",
        city_tz="Asia/Shanghai",
    )
    report = await phone.get("/report")
    assert (report["activities"], report["reduction_mg"], report["points"]) == (0, 0, 0)
    back = (await phone.get("/movements"))["items"][0]
    assert (back["act_text"], back["note"]) == ("冲正", "误报")


async def test_a_certificate_to_print(city: City) -> None:
    phone = await city.person(0)
    assert (await phone.call("GET", "/certificate")).status_code == 409
    await city.trips(trip(distance_m=12_000))
    answer = await phone.call("GET", "/certificate")
    assert answer.headers["content-type"].startswith("image/svg+xml")
    assert "2,525 克" in answer.text
    assert "演示环境签发" in answer.text
    assert "<script" not in answer.text
