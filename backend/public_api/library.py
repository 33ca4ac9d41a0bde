"""`/rules`, `/methods` and one page for each version: what a citizen reads before believing it."""

import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, cast

from fastapi import APIRouter, Path
from fastapi.responses import HTMLResponse

from backend import methodology, views
from backend.flows.rule_words import rule_card
from backend.kit.canonical import loads_strict
from backend.kit.problems import Problem
from backend.kit.services import Services
from backend.public_api.layout import page, table, tag, text
from backend.views import DocumentEntry, What

_PATHS: dict[What, str] = {"rule": "/rules", "method": "/methods"}
_TITLES: dict[What, str] = {"rule": "激励规则", "method": "减排方法"}
_LEADS: dict[What, str] = {
    "rule": "规则说明一次行为得多少分。每一版由两位审批人用各自的密钥签名，"
    "全文的摘要登记在区块链上；生效之后不能改，只能由新的一版接替。",
    "method": "方法说明一次行为减排多少，按公布的公式和参数计算，只在最后取整一次。"
    "每个参数都有日期、单位、出处和等级；未经主管部门批准的标为暂行。",
}
_JSON: dict[What, str] = {"rule": "/public/v1/rules", "method": "/public/v1/methodologies"}
_STANDING = {
    "draft": ("草案", ""),
    "approved": ("已审批", "stated"),
    "enacted": ("生效中", "good"),
    "stopped": ("已停用", "bad"),
}
_GRADES = {"approved": ("已批准", "good"), "provisional": ("暂行", "warn")}

Name = Annotated[str, Path(pattern=r"^[a-z][a-z0-9.-]{0,31}$")]
Version = Annotated[int, Path(ge=1, le=2**31 - 1)]


def add_library(door: APIRouter, services: Services) -> None:
    """Lists and pages of rules and methods."""
    _add(door, services, "rule")
    _add(door, services, "method")


def _add(door: APIRouter, services: Services, what: What) -> None:
    @door.get(_PATHS[what], response_class=HTMLResponse, include_in_schema=False)
    async def listed() -> HTMLResponse:  # pyright: ignore[reportUnusedFunction]
        async with services.db.transaction(readonly=True) as tx:
            found = await views.documents_listed(tx, what)
        cards = "".join(_summary(each) for each in reversed(found))
        shown = f'<ul class="grid">{cards}</ul>' if cards else '<p class="card muted">还没有。</p>'
        body = f'<h1>{_TITLES[what]}</h1><p class="lead">{_LEADS[what]}</p>{shown}'
        return page(f"{_TITLES[what]} · 碳惠", body, here=_PATHS[what])

    @door.get(
        _PATHS[what] + "/{name}/{version}", response_class=HTMLResponse, include_in_schema=False
    )
    async def one(name: Name, version: Version) -> HTMLResponse:  # pyright: ignore[reportUnusedFunction]
        async with services.db.transaction(readonly=True) as tx:
            found = await views.document_entry(tx, what, name, version)
        if found is None:
            raise Problem(404, "unknown-document", "没有这个版本。", id=name, version=version)
        title = f"{found.id} 第 {found.version} 版"
        return page(f"{title} · 碳惠", _whole(title, found), here=_PATHS[what])


def _tags(found: DocumentEntry) -> str:
    shown = [_STANDING.get(found.status, (found.status, ""))]
    if found.grade is not None:
        shown.append(_GRADES.get(found.grade, (found.grade, "")))
    return " ".join(tag(*each) for each in shown)


def _window(found: DocumentEntry) -> str:
    until = "起长期" if found.day_to is None else f" 至 {found.day_to} 前一日"
    return f"行为日 {found.day_from}{until}"


def _summary(found: DocumentEntry) -> str:
    path = f"{_PATHS[found.what]}/{text(found.id)}/{found.version}"
    return (
        f'<li><a class="card" href="{path}"><h3>{text(found.id)}</h3>'
        f"<p>第 {found.version} 版 {_tags(found)}</p>"
        f'<p class="muted small">{_window(found)}</p></a></li>'
    )


def _whole(title: str, found: DocumentEntry) -> str:
    document = cast("Mapping[str, Any]", loads_strict(found.document))
    plain = rule_card(found.document) if found.what == "rule" else methodology.card(found.document)
    return (
        f"<h1>{text(title)}</h1><p>{_tags(found)}</p>"
        f'<div class="card plain-card">{text(plain)}</div>'
        f"{_parameters(document['needs']['params'])}"
        f'<h2>凭什么算数</h2><div class="card">{table(("项目", "内容"), _standing(found))}</div>'
        "<h2>原文</h2><details><summary>摘要所覆盖的规范 JSON</summary>"
        f"<pre>{text(json.dumps(document, ensure_ascii=False, indent=1))}</pre></details>"
        f'<p><a href="{_JSON[found.what]}/{text(found.id)}/{found.version}">机器可读的版本</a></p>'
    )


def _parameters(params: Mapping[str, Mapping[str, Any]]) -> str:
    if not params:
        return ""
    rows = [
        (
            f"<code>{text(name)}</code>",
            f"{each['value']:,} {text(each['unit'])}",
            text(each["date"]),
            tag(each["grade"], "good" if each["grade"] in "AB" else "warn"),
            text(each["reference"]),
        )
        for name, each in sorted(params.items())
    ]
    shown = table(("参数", "数值", "日期", "等级", "出处"), rows)
    return f'<h2>参数</h2><div class="card">{shown}</div>'


def _standing(found: DocumentEntry) -> Iterable[tuple[str, str]]:
    approvers = "<br>".join(f"<code>{text(each)}</code>" for each in found.approvers or ())
    yield "摘要（SM3）", f"<code>{found.digest.hex()}</code>"
    yield "公布", f"{found.published_at:%Y-%m-%d %H:%M} UTC"
    yield "审批人", approvers or "尚未审批"
    yield (
        "生效登记",
        "尚未登记" if found.enacted_at is None else f"{found.enacted_at:%Y-%m-%d %H:%M} UTC",
    )
    if found.tx_hash is not None:
        yield "链上交易", f"<code>0x{found.tx_hash.hex()}</code>"
