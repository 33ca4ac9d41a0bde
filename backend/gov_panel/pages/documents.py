"""激励规则 and 方法学: every version and where it stands; one version with all that may be done."""

# pyright: standard

import json
from collections.abc import Sequence
from typing import Any

from nicegui import ui

from backend import incentive, methodology, views
from backend.flows import hear_objections, rule_life
from backend.flows.enact_rule import What
from backend.flows.rule_life import Life
from backend.flows.rule_words import rule_card
from backend.gov_panel.desk import Again, Desk, Visit, renewal
from backend.gov_panel.dialogs import ask, confirm, signing
from backend.gov_panel.frame import beside, card, chip, moment, pairs, place, table
from backend.gov_panel.pages import simulating, stopping
from backend.kit.canonical import loads_strict
from backend.kit.problems import Problem
from backend.officials import Session, life

STATES = {
    "draft": ("草案", "grey"),
    "simulated": ("已试算", "grey"),
    "submitted": ("待审批", "warn"),
    "approved": ("已审批", "warn"),
    "notice": ("公示中", "warn"),
    "enacting": ("上链中", "warn"),
    "enacted": ("已生效", ""),
    "superseded": ("已被取代", "grey"),
    "stopped": ("已停用", "bad"),
}
WAY = ("draft", "simulated", "submitted", "approved", "notice", "enacted")
TITLES: dict[What, str] = {"rule": "激励规则", "method": "方法学"}
PATHS: dict[What, str] = {"rule": "/rules", "method": "/methods"}


def register(desk: Desk) -> None:
    """Serve the lists and the single versions."""
    for what in TITLES:
        _list(desk, what)
        _single(desk, what)


def _list(desk: Desk, what: What) -> None:
    path = PATHS[what]

    @place(desk, path, TITLES[what], "rules.read")
    async def page(visit: Visit) -> None:  # pyright: ignore[reportUnusedFunction]
        async with visit.services.db.transaction(isolation="repeatable_read", readonly=True) as tx:
            found = await views.documents_listed(tx, what)
            lives = [
                await rule_life.life_of(tx, visit.services, what, each.id, each.version, lock=False)
                for each in found
            ]
        with ui.element("div").classes("th-row"):
            ui.label(
                "每一版都留存;生效后不再修改,修改就是新的一版。点一行查看全文和办理。"
            ).classes("th-sub")
            ui.space()
            if what == "rule" and visit.may("rules.draft"):
                ui.button("起草新规则", icon="add", on_click=lambda: ui.navigate.to("/rules/draft"))
        listed = table(
            (("id", "编号"), ("version", "版本"), ("state", "状态"), ("window", "生效期"),
             ("approvals", "有效审批"), ("digest", "摘要(SM3)")),
            [_row(at) for at in lives],
            numbers=("version", "approvals"),
            empty="还没有任何一版。",
        )  # fmt: skip
        if listed is not None:
            listed.on(
                "rowClick", lambda event: ui.navigate.to(f"{path}/{event.args[1]['id_version']}")
            )
            listed.classes("cursor-pointer")


def _row(at: Life) -> dict[str, object]:
    found = at.version
    return {
        "id": found.id,
        "id_version": f"{found.id}/{found.version}",
        "version": found.version,
        "state": STATES[at.state][0],
        "window": f"{found.day_from} 起" + (f",{found.day_to} 止" if found.day_to else ""),
        "approvals": len(at.approvals),
        "digest": found.digest.hex()[:16],
    }


def _single(desk: Desk, what: What) -> None:
    @place(desk, PATHS[what] + "/{name}/{version:int}", TITLES[what], "rules.read")
    async def page(visit: Visit) -> None:  # pyright: ignore[reportUnusedFunction]
        name, version = visit.params["name"], int(visit.params["version"])

        @ui.refreshable
        async def whole() -> None:
            await _whole(visit, what, name, version, renewal(whole.refresh))

        await whole()


