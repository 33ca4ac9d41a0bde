"""试算: a draft tried on a window of real evidence, with progress, and what would come of it."""

# pyright: standard

from datetime import timedelta
from typing import Any

from nicegui import ui

from backend import methodology
from backend.flows.run_simulations import (
    SimulationState,
    ask_simulation,
    cancel_simulation,
    simulation_state,
    simulations_of,
)
from backend.gov_panel.charts import two_lines
from backend.gov_panel.desk import Again, Visit
from backend.gov_panel.frame import beside, card, chip, kpi, moment, progress, table
from backend.kit.clock import city_day
from backend.officials import Session

SPANS = {7: "近 7 天", 30: "近 30 天", 90: "近 90 天", 365: "近一年"}
UNDER_WAY = {"waiting", "running"}
POLL_S = 0.7


async def latest(visit: Visit, rule_id: str, version: int, again: Again) -> None:
    """The last simulation of a version; one under way is followed to its end."""
    async with visit.services.db.transaction(readonly=True) as tx:
        found = await simulations_of(tx, rule_id, version)
    if not found:
        return
    newest = found[0]
    heading = f"试算:行为日 {newest.day_from} 至 {newest.day_to}"
    with card(heading):
        ui.label(f"{newest.asked_by} 于 {moment(visit, newest.asked_at)} 提出").classes("th-sub")
        if newest.state in UNDER_WAY:
            _follow(visit, newest, again)
        elif newest.state == "done" and newest.outcome is not None:
            _outcome(newest.outcome)
        else:
            words = "已取消" if newest.state == "cancelled" else f"未完成:{newest.error}"
            chip(words, "warn")


def button(visit: Visit, rule_id: str, version: int, again: Again) -> None:
    """The button that asks for a simulation."""
    services = visit.services
    asked: dict[str, Any] = {"days": 30}

    async def start(by: Session) -> str:
        today = city_day(services.clock.now(), services.settings.city_tz)
        since = today - timedelta(days=asked["days"] - 1)
        await ask_simulation(services, by, rule_id, version, since, today)
        again()
        return "试算已开始。"

    ui.select(SPANS).bind_value(asked, "days").props("outlined dense").style("width:120px")
    ui.button("试算", icon="play_arrow", on_click=visit.doing("rules.simulate", start)).props(
        "outline"
    )


def _follow(visit: Visit, state: SimulationState, again: Again) -> None:
    bar = progress(0, 1)
    told = ui.label("等待空闲的进程……").classes("th-sub")

    async def stop(by: Session) -> str:
        await cancel_simulation(visit.services, by, state.simulation_id)
        again()
        return "试算已取消。"

    async def look() -> None:
        now = await simulation_state(visit.services, state.simulation_id)
        if now.state not in UNDER_WAY:
            timer.deactivate()
            again()
            return
        if now.events_total:
            bar.props(f"value={now.events_done} max={now.events_total}")
            told.text = f"已试算 {now.events_done:,} / {now.events_total:,} 件"

    ui.button("取消试算", on_click=visit.doing("rules.simulate", stop)).props("flat")
    timer = ui.timer(POLL_S, look)


def _outcome(found: dict[str, Any]) -> None:
    draft, in_force = found["draft"], found["in_force"]
    with ui.element("div").classes("th-row").style("margin-top:12px"):
        kpi("草案发放", f"{draft['points']:,}", "分", _less(found, "points", "分"))
        kpi("受益人数", f"{draft['people']:,}", "人", _less(found, "people", "人"))
        kpi("增加 / 减少", f"{found['winners']:,} / {found['losers']:,}", "人", "与现行规则相比")
        kpi("每吨花费", _yuan(draft["fen_per_tonne"]), "元/吨",
            "积分无货币价值" if draft["fen_per_tonne"] is None else "")  # fmt: skip
        spread = draft["concentration"]
        kpi("前 10% 的人得", f"{spread['top_10_percent'] // 10}", "%", "集中度")
    ui.label(
        f"共 {found['events']:,} 件;另 {found['set_aside']:,} 件因授权、更正或重复申领不计,"
        f"{found['erased']:,} 件已删除"
    ).classes("th-sub").style("margin:10px 0")
    days = sorted({*draft["by_day"], *(in_force or {"by_day": {}})["by_day"]})
    two_lines(
        days,
        {"草案": [draft["by_day"].get(day, 0) for day in days]}
        | ({} if in_force is None
           else {"现行": [in_force["by_day"].get(day, 0) for day in days]}),
    )  # fmt: skip
    with beside():
        _shifts("按场景", found["by_scenario"],
                {name: spec.title for name, spec in methodology.scenarios().items()})  # fmt: skip
        _shifts("按区域(未登记区域的按合作方)", found["by_district"], {})
    with beside():
        table(
            (("name", "上限"), ("times", "触及次数"), ("points", "少发积分")),
            [{"id": name, "name": name, "times": cut["times"], "points": cut["points"]}
             for name, cut in draft["caps"].items()],
            numbers=("times", "points"), empty="没有触及任何上限。",
        )  # fmt: skip
        table(
            (("reason", "未计分的原因"), ("events", "件数")),
            [{"id": name, "reason": name, "events": n} for name, n in draft["refused"].items()],
            numbers=("events",), empty="每一件都计了分。",
        )  # fmt: skip
    _budget(found["budget"])


def _less(found: dict[str, Any], name: str, unit: str) -> str:
    if found["difference"] is None:
        return "没有现行规则可比"
    return f"比现行 {found['difference'][name]:+,} {unit}"


def _shifts(heading: str, shifts: dict[str, Any], titles: dict[str, str]) -> None:
    table(
        (("name", heading), ("events", "件数"), ("before", "现行"), ("after", "草案"),
         ("winners", "增加人数"), ("losers", "减少人数")),
        [{"id": name, **each, "name": titles.get(name, name)} for name, each in shifts.items()],
        numbers=("events", "before", "after", "winners", "losers"),
    )  # fmt: skip


def _budget(budget: dict[str, Any]) -> None:
    if budget["envelope"] is None:
        ui.label("本期未设预算。").classes("th-sub")
        return
    words = f"预算 {budget['envelope']:,} 分,期初余 {budget['left_before']:,} 分"
    if budget["exhausted_on"] is not None:
        chip(f"{words};按草案于 {budget['exhausted_on']} 用完", "bad")
    elif budget["ends"] is not None:
        early, expected, late = (
            budget["ends"][name] or "五年之后" for name in ("early", "expected", "late")
        )
        chip(f"{words};预计 {expected} 用完(八成把握在 {early} 与 {late} 之间)", "grey")
    else:
        chip(f"{words};时间窗不足三周,不作预测", "grey")


def _yuan(fen: int | None) -> str:
    return "—" if fen is None else f"{fen // 100:,}.{fen % 100:02d}"
