"""Goal: a stranger with a phone can check a receipt, and is not fooled by a bad one.

Method: the page in Chromium at phone size over an installation and a node in memory.
"""

import base64
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from backend.flows.verify_receipt import verify_receipt
from backend.kit.canonical import dumps
from backend.kit.sm import sm4_gcm_encrypt
from backend.proof import STEPS
from backend.public_api.verify_page import SITE
from tests.browser import DESK, a_page, fits
from tests.outside.mutations import flipped_bytes, structures
from tests.outside.test_second_verifier import HERE, PAPERS
from tests.pages.page_server import PageServer, serving
from tests.proof.builders import Installation, an_award

pytestmark = [pytest.mark.journey, pytest.mark.browser]
CHECKS_MS_MAX = 300
PAGE_BYTES_MAX = 150_000


@contextmanager
def visiting(browser: Browser, url: str, **options: Any) -> Iterator[Page]:
    with a_page(browser, **options) as page:
        page.goto(url)
        page.wait_for_selector("html[data-ready]")
        yield page


def drop(page: Page, receipt: bytes, field: str = "#file") -> None:
    file = {"name": "receipt.json", "mimeType": "application/json", "buffer": receipt}
    page.set_input_files(field, files=[file])  # pyright: ignore[reportArgumentType]
    page.wait_for_selector("#headline")


def lines(page: Page) -> dict[str, str]:
    return page.eval_on_selector_all(
        ".steps li",
        "lines => Object.fromEntries(lines.map(l => [l.dataset.step, l.dataset.verdict]))",
    )


def program(receipt: bytes) -> list[str]:
    """The Python program's verdicts off line, from a thread of its own: it runs an event loop."""
    with ThreadPoolExecutor(1) as thread:
        judged = thread.submit(verify_receipt, receipt, HERE.trust_file()).result()
    return [step.verdict for step in judged.steps]


def told(page: Page) -> str:
    return page.inner_text("#headline")


def test_a_receipt_is_checked_here_and_then_on_the_chain(
    browser: Browser, served_page: PageServer
) -> None:
    with visiting(browser, served_page.url + "/verify") as page:
        before = len(served_page.asked)
        drop(page, PAPERS["full"])
        assert served_page.asked[before:] == [], "nothing may be asked before a click"
        assert "离线部分成立" in told(page)
        assert lines(page)["anchor"] == lines(page)["posted"] == "not_checked"
        assert int(page.get_attribute("#result", "data-took") or "") <= CHECKS_MS_MAX
        page.click("#ask")
        page.wait_for_selector("#answered")
        assert "成立" in told(page)
        assert "25 分" in told(page)
        offline = dict(zip(STEPS, program(PAPERS["full"]), strict=True))
        assert lines(page) == offline | {"anchor": "ok", "posted": "stated"}
        assert tuple(lines(page)) == STEPS
        assert "由发行方声明" in page.inner_text("[data-step=rule]")
        assert page.query_selector("svg.picture") is not None
        assert fits(page)
        assert set(served_page.asked[before:]) == {"POST /public/v1/chain/rpc"}


def test_a_tampered_receipt_is_refused_in_red(browser: Browser, served_page: PageServer) -> None:
    forged = PAPERS["full"].replace(b'\\"amount\\":25', b'\\"amount\\":26')
    assert forged != PAPERS["full"]
    with visiting(browser, served_page.url + "/verify") as page:
        drop(page, forged)
        assert "不成立" in told(page)
        assert lines(page)["path"] == "failed"


NOT_RECEIPTS = [
    (b"{}", "这不是一张有效的回执"),
    (b"[" * 100_000, "这不是一张有效的回执"),
    (b"\xff\xfe\x00", "这不是一张有效的回执"),
    (b'{"issuer":"<img src=x onerror=alert(1)>"}', "这不是一张有效的回执"),
    (PAPERS["full"] + b"\n", "这不是一张有效的回执"),
    (an_award(Installation(issuer="other-city", shift=1)).receipt(), "不认识这个发行方"),
    (an_award(Installation(shift=1)).receipt(), "不成立"),
]


