"""Pages for people: where to click first, the API described. No script, nothing from outside."""

import html
from collections.abc import Mapping
from typing import Any, cast

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from backend import incentive, proof, views
from backend.kit.services import Services
from backend.public_api.reference import reference_page

LINKS = (
    ("/public/v1/trust", "信任文件 trust.json", "先保存它:以后核验回执只认这份文件"),
    ("/public/v1/checkpoint", "最新检查点", "公开日志的签名头,已写入区块链"),
    ("/public/v1/supply", "积分流通", "账本、链上、在途,差额应为 0"),
    ("/public/v1/rules", "激励规则", "每一版的全文、摘要与审批人"),
    ("/public/v1/methodologies", "减排方法", "公式、参数、来源与等级"),
    ("/public/v1/budgets", "预算", "每个激励活动可发与已发"),
    ("/public/v1/scenarios", "场景", "合作平台可以上报什么"),
    ("/public/v1/keys", "公钥", "平台、合作平台与审批人"),
    ("/docs", "接口说明", "每个接口、每种错误与示例"),
    ("/ready", "运行状态", "数据库、区块链与积压"),
)


def page(title: str, body: str) -> str:
    """A whole page around a body that is already HTML."""
    return (
        '<!doctype html><html lang="zh-CN"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{html.escape(title)}</title><link rel="stylesheet" href="/site.css"></head>'
        f'<body><div class="page">{body}</div></body></html>'
    )


def add_pages(door: APIRouter, services: Services) -> None:
    """`/` and `/docs`."""

    @door.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def start() -> HTMLResponse:  # pyright: ignore[reportUnusedFunction]
        async with services.db.transaction(isolation="repeatable_read", readonly=True) as tx:
            at = await views.edges(tx)
            head = await proof.latest_checkpoint(tx)
            issued = sum(each.issued for each in await incentive.budgets(tx))
            people = await tx.fetchval("SELECT count(*) FROM citizen WHERE erased_at IS NULL")
        figures = {
            "已发放积分": issued,
            "日志叶子": at.sealed,
            "已上链存证": at.confirmed,
            "已记入账户": at.posted,
            "市民": people,
        }
        body = _start_body(services, figures, "" if head is None else head.note)
        return HTMLResponse(page("碳惠 Tanhui", body))

    @door.get("/docs", response_class=HTMLResponse, include_in_schema=False)
    async def docs(request: Request) -> HTMLResponse:  # pyright: ignore[reportUnusedFunction]
        schema = cast("Mapping[str, Any]", request.app.openapi())
        return HTMLResponse(page("碳惠 · 接口说明", reference_page(schema)))


def _start_body(services: Services, figures: Mapping[str, int], note: str) -> str:
    settings = services.settings
    shown = "".join(
        f"<li><b>{count:,}</b>{html.escape(name)}</li>" for name, count in figures.items()
    )
    rows = "".join(
        f'<tr><td><a href="{path}">{html.escape(name)}</a></td><td>{html.escape(why)}</td></tr>'
        for path, name, why in LINKS
    )
    warning = (
        ""
        if settings.profile == "production"
        else f"<p class=muted>这是 {html.escape(settings.profile)} 环境,仅供演示。</p>"
    )
    head = html.escape(note) if note else "还没有检查点。"
    return (
        f"<h1>碳惠 Tanhui · {html.escape(settings.issuer_name)}</h1>"
        "<p>每一分低碳积分都能由任何人核验:减排量和积分可以当场重算,"
        "记录写在公开日志里,日志的签名头写在区块链上。</p>"
        f"{warning}<ul class=figures>{shown}</ul>"
        f"<h2>从这里开始</h2><table>{rows}</table>"
        "<h2>自己核验一张回执</h2><p>从市民端下载回执,再保存"
        " <a href='/public/v1/trust'>trust.json</a>,然后运行:</p>"
        "<pre>tanhui verify receipt.json --trust trust.json "
        f"--rpc http://{html.escape(settings.host)}:{settings.port}/public/v1/chain/rpc</pre>"
        f"<h2>最新检查点</h2><pre>{head}</pre>"
        "<p class=muted>English: every carbon point here can be checked by anyone. Start with "
        "<a href='/public/v1/trust'>the trust file</a>, <a href='/public/v1/supply'>the supply</a> "
        "and <a href='/docs'>the API</a>.</p>"
    )
