"""证据与核验: find an event, follow it from the upload to the block, check its receipt live."""

# pyright: standard

from datetime import date
from typing import Any
from uuid import UUID

from fastapi import Request
from nicegui import ui

from backend import evidence, methodology, officials, proof, views
from backend.flows.issue_receipt import issue_receipt
from backend.flows.node_reader import open_node
from backend.flows.verify_receipt import check_receipt
from backend.gov_panel.desk import Desk, Visit
from backend.gov_panel.frame import card, chip, failed, moment, pairs, place, table
from backend.gov_panel.pages.cockpit import LEVELS, kilograms
from backend.kit.problems import Problem
from backend.officials import Session
from backend.views import Trail

STATES = {None: "待处理", "refused": "未获奖励", "awarded": "已奖励"}
OUTCOMES = {
    "ok": ("成立", ""),
    "failed": ("不成立", "bad"),
    "stated": ("发布方声明", "grey"),
    "hidden": ("未公开", "grey"),
    "not_checked": ("未核", "warn"),
}
STEPS = {
    "issuer": "发布方已知",
    "format": "格式",
    "leaf": "叶子与披露",
    "path": "包含路径",
    "checkpoint": "检查点签名",
    "anchor": "链上存证",
    "posted": "链上入账",
    "method": "方法重算",
    "rule": "规则重算",
    "origin": "上报方来源",
}


def register(desk: Desk) -> None:
    """Serve the search and the trail of one event."""

    @place(desk, "/evidence", "证据与核验", "evidence.read")
    async def search(visit: Visit) -> None:
        request: Request = ui.context.client.request
        asked = request.query_params
        await _search(visit, asked.get("partner"), asked.get("reason"))

    @place(desk, "/evidence/{evidence_id}", "证据与核验", "evidence.read")
    async def single(visit: Visit) -> None:
        try:
            evidence_id = UUID(visit.params["evidence_id"])
        except ValueError as error:
            raise Problem(404, "unknown-evidence", "没有这条证据。") from error
        async with visit.services.db.transaction() as tx:
            trail = await views.trail_of(tx, evidence_id)
            if trail is not None:
                await officials.note(
                    tx, actor=visit.session.official.official_id, act="evidence.read",
                    about=str(evidence_id), detail={},
                )  # fmt: skip
        if trail is None:
            raise Problem(404, "unknown-evidence", "没有这条证据。")
        await _trail(visit, trail)


async def _search(visit: Visit, partner: str | None, reason: str | None) -> None:
    asked: dict[str, Any] = {
        "text": "", "partner": partner or "", "scenario": "", "reason": reason or "", "day": None,
    }  # fmt: skip
    titles = {name: spec.title for name, spec in methodology.scenarios().items()}
    async with visit.services.db.transaction(readonly=True) as tx:
        cards = await views.partner_cards(tx)

    @ui.refreshable
    async def found() -> None:
        day = asked.get("day")
        async with visit.services.db.transaction(readonly=True) as tx:
            rows = await views.find_evidence(
                tx, text=(asked["text"] or "").strip(), partner_id=asked["partner"] or None,
                scenario=asked["scenario"] or None, reason=(asked["reason"] or "").strip() or None,
                day=date.fromisoformat(day) if day else None,
            )  # fmt: skip
        listed = table(
            (("recorded", "记录时间"), ("partner", "合作方"), ("scenario", "场景"),
             ("event", "事件编号"), ("state", "结果"), ("kg", "减排 kg"), ("points", "积分")),
            [
                {"id": str(row["evidence_id"]), "recorded": moment(visit, row["recorded_at"]),
                 "partner": row["partner_id"],
                 "scenario": titles.get(row["scenario"], row["scenario"]),
                 "event": row["event_id"],
                 "state": row["reason"] or STATES[row["state"]],
                 "kg": "—" if row["reduction_mg"] is None else kilograms(row["reduction_mg"]),
                 "points": "—" if row["points"] is None else f"{row['points']:,}"}
                for row in rows
            ],
            numbers=("kg", "points"),
            empty="没有符合条件的证据。",
        )  # fmt: skip
        if listed is not None:
            listed.classes("cursor-pointer").on(
                "rowClick", lambda event: ui.navigate.to(f"/evidence/{event.args[1]['id']}")
            )
        if len(rows) == views.FOUND_MAX:
            ui.label(f"只列出最近 {views.FOUND_MAX} 条,请缩小范围。").classes("th-sub")

    with card(), ui.element("div").classes("th-row"):
        ui.input("事件编号、证据编号或摘要开头").bind_value(asked, "text").props(
            "outlined dense"
        ).style("flex:1")
        ui.select(
            {"": "全部合作方", **{name: name for name in cards}}, value=partner or ""
        ).bind_value(asked, "partner").props("outlined dense").style("width:180px")
        ui.select({"": "全部场景", **titles}, value="").bind_value(asked, "scenario").props(
            "outlined dense"
        ).style("width:160px")
        ui.input("行为日").bind_value(asked, "day").props("outlined dense type=date stack-label")
        ui.button("查找", icon="search", on_click=found.refresh)
    ui.label("查看单条证据会记入审计日志。").classes("th-sub")
    await found()


