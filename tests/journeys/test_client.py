"""Goal: a citizen with a phone gets from the first sign-in to the last day, and understands why.

Method: the client at `/m` in Chromium at 390 × 844 against the running demo; a partner that sends
signed events is the only other actor.
"""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from backend.flows.verify_receipt import verify_receipt
from tests.browser import a_page, chromium, fits
from tests.outside.stranger import Stranger, accepted, instant

pytestmark = [pytest.mark.journey, pytest.mark.browser, pytest.mark.timeout(300)]
POINTS_S_MAX = 90
TRIPS = 3


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def stranger(demo: tuple[Any, dict[str, Any]]) -> Iterator[Stranger]:
    """The partner's side, and where the demo is."""
    told_all = Stranger(demo[1])
    with told_all.http:
        yield told_all


@pytest.fixture
def phone(browser: Browser, stranger: Stranger) -> Iterator[Page]:
    with a_page(browser) as page:
        page.goto(f"{stranger.told['addresses']['api']}/m/")
        yield page


def sign_in(page: Page, name: str) -> None:
    page.fill("#name", name)
    page.click("#sign-in")
    page.wait_for_selector("#available, dialog #agree")
    if page.is_visible("dialog #agree"):
        assert "14 周岁" in page.inner_text("dialog")
        page.click("#agree")
    page.wait_for_selector("#available")


def go(page: Page, screen: str) -> None:
    """Open a screen by its address, drawn anew, and see that nothing sticks out of it."""
    page.evaluate("screen => { location.hash = screen }", f"#/{screen}")
    page.wait_for_selector(f"#screen[data-at='#/{screen}']")
    assert page.query_selector("[role=alert]") is None, page.inner_text("#screen")
    assert fits(page), screen


def consent(page: Page) -> str:
    """Agree to the metro's reports of trips; the one-time code for the partner."""
    go(page, "consents/new")
    page.click("a[href*='partner=metro&scenario=transit.metro.trip']")
    page.wait_for_selector("#agreed")
    assert "撤回" in page.inner_text(".letter")
    page.click("#give")
    assert page.query_selector("#binding-code") is None, "nothing is agreed to before it was read"
    page.check("#agreed")
    page.click("#give")
    page.wait_for_selector("#binding-code")
    return page.inner_text("#binding-code").strip()


def travel(stranger: Stranger, code: str, name: str, **data: int) -> None:
    """The metro binds the citizen and reports trips of just now."""
    body = {"code": code, "user_ref": name}
    bound = stranger.post(body, "metro", "/bindings", content_type="application/json")
    assert bound.status_code == 201, bound.text
    time.sleep(1.1)  # consent covers from its whole second on
    token = bound.json()["binding_token"]
    trips = [
        stranger.event(subject=token, time=instant(), data={"distance_m": 18_000 + n, **data})
        for n in range(TRIPS)
    ]
    assert accepted(stranger.post(trips))["accepted"] == TRIPS


def wait_for(page: Page, screen: str, selector: str) -> None:
    deadline_s = time.monotonic() + POINTS_S_MAX
    while True:
        go(page, "me")
        go(page, screen)
        if page.query_selector(selector) is not None:
            return
        assert time.monotonic() < deadline_s, page.inner_text("#screen")
        time.sleep(1)


