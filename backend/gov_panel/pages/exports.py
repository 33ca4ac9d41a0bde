"""导出: figures and records as signed files, each noted in the audit log."""

# pyright: standard

from typing import Any

from nicegui import ui

from backend.flows.export_records import export_records
from backend.gov_panel.desk import Desk, Visit
from backend.gov_panel.frame import card, pairs, place
from backend.officials import Session
from backend.views import WINDOWS_DAYS

WHAT = {
    "figures": "驾驶舱数字",
    "effects": "各规则的花费与成效",
    "budgets": "预算",
    "rules": "规则与方法",
    "audit": "审计日志",
}


def register(desk: Desk) -> None:
    """Serve the page."""

    @place(desk, "/exports", "导出", "exports.make")
    async def page(visit: Visit) -> None:
        asked: dict[str, Any] = {"what": "figures", "form": "csv", "days": WINDOWS_DAYS[1]}
        told = ui.column().style("width:100%")

        async def make(by: Session) -> str:
            made = await export_records(
                visit.services, by, asked["what"], asked["form"], asked["days"]
            )
            ui.download.content(made.content, made.name, made.media_type)
            told.clear()
            with told, card("刚刚导出"):
                pairs({
                    "文件": made.name, "编号": made.export_id, "SM3": made.sm3,
                    "签名的文字": made.text, "签名": made.signature, "公钥": made.public_key,
                })  # fmt: skip
            return "已导出并签名。"

        with card("导出文件"):
            ui.label("文件带水印与签名,持有信任文件的人都能核对;导出会记入审计日志。").classes(
                "th-sub"
            )
            with ui.element("div").classes("th-row").style("margin-top:12px"):
                ui.select(WHAT).bind_value(asked, "what").props("outlined dense").style(
                    "width:220px"
                )
                ui.select({"csv": "CSV", "json": "JSON"}).bind_value(asked, "form").props(
                    "outlined dense"
                )
                ui.select({n: f"近 {n} 天" for n in WINDOWS_DAYS}).bind_value(asked, "days").props(
                    "outlined dense"
                )
                ui.button("导出", icon="download", on_click=visit.doing("exports.make", make))
