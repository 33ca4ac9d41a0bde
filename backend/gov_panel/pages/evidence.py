"""证据与核验: find an event, follow it from the record to the block, check its receipt live."""

# pyright: standard

from datetime import date
from typing import Any
from uuid import UUID

from fastapi import Request
from nicegui import ui

from backend import methodology, proof, views
from backend.flows import decide_case
from backend.flows.issue_receipt import issue_receipt
from backend.flows.node_reader import open_node
from backend.flows.trace_evidence import TraceStep, trace_evidence
from backend.flows.verify_receipt import check_receipt
from backend.gov_panel.desk import Desk, Visit
from backend.gov_panel.dialogs import ask
from backend.gov_panel.frame import card, chip, moment, pairs, place, table
from backend.gov_panel.pages.cockpit import kilograms
from backend.kit.problems import Problem
from backend.officials import Session

FOUND_MAX = 200
STATES = {"recorded": "待处理", "refused": "未获奖励", "awarded": "已奖励"}
VERDICTS = {
    "ok": ("成立", ""),
    "failed": ("不成立", "bad"),
    "waiting": ("等待中", "warn"),
    "none": ("无", "grey"),
    "stated": ("发布方声明", "grey"),
    "hidden": ("未公开", "grey"),
    "not_checked": ("未核", "warn"),
}
STATIONS = {
    "recorded": "佐证",
    "quantified": "减排量",
    "awarded": "积分",
    "logged": "叶子",
    "confirmed": "上链存证",
    "posted": "链上入账",
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
FACTS = {
    "partner": "合作方", "source": "来源", "event_id": "事件编号", "scenario": "场景",
    "time": "发生时间(原文)", "city_day": "行为日", "origin": "来源类型",
    "evidence_level": "证据等级",
    "digest": "事件摘要(SM3)", "data": "上报数据", "state": "状态", "reason": "原因",
    "reduction_mg": "减排量(mg CO₂e)", "programme": "激励活动", "class": "积分类别",
    "points": "实得积分", "points_before_caps": "应得积分", "cut_by": "受限于", "method": "方法",
    "method_digest": "方法摘要", "rule": "规则", "rule_digest": "规则摘要", "rows": "命中的行",
    "inputs": "用到的值", "stated": "计数与上限(发布方声明)", "act": "分录", "index": "叶子序号",
    "leaf_hash": "叶子", "size": "检查点大小", "root": "检查点根", "contract": "合约", "tx": "交易",
    "block": "区块", "batch_id": "批次", "transfer": "分录编号",
}  # fmt: skip


def register(desk: Desk) -> None:
    """Serve the search and the way of one event."""

    @place(desk, "/evidence", "证据与核验", "evidence.read")
    async def search(visit: Visit) -> None:
        request: Request = ui.context.client.request
        await _search(visit, request.query_params.get("partner", ""))

    @place(desk, "/evidence/{evidence_id}", "证据与核验", "evidence.read")
    async def single(visit: Visit) -> None:
        try:
            evidence_id = UUID(visit.params["evidence_id"])
        except ValueError as error:
            raise Problem(404, "unknown-evidence", "没有这条佐证。") from error
        steps = await trace_evidence(visit.services, visit.session, evidence_id)
        _way(steps)
        for step in steps:
            _step(step)
        async with visit.services.db.transaction(readonly=True) as tx:
            awards = await views.awards_on(tx, evidence_id)
        given = [award.transfer_id for award in awards if award.transfer_id is not None]
        if given and visit.may("cases.clawback"):
            _clawing_back(visit, given[0])
        if given and any(step.step == "confirmed" and step.verdict == "ok" for step in steps):
            _live_check(visit, given[0])


async def _search(visit: Visit, partner: str) -> None:
    asked: dict[str, Any] = {"event_id": "", "partner_id": partner, "scenario": "", "day": None}
    titles = {name: spec.title for name, spec in methodology.scenarios().items()}
    async with visit.services.db.transaction(readonly=True) as tx:
        known = await views.partner_cards(tx)

    @ui.refreshable
    async def found() -> None:
        async with visit.services.db.transaction(readonly=True) as tx:
            rows = await views.search_evidence(
                tx,
                event_id=asked["event_id"].strip() or None,
                partner_id=asked["partner_id"] or None,
                scenario=asked["scenario"] or None,
                city_day=date.fromisoformat(asked["day"]) if asked["day"] else None,
                limit=FOUND_MAX,
            )
        listed = table(
            (("recorded", "记录时间"), ("partner", "合作方"), ("scenario", "场景"),
             ("event", "事件编号"), ("state", "结果"), ("kg", "减排 kg"), ("points", "积分")),
            [
                {"id": str(row.evidence_id), "recorded": moment(visit, row.recorded_at),
                 "partner": row.partner_id, "scenario": titles.get(row.scenario, row.scenario),
                 "event": row.event_id,
                 "state": row.reason or STATES[row.state],
                 "kg": "—" if row.reduction_mg is None else kilograms(row.reduction_mg),
                 "points": "—" if row.points is None else f"{row.points:,}"}
                for row in rows
            ],
            numbers=("kg", "points"),
            empty="没有符合条件的佐证。",
        )  # fmt: skip
        if listed is not None:
            listed.classes("cursor-pointer").on(
                "rowClick", lambda event: ui.navigate.to(f"/evidence/{event.args[1]['id']}")
            )
        if len(rows) == FOUND_MAX:
            ui.label(f"只列出最近 {FOUND_MAX} 条,请缩小范围。").classes("th-sub")

    with card(), ui.element("div").classes("th-row"):
        ui.input("事件编号").bind_value(asked, "event_id").props("outlined dense").style("flex:1")
        ui.select({"": "全部合作方", **{name: name for name in known}}).bind_value(
            asked, "partner_id"
        ).props("outlined dense").style("width:180px")
        ui.select({"": "全部场景", **titles}).bind_value(asked, "scenario").props(
            "outlined dense"
        ).style("width:160px")
        ui.input("行为日").bind_value(asked, "day").props("outlined dense type=date stack-label")
        ui.button("查找", icon="search", on_click=found.refresh)
    ui.label("查看单条佐证会记入审计日志;不显示市民身份。").classes("th-sub")
    await found()


def _way(steps: list[TraceStep]) -> None:
    reached = {step.step for step in steps if step.verdict == "ok"}
    with ui.element("div").classes("th-way").style("width:100%"):
        for name, words in STATIONS.items():
            ui.label(words).classes("done" if name in reached else "")


def _step(step: TraceStep) -> None:
    with card(STATIONS[step.step]):
        with ui.element("div").classes("th-row").style("margin-bottom:10px"):
            chip(*VERDICTS[step.verdict])
            ui.label(step.about)
        pairs({FACTS.get(name, name): _shown(value) for name, value in step.facts.items()})


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ",".join(f"{name} = {_shown(each)}" for name, each in value.items()) or "—"
    if isinstance(value, list):
        return "、".join(_shown(each) for each in value) or "—"
    return "—" if value is None else str(value)


def _clawing_back(visit: Visit, transfer_id: UUID) -> None:
    async def ask_for(by: Session, reason: str) -> str:
        await decide_case.ask_clawback(visit.services, by, transfer_id, reason)
        return "追回申请已提出,须由另一位审批人同意。"

    ask(visit, "申请追回这笔积分", "理由(市民可见)", "cases.clawback", ask_for, lambda: None)


def _live_check(visit: Visit, transfer_id: UUID) -> None:
    with card("现场核验回执"):
        ui.label("按公众可用的同一套步骤,读取链上节点,逐项核对这笔积分的回执。").classes("th-sub")
        shown = ui.column().style("gap:6px;margin:10px 0")

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
                    with ui.row(wrap=False).style("gap:10px;align-items:baseline"):
                        chip(*VERDICTS[step.verdict])
                        words = f"{STEPS[step.step]}:{step.reason}"
                        ui.label(words).style("font-size:13px")

        ui.button("核验", icon="verified_user", on_click=visit.doing("evidence.read", check))
