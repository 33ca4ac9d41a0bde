"""A new official opens the account in the browser, with nothing but the two halves of a code."""

import re
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pyotp.totp import TOTP

from backend.gov_panel import activating, signing_in
from backend.kit.services import Services
from backend.officials import requests

FORM = {"user": "sys", "password": "correct-horse-staple", "again": "correct-horse-staple"}


@pytest.fixture
async def browser(services: Services, cheap_hashing: None):
    desk: Any = SimpleNamespace(services=services, settings=services.settings)
    app = FastAPI()
    app.include_router(activating.router(desk))
    app.include_router(signing_in.router(desk))
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://panel") as http:
        yield http


async def test_the_code_the_authenticator_the_password(browser, services: Services) -> None:
    async with services.db.transaction() as tx:
        code = await requests.found_administrator(
            tx, services.vault, services.clock, "sys", "系统", "system_admin"
        )
    assert "/activate" in (await browser.get("/login")).text
    assert "激活码" in (await browser.get("/activate")).text
    wrong = await browser.post("/activate/begin", data={"user": "sys", "code": "a-b"})
    assert (wrong.status_code, "已过期" in wrong.text) == (410, True)
    odd = await browser.post("/activate/begin", data={"user": "<b>\0", "code": code})
    assert (odd.status_code, "<b>" in odd.text) == (401, False)
    begun = await browser.post("/activate/begin", data={"user": "sys", "code": code})
    assert "data:image/svg+xml" in begun.text
    found = re.search(r"<code>([A-Z2-7]+)</code>", begun.text)
    assert found is not None
    form = FORM | {"code": code, "totp": TOTP(found[1]).at(services.clock.now())}
    for bad in ({"again": "x"}, {"password": "short", "again": "short"}, {"totp": "000000"}):
        answer = await browser.post("/activate", data=form | bad)
        assert 'role="alert"' in answer.text, bad
    assert "已激活" in (await browser.post("/activate", data=form)).text
    used = await browser.post("/activate", data=form)
    assert used.status_code == 410
