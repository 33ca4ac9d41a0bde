"""A new or reset account is opened: the code of two halves, the authenticator, the password.

Plain forms without a script: this page is reached before anybody is signed in.
"""

# pyright: standard

import html
from typing import Annotated

import segno
from fastapi import APIRouter, Form
from fastapi.responses import HTMLResponse

from backend.flows import own_key
from backend.gov_panel.desk import Desk
from backend.kit.problems import Problem

_PAGE = """<!doctype html><html lang="zh-CN"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>激活账号 · 碳惠政府端</title>
<link rel="stylesheet" href="/static/sign_in.css"></head><body><main>
<h1>激活账号</h1>{said}{body}
<p class="demo"><a href="/login">返回登录</a></p></main></body></html>"""

_ASKING = """<p>两位管理员各给您一半激活码,按“前一半-后一半”填写。</p>
<form method="post" action="/activate/begin">
<label>用户名<input name="user" value="{user}" autocomplete="username" required autofocus></label>
<label>激活码<input name="code" autocomplete="off" required></label>
<button type="submit">下一步</button></form>"""

_SETTING = """<p>用认证器应用扫描,或手工输入密钥 <code>{secret}</code>。</p>
<p><img src="{picture}" width="200" height="200" alt="认证器二维码"></p>
<form method="post" action="/activate">
<input type="hidden" name="user" value="{user}"><input type="hidden" name="code" value="{code}">
<label>新口令(12 至 128 个字符)<input name="password" type="password"
 autocomplete="new-password" minlength="12" maxlength="128" required autofocus></label>
<label>再输一遍<input name="again" type="password" autocomplete="new-password" required></label>
<label>动态码(认证器上的 6 位数字)<input name="totp" inputmode="numeric" pattern="[0-9]{{6}}"
 autocomplete="one-time-code" required></label>
<button type="submit">激活</button></form>"""

_DONE = '<p>账号 {user} 已激活。</p><p><a href="/login">去登录</a></p>'

Field = Annotated[str, Form(max_length=128)]


def router(desk: Desk) -> APIRouter:
    """`GET /activate`, `POST /activate/begin`, `POST /activate`."""
    door = APIRouter()

    @door.get("/activate")
    async def form() -> HTMLResponse:
        return _code_form()

    @door.post("/activate/begin")
    async def begin(user: Field, code: Field) -> HTMLResponse:
        return await _password_form(desk, user, code)

    @door.post("/activate")
    async def activate(
        user: Field, code: Field, password: Field, again: Field, totp: Field
    ) -> HTMLResponse:
        try:
            if password != again:
                raise Problem(422, "weak-password", "两次输入的口令不一样。")
            await own_key.activate(desk.services, user, code, password, totp)
        except Problem as problem:
            if problem.name == "activation-refused":
                return _code_form(problem, user)
            return await _password_form(desk, user, code, problem)
        return _page(_DONE.format(user=_text(user)))

    return door


def _code_form(problem: Problem | None = None, user: str = "") -> HTMLResponse:
    return _page(_ASKING.format(user=_text(user)), problem)


async def _password_form(
    desk: Desk, user: str, code: str, problem: Problem | None = None
) -> HTMLResponse:
    try:
        secret, uri = await own_key.begin_activation(desk.services, user, code)
    except Problem as refused:
        return _code_form(refused, user)
    body = _SETTING.format(
        secret=_text(secret),
        picture=_text(segno.make(uri).svg_data_uri(scale=4, border=2)),
        user=_text(user),
        code=_text(code),
    )
    return _page(body, problem)


def _page(body: str, problem: Problem | None = None) -> HTMLResponse:
    said = ""
    if problem is not None:
        said = f'<p class="refused" role="alert">{_text(problem.detail)}</p>'
    page = _PAGE.format(said=said, body=body)
    return HTMLResponse(page, 200 if problem is None else problem.status)


def _text(value: str) -> str:
    return html.escape(value, quote=True)
