"""The frame of every page (menu, chain strip, who is signed in) and the pieces of pages."""

# pyright: standard

from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from fastapi import Request
from fastapi.responses import RedirectResponse
from nicegui import ui

from backend import views
from backend.gov_panel.desk import Desk, Visit
from backend.kit.db import DATABASE_AWAY
from backend.kit.logs import log
from backend.kit.problems import Problem
from backend.officials import roles


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the menu: shown to who may do `act`."""

    path: str
    title: str
    icon: str
    act: str


MENU = (
    Entry("/", "驾驶舱", "speed", "figures.read"),
    Entry("/rules", "激励规则", "rule", "rules.read"),
    Entry("/methods", "方法学", "functions", "rules.read"),
    Entry("/budgets", "预算", "savings", "programmes.read"),
    Entry("/partners", "合作方", "handshake", "partners.read"),
    Entry("/evidence", "证据与核验", "fact_check", "evidence.read"),
    Entry("/parking", "停车结算", "local_parking", "parking.read"),
    Entry("/cases", "更正与申诉", "gavel", "cases.read"),
    Entry("/officials", "人员与授权", "badge", "officials.read"),
    Entry("/audit", "审计日志", "receipt_long", "audit.read"),
    Entry("/exports", "导出", "download", "exports.make"),
)

Build = Callable[[Visit], Awaitable[None]]


def account_page(desk: Desk, path: str, title: str) -> Callable[[Build], Build]:
    """Serve a page at `path` to everyone who is signed in."""
    return place(desk, path, title, None)


def place(desk: Desk, path: str, title: str, act: str | None) -> Callable[[Build], Build]:
    """Serve a page at `path` to officials who may do `act`; others are told so."""

    def register(build: Build) -> Build:
        @ui.page(path, title=f"{title} · 碳惠政府端", response_timeout=20)
        async def opened(request: Request) -> RedirectResponse | None:
            try:
                visit = await desk.visit(request)
            except DATABASE_AWAY:
                failed("数据库暂时连接不上,请稍后刷新。")
                return None
            if visit is None:
                return RedirectResponse("/login", 303)
            with await _framed(visit, path, title):
                if act is not None and not visit.may(act):
                    failed("您的角色不能查看此页。如需权限,请联系系统管理员。", icon="lock")
                    return None
                try:
                    await build(visit)
                except Problem as problem:
                    failed(f"{problem.detail}({problem.name})")
                except DATABASE_AWAY as error:
                    log("panel_page_failed", path=path, error=repr(error)[:300])
                    failed("数据库暂时连接不上,请稍后刷新。")
            return None

        return build

    return register


async def _framed(visit: Visit, path: str, title: str) -> Any:
    settings, official = visit.services.settings, visit.session.official
    ui.colors(primary="#0f5c4d", positive="#0f7a63", negative="#a3271c")
    with ui.left_drawer(value=True, fixed=True).classes("th-drawer").props("width=216"):
        ui.html('<div class="th-brand">碳惠<small>政府管理端</small></div>', sanitize=False)
        with ui.element("nav").props('aria-label="主菜单"'):
            for entry in MENU:
                if visit.may(entry.act):
                    link = ui.link(target=entry.path).classes("th-menu")
                    if path == entry.path or (entry.path != "/" and path.startswith(entry.path)):
                        link.classes("active").props('aria-current="page"')
                    with link:
                        ui.icon(entry.icon, size="20px")
                        ui.label(entry.title)
    with ui.header(wrap=False).classes("th-header"):
        ui.label(settings.issuer_name).style("font-weight:600")
        if settings.profile != "production":
            ui.html('<span class="th-chip warn">演示环境,数据并非真实</span>', sanitize=False)
        await chain_strip(visit)
        ui.space()
        names = "、".join(roles.TITLES[role] for role in official.roles)
        ui.link(f"{official.name} · {names}", "/me").classes("th-sub")
        with ui.element("form").props('method="post" action="/logout"'):
            ui.button("退出", icon="logout").props("flat dense type=submit color=primary")
    column = ui.column().classes("w-full").style("gap:20px;width:100%")
    with column:
        ui.html(f'<h1 class="th-title">{title}</h1>', sanitize=False)
    return column


async def chain_strip(visit: Visit) -> None:
    """How the chain keeps up: what waits for a leaf, an anchor or a post."""
    async with visit.services.db.transaction(readonly=True) as tx:
        load = await views.workload(tx)
    behind = load["unsealed"] + load["chain_tx_open"]
    refused = load["batches_refused"] + load["leaves_refused"]
    if refused:
        chip(f"链上拒绝 {refused} 批,需处理", "bad")
    elif behind:
        chip(f"上链中:待成叶 {load['unsealed']} · 待确认交易 {load['chain_tx_open']}", "grey")
    else:
        chip("账与链一致,无积压")


def chip(words: str, look: str = "") -> None:
    """A small label; look is "", warn, bad or grey."""
    ui.label(words).classes(f"th-chip {look}")


@contextmanager
def beside() -> Generator[None]:
    """Two boxes of equal height beside each other; one below the other on a narrow screen."""
    with ui.element("div").classes("th-split"):
        yield


@contextmanager
def card(title: str = "", *, grow: bool = True) -> Generator[None]:
    """A white box with a heading."""
    with ui.element("section").classes("th-card").style("width:100%" if grow else ""):
        if title:
            ui.html(f"<h2>{title}</h2>", sanitize=False)
        yield


def kpi(label: str, value: str, unit: str = "", note: str = "") -> None:
    """One figure with its unit, and what it stands for."""
    with ui.element("section").classes("th-card th-kpi"):
        ui.label(label).classes("label")
        with ui.element("div").classes("value"):
            ui.label(value).style("display:inline")
            ui.label(unit).classes("unit").style("display:inline")
        if note:
            ui.label(note).classes("note")


def table(
    columns: Sequence[tuple[str, str]],
    rows: list[dict[str, Any]],
    *,
    numbers: Sequence[str] = (),
    key: str = "id",
    empty: str = "暂无记录",
    page: int = 15,
) -> ui.table | None:
    """A paged table: `columns` are (field, heading); `numbers` stand to the right."""
    if not rows:
        ui.label(empty).classes("th-empty")
        return None
    shown = ui.table(
        columns=[
            {"name": field, "label": heading, "field": field, "sortable": True,
             "align": "right" if field in numbers else "left"}
            for field, heading in columns
        ],
        rows=rows,
        row_key=key,
        pagination={"rowsPerPage": page},
    ).classes("th-table w-full").style("width:100%")  # fmt: skip
    return shown.props("hide-bottom") if len(rows) <= page else shown


def progress(done: int, total: int) -> ui.element:
    """How much of a whole is done; its `value` and `max` may be set anew."""
    return ui.element("progress").classes("th-progress").props(f"value={done} max={total}")


def pairs(values: Mapping[str, object]) -> None:
    """Names and values, one below another."""
    with ui.element("dl").classes("th-kv"):
        for name, value in values.items():
            with ui.element("dt"):
                ui.label(name)
            with ui.element("dd"):
                ui.label(str(value))


def failed(words: str, *, icon: str = "error_outline") -> None:
    """The page's error state."""
    with card(), ui.column().classes("items-center").style("width:100%;padding:40px 0;gap:12px"):
        ui.icon(icon, size="40px").style("color:#8a1f17")
        ui.label(words)


def moment(visit: Visit, at: datetime | None) -> str:
    """An instant by the city's clock."""
    if at is None:
        return "—"
    return at.astimezone(ZoneInfo(visit.services.settings.city_tz)).strftime("%Y-%m-%d %H:%M:%S")