async def _whole(visit: Visit, what: What, name: str, version: int, again: Again) -> None:
    services = visit.services
    async with services.db.transaction(isolation="repeatable_read", readonly=True) as tx:
        at = await rule_life.life_of(tx, services, what, name, version, lock=False)
        stored = incentive.document_of if what == "rule" else methodology.document_of
        document = await stored(tx, name, version)
        objections = (
            []
            if at.notice is None
            else await life.objections(tx, services.vault, at.notice.notice_id)
        )
    if document is None:
        raise Problem(404, "unknown-document", "没有这个版本的文件。")
    _head(visit, at)
    _acts(visit, what, at, again)
    with beside():
        with card("公众读到的说明"):
            text = rule_card(document) if what == "rule" else methodology.card(document)
            ui.label(text).style("white-space:pre-wrap;font-size:14px;line-height:1.8")
        with card("办理经过"):
            _history(visit, at)
    if what == "rule":
        _decision_table(document)
        await simulating.latest(visit, name, version, again)
    await stopping.orders(visit, at, again)
    if at.notice is not None:
        _objections(visit, objections, again)
    with card(), ui.expansion("文件原文(与链上摘要对应的内容)").classes("w-full"):
        plain = json.dumps(loads_strict(document), ensure_ascii=False, indent=2)
        ui.code(plain, language="json").style("width:100%")


def _head(visit: Visit, at: Life) -> None:
    words, look = STATES[at.state]
    with card():
        with ui.element("div").classes("th-row"):
            ui.label(f"{at.version.id} 第 {at.version.version} 版").style(
                "font-size:17px;font-weight:600"
            )
            chip(words, look)
            if at.refused:
                chip(f"链上未接受:{at.refused}", "bad")
        with ui.element("div").classes("th-way"):
            reached = WAY.index(at.state) if at.state in WAY else len(WAY) - 1
            for n, step in enumerate(WAY):
                ui.label(STATES[step][0]).classes("done" if n <= reached else "")
        window = f"{at.version.day_from} 起" + (
            f",至 {at.version.day_to}(不含)" if at.version.day_to else ",长期"
        )
        shown: dict[str, object] = {"生效期": window, "文件摘要": at.version.digest.hex()}
        if at.notice is not None:
            shown["公示"] = (
                f"{moment(visit, at.notice.opens_at)} 至 {moment(visit, at.notice.closes_at)},"
                f"未答复异议 {at.open_objections} 件,成立 {at.upheld_objections} 件"
            )
        pairs(shown)


def _history(visit: Visit, at: Life) -> None:
    words = {"drafted": "起草", "submitted": "提交审批", "returned": "退回"}
    with ui.timeline(side="right", layout="dense").style("margin:0"):
        for each in at.steps:
            ui.timeline_entry(
                each.reason or "",
                title=f"{words.get(each.step, each.step)} · {each.actor}",
                subtitle=moment(visit, each.at),
            )
        for row in at.approvals:
            ui.timeline_entry(
                f"签名地址 {row['address']}",
                title=f"审批 · {row['official_id']}",
                subtitle=moment(visit, row["approved_at"]),
                icon="verified",
            )
    if not at.steps and not at.approvals:
        ui.label("本版由命令行发布,没有办理记录。").classes("th-sub")


def _decision_table(document: bytes) -> None:
    rule = incentive.read_rule(document)
    hits = {"first": "取第一条成立的", "unique": "只能有一条成立", "sum": "成立的相加"}
    with card(f"决策表({hits[rule.hit]})"):
        raw = json.loads(document)
        table(
            (("n", "#"), ("id", "行"), ("when", "条件"), ("points", "积分")),
            [{"n": n, **row} for n, row in enumerate(raw["rows"], 1)],
        )
        findings = incentive.review(rule)
        for each in findings:
            chip(f"{each.name}:{each}", "warn")
        if not findings:
            chip("检查过边界:没有空档、重叠或永不成立的行")


