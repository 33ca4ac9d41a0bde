"""驾驶舱: what the programme does, by day, scenario and source; and 大屏 for a wall."""

# pyright: standard

from collections.abc import Sequence

from fastapi import Request
from fastapi.responses import RedirectResponse
from nicegui import ui

from backend import methodology, officials, views
from backend.gov_panel.charts import bars, days, shares
from backend.gov_panel.desk import Desk, Visit
from backend.gov_panel.frame import (
    beside,
    card,
    chain_strip,
    chip,
    failed,
    kpi,
    moment,
    place,
    table,
)
from backend.kit.clock import city_day
from backend.kit.db import DATABASE_AWAY
from backend.views import WINDOWS_DAYS, Cell, Cockpit

SCREEN_REFRESH_S = 15
LEVELS = {
    "L0": "L0 自报",
    "L1": "L1 有照片",
    "L2": "L2 平台上报",
    "L3": "L3 平台签名",
    "L4": "L4 设备签名",
}
STATUSES = {"approved": "经批准的方法", "provisional": "暂行方法"}
CLASSES = {"carbon": "碳积分", "congestion": "缓堵积分"}


def register(desk: Desk) -> None:
    """Serve the page and the wall's screen."""

    @place(desk, "/", "驾驶舱", "figures.read")
    async def page(visit: Visit) -> None:
        chosen = WINDOWS_DAYS[1]

        @ui.refreshable
        async def figures() -> None:
            await _figures(visit, chosen)

        async def choose(event: object) -> None:
            nonlocal chosen
            chosen = int(getattr(event, "value", chosen))
            await figures.refresh()

        with ui.element("div").classes("th-row"):
            ui.toggle(
                {n: f"近 {n} 天" for n in WINDOWS_DAYS}, value=chosen, on_change=choose
            ).props("no-caps unelevated")
            ui.link("大屏模式", "/screen", new_tab=True)
            ui.label("不足 10 人的单元格不显示,时段固定,不能拼出个人。").classes("th-sub")
        await figures()

    @ui.page("/screen", title="碳惠大屏", dark=True)
    async def screen(request: Request) -> RedirectResponse | None:
        visit = await desk.visit(request)
        if visit is None:
            return RedirectResponse("/login", 303)
        with ui.column().classes("th-dark w-full").style("width:100%;gap:20px"):
            if not officials.may(visit.session.official.roles, "figures.read"):
                failed("您的角色不能查看此页。", icon="lock")
                return None

            @ui.refreshable
            async def wall() -> None:
                await _wall(visit)

            await wall()
            ui.timer(SCREEN_REFRESH_S, wall.refresh)
        return None


async def _cockpit(visit: Visit, span: int) -> Cockpit:
    services = visit.services
    today = city_day(services.clock.now(), services.settings.city_tz)
    async with services.db.transaction(readonly=True, isolation="repeatable_read") as tx:
        return await views.cockpit(tx, today, span)


async def _figures(visit: Visit, span: int) -> None:
    seen = await _cockpit(visit, span)
    if seen.total.awards == 0:
        failed("这段时间还没有奖励记录。", icon="hourglass_empty")
        return
    _totals(seen.total, span)
    with card("每日减排量与积分"):
        days(seen.by_day)
    with beside():
        with card("按场景(减排量)"):
            bars(named(seen.by_scenario, scenario_titles()))
        with card("证据等级(次数)"):
            shares(named(seen.by_level, LEVELS))
    with card("按场景"):
        _cells(named(seen.by_scenario, scenario_titles()), "场景")
    with card("按合作方"):
        _cells(seen.by_partner, "合作方")
    with beside():
        with card("方法依据"):
            _cells(named(seen.by_status, STATUSES), "依据")
        with card("积分类别"):
            _cells(named(seen.by_class, CLASSES), "类别")
    with card("未获奖励的原因(涉及 10 人以上)"):
        table(
            (("reason", "原因"), ("events", "事件数")),
            [{"id": reason, "reason": reason, "events": f"{n:,}"} for reason, n in seen.refused],
            numbers=("events",),
        )


def _totals(total: Cell, span: int) -> None:
    with ui.element("div").classes("th-row"):
        if total.withheld:
            kpi("参与人数", "不足 10", "人", "人数过少,其余数字不显示")
            return
        mg, points = total.reduction_mg or 0, total.points or 0
        kpi("参与人数", f"{total.people:,}", "人", f"近 {span} 天有奖励的市民")
        kpi("减排量", kilograms(mg), "kgCO₂e", "各方法之和,暂行方法另列")
        kpi("发放积分", f"{points:,}", "分", "已扣除被撤销的奖励")
        kpi("奖励次数", f"{total.awards:,}", "次", "每次均有回执可核验")
        tonnes = points * 10**9 // mg if mg else 0
        kpi("每吨积分", f"{tonnes:,}", "分/吨", "积分 ÷ 减排量")


def _cells(cells: Sequence[Cell], heading: str) -> None:
    table(
        ((("name"), heading), ("people", "人数"), ("awards", "次数"),
         ("reduction", "减排量 kg"), ("points", "积分")),
        [
            {"id": cell.name, "name": cell.name, "people": "不足 10", "awards": "—",
             "reduction": "—", "points": "—"}
            if cell.withheld
            else {"id": cell.name, "name": cell.name, "people": f"{cell.people:,}",
                  "awards": f"{cell.awards:,}", "reduction": kilograms(cell.reduction_mg or 0),
                  "points": f"{cell.points:,}"}
            for cell in cells
        ],
        numbers=("people", "awards", "reduction", "points"),
    )  # fmt: skip


async def _wall(visit: Visit) -> None:
    try:
        seen = await _cockpit(visit, WINDOWS_DAYS[1])
    except DATABASE_AWAY:
        chip("数据中断,显示已停止更新", "bad")
        return
    with ui.element("div").classes("th-row"):
        ui.label(f"{visit.services.settings.issuer_name} · 碳惠").style(
            "font-size:28px;font-weight:600"
        )
        await chain_strip(visit)
        ui.space()
        ui.label(f"数据截至 {moment(visit, visit.services.clock.now())}").classes("th-sub")
    _totals(seen.total, WINDOWS_DAYS[1])
    with card("每日减排量与积分"):
        days(seen.by_day, dark=True)
    with card("按场景(减排量)"):
        bars(named(seen.by_scenario, scenario_titles()), dark=True)


def scenario_titles() -> dict[str, str]:
    """Scenario type → its Chinese title."""
    return {name: spec.title for name, spec in methodology.scenarios().items()}


def named(cells: Sequence[Cell], titles: dict[str, str]) -> list[Cell]:
    """The cells under their Chinese names."""
    return [
        Cell(titles.get(c.name, c.name), c.people, c.awards, c.reduction_mg, c.points)
        for c in cells
    ]


def kilograms(mg: int) -> str:
    """Milligrams as kilograms with one decimal place, rounded down."""
    return f"{mg // 1_000_000:,}.{mg // 100_000 % 10}"
