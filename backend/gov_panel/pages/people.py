"""人员与授权: who is in office; account changes, asked for by one and settled by another."""

# pyright: standard

from typing import Any
from uuid import UUID

from nicegui import ui

from backend import officials
from backend.flows import change_official
from backend.gov_panel.desk import Again, Desk, Visit, renewal
from backend.gov_panel.frame import card, chip, moment, place, table
from backend.officials import Session

ACTS = {"enrol": "新增人员", "grant": "授予角色", "revoke": "收回角色", "reset": "重置登录",
        "suspend": "停用账号", "restore": "恢复账号"}  # fmt: skip
STATES = {"open": ("待确认", "warn"), "confirmed": ("已生效", ""), "refused": ("已拒绝", "grey")}


def register(desk: Desk) -> None:
    """Serve the page."""

    @place(desk, "/officials", "人员与授权", "officials.read")
    async def page(visit: Visit) -> None:
        @ui.refreshable
        async def whole() -> None:
            await _whole(visit, renewal(whole.refresh))

        await whole()


async def _whole(visit: Visit, again: Again) -> None:
    async with visit.services.db.transaction(readonly=True) as tx:
        people = await officials.listed(tx)
        requests = await officials.requests.requests(tx, limit=100)
    with card("在任人员"):
        table(
            (("id", "用户名"), ("name", "姓名"), ("roles", "角色"), ("state", "状态"),
             ("address", "签名地址")),
            [
                {"id": each.official_id, "name": each.name,
                 "roles": "、".join(officials.roles.TITLES[role] for role in each.roles),
                 "state": "在任" if each.acts else "已停用", "address": each.address or "—"}
                for each in people
            ],
        )  # fmt: skip
    if visit.may("officials.request"):
        _asking(visit, again)
    with card("账号变更(一人申请,另一人确认)"):
        if not requests:
            ui.label("还没有变更申请。").classes("th-empty")
        for each in requests:
            words, look = STATES[each.state]
            with ui.element("div").classes("th-objection"):
                with ui.element("div").classes("th-row"):
                    chip(words, look)
                    role = f" · {officials.roles.TITLES[each.role]}" if each.role else ""
                    ui.label(f"{ACTS.get(each.act, each.act)} {each.official_id}{role}")
                    ui.label(
                        f"{each.asked_by} 于 {moment(visit, each.asked_at)} 申请:{each.reason}"
                    ).classes("th-sub")
                if each.state == "open" and visit.may("officials.settle"):
                    _settling(visit, each.request_id, again)


def _asking(visit: Visit, again: Again) -> None:
    asked: dict[str, Any] = {
        "act": "grant",
        "user": "",
        "name": "",
        "role": "drafter",
        "reason": "",
    }

    async def send(by: Session) -> str:
        act = asked["act"]
        _, half = await change_official.ask(
            visit.services, by, act, asked["user"].strip(), asked["reason"].strip(),
            role=asked["role"] if act in {"enrol", "grant", "revoke"} else None,
            name=asked["name"].strip() if act == "enrol" else None,
        )  # fmt: skip
        again()
        if half is not None:
            _show_half(half)
        return "申请已提交,等待另一位管理员确认。"

    with card("申请变更"), ui.element("div").classes("th-row"):
        ui.select(ACTS).bind_value(asked, "act").props("outlined dense").style("width:130px")
        ui.input("用户名").bind_value(asked, "user").props("outlined dense")
        ui.input("姓名(新增时)").bind_value(asked, "name").props("outlined dense")
        ui.select(officials.roles.TITLES).bind_value(asked, "role").props("outlined dense").style(
            "width:150px"
        )
        ui.input("理由").bind_value(asked, "reason").props("outlined dense").style("flex:1")
        ui.button("提交申请", on_click=visit.doing("officials.request", send))


def _settling(visit: Visit, request_id: UUID, again: Again) -> None:
    async def settle(by: Session, *, confirm: bool) -> str:
        settled = await change_official.settle_request(
            visit.services, visit.desk.government, by, request_id, confirm=confirm
        )
        again()
        if settled.code_half is not None:
            _show_half(settled.code_half)
        return "已生效。" if confirm else "已拒绝。"

    async def confirms(by: Session) -> str:
        return await settle(by, confirm=True)

    async def refuses(by: Session) -> str:
        return await settle(by, confirm=False)

    with ui.element("div").classes("th-row"):
        ui.button("确认", on_click=visit.doing("officials.settle", confirms)).props("outline")
        ui.button("拒绝", on_click=visit.doing("officials.settle", refuses)).props("flat")


def _show_half(half: str) -> None:
    """One half of an activation code, shown once."""
    with ui.dialog(value=True), ui.card():
        ui.label("激活码的一半,只显示这一次。请当面交给本人;另一半由另一位管理员交付。")
        ui.label(half).classes("th-mono").style("font-size:16px")