def test_what_is_no_receipt_of_this_issuer(browser: Browser, served_page: PageServer) -> None:
    with visiting(browser, served_page.url + "/verify") as page:
        for content, words in NOT_RECEIPTS:
            page.evaluate("document.querySelector('#headline')?.remove()")
            drop(page, content)
            assert words in told(page)
            assert page.get_attribute("#headline", "data-ok") == "false"
            assert fits(page)


def test_fifty_megabytes_are_not_even_read(
    browser: Browser, served_page: PageServer, tmp_path: Path
) -> None:
    large = tmp_path / "receipt.json"
    with large.open("wb") as file:
        file.truncate(50 << 20)
    with visiting(browser, served_page.url + "/verify") as page:
        page.set_input_files("#file", str(large))
        page.wait_for_selector(".problem")
        assert "50 MB" in page.inner_text(".problem")
        assert not page.is_visible("#result")


def test_a_demo_says_so_loudly(browser: Browser) -> None:
    demo = Installation(profile="demo")
    with (
        serving(demo) as server,
        visiting(browser, server.url + "/verify") as page,
    ):
        drop(page, an_award(demo).receipt())
        assert "演示环境的回执，不是真实的积分" in page.inner_text("#demo")


def test_a_demo_receipt_shown_as_real_does_not_hold(browser: Browser) -> None:
    real, demo = Installation(profile="production"), Installation(profile="demo")
    with (
        serving(real) as server,
        visiting(browser, server.url + "/verify") as page,
    ):
        drop(page, an_award(real).receipt())
        assert page.inner_text("#demo") == ""
        drop(page, an_award(demo).receipt())
        assert lines(page)["checkpoint"] == "failed"
        assert "不是真实的积分" in page.inner_text("#demo")


def share(server: PageServer, receipt: bytes) -> tuple[str, bytes]:
    """Put a sealed receipt where the page fetches it; its id and key."""
    share_id = base64.urlsafe_b64encode(os.urandom(16))[:22].decode()
    key, nonce = os.urandom(16), os.urandom(12)
    context = b"tanhui-share-v1\n" + share_id.encode()
    server.shared[share_id] = nonce + sm4_gcm_encrypt(key, nonce, receipt, context)
    return share_id, key


def spelled(key: bytes) -> str:
    return base64.urlsafe_b64encode(key)[:22].decode()


def test_a_shared_link_is_opened_with_the_key_behind_the_hash(
    browser: Browser, served_page: PageServer
) -> None:
    share_id, key = share(served_page, PAPERS["share"])
    with visiting(browser, f"{served_page.url}/verify#{share_id}.{spelled(key)}") as page:
        fetched = f"GET /public/v1/shared/{share_id}"
        assert fetched not in served_page.asked, "nothing may be asked before a click"
        page.click("#open-shared")
        page.wait_for_selector("#answered")
        assert "成立" in told(page)
        assert lines(page)["posted"] == lines(page)["origin"] == "hidden"
        assert fetched in served_page.asked
        assert not any(spelled(key) in each for each in served_page.asked)


def test_a_shared_link_that_does_not_open(browser: Browser, served_page: PageServer) -> None:
    share_id, key = share(served_page, PAPERS["share"])
    spoiled_id, spoiled_key = share(served_page, PAPERS["share"])
    sealed = served_page.shared[spoiled_id]
    served_page.shared[spoiled_id] = sealed[:40] + bytes([sealed[40] ^ 1]) + sealed[41:]
    links = {
        f"{share_id}.{spelled(bytes(16))}": "打不开",
        f"{spoiled_id}.{spelled(spoiled_key)}": "打不开",
        f"{'A' * 22}.{spelled(key)}": "没有这条分享",
    }
    with visiting(browser, f"{served_page.url}/verify#{share_id}.{spelled(key)[:-3]}") as page:
        assert "链接不完整" in page.inner_text(".problem")
        for tail, words in links.items():
            page.evaluate("tail => { location.hash = tail }", tail)
            page.click("#open-shared")
            page.wait_for_function(
                "words => document.querySelector('.problem')?.textContent.includes(words)",
                arg=words,
            )
            assert not page.is_visible("#result")