def program_holds(receipt: bytes, trust: bytes) -> bool:
    """The Python program's answer, from a thread of its own: it runs an event loop."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(verify_receipt, receipt, trust).result().ok


def test_from_the_first_sign_in_to_the_last_day(
    phone: Page, stranger: Stranger, browser: Browser
) -> None:
    name = f"walker{time.time_ns() % 10**9}"
    sign_in(phone, name)
    assert "还没有记录" in phone.inner_text("#screen")
    travel(stranger, consent(phone), name)
    wait_for(phone, "activities", "a.row .tag.good")
    go(phone, "")
    assert phone.inner_text("#available").strip("分 \n") != "0"
    go(phone, "activities")
    activity = phone.get_attribute("a.row:has(.tag.good)", "href") or ""
    activity_id = activity.rpartition("/")[2]

    go(phone, f"activity/{activity_id}")
    assert "地铁" in phone.inner_text("#screen")
    go(phone, f"receipt/{activity_id}")
    assert phone.get_attribute("#headline", "data-ok") == "true"
    with phone.expect_download() as downloaded:
        phone.click("#download")
    receipt = Path(downloaded.value.path()).read_bytes()
    assert program_holds(receipt, Path(stranger.told["trust"]).read_bytes())

    redeem(phone)
    link = share(phone, activity_id)
    with a_page(browser) as friend:
        friend.goto(link)
        friend.click("#open-shared")
        friend.wait_for_selector("#answered")
        assert friend.get_attribute("#headline", "data-ok") == "true"
        assert name not in friend.content()

    go(phone, "export")
    with phone.expect_download() as downloaded:
        phone.click("#export")
    exported = json.loads(Path(downloaded.value.path()).read_bytes())
    assert exported["signature"]
    assert activity_id in json.dumps(exported["document"])

    go(phone, "erase")
    phone.check("#sure")
    phone.click("#erase")
    phone.click("#agree")
    phone.wait_for_selector("#erased")
    assert "已作废" in phone.inner_text("#screen")
    phone.evaluate("location.hash = '#/activities'")
    phone.wait_for_selector("#sign-in")


def redeem(page: Page) -> None:
    """Buy the first thing that can be bought, with two quick taps."""
    go(page, "rewards")
    before = page.inner_text(".day span")
    page.click("button[data-reward]:not([disabled])")
    page.dblclick("#agree")
    page.wait_for_selector("#redeemed")
    page.wait_for_selector("#code", timeout=15_000)
    go(page, "redemptions")
    assert page.locator("a.row").count() == 1
    go(page, "rewards")
    assert page.inner_text(".day span") != before


def share(page: Page, activity_id: str) -> str:
    go(page, f"share/{activity_id}")
    page.click("#make-link")
    page.wait_for_selector("#link")
    assert page.query_selector("svg.qr") is not None
    return page.inner_text("#link").strip()


def test_who_got_nothing_reads_why_and_appeals(phone: Page, stranger: Stranger) -> None:
    name = f"doubter{time.time_ns() % 10**9}"
    sign_in(phone, name)
    travel(stranger, consent(phone), name, distance_m=900_000)
    wait_for(phone, "activities", "a.row.refused")
    refused = phone.get_attribute("a.row.refused", "href") or ""
    go(phone, refused.removeprefix("#/"))
    why = phone.inner_text("#why")
    assert "为什么" in why
    assert "怎么办" in why
    phone.click("a[href*='appeals/new']")
    phone.fill("#words", "我从 A 站坐到 B 站，请复核距离。")
    phone.click("#file")
    phone.wait_for_selector("#appeal-state")
    assert "受理" in phone.inner_text("#screen")


SCREENS = (
    "", "activities", "movements", "rewards", "redemptions", "parking", "parking/reservations",
    "parking/stays", "consents", "consents/new", "shares", "appeals", "appeals/new", "notices",
    "settings", "accesses", "export", "report", "accounts", "devices", "me", "erase",
)  # fmt: skip


def test_every_screen_of_a_person_with_a_past(phone: Page, stranger: Stranger) -> None:
    code = stranger.told["sign_ins"]["citizens"][0]["code"]
    sign_in(phone, code.rpartition("-")[0])
    for screen in SCREENS:
        go(phone, screen)
        assert phone.evaluate(CONTRAST) == [], screen
    go(phone, "me")
    phone.click("#large-type")
    phone.emulate_media(color_scheme="dark")
    for screen in SCREENS:
        go(phone, screen)
        assert phone.evaluate(CONTRAST) == [], f"{screen} in the dark"


CONTRAST = """() => {
    const part = (v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    const numbers = (text) => text.match(/[\\d.]+/g).map(Number);
    const light = ([r, g, b]) => 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
    const behind = (element) => {
        for (let one = element; one; one = one.parentElement) {
            const [r, g, b, a = 1] = numbers(getComputedStyle(one).backgroundColor);
            if (a === 1) return [r, g, b];
        }
        return [255, 255, 255];
    };
    return [...document.querySelectorAll("#screen *, #bar *, #tabs *")]
        .filter((one) => [...one.childNodes].some((n) => n.nodeType === 3 && n.data.trim()))
        .map((one) => {
            const [a, b] = [light(numbers(getComputedStyle(one).color)), light(behind(one))];
            return [one.textContent, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)];
        })
        .filter(([, ratio]) => ratio < 4.5);
}"""


def test_without_a_network_it_says_so_and_goes_on(phone: Page) -> None:
    sign_in(phone, f"away{time.time_ns() % 10**9}")
    phone.context.set_offline(True)
    phone.evaluate("location.hash = '#/movements'")
    phone.wait_for_selector("[role=alert]")
    assert "网络不通" in phone.inner_text("#screen")
    phone.context.set_offline(False)
    phone.click("[role=alert] button")
    phone.wait_for_selector("text=还没有积分变动")


def test_two_tabs_use_one_refresh_token_once(phone: Page) -> None:
    """The second use of a refresh token would end the sign-in for both."""
    sign_in(phone, f"tabs{time.time_ns() % 10**9}")
    other = phone.context.new_page()
    other.goto(phone.url)
    other.wait_for_selector("#available")
    for _ in range(5):
        phone.evaluate(
            """async () => {
                const { keep, tokens } = await import("/m/api.mjs");
                await keep({ ...(await tokens()), access_token: "stale" });
            }"""
        )
        for tab in (phone, other):
            tab.evaluate("location.hash = '#/movements'")
        for tab in (phone, other):
            tab.wait_for_selector("#screen[data-at='#/movements']")
            assert "还没有积分变动" in tab.inner_text("#screen")
            tab.evaluate("location.hash = '#/'")
            tab.wait_for_selector("#screen[data-at='#/']")
