"""停车结算: today's lots, one lot's day as a timeline, statements by party, what does not agree."""

# pyright: standard

from datetime import date, datetime, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from fastapi import Request
from nicegui import ui

from backend import officials, views
from backend.flows.check_parking import check_parking, parking_totals
from backend.flows.reconcile_parking import settle_row, work_list
from backend.gov_panel.charts import spans
from backend.gov_panel.desk import Again, Desk, Visit, renewal
from backend.gov_panel.dialogs import ask
from backend.gov_panel.frame import card, chip, kpi, moment, place, table
from backend.kit.clock import city_day, day_bounds
from backend.kit.problems import Problem
from backend.officials import Session

STATEMENT_DAYS = 30
OUTCOMES = {"ours-only": "仅我方有", "theirs-only": "仅对方有", "differs": "金额不符"}
STATES = {"open": "场内", "due": "已出场", "excepted": "异常待查"}


def register(desk: Desk) -> None:
    """Serve the overview and one lot's day."""

    @place(desk, "/parking", "停车结算", "parking.read")
    async def page(visit: Visit) -> None:
        @ui.refreshable
        async def whole() -> None:
            await _overview(visit, renewal(whole.refresh))

        await whole()

    @place(desk, "/parking/{lot_id}", "停车结算", "parking.read")
    async def single(visit: Visit) -> None:
        request: Request = ui.context.client.request
        await _lot(visit, visit.params["lot_id"], request.query_params.get("day"))


def _today(visit: Visit) -> tuple[date, datetime, datetime]:
    services = visit.services
    day = city_day(services.clock.now(), services.settings.city_tz)
    return (day, *day_bounds(day, services.settings.city_tz))


async def _overview(visit: Visit, again: Again) -> None:
    services = visit.services
    day, start, end = _today(visit)
    async with services.db.transaction(readonly=True, isolation="repeatable_read") as tx:
        totals = await parking_totals(tx)
        broken = await check_parking(tx)
        lots = await views.lots_of_day(tx, start, end)
        statements = await views.party_statements(tx, day - timedelta(days=STATEMENT_DAYS))
        differences = await work_list(tx, services.clock.now())
    with ui.element("div").classes("th-row"):
        kpi("应收", yuan(totals["charges_fen"]), "元", "已结算的停车")
        kpi("分账", yuan(totals["splits_fen"]), "元", "按合约分配")
        kpi("分录", yuan(totals["postings_fen"]), "元", "记入账户")
        kpi(
            "对账单",
            yuan(totals["statements_fen"]),
            "元",
            f"已退 {yuan(totals['taken_back_fen'])} 元",
        )
    if broken:
        chip(f"账目不平:{len(broken)} 处,如 {broken[0].law}:{broken[0].subject}", "bad")
    else:
        chip("应收 = 分账 = 分录 = 对账单,分文不差")
    with card(f"今日停车场({day})"):
        listed = table(
            (("id", "编号"), ("name", "名称"), ("operator", "经营方"), ("capacity", "车位"),
             ("stays", "停车"), ("inside", "场内"), ("excepted", "异常"), ("charge", "应收(元)")),
            [
                {"id": row["lot_id"], "name": row["name"], "operator": row["operator_id"],
                 "capacity": row["capacity"], "stays": row["stays"], "inside": row["inside"],
                 "excepted": row["excepted"], "charge": yuan(row["charge_fen"])}
                for row in lots
            ],
            numbers=("capacity", "stays", "inside", "excepted", "charge"),
            empty="还没有接入停车场。",
        )  # fmt: skip
        if listed is not None:
            listed.classes("cursor-pointer").on(
                "rowClick", lambda event: ui.navigate.to(f"/parking/{event.args[1]['id']}")
            )
    _work(visit, differences, again)
    with card(f"各方对账单(近 {STATEMENT_DAYS} 天)"):
        table(
            (("day", "日期"), ("lot", "停车场"), ("party", "收款方"), ("count", "笔数"),
             ("total", "金额(元)"), ("signed", "会签"), ("block", "上链区块"), ("root", "根(SM3)")),
            [
                {"id": f"{row['day']}/{row['lot_id']}/{row['part']}/{row['party_id']}",
                 "day": f"{row['day']}" + (f" 第 {row['part'] + 1} 次" if row["part"] else ""),
                 "lot": row["lot_id"], "party": row["party"], "count": row["count"],
                 "total": yuan(row["total_fen"]),
                 "signed": f"{row['disputed']} 笔争议" if row["disputed"]
                 else moment(visit, row["cosigned_at"]),
                 "block": row["block"] or "待上链", "root": row["root"].hex()[:16] + "…"}
                for row in statements
            ],
            numbers=("count", "total"),
            empty="还没有结算过。",
        )  # fmt: skip


