"""A real Chromium for tests: where it is missing, a person's run skips by name and CI fails.

Playwright keeps an event loop running in its thread while a browser is open: a fixture holds one
for a module of plain tests, never longer.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PHONE = {"width": 390, "height": 844}
DESK = {"width": 1440, "height": 900}


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser for as long as the block runs."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail("Chromium is not installed, and CI=true makes it compulsory")
        pytest.skip("Chromium is not installed: this page was not opened in a browser")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def a_page(browser: Browser, size: dict[str, int] = PHONE) -> Iterator[Page]:
    """A fresh visitor's page. Whatever the browser complains of while it is open is a failure."""
    context = browser.new_context(viewport=size, locale="zh-CN")  # pyright: ignore[reportArgumentType]
    complaints: list[str] = []
    page = context.new_page()
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    try:
        yield page
    finally:
        context.close()
    refused = [each for each in complaints if "Failed to load resource" not in each]
    assert refused == []


def fits(page: Page) -> bool:
    """Whether nothing sticks out sideways."""
    return page.evaluate(
        "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    )
