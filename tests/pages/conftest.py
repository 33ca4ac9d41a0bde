"""One browser and one served page for the tests of the verify page."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.browser import chromium
from tests.outside.test_second_verifier import HERE
from tests.pages.page_server import PageServer, serving


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def served_page() -> Iterator[PageServer]:
    with serving(HERE) as server:
        yield server
