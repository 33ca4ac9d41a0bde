"""合作方: who reports, how their reports end, their keys, what was delivered to them."""

# pyright: standard

from datetime import timedelta
from typing import Any
from uuid import UUID

from nicegui import ui

from backend import notices, partners, views
from backend.flows import keep_partners
from backend.gov_panel.desk import Desk, Visit
from backend.gov_panel.frame import beside, card, chip, kpi, moment, pairs, place, table
from backend.kit.clock import city_day
from backend.kit.problems import Problem
from backend.officials import Session

SPAN_DAYS = 30
DELIVERIES_SHOWN = 100
DELIVERY_STATES = {"waiting": "等待", "delivered": "已送达", "dead": "死信"}


def register(desk: Desk) -> None:
    """Serve the list and the single partner."""

    @place(desk, "/partners", "合作方", "partners.read")
    async def page(visit: Visit) -> None:
        async with visit.services.db.transaction(readonly=True) as tx:
            rows = await tx.fetch(
                """SELECT p.partner_id, p.name, p.required_scheme, p.scenarios, p.replay,
                          (SELECT max(received_at) FROM upload AS u
                           WHERE u.partner_id = p.partner_id) AS last_at,
                          (SELECT count(*) FROM delivery AS d WHERE d.partner_id = p.partner_id
                             AND d.state = 'dead') AS dead
                   FROM partner AS p ORDER BY p.partner_id"""
            )
        listed = table(
            (("id", "编号"), ("name", "名称"), ("scheme", "签名要求"), ("scenarios", "场景"),
             ("last", "最近上报"), ("dead", "死信")),
            [
                {"id": row["partner_id"], "name": row["name"], "scheme": row["required_scheme"],
                 "scenarios": "、".join(row["scenarios"]), "last": moment(visit, row["last_at"]),
                 "dead": row["dead"]}
                for row in rows
            ],
            numbers=("dead",),
        )  # fmt: skip
        if listed is not None:
            listed.classes("cursor-pointer").on(
                "rowClick", lambda event: ui.navigate.to(f"/partners/{event.args[1]['id']}")
            )

    @place(desk, "/partners/{partner_id}", "合作方", "partners.read")
    async def single(visit: Visit) -> None:
        await _single(visit, visit.params["partner_id"])


async def _single(visit: Visit, partner_id: str) -> None:
    services = visit.services
    today = city_day(services.clock.now(), services.settings.city_tz)
    async with services.db.transaction(readonly=True) as tx:
        partner = await partners.load_partner(tx, services.vault, partner_id)
        if partner is None:
            raise Problem(404, "unknown-partner", "没有这个合作方。")
        board = await views.partner_board(tx, partner_id, today - timedelta(days=SPAN_DAYS - 1))
        keys = await partners.key_history(tx, partner_id)
        endpoint = await notices.read_endpoint(tx, partner_id, services.clock.now())
        deliveries = await notices.list_deliveries(
            tx, partner_id, state=None, before=None, limit=DELIVERIES_SHOWN
        )
    ui.label(f"{partner.name}({partner_id})").style("font-size:17px;font-weight:600")
    with ui.element("div").classes("th-row"):
        for state, words in (
            ("awarded", "已奖励"),
            ("refused", "未获奖励"),
            ("recorded", "待处理"),
        ):
            kpi(words, f"{board.outcomes.get(state, 0):,}", "条", f"近 {SPAN_DAYS} 天")
        kpi("门口拒收", f"{sum(board.rejected.values()):,}", "条", "格式、授权或时间不符")
    with beside():
        with card("未获奖励的原因"):
            _reasons(partner_id, board.refused, linked=visit.may("evidence.read"))
        with card("门口拒收的原因"):
            _reasons(partner_id, board.rejected, linked=False)
    with card("密钥(历史公开,共享密钥不显示)"):
        table(
            (("id", "编号"), ("purpose", "用途"), ("scheme", "方式"), ("from", "起"), ("to", "止"),
             ("public", "公钥")),
            [
                {"id": key.key_id, "purpose": key.purpose, "scheme": key.scheme,
                 "from": moment(visit, key.valid_from), "to": moment(visit, key.valid_to),
                 "public": "—" if key.public_key is None else key.public_key.hex()[:24] + "…"}
                for key in keys
            ],
        )  # fmt: skip
    with card("通知"):
        if endpoint is None:
            ui.label("未登记接收地址。").classes("th-sub")
        else:
            pairs({"地址": endpoint.url, "状态": endpoint.state})
        _deliveries(visit, partner_id, deliveries)


def _reasons(partner_id: str, counts: Any, *, linked: bool) -> None:
    if not counts:
        chip("没有")
    for reason, events in counts.items():
        with ui.row().style("gap:10px;align-items:baseline"):
            if linked:
                ui.link(reason, f"/evidence?partner={partner_id}")
            else:
                ui.label(reason)
            ui.label(f"{events:,} 条").classes("th-sub")


def _deliveries(visit: Visit, partner_id: str, rows: Any) -> None:
    listed = table(
        (("at", "时间"), ("type", "通知"), ("state", "状态"), ("attempts", "次数"),
         ("error", "最近错误")),
        [
            {"id": str(row["delivery_id"]), "at": moment(visit, row["told_at"]),
             "type": row["type"], "state": DELIVERY_STATES.get(row["state"], row["state"]),
             "attempts": row["tries"], "error": row["last_error"] or ""}
            for row in rows
        ],
        numbers=("attempts",),
        empty="还没有发出过通知。",
    )  # fmt: skip
    if listed is None or not visit.may("partners.manage"):
        return
    listed.props("selection=single")

    async def again(by: Session) -> str | None:
        if not listed.selected:
            ui.notify("请先选一条。", type="warning", position="top")
            return None
        delivery_id = UUID(listed.selected[0]["id"])
        await keep_partners.replay(visit.services, by, partner_id, delivery_id)
        return "已重新排入发送。"

    ui.button(
        "重发选中的通知", icon="replay", on_click=visit.doing("partners.manage", again)
    ).props("outline")