async def _trail(visit: Visit, trail: Trail) -> None:
    event, decision = trail.event, trail.decision
    stations = (
        ("上报", True), ("佐证", True), ("减排量", decision is not None),
        ("积分", bool(trail.awards)), ("分录", bool(trail.transfers)),
        ("叶子", bool(trail.leaves)), ("上链存证", trail.anchor is not None),
        ("入账", any(row["state"] == "final" for row in trail.batches)),
    )  # fmt: skip
    with ui.element("div").classes("th-way").style("width:100%"):
        for name, reached in stations:
            ui.label(name).classes("done" if reached else "")
    with card("上报事件"):
        pairs({
            "合作方": event["partner_id"], "来源": event["source"], "事件编号": event["event_id"],
            "场景": event["scenario"], "发生时间(原文)": event["occurred_text"],
            "行为日": event["city_day"], "证据等级": LEVELS[event["evidence_level"]],
            "签名方式": f"{event['scheme']},密钥 {event['key_id']}",
            "上报批次": f"{event['webhook_id']}({event['event_count']} 条)",
            "记录时间": moment(visit, event["recorded_at"]),
            "事件摘要(SM3)": event["event_digest"].hex(),
        })  # fmt: skip
        await _body(visit, event["evidence_id"])
    if decision is not None:
        with card("减排量"):
            pairs({
                "结果": decision["reason"] or STATES[decision["state"]],
                "方法": f"{decision['method_id'] or '—'} 第 {decision['method_version'] or '—'} 版",
                "减排量": "—" if decision["reduction_mg"] is None
                else f"{decision['reduction_mg']:,} mg CO₂e",
                "决定时间": moment(visit, decision["decided_at"]),
            })  # fmt: skip
            if trail.superseded is not None:
                chip(f"后被取代:{trail.superseded['reason']}", "warn")
    for award in trail.awards:
        with card(f"积分 · {award['programme_id']}"):
            pairs({
                "规则": f"{award['rule_id']} 第 {award['rule_version']} 版,"
                        f"行 {'、'.join(award['rule_rows'])}",
                "应得": f"{award['points_before_caps']} 分", "实得": f"{award['amount']} 分",
                "受限于": award["cut_by"] or "无", "用到的值": award["inputs"],
                "计数与上限(发布方声明)": award["stated"],
            })  # fmt: skip
    with card("分录、叶子与链"):
        for row in trail.transfers:
            ui.label(f"分录 {row['act']} {row['amount']} 分 · {row['transfer_id']}").classes(
                "th-mono"
            )
        for row in trail.leaves:
            ui.label(f"叶子 #{row['index']} · {row['leaf_hash'].hex()}").classes("th-mono")
        if trail.anchor is not None:
            ui.label(
                f"检查点 {trail.anchor['size']} 片叶子 · 区块 {trail.anchor['block']} · "
                f"交易 0x{trail.anchor['tx_hash'].hex()}"
            ).classes("th-mono")
        for row in trail.batches:
            ui.label(
                f"批次 0x{row['batch_id'].hex()} · {row['state']} · 区块 {row['block'] or '—'} · "
                f"{row['account_count']} 个账户 {row['total']} 分"
            ).classes("th-mono")
        if not trail.leaves:
            ui.label("还没有分录进入日志。").classes("th-sub")
    if trail.leaves:
        _live_check(visit, trail.transfers[0]["transfer_id"])


async def _body(visit: Visit, evidence_id: UUID) -> None:
    """The reported values, decrypted; erased ones are said to be erased."""
    async with visit.services.db.transaction(readonly=True) as tx:
        (row,) = await evidence.load_evidence(tx, visit.services.vault, [evidence_id])
    if row.data is None:
        chip("上报内容已按本人要求删除", "grey")
    else:
        pairs({f"数据 · {name}": value for name, value in sorted(row.data.items())})


def _live_check(visit: Visit, transfer_id: UUID) -> None:
    with card("现场核验"):
        ui.label("按公众可用的同一套步骤,读取链上节点,逐项核对这笔积分的回执。").classes("th-sub")
        shown = ui.column().style("gap:6px")

        async def check(_by: Session) -> None:
            services = visit.services
            async with services.db.transaction(readonly=True) as tx:
                receipt = await issue_receipt(tx, services.settings, transfer_id)
                trust = await proof.latest_trust(tx)
            if trust is None:
                raise Problem(503, "no-trust", "还没有发布信任文件。")
            async with open_node(services.settings.chain_rpc_url) as reader:
                verdict = await check_receipt(receipt, trust.document, reader)
            shown.clear()
            with shown:
                for step in verdict.steps:
                    words, look = OUTCOMES[step.verdict]
                    with ui.row(wrap=False).style("gap:10px;align-items:baseline"):
                        chip(words, look)
                        ui.label(f"{STEPS.get(step.step, step.step)}:{step.reason}").style(
                            "font-size:13px"
                        )
            if not verdict.steps:
                failed("没有可核对的步骤。")

        ui.button("核验", icon="verified_user", on_click=visit.doing("evidence.read", check))
