"""Pages for people: what they show, that they hold no script of others, that text stays text."""

import re
from datetime import timedelta
from uuid import UUID

import pytest
from httpx import Response

from backend.kit.clock import FixedClock
from backend.officials import life
from tests.doors.door_world import City, trip

PAGES = ("/", "/rules", "/rules/metro-points/1", "/methods", "/methods/transit.metro.trip/1")


def is_strict(answer: Response) -> bool:
    policy = answer.headers["content-security-policy"]
    return "default-src 'none'" in policy and "unsafe" not in policy


@pytest.mark.parametrize("path", [*PAGES, "/notices", "/docs"])
async def test_pages_without_a_script(city: City, path: str) -> None:
    answer = await city.http.get(path)
    assert answer.status_code == 200
    assert is_strict(answer)
    assert "<script" not in answer.text
    assert "style=" not in answer.text
    assert not re.search(r"""(?:src|href|url)\s*[=(]\s*["']?(?:https?:)?//""", answer.text)


async def test_the_start_page_tells_supply_and_budget(city: City) -> None:
    await city.trips(trip())
    await city.seal()
    page = (await city.http.get("/")).text
    assert "<b>27</b>已发放积分" in page
    assert "已用 0%" in page


async def test_a_rule_and_a_method_in_plain_words(city: City) -> None:
    listed = (await city.http.get("/public/v1/rules")).json()["items"][0]
    page = (await city.http.get(f"/rules/{listed['id']}/{listed['version']}")).text
    assert listed["digest"] in page
    assert all(address in page for address in listed["approvers"])
    listed = (await city.http.get("/public/v1/methodologies")).json()["items"][0]
    page = (await city.http.get(f"/methods/{listed['id']}/{listed['version']}")).text
    assert "适用条件" in page
    assert "出处" in page


@pytest.mark.parametrize("path", ["/rules/nothing/1", "/methods/nothing/1", "/rules/x/0"])
async def test_versions_that_are_none(city: City, path: str) -> None:
    assert (await city.http.get(path)).status_code in (404, 422)


async def test_the_verify_page_carries_the_trust_file_and_its_modules(city: City) -> None:
    answer = await city.http.get("/verify")
    assert is_strict(answer)
    assert "script-src 'self';" in answer.headers["content-security-policy"]
    assert 'name="tanhui-trust" content=""' in answer.text
    module = await city.http.get("/verify/check/sm3.mjs")
    assert module.headers["content-type"].startswith("text/javascript")
    again = await city.http.get(
        "/verify/check/sm3.mjs", headers={"if-none-match": module.headers["etag"]}
    )
    assert (again.status_code, again.content) == (304, b"")
    for path in ("/verify/index.html", "/verify/../door.py", "/verify/%2e%2e/site.css", "/verify/"):
        assert (await city.http.get(path)).status_code == 404


async def a_notice(city: City) -> str:
    """A rule on notice for a week; its id."""
    now = city.services.clock.now()
    listed = (await city.http.get("/public/v1/rules")).json()["items"][0]
    key = (1, listed["id"], listed["version"])
    digest = bytes.fromhex(listed["digest"])
    async with city.db.transaction() as tx:
        notice = await life.give_notice(tx, key, digest, now, now + timedelta(days=7), "d1")
    return str(notice.notice_id)


async def test_a_notice_shows_an_objection_with_its_answer_as_text(city: City) -> None:
    notice_id = await a_notice(city)
    assert f"/notices/{notice_id}" in (await city.http.get("/notices")).text
    said = "<script>alert(1)</script>"
    answer = await city.http.post(f"/public/v1/notices/{notice_id}/objections", json={"text": said})
    assert answer.status_code == 201
    page = await city.http.get(f"/notices/{notice_id}")
    assert is_strict(page)
    assert "alert(1)" not in page.text, "unanswered objections are not public"
    assert "共 1 件，已答复 0 件" in page.text
    async with city.db.transaction() as tx:
        await life.answer(
            tx, UUID(answer.json()["objection_id"]), "不采纳 & 原因", upheld=False, by="d1",
            at=city.services.clock.now(),
        )  # fmt: skip
    page = await city.http.get(f"/notices/{notice_id}")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page.text
    assert "不采纳 &amp; 原因" in page.text


async def test_a_closed_notice_has_no_form(city: City, clock: FixedClock) -> None:
    notice_id = await a_notice(city)
    assert 'id="objection"' in (await city.http.get(f"/notices/{notice_id}")).text
    clock.advance(days=8)
    page = (await city.http.get(f"/notices/{notice_id}")).text
    assert 'id="objection"' not in page
    assert "已结束" in page
    assert (await city.http.get(f"/notices/{UUID(int=1)}")).status_code == 404


async def test_the_citizens_client_is_served_under_the_same_policy(city: City) -> None:
    moved = await city.http.get("/m")
    assert (moved.status_code, moved.headers["location"]) == (308, "/m/")
    answer = await city.http.get("/m/")
    assert is_strict(answer)
    policy = answer.headers["content-security-policy"]
    assert "connect-src 'self';" in policy
    assert "trusted-types 'none'" in policy
    for path in ("/m/app.mjs", "/m/screens/wallet.mjs", "/m/app.css"):
        assert (await city.http.get(path)).status_code == 200
    for path in ("/m/index.html", "/m/client.py", "/m/../door.py", "/m/%2e%2e/client.py"):
        assert (await city.http.get(path)).status_code == 404


async def test_whom_one_may_consent_to(city: City) -> None:
    [metro] = (await city.http.get("/public/v1/partners")).json()["items"]
    assert (metro["partner_id"], metro["name"]) == ("metro", "示范地铁")
    assert metro["scenarios"] == ["transit.metro.trip"]
