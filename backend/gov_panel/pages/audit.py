"""审计日志: every act in office, and the closed days whose heads are in the public log."""

# pyright: standard

import json

from nicegui import ui

from backend import officials
from backend.gov_panel.desk import Desk, Visit
from backend.gov_panel.frame import card, moment, place, table

SHOWN_MAX = 500


def register(desk: Desk) -> None:
    """Serve the page."""

    @place(desk, "/audit", "审计日志", "audit.read")
    async def page(visit: Visit) -> None:
        async with visit.services.db.transaction(readonly=True) as tx:
            entries = await officials.audit.entries(tx, limit=SHOWN_MAX)
            days = await officials.audit.closed_days(tx)
        ui.label(
            "每一项操作只追加、不修改。每天结束时,当天全部记录的默克尔根写入公开日志,任何人可核对。"
        ).classes("th-sub")
        with card(f"最近 {len(entries)} 项操作"):
            sought = ui.input(placeholder="查找").props("dense outlined clearable")
            listed = table(
                (
                    ("at", "时间"),
                    ("actor", "人员"),
                    ("act", "操作"),
                    ("about", "对象"),
                    ("detail", "内容"),
                ),
                [
                    {
                        "id": str(each.entry_id),
                        "at": moment(visit, each.at),
                        "actor": each.actor,
                        "act": each.act,
                        "about": each.about,
                        "detail": json.dumps(each.detail, ensure_ascii=False)[:120],
                    }
                    for each in entries
                ],
            )
            if listed is not None:
                sought.bind_value_to(listed, "filter")
        with card("已封存的日期"):
            table(
                (("day", "日期"), ("count", "条数"), ("head", "当日根(在公开日志中)")),
                [
                    {"id": str(each.day), "day": str(each.day), "count": each.count,
                     "head": each.head.hex()}
                    for each in reversed(days)
                ],
                numbers=("count",),
                empty="尚无封存的日期:每天零点后封存前一天。",
            )  # fmt: skip