def _work(visit: Visit, differences: Any, again: Again) -> None:
    with card(f"对账差异({len(differences)} 项未处理)"):
        if not differences:
            ui.label("与经营方、支付通道的文件一致,或尚未收到文件。").classes("th-empty")

        async def settled(by: Session, words: str, row: Any) -> str:
            services = visit.services
            noted = f"{by.official.official_id}:{words}"
            await settle_row(services.db, row["file_id"], row["n"], noted, services.clock.now())
            async with services.db.transaction() as tx:
                await officials.note(
                    tx,
                    actor=by.official.official_id,
                    act="parking.settle",
                    about=f"{row['file_id']}/{row['n']}",
                    detail={"resolution": words},
                )
            return "已记录处理结果。"

        for row in differences:
            with ui.element("div").classes("th-objection"), ui.element("div").classes("th-row"):
                chip(OUTCOMES[row["outcome"]], "warn")
                ours, theirs = (yuan(row[name]) for name in ("ours_fen", "theirs_fen"))
                ui.label(f"{row['day']} {row['source_id']} 订单 {row['order_ref']}")
                ui.label(f"我方 {ours} 元,对方 {theirs} 元,已 {row['age_days']} 天").classes(
                    "th-sub"
                )
                if visit.may("parking.settle"):
                    ask(
                        visit,
                        "处理",
                        "处理结果",
                        "parking.settle",
                        partial(settled, row=row),
                        again,
                    )


async def _lot(visit: Visit, lot_id: str, asked: str | None) -> None:
    day, start, end = _today(visit)
    if asked is not None:
        try:
            day = date.fromisoformat(asked)
        except ValueError as error:
            raise Problem(422, "bad-day", "日期须写作 2026-11-22。") from error
        start, end = day_bounds(day, visit.services.settings.city_tz)
    zone = ZoneInfo(visit.services.settings.city_tz)
    now = visit.services.clock.now()
    async with visit.services.db.transaction(readonly=True) as tx:
        stays = await views.stays_of_lot(tx, lot_id, start, end)
    with ui.element("div").classes("th-row"):
        ui.label(f"停车场 {lot_id} · {day}").style("font-size:17px;font-weight:600")
        for words, days in (("前一天", -1), ("后一天", 1)):
            ui.link(words, f"/parking/{lot_id}?day={day + timedelta(days=days)}")
    with card("一天的车位"):
        if not stays:
            ui.label("这一天没有停车。").classes("th-empty")
        else:
            spans(
                [
                    (
                        row["space"],
                        _minutes(max(row["entered_at"], start), start),
                        _minutes(min(row["left_at"] or now, end), start),
                    )
                    for row in stays
                ]
            )
    with card("停车记录:从道闸到区块"):
        table(
            (("space", "车位"), ("entered", "入场"), ("left", "出场"), ("state", "状态"),
             ("reserved", "预约"), ("charge", "应收(元)"), ("paid", "支付"), ("block", "结算区块")),
            [
                {"id": str(row["stay_id"]), "space": row["space"],
                 "entered": row["entered_at"].astimezone(zone).strftime("%m-%d %H:%M")
                 + ("(人工抬杆)" if row["entry_lifted"] else ""),
                 "left": "—" if row["left_at"] is None
                 else row["left_at"].astimezone(zone).strftime("%m-%d %H:%M")
                 + ("(人工抬杆)" if row["exit_lifted"] else ""),
                 "state": STATES[row["state"]] + ("(超时)" if row["overstay_s"] else ""),
                 "reserved": "是" if row["reserved"] else "否", "charge": yuan(row["charge_fen"]),
                 "paid": {"paid": "已付", "open": "待付"}.get(row["paid"] or "", "—"),
                 "block": row["block"] or "—"}
                for row in stays
            ],
            numbers=("charge",),
        )  # fmt: skip


def _minutes(at: datetime, start: datetime) -> int:
    return int((at - start).total_seconds()) // 60


def yuan(fen: int | None) -> str:
    """Fen as yuan, to the fen."""
    if fen is None:
        return "—"
    sign = "-" if fen < 0 else ""
    return f"{sign}{abs(fen) // 100:,}.{abs(fen) % 100:02d}"
