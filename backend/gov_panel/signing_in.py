"""Signing in and out: plain forms, which work before any script has loaded."""

# pyright: standard

import html
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from backend.flows import sign_in
from backend.gov_panel.desk import COOKIE, Desk
from backend.kit.problems import Problem
from backend.officials import access

_PAGE = """<!doctype html><html lang="zh-CN"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>登录 · 碳惠政府端</title>
<link rel="stylesheet" href="/static/sign_in.css"></head><body><main>
<h1>碳惠 · 政府管理端</h1><p>{city}</p>{said}
<form method="post" action="/login">
<label>用户名<input name="user" value="{user}" autocomplete="username" required autofocus></label>
<label>口令<input name="password" type="password" autocomplete="current-password" required></label>
<label>动态码(认证器上的 6 位数字)<input name="totp" inputmode="numeric" pattern="[0-9]{{6}}"
 autocomplete="one-time-code" required></label>
<button type="submit">登录</button></form>
<p class="demo"><a href="/activate">首次使用或重置后:激活账号</a></p></main></body></html>"""

Field = Annotated[str, Form(max_length=128)]


def router(desk: Desk) -> APIRouter:
    """`GET /login`, `POST /login`, `POST /logout`."""
    door = APIRouter()

    @door.get("/login")
    async def form() -> HTMLResponse:
        return _form(desk)

    @door.post("/login", response_model=None)
    async def enter(user: Field, password: Field, totp: Field) -> HTMLResponse | RedirectResponse:
        try:
            signed_in = await sign_in.sign_in(desk.services, user, password, totp)
        except Problem as problem:
            return _form(desk, problem, user)
        answer = RedirectResponse("/", 303)
        answer.set_cookie(
            COOKIE,
            signed_in.token,
            max_age=int(access.SESSION_LIFE.total_seconds()),
            httponly=True,
            samesite="strict",
            secure=desk.settings.profile == "production",
        )
        return answer

    @door.post("/logout")
    async def leave(request: Request) -> RedirectResponse:
        visit = await desk.visit(request)
        if visit is not None:
            await sign_in.sign_out(desk.services, visit.session)
        answer = RedirectResponse("/login", 303)
        answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return answer

    return door


def _form(desk: Desk, problem: Problem | None = None, user: str = "") -> HTMLResponse:
    said = ""
    if problem is not None:
        said = f'<p class="refused" role="alert">{html.escape(problem.detail)}</p>'
    elif desk.settings.profile != "production":
        said = '<p class="demo">演示环境。账号、口令与动态码密钥写在 var/demo/sign-ins.json。</p>'
    page = _PAGE.format(
        city=html.escape(desk.settings.issuer_name), said=said, user=html.escape(user, quote=True)
    )
    return HTMLResponse(page, 200 if problem is None else problem.status)
