"""Goal: officials do their work in a browser, and what they may not do they cannot do.

Method: the running demo's panel in Chromium, signed in with the demo's own accounts; pictures of
every page go to the folder that TANHUI_PICTURES names.
"""

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect
from pyotp.totp import TOTP

from tests.browser import DESK, a_page, chromium
from tests.journeys.installation import Demo
from tests.outside.stranger import Stranger, accepted

pytestmark = [pytest.mark.journey, pytest.mark.browser]

STEP_S = 30
expect.set_options(timeout=30_000)  # The machine may be busy with other tests.
PAGES = {
    "auditor-a": (
        "/", "/rules", "/rules/metro-points/1", "/methods", "/methods/transit.metro.trip/3",
        "/budgets", "/partners", "/partners/metro", "/evidence", "/parking", "/cases",
        "/officials", "/audit", "/exports", "/me", "/screen",
    ),
    "drafter-a": ("/rules/draft",),
}  # fmt: skip
"""Every page, by somebody who may see it."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


class Office:
    """The demo's panel and its officials; each code of an authenticator is used once."""

    def __init__(self, told: dict[str, Any]) -> None:
        self.address = told["addresses"]["panel"]
        self.api = told["addresses"]["api"]
        self.officials = {each["user"]: each for each in told["sign_ins"]["officials"]}
        self._spent: dict[str, int] = {}

    def code(self, user: str) -> str:
        """A code that was not used yet: of this step or the next, else after a wait."""
        step = int(time.time()) // STEP_S
        last = self._spent.get(user, 0)
        while last >= step + 1:
            time.sleep(1)
            step = int(time.time()) // STEP_S
        wanted = max(step, last + 1)
        self._spent[user] = wanted
        return TOTP(self.officials[user]["totp_secret"]).at(wanted * STEP_S)

    def sign_in(self, page: Page, user: str) -> None:
        page.goto(f"{self.address}/login")
        page.get_by_label("用户名").fill(user)
        page.get_by_label("口令").fill(self.officials[user]["password"])
        page.get_by_label("动态码").fill(self.code(user))
        page.get_by_role("button", name="登录").click()
        page.wait_for_url(f"{self.address}/")

    def token(self, user: str) -> str:
        """A session at the officials' API."""
        answer = httpx.post(
            f"{self.api}/gov/v1/login",
            json={
                "user": user,
                "password": self.officials[user]["password"],
                "totp": self.code(user),
            },
        )
        assert answer.status_code == 200, answer.text
        return answer.json()["token"]


@pytest.fixture(scope="module")
def office(demo: tuple[Demo, dict]) -> Office:
    return Office(demo[1])


@contextmanager
def desk(browser: Browser, office: Office, user: str) -> Iterator[Page]:
    """A page of somebody who is signed in."""
    with a_page(browser, DESK) as page:
        office.sign_in(page, user)
        yield page


def picture(page: Page, path: str) -> None:
    folder = os.environ.get("TANHUI_PICTURES")
    if folder:
        name = re.sub(r"[^a-z0-9.-]+", "-", f"panel{path}").strip("-")
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


@pytest.mark.parametrize("user", PAGES)
def test_every_page_opens_and_asks_nobody_outside(
    browser: Browser, office: Office, user: str
) -> None:
    with desk(browser, office, user) as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        for path in PAGES[user]:
            page.goto(office.address + path)
            expect(page.locator("h1, .th-dark")).to_be_visible()
            expect(page.get_by_text("连接不上")).to_have_count(0)
            expect(page.get_by_text("不能查看此页")).to_have_count(0)
            picture(page, path)
    outside = [url for url in asked if not url.startswith((office.address, "data:", "blob:"))]
    assert outside == []


def test_wrong_and_spent_codes_do_not_open_the_door(browser: Browser, office: Office) -> None:
    with a_page(browser, DESK) as page:
        office.sign_in(page, "finance-a")
        spent = TOTP(office.officials["finance-a"]["totp_secret"]).at(
            office._spent["finance-a"] * STEP_S
        )
        page.get_by_role("button", name="退出").click()
        page.wait_for_url(f"{office.address}/login")
        page.get_by_label("用户名").fill("finance-a")
        page.get_by_label("口令").fill(office.officials["finance-a"]["password"])
        page.get_by_label("动态码").fill(spent)
        page.get_by_role("button", name="登录").click()
        expect(page.get_by_role("alert")).to_contain_text("动态码已用过")
        page.goto(f"{office.address}/budgets")
        assert page.url == f"{office.address}/login"