def test_a_node_of_ones_own_is_named_and_not_believed(
    browser: Browser, served_page: PageServer
) -> None:
    other = Installation()
    other.node.id = 1
    with (
        serving(other) as elsewhere,
        visiting(browser, served_page.url + "/verify") as page,
    ):
        drop(page, PAPERS["full"])
        page.click(".ask summary")
        page.fill("#node-url", "javascript:alert(1)")
        page.click("#ask-own")
        assert "https://" in page.inner_text(".problem")
        page.fill("#node-url", elsewhere.url + "/public/v1/chain/rpc")
        page.click("#ask-own")
        page.wait_for_selector("#answered")
        assert elsewhere.url in page.inner_text("#answered")
        assert "你指定的" in page.inner_text("#answered")
        assert lines(page)["anchor"] == "failed"


def test_another_trust_file_than_the_carried_one(browser: Browser, served_page: PageServer) -> None:
    forger = Installation(shift=1)
    with visiting(browser, served_page.url + "/verify") as page:
        drop(page, an_award(forger).receipt())
        assert page.get_attribute("#headline", "data-ok") == "false"
        drop(page, forger.trust_file(), "#trust-file")
        page.wait_for_selector("#headline[data-ok=true]")
        assert "你自己保存的文件" in page.inner_text("#trust")


def test_a_trust_file_that_changed_without_its_root_key_is_told(browser: Browser) -> None:
    first, second = Installation(), Installation(shift=1)
    with (
        serving(first) as server,
        visiting(browser, server.url + "/verify") as page,
    ):
        assert "第一次见到" in page.inner_text("#trust")
        page.reload()
        assert "与这台设备上次见到的相同" in page.inner_text("#trust")
        server.trust = second.trust_file()
        page.reload()
        assert "请另行求证" in page.inner_text("#trust")


def test_it_is_small_strict_and_fits_a_desk(browser: Browser, served_page: PageServer) -> None:
    files = [*SITE.joinpath("verify").rglob("*.*"), SITE / "site.css", SITE / "mark.svg"]
    carried = 4 * len(served_page.trust) // 3
    assert sum(file.stat().st_size for file in files) + carried <= PAGE_BYTES_MAX
    with a_page(browser, DESK) as page:
        answer = page.goto(served_page.url + "/verify")
        assert answer is not None
        policy = answer.headers["content-security-policy"]
        assert "unsafe" not in policy
        assert "script-src 'self';" in policy
        drop(page, PAPERS["statement"])
        assert fits(page)
        assert lines(page)["origin"] == "ok"


def test_chromium_gives_the_verdicts_of_the_program(
    browser: Browser, served_page: PageServer
) -> None:
    changed = [*PAPERS.values(), *flipped_bytes(PAPERS["full"], 20, 3)]
    changed += list(structures(PAPERS["full"], 9, 1))[::8]
    with visiting(browser, served_page.url + "/verify") as page:
        answers = page.evaluate(
            """async ([papers, trust]) => {
                const { verify } = await import("/verify/check/verify.mjs");
                const bytes = (text) => Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
                const found = [];
                for (const paper of papers) {
                    const { steps } = await verify(bytes(paper), bytes(trust));
                    found.push(steps.map(({ verdict }) => verdict));
                }
                return found;
            }""",
            [
                [base64.b64encode(each).decode() for each in changed],
                base64.b64encode(HERE.trust_file()).decode(),
            ],
        )
    for paper, answer in zip(changed, answers, strict=True):
        assert answer == program(paper), paper


def test_pasted_text_and_a_link_of_another_site(browser: Browser, served_page: PageServer) -> None:
    with visiting(browser, served_page.url + "/verify") as page:
        page.click("#paste-box summary")
        page.fill("#pasted", f"  {PAPERS['full'].decode()}\n")
        page.click("#paste")
        page.wait_for_selector("#headline")
        assert "离线部分成立" in told(page)
        page.fill("#pasted", f"https://elsewhere.example/verify#{'A' * 22}.{'A' * 22}")
        page.click("#paste")
        assert "elsewhere.example" in page.inner_text(".problem")
        page.fill("#pasted", dumps(json.loads(HERE.trust_file())).decode())
        page.click("#paste")
        assert "这是一份信任文件" in page.inner_text(".problem")
