"""`/notices`: what is on public notice, and a form by which anyone objects."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from backend.kit.problems import Problem
from backend.kit.services import Services
from backend.kit.site import page_policy
from backend.officials import life
from backend.public_api.layout import page, tag, text
from backend.public_api.notices import UNKNOWN_NOTICE

LISTED_MAX = 100
ANSWERED_SHOWN_MAX = 200
_WHAT = {1: ("rules", "激励规则"), 2: ("methods", "减排方法")}
_FORM = """
<h2>提出异议</h2>
<form class="card" id="objection" data-notice="{notice_id}">
<p><label for="words">您的意见</label>
<textarea id="words" rows="6" maxlength="4000" required></textarea></p>
<p><label for="contact">联系方式（选填，只用于答复，不公开）</label>
<input id="contact" maxlength="200" autocomplete="off"></p>
<p><button>提交异议</button></p>
<p class="muted small">异议由工作人员答复后连同答复一起公开；答复之前不公开。</p>
<div id="told" role="status"></div>
<noscript><p class="notice">提交需要允许 JavaScript。</p></noscript>
</form>
"""


def add_notice_pages(door: APIRouter, services: Services) -> None:
    """`/notices` and one page for each notice."""
    zone = ZoneInfo(services.settings.city_tz)

    @door.get("/notices", response_class=HTMLResponse, include_in_schema=False)
    async def listed() -> HTMLResponse:  # pyright: ignore[reportUnusedFunction]
        async with services.db.transaction(readonly=True) as tx:
            found = await life.notices(tx, before=None, limit=LISTED_MAX)
        body = _list(found, services.clock.now(), zone)
        return page("公示 · 碳惠", body, here="/notices")

    @door.get("/notices/{notice_id}", response_class=HTMLResponse, include_in_schema=False)
    async def one(notice_id: UUID) -> HTMLResponse:  # pyright: ignore[reportUnusedFunction]
        async with services.db.transaction(isolation="repeatable_read", readonly=True) as tx:
            notice = await life.notice_of(tx, notice_id)
            if notice is None:
                raise Problem(*UNKNOWN_NOTICE)
            filed = await life.objections(tx, services.vault, notice_id)
        now = services.clock.now()
        title = f"{notice.id} 第 {notice.version} 版公示"
        body = _whole(title, notice, now, zone) + _objections(filed, zone)
        answer = page(
            f"{title} · 碳惠",
            body + (_FORM.format(notice_id=notice_id) if notice.takes_objections(now) else ""),
            here="/notices",
            head='<script type="module" src="/notice.mjs"></script>',
        )
        answer.headers.update(page_policy())
        return answer


def _standing(notice: life.Notice, now: datetime) -> str:
    return tag("公示中", "good") if notice.takes_objections(now) else tag("已结束")


def _list(found: Sequence[life.Notice], now: datetime, zone: ZoneInfo) -> str:
    cards = "".join(
        f'<li><a class="card" href="/notices/{each.notice_id}">'
        f"<h3>{text(each.id)} 第 {each.version} 版</h3>"
        f"<p>{tag(_WHAT[each.what][1])} {_standing(each, now)}</p>"
        f'<p class="muted small">{_span(each, zone)}</p></a></li>'
        for each in found
    )
    nothing = '<p class="card muted">目前没有公示。</p>'
    return (
        '<h1>公示</h1><p class="lead">规则和方法生效之前先公示。谁都可以看全文，也可以提出异议；'
        "异议得到答复之后，连同答复一起公开。</p>"
        + (f'<ul class="grid">{cards}</ul>' if cards else nothing)
    )


def _span(notice: life.Notice, zone: ZoneInfo) -> str:
    until = "生效" if notice.closes_at == notice.opens_at else _shown(notice.closes_at, zone)
    return f"{_shown(notice.opens_at, zone)} 至 {until}"


def _shown(instant: datetime, zone: ZoneInfo) -> str:
    return f"{instant.astimezone(zone):%Y-%m-%d %H:%M}"


def _whole(title: str, notice: life.Notice, now: datetime, zone: ZoneInfo) -> str:
    folder, kind = _WHAT[notice.what]
    path = f"/{folder}/{text(notice.id)}/{notice.version}"
    return (
        f"<h1>{text(title)}</h1><p>{tag(kind)} {_standing(notice, now)}</p>"
        f"<p>公示时间：{_span(notice, zone)}</p>"
        f'<p><a class="button" href="{path}">看全文与白话说明</a></p>'
        f'<p class="muted small">全文摘要（SM3）<code>{notice.digest.hex()}</code>：'
        "生效的必须正是这一份。</p>"
    )


def _objections(filed: Sequence[life.ObjectionFiled], zone: ZoneInfo) -> str:
    if not filed:
        return '<h2>异议</h2><p class="card muted">还没有人提出异议。</p>'
    answered = [each for each in filed if each.answer is not None]
    shown = "".join(_objection(each, zone) for each in answered[-ANSWERED_SHOWN_MAX:])
    counts = f"共 {len(filed)} 件，已答复 {len(answered)} 件；其余等待答复，答复之后公开。"
    return f'<h2>异议</h2><p class="muted">{counts}</p>{shown}'


def _objection(filed: life.ObjectionFiled, zone: ZoneInfo) -> str:
    when = f'<p class="muted small">{_shown(filed.filed_at, zone)} 提出</p>'
    upheld = tag("已采纳", "good") if filed.upheld else tag("未采纳")
    return (
        f'<div class="card">{when}<p class="plain-card">{text(filed.text)}</p>'
        f'<p>{upheld} <b>答复：</b></p><p class="plain-card">{text(filed.answer)}</p></div>'
    )
