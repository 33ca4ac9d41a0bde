"""The start page: what this is, where to click first, what circulates. No script."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from backend import incentive, proof, views
from backend.incentive import BudgetState
from backend.kit.problems import Problem
from backend.kit.services import Services
from backend.public_api.circulation import CurrentSupply, Supply, programme_names
from backend.public_api.layout import bar, page, table, text
from backend.public_api.reference import reference_page

DOORS = (
    ("/verify", "核验一张回执", "在你的浏览器里重做每一步：不登录，不上传，也不必相信我们。"),
    ("/rules", "激励规则", "一次行为得多少分：每一版的全文、审批人与链上登记。"),
    ("/methods", "减排方法", "一次行为减排多少：公式、参数、出处与等级。"),
    ("/notices", "公示与异议", "规则和方法生效之前先公示，谁都可以提出异议。"),
    ("/m/", "市民端", "查看积分与每一次行为的结果，兑换、停车、分享回执。"),
    ("/docs", "接口说明", "每个接口、每种错误与示例，可离线阅读。"),
)
PAPERS = (
    ("/public/v1/trust", "信任文件 trust.json", "先保存它：以后核验回执只认这份文件"),
    ("/public/v1/checkpoint", "最新检查点", "公开日志的签名头，已写入区块链"),
    ("/public/v1/supply", "积分流通", "账本、链上、在途，差额应为 0"),
    ("/public/v1/budgets", "预算", "每个激励活动可发与已发"),
    ("/public/v1/scenarios", "场景", "合作平台可以上报什么"),
    ("/public/v1/keys", "公钥", "平台、合作平台与审批人"),
    ("/ready", "运行状态", "数据库、区块链与积压"),
)
_PROFILES = {"demo": "演示环境：数据是虚构的，积分不是真的。", "test": "测试环境，仅供联调。"}


def add_pages(door: APIRouter, services: Services, supply: CurrentSupply) -> None:
    """`/` and `/docs`."""

    @door.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def start() -> HTMLResponse:  # pyright: ignore[reportUnusedFunction]
        async with services.db.transaction(isolation="repeatable_read", readonly=True) as tx:
            at = await views.edges(tx)
            head = await proof.latest_checkpoint(tx)
            budgets = await incentive.budgets(tx)
            names = await programme_names(tx, budgets)
            people = await tx.fetchval("SELECT count(*) FROM citizen WHERE erased_at IS NULL")
        figures = {
            "已发放积分": sum(each.issued for each in budgets),
            "日志叶子": at.sealed,
            "已上链存证": at.confirmed,
            "已记入账户": at.posted,
            "市民": people,
        }
        body = (
            _opening(services, figures) + _supply(await _classes(supply)) + _budgets(budgets, names)
        )
        return page("碳惠 Tanhui", body + _closing(services, "" if head is None else head.note))

    @door.get("/docs", response_class=HTMLResponse, include_in_schema=False)
    async def docs(request: Request) -> HTMLResponse:  # pyright: ignore[reportUnusedFunction]
        schema = cast("Mapping[str, Any]", request.app.openapi())
        return page("碳惠 · 接口说明", reference_page(schema), here="/docs")


async def _classes(supply: CurrentSupply) -> Sequence[Supply] | None:
    try:
        return (await supply.read()).items
    except Problem:
        return None  # The chain does not answer at the moment; the page says so.


def _opening(services: Services, figures: Mapping[str, int]) -> str:
    settings = services.settings
    warning = _PROFILES.get(settings.profile, "")
    notice = f'<p class="notice">{warning}</p>' if warning else ""
    shown = "".join(f"<li><b>{count:,}</b>{text(name)}</li>" for name, count in figures.items())
    doors = "".join(
        f'<li><a class="card{" first" if place == 0 else ""}" href="{path}"><h3>{name}</h3>'
        f'<p class="muted small">{why}</p></a></li>'
        for place, (path, name, why) in enumerate(DOORS)
    )
    return (
        f"<h1>{text(settings.issuer_name)} · 低碳积分</h1>"
        '<p class="lead">坐地铁、骑车、节电、错峰停车，合作平台上报，减排量按公开的方法核算，'
        "积分按公开的规则发放。每一分都写进公开日志，日志的签名头写在区块链上，"
        "任何人都能当场重算，不必相信我们。</p>"
        f'{notice}<ul class="figures">{shown}</ul>'
        f'<h2>从这里开始</h2><ul class="grid">{doors}</ul>'
    )


def _supply(classes: Sequence[Supply] | None) -> str:
    if classes is None:
        shown = '<p class="card muted">区块链节点暂时没有回答，稍后再看。</p>'
    elif not classes:
        shown = '<p class="card muted">还没有发放过积分。</p>'
    else:
        rows = [row for each in classes for row in _class_rows(each)]
        heads = ("类别", "账面", "已发放", "已使用", "已注销")
        shown = f'<div class="card">{table(heads, rows, numbers=3)}</div>'
    return (
        "<h2>流通中的积分</h2>"
        f'{shown}<p class="muted small">账本 = 链上 + 在途，逐类对得上；'
        "对不上会在这里显示差额。</p>"
    )


def _class_rows(each: Supply) -> list[tuple[str, ...]]:
    lanes = {"账本": each.ledger, "链上": each.chain, "在途": each.in_flight}
    rows = [
        (
            text(each.points_class) if place == 0 else "",
            f'<span class="key">{name}</span>',
            *(f"{figure:,}" for figure in (lane.issued, lane.redeemed, lane.retired)),
        )
        for place, (name, lane) in enumerate(lanes.items())
    ]
    if each.difference:
        rows.append(("", "<b>差额</b>", f"<b>{each.difference:,}</b>", "", ""))
    return rows


def _budgets(budgets: Sequence[BudgetState], names: Mapping[str, str]) -> str:
    if not budgets:
        return ""
    rows = [
        (
            text(names[each.programme_id]),
            f'<span class="key">{"总额" if each.period == "total" else text(each.period)}</span>',
            bar(each.issued, each.envelope),
            f"{each.issued:,}",
            f"{each.envelope:,}",
        )
        for each in budgets
    ]
    heads = ("激励活动", "期间", "进度", "已发放", "预算（分）")
    shown = table(heads, rows, numbers=2).replace("<th>进度", '<th class="bar-head">进度')
    return f'<h2>激励预算</h2><div class="card">{shown}</div>'


def _closing(services: Services, note: str) -> str:
    settings = services.settings
    rows = [(f'<a href="{path}">{name}</a>', why) for path, name, why in PAPERS]
    return (
        f'<h2>数据与文件</h2><div class="card">{table(("文件", "用途"), rows)}</div>'
        "<h2>用命令行核验</h2><p>从市民端下载回执，再保存"
        ' <a href="/public/v1/trust">trust.json</a>，然后运行：</p>'
        "<pre>tanhui verify receipt.json --trust trust.json "
        f"--rpc http://{text(settings.host)}:{settings.port}/public/v1/chain/rpc</pre>"
        f"<h2>最新检查点</h2><pre>{text(note) if note else '还没有检查点。'}</pre>"
        '<footer lang="en"><p>Every carbon point here can be checked by anyone. Start with '
        '<a href="/verify">the verify page</a>, <a href="/public/v1/trust">the trust file</a>, '
        '<a href="/public/v1/supply">the supply</a> and <a href="/docs">the API</a>.</p></footer>'
    )
