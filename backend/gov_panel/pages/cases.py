"""更正与申诉: what citizens ask for, decided with a reason they read; awards taken back by two."""

# pyright: standard

from typing import Any
from uuid import UUID

from nicegui import ui

from backend import citizens, views
from backend.cases import Case, service
from backend.flows import decide_case
from backend.flows.redeem_points import Shop
from backend.gov_panel.desk import Again, Desk, Visit, renewal
from backend.gov_panel.dialogs import ask
from backend.gov_panel.frame import card, chip, moment, pairs, place, table
from backend.kit.clock import city_day
from backend.kit.problems import Problem
from backend.officials import Session

SHOWN_MAX = 200
KINDS = {"appeal": "申诉", "correction": "更正个人信息", "clawback": "追回积分"}
STATES = {"open": "办理中", "decided": "已决定", "withdrawn": "已撤回"}
OUTCOMES = {"upheld": "支持", "rejected": "不支持"}
REMEDIES = {"none": "仅答复", "partner": "转合作方更正", "refund": "退还积分"}


def register(desk: Desk) -> None:
    """Serve the list and the single case."""

    @place(desk, "/cases", "更正与申诉", "cases.read")
    async def page(visit: Visit) -> None:
        await _list(visit)

    @place(desk, "/cases/{case_id}", "更正与申诉", "cases.read")
    async def single(visit: Visit) -> None:
        try:
            case_id = UUID(visit.params["case_id"])
        except ValueError as error:
            raise Problem(*decide_case.UNKNOWN_CASE) from error

        @ui.refreshable
        async def whole() -> None:
            await _whole(visit, case_id, renewal(whole.refresh))

        await whole()


async def _list(visit: Visit) -> None:
    services = visit.services
    today = city_day(services.clock.now(), services.settings.city_tz)
    async with services.db.transaction(readonly=True) as tx:
        found = {
            state: await service.cases_by_state(
                tx, services.vault, state, before=None, limit=SHOWN_MAX
            )
            for state in ("open", "decided")
        }
        corrected = await views.corrections(tx, limit=50)
    for state, heading in (("open", "待办理"), ("decided", "已决定")):
        with card(f"{heading}({len(found[state])} 件)"):
            listed = table(
                (("opened", "提出时间"), ("kind", "类别"), ("deadline", "期限"), ("state", "状态"),
                 ("outcome", "决定"), ("officer", "经办人")),
                [
                    {"id": str(case.case_id), "opened": moment(visit, case.opened_at),
                     "kind": KINDS[case.kind], "deadline": str(case.deadline),
                     "state": "已逾期" if state == "open" and case.deadline < today
                     else STATES[case.state],
                     "outcome": OUTCOMES.get(case.outcome or "", "—"),
                     "officer": case.officer or "—"}
                    for case in found[state]
                ],
                empty="没有待办理的申诉。" if state == "open" else "还没有已决定的申诉。",
            )  # fmt: skip
            if listed is not None:
                listed.classes("cursor-pointer").on(
                    "rowClick", lambda event: ui.navigate.to(f"/cases/{event.args[1]['id']}")
                )
    with card("合作方更正与重复上报(被取代的事件)"):
        table(
            (("partner", "合作方"), ("event", "事件"), ("reason", "原因"), ("by", "取代它的事件"),
             ("day", "行为日")),
            [
                {"id": str(row["evidence_id"]), "partner": row["partner_id"],
                 "event": row["event_id"], "reason": row["reason"],
                 "by": f"{row['by_partner'] or '—'} {row['by_event'] or ''}",
                 "day": str(row["city_day"])}
                for row in corrected
            ],
            empty="还没有被取代的事件。",
        )  # fmt: skip


async def _whole(visit: Visit, case_id: UUID, again: Again) -> None:
    services = visit.services
    async with services.db.transaction() as tx:
        case = await service.case_of(tx, services.vault, case_id)
        if case is None:
            raise Problem(*decide_case.UNKNOWN_CASE, case_id=str(case_id))
        steps = await service.steps_of(tx, case_id)
        roles = "、".join(visit.session.official.roles)
        await citizens.access.note_access(
            tx, case.citizen_id, roles, "申诉内容", f"办理申诉 {case_id}", services.clock.now()
        )
    with card(KINDS[case.kind]):
        with ui.element("div").classes("th-row"):
            chip(STATES[case.state], "warn" if case.state == "open" else "")
            if case.outcome is not None:
                chip(OUTCOMES[case.outcome], "" if case.outcome == "upheld" else "grey")
        ui.label(case.words or "(没有文字)").style("white-space:pre-wrap;margin:12px 0")
        pairs({
            "关于": f"{case.about_kind} {case.about or ''}", "期限": case.deadline,
            "提出时间": moment(visit, case.opened_at), "经办人": case.officer or "—",
            "决定理由(市民可见)": case.reason or "—",
            "处理": REMEDIES.get(case.remedy or "", "—"),
            "冲正分录": case.counter_transfer or "—",
        })  # fmt: skip
        ui.label("市民会看到谁在何时查看过这件申诉。").classes("th-sub")
    if case.state == "open":
        _acts(visit, case, again)
    with card("经过"), ui.timeline(side="right", layout="dense").style("margin:0"):
        for step in steps:
            ui.timeline_entry(
                step.words or "", title=f"{step.act} · {step.actor}",
                subtitle=moment(visit, step.at),
            )  # fmt: skip


def _acts(visit: Visit, case: Case, again: Again) -> None:
    services = visit.services

    def deciding(outcome: Any, remedy: Any) -> Any:
        async def decide(by: Session, reason: str) -> str:
            shop = Shop.of(services)
            await decide_case.decide(services, shop, by, case.case_id, outcome, reason, remedy)
            return "已决定,市民会收到答复。"

        return decide

    def seconding(*, agree: bool) -> Any:
        async def second(by: Session, reason: str) -> str:
            await decide_case.settle_clawback(services, by, case.case_id, reason, agree=agree)
            return "已追回,冲正分录将上链。" if agree else "已驳回追回申请。"

        return second

    with ui.element("div").classes("th-row"):
        if case.kind == "clawback":
            if visit.may("cases.clawback"):
                ask(visit, "同意追回", "理由", "cases.clawback", seconding(agree=True), again)
                ask(visit, "不同意", "理由", "cases.clawback", seconding(agree=False), again)
            return
        if visit.may("cases.decide"):
            reason = "理由(市民可见)"
            ask(visit, "支持", reason, "cases.decide", deciding("upheld", "none"), again)
            ask(visit, "支持,转合作方更正", reason, "cases.decide",
                deciding("upheld", "partner"), again)  # fmt: skip
            if case.about_kind == "redemption":
                ask(visit, "支持,退还积分", reason, "cases.decide",
                    deciding("upheld", "refund"), again)  # fmt: skip
            ask(visit, "不支持", reason, "cases.decide", deciding("rejected", "none"), again)
