"""The account over time: past balances, the month's report, the certificate."""

from datetime import date
from uuid import UUID

from backend import citizens
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


async def test_a_ranking_of_ten_or_more_who_chose_it(city: City) -> None:
    world = city.world
    async with city.db.transaction() as tx:
        await world.add_people(tx, 10)
        for person in world.people[:9]:
            chosen = citizens.notices.Settings(ranking=True)
            await citizens.notices.keep_settings(tx, person, chosen)
    await city.trips(*(trip(n, distance_m=10_000 + 1_000 * n) for n in range(12)))
    phone, outside = await city.person(8), await city.person(11)
    few = await phone.get("/ranking?month=2026-11")
    assert few == {"month": "2026-11", "people": None, "items": [], "mine": None}
    async with city.db.transaction() as tx:
        for person in world.people[9:11]:
            chosen = citizens.notices.Settings(ranking=True)
            await citizens.notices.keep_settings(tx, person, chosen)
    # A table is kept for minutes; another month's question drops it.
    await phone.get("/ranking?month=2026-10")
    table = await phone.get("/ranking")
    assert (table["people"], len(table["items"])) == (11, 10)
    assert table["mine"]["rank"] == 3
    assert all(each["reduction_mg"] % 100_000 == 0 for each in table["items"])
    ids = [str(person) for person in world.people]
    assert not any(person in str(table) for person in ids)
    assert (await outside.get("/ranking"))["mine"] is None
    assert (await phone.call("GET", "/ranking?month=2026-12")).status_code == 422