def test_a_role_sees_its_own_pages_only(browser: Browser, office: Office) -> None:
    with desk(browser, office, "sec-admin") as page:
        menu = page.get_by_role("navigation", name="主菜单")
        expect(menu.get_by_role("link", name="人员与授权")).to_be_visible()
        expect(menu.get_by_role("link", name="激励规则")).to_have_count(0)
        page.goto(f"{office.address}/rules")
        expect(page.get_by_text("您的角色不能查看此页")).to_be_visible()
    answer = httpx.get(
        f"{office.api}/gov/v1/rules",
        headers={"authorization": f"Bearer {office.token('sec-admin')}"},
    )
    assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (403, "not-your-role")


def test_two_officials_take_a_rule_from_draft_to_enacted(
    browser: Browser, office: Office, demo: tuple[Demo, dict]
) -> None:
    """Drafted, tried, submitted, approved by two, noticed, enacted: then the next ride is paid."""
    rule = f"{office.address}/rules/ride-points/2"
    with desk(browser, office, "drafter-a") as page:
        _draft(page, office)
        page.wait_for_url(rule)
        _press(page, "提交审批")
        expect(page.get_by_text("请先对这一版试算")).to_be_visible()
        page.get_by_role("button", name="取消").click()
        page.get_by_role("button", name="试算").click()
        expect(page.get_by_text("草案发放")).to_be_visible(timeout=90_000)
        picture(page, "/rules/ride-points/2/simulated")
        _press(page, "提交审批")
        expect(page.get_by_text("已提交审批")).to_be_visible()
        expect(page.get_by_role("button", name="审批并签名")).to_have_count(0)

    for user in ("approver-b", "approver-a"):
        with desk(browser, office, user) as page:
            page.goto(rule)
            page.get_by_role("button", name="审批并签名").click()
            page.get_by_label("口令").fill(office.officials[user]["password"])
            page.get_by_label("动态码").fill(office.code(user))
            page.get_by_role("button", name="确认审批并签名").click()
            expect(page.get_by_text(f"审批 · {user}")).to_be_visible()
            if user == "approver-a":
                _press(page, "开始公示")
                _press(page, "上链生效")
                expect(page.get_by_role("button", name="停用")).to_be_visible()
                picture(page, "/rules/ride-points/2/enacted")

    stranger = Stranger(demo[1])
    with stranger.http:
        assert _points_for_a_ride(stranger) == 7


def _draft(page: Page, office: Office) -> None:
    """A new version of the rides' rule, in force from today, in which a bike ride earns 7."""
    page.goto(f"{office.address}/rules")
    page.get_by_role("cell", name="ride-points").click()
    page.get_by_role("button", name="起草新版本").click()
    expect(page.get_by_label("版本")).to_have_value("2")
    today = datetime.now(ZoneInfo("Asia/Shanghai")).date()
    page.get_by_label("生效日").fill(today.isoformat())
    points = page.get_by_label("积分", exact=True).nth(2)
    points.fill("reduction_mg / ")
    expect(page.get_by_text("还不完整")).to_be_visible()
    points.fill("7")
    expect(page.get_by_text("得 7 分")).to_be_visible()
    page.get_by_role("button", name="保存草案").click()


def _press(page: Page, name: str) -> None:
    """A button, and the one that confirms it."""
    page.get_by_role("button", name=name, exact=True).click()
    page.get_by_role("button", name=f"确认{name}").click()


def _points_for_a_ride(stranger: Stranger) -> int:
    subject = next(
        each
        for each in stranger.partners["bike"]["subjects"]
        if (each["citizen"], each["scenario"]) == ("demo-20", "bike.shared.ride")
    )
    event = stranger.event(
        "bike",
        type="bike.shared.ride",
        subject=subject["token"],
        data={"distance_m": 2_400, "duration_s": 720},
    )
    assert accepted(stranger.post([event], "bike"))["accepted"] == 1
    citizen = stranger.citizen("demo-20")
    for _ in range(100):
        found = citizen.ask("GET", "/activities").json()["items"]
        mine = [each for each in found if each["event_id"] == event["id"]]
        if mine and mine[0]["state"] != "recorded":
            return mine[0]["points"]
        time.sleep(0.2)
    raise AssertionError("the ride was never decided")


def test_a_drafter_cannot_approve_their_own_draft(office: Office) -> None:
    """Neither on the page, where the button is missing (above), nor by the API."""
    answer = httpx.post(
        f"{office.api}/gov/v1/rules/ride-points/approve",
        headers={"authorization": f"Bearer {office.token('drafter-a')}"},
        json={"version": 2, "digest": "00" * 32, "password": "x", "totp": "000000"},
    )
    assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (403, "not-your-role")