def _acts(visit: Visit, what: What, at: Life, again: Again) -> None:
    name, version = at.version.id, at.version.version
    services, desk = visit.services, visit.desk

    async def submit(by: Session) -> str:
        await rule_life.submit(services, by, what, name, version)
        return "已提交审批。"

    async def send_back(by: Session, reason: str) -> str:
        await rule_life.return_to_drafter(services, by, what, name, version, reason)
        return "已退回起草人。"

    async def approve(by: Session, signer: Any) -> str:
        digest = at.version.digest
        await rule_life.approve(services, by, what, name, version, digest, signer)
        return "已用您本人的密钥签名。"

    async def notice(by: Session, days: str) -> str:
        wanted = int(days) if days.strip().isdecimal() else None
        await rule_life.give_notice(services, by, what, name, version, wanted)
        return "已开始公示。"

    async def enact(by: Session) -> str:
        await rule_life.enact(services, desk.government, by, what, name, version)
        return "已在链上生效。"

    with ui.element("div").classes("th-row"):
        on_draft = at.state in {"draft", "simulated"} and bool(at.steps)
        if what == "rule" and visit.may("rules.draft"):
            ui.button(
                "修改草案" if on_draft else "起草新版本",
                icon="edit",
                on_click=lambda: ui.navigate.to(f"/rules/draft?from={name}/{version}"),
            ).props("outline")
        if on_draft:
            if what == "rule" and visit.may("rules.simulate"):
                simulating.button(visit, name, version, again)
            if visit.may("rules.submit"):
                confirm(
                    visit, "提交审批", "提交后不能再修改这一版。", "rules.submit", submit, again
                )
        if at.state in {"submitted", "approved"}:
            if visit.may("rules.approve"):
                signing(visit, "审批并签名", "rules.approve", approve, again)
            if visit.may("rules.return"):
                ask(visit, "退回", "退回的原因", "rules.return", send_back, again)
        if at.state == "approved" and visit.may("rules.notice"):
            ask(visit, "开始公示", "公示天数(留空为规定的最少天数)", "rules.notice", notice, again,
                optional=True)  # fmt: skip
        if at.state in {"notice", "enacting"} and visit.may("rules.enact"):
            confirm(visit, "上链生效", "两位审批人的签名将写入链上,之后不能修改。", "rules.enact",
                    enact, again)  # fmt: skip
        if at.state == "enacted" and visit.may("rules.stop"):
            stopping.button(visit, what, at, again)


def _objections(visit: Visit, objections: Sequence[life.ObjectionFiled], again: Again) -> None:
    with card(f"公众异议({len(objections)} 件)"):
        if not objections:
            ui.label("目前没有异议。任何人可以在公示页提出,不需登录。").classes("th-empty")
        for each in objections:
            with ui.element("div").classes("th-objection"):
                ui.label(each.text).style("white-space:pre-wrap")
                ui.label(f"提出于 {moment(visit, each.filed_at)}").classes("th-sub")
                if each.answer is not None:
                    chip("成立" if each.upheld else "不成立", "bad" if each.upheld else "")
                    ui.label(f"答复:{each.answer}")
                elif visit.may("rules.answer"):
                    _answering(visit, each, again)
                else:
                    chip("未答复", "warn")


def _answering(visit: Visit, objection: life.ObjectionFiled, again: Again) -> None:
    async def answered(by: Session, answer: str, upheld: bool) -> str:
        await hear_objections.answer_objection(
            visit.services, by, objection.objection_id, answer, upheld=upheld
        )
        return "答复已公开。"

    async def rejects(by: Session, answer: str) -> str:
        return await answered(by, answer, upheld=False)

    async def upholds(by: Session, answer: str) -> str:
        return await answered(by, answer, upheld=True)

    with ui.element("div").classes("th-row"):
        ask(visit, "答复:不成立", "公开的答复", "rules.answer", rejects, again)
        ask(visit, "答复:成立,文件退回", "公开的答复", "rules.answer", upholds, again)
