"""Dialogs: a question before an act, and the password and code that unlock one's own key."""

# pyright: standard

from collections.abc import Awaitable, Callable
from typing import Any

from nicegui import ui

from backend.flows.own_key import unlock
from backend.gov_panel.desk import Again, Visit
from backend.officials import Session


def ask(
    visit: Visit,
    label: str,
    question: str,
    act: str,
    work: Callable[[Session, str], Awaitable[str]],
    again: Again,
    *,
    optional: bool = False,
) -> None:
    """A button whose dialog asks for a sentence before `work` is done."""
    with ui.dialog() as dialog, ui.card().style("min-width:420px"):
        ui.label(label).style("font-size:16px;font-weight:600")
        given = ui.textarea(question).props("outlined autogrow").style("width:100%")

        async def go(by: Session) -> str | None:
            words = (given.value or "").strip()
            if not words and not optional:
                ui.notify(f"请填写{question}。", type="warning", position="top")
                return None
            said = await work(by, words)
            dialog.close()
            again()
            return said

        _ending(dialog, label, visit.doing(act, go))
    ui.button(label, on_click=dialog.open).props("outline")


def confirm(
    visit: Visit,
    label: str,
    warning: str,
    act: str,
    work: Callable[[Session], Awaitable[str]],
    again: Again,
) -> None:
    """A button whose dialog says what will happen before `work` is done."""
    with ui.dialog() as dialog, ui.card().style("min-width:420px"):
        ui.label(label).style("font-size:16px;font-weight:600")
        ui.label(warning)

        async def go(by: Session) -> str | None:
            said = await work(by)
            dialog.close()
            again()
            return said

        _ending(dialog, label, visit.doing(act, go))
    ui.button(label, on_click=dialog.open)


def signing(
    visit: Visit,
    label: str,
    act: str,
    work: Callable[[Session, Any], Awaitable[str]],
    again: Again,
) -> None:
    """A button whose dialog unlocks the official's own key for this one signature."""
    with ui.dialog() as dialog, ui.card().style("min-width:420px"):
        ui.label(label).style("font-size:16px;font-weight:600")
        ui.label(
            "用您本人的密钥签名:请再次输入口令和新的动态码。服务器没有口令就不能代签。"
        ).classes("th-sub")
        password = ui.input("口令", password=True).props("outlined").style("width:100%")
        totp = (
            ui.input("动态码").props("outlined inputmode=numeric maxlength=6").style("width:100%")
        )

        async def go(by: Session) -> str | None:
            user = by.official.official_id
            try:
                signer = await unlock(visit.services, user, password.value or "", totp.value or "")
            finally:
                password.value, totp.value = "", ""
            said = await work(by, signer)
            dialog.close()
            again()
            return said

        _ending(dialog, label, visit.doing(act, go))
    ui.button(label, icon="draw", on_click=dialog.open)


def _ending(dialog: ui.dialog, label: str, go: Callable[[], Awaitable[None]]) -> None:
    with ui.row().style("width:100%;justify-content:flex-end;gap:8px"):
        ui.button("取消", on_click=dialog.close).props("flat")
        ui.button(f"确认{label}" if len(label) < 8 else "确认", on_click=go)
