"""起草规则: the decision table as a form, checked cell by cell while it is written."""

# pyright: standard

import json
from functools import partial
from typing import Any

from fastapi import Request
from nicegui import ui

from backend import incentive, methodology
from backend.flows import rule_life
from backend.flows.rule_words import rule_card
from backend.gov_panel.desk import Desk, Visit
from backend.gov_panel.frame import beside, card, chip, place
from backend.kit import canonical
from backend.kit.clock import city_day
from backend.kit.needs import DocumentError
from backend.kit.problems import Problem
from backend.officials import Session

HITS = {
    "first": "自上而下,取第一条成立的行",
    "unique": "只能有一行成立",
    "sum": "成立的各行相加",
}
WINDOWS = {"day": "每日", "week": "每周", "month": "每月", "year": "每年"}


def register(desk: Desk) -> None:
    """Serve the editor; `?from=<id>/<version>` begins with a version that stands."""

    @place(desk, "/rules/draft", "起草激励规则", "rules.draft")
    async def page(visit: Visit) -> None:
        request: Request = ui.context.client.request
        document = await _beginning(visit, request.query_params.get("from"))
        _Editor(visit, document).show()


async def _beginning(visit: Visit, source: str | None) -> dict[str, Any]:
    """The document to begin with: a version that stands, or the shortest one that is whole."""
    async with visit.services.db.transaction(readonly=True) as tx:
        if source is not None:
            name, _, number = source.partition("/")
            stored = None
            if number.isdecimal():
                stored = await incentive.document_of(tx, name, int(number))
            if stored is None:
                raise Problem(404, "unknown-document", "没有这个版本的文件。")
            document = json.loads(stored)
            at = await rule_life.life_of(tx, visit.services, "rule", name, int(number), lock=False)
            if at.state not in {"draft", "simulated"}:
                document["version"] += 1
            return document
        programmes = await tx.fetch("SELECT programme_id, class FROM programme ORDER BY 1")
    services = visit.services
    today = city_day(services.clock.now(), services.settings.city_tz)
    first = programmes[0] if programmes else {"programme_id": "", "class": "carbon"}
    return {
        "format": "tanhui-rule-v1", "id": "new-rule", "version": 1,
        "programme": first["programme_id"], "class": first["class"],
        "day_from": today.isoformat(), "day_to": None, "hit": "first",
        "needs": {"event": {}, "history": {}, "counters": {}, "params": {}},
        "rows": [{"id": "row-1", "when": 'scenario == "transit.metro.trip"', "points": "1"}],
        "caps": [{"name": "每日上限", "window": "day", "limit": 10}],
    }  # fmt: skip


class _Editor:
    """The form over one document; what is typed stands in `document` at once."""

    def __init__(self, visit: Visit, document: dict[str, Any]) -> None:
        self.visit = visit
        self.document = document

    def show(self) -> None:
        """The form, with the card that citizens would read beside it."""
        with beside():
            with card("基本信息"):
                self._basics()
            with card("公众将读到的说明"):
                self._reading()
        with card("决策表"):
            self._table()
        with beside():
            with card("用到的数据"):
                self._needs()
            with card("上限"):
                self._caps()
        with ui.element("div").classes("th-row"):
            ui.button("保存草案", icon="save", on_click=self.visit.doing("rules.draft", self._save))
            ui.link("返回规则列表", "/rules")

    def _basics(self) -> None:
        for name, label in (("id", "编号(小写字母、数字、短横线)"), ("programme", "所属活动"),
                            ("class", "积分类别"), ("day_from", "生效日"),
                            ("day_to", "截止日(不含;留空为长期)")):  # fmt: skip
            ui.input(label, value=self.document[name] or "", on_change=self._set(name)).props(
                "outlined dense"
            ).style("width:100%")
        number = ui.number(
            "版本",
            value=self.document["version"],
            precision=0,
            min=1,
            on_change=self._set("version"),
        )
        hit = ui.select(
            HITS, label="命中方式", value=self.document["hit"], on_change=self._set("hit")
        )
        for each in (number, hit):
            each.props("outlined dense").style("width:100%")

    @ui.refreshable_method
    def _reading(self) -> None:
        try:
            text = canonical.dumps(self.document)
            rule = incentive.read_rule(text)
        except (DocumentError, canonical.NotCanonical, KeyError, TypeError, ValueError) as error:
            chip("还不完整", "warn")
            ui.label(str(error)).classes("th-mono")
            return
        ui.label(rule_card(text)).style("white-space:pre-wrap;line-height:1.8")
        for each in incentive.review(rule):
            chip(f"{each.name}:{each}", "warn")

    @ui.refreshable_method
    def _table(self) -> None:
        fields = sorted({*self.document["needs"]["event"], *self.document["needs"]["params"]})
        known = ["reduction_mg", "scenario", "evidence_level", "status", *fields]
        ui.label(f"可用的名字:{'、'.join(known)}。写到一半会提示错在哪里。").classes("th-sub")
        for n, row in enumerate(self.document["rows"]):
            with ui.row(wrap=False).style("width:100%;gap:8px;align-items:start"):
                ui.label(str(n + 1)).style("width:24px;padding-top:12px")
                self._cell(row, "id", "行名", "160px")
                self._cell(row, "when", "条件", "1fr", checked=known)
                self._cell(row, "points", "积分", "280px", checked=known)
                ui.button(icon="delete", on_click=partial(self._drop, "rows", n)).props(
                    'flat dense aria-label="删除此行"'
                )
        ui.button("加一行", icon="add", on_click=self._add_row).props("flat")

    def _cell(
        self, row: dict[str, Any], name: str, label: str, width: str,
        *, checked: list[str] | None = None,
    ) -> None:  # fmt: skip
        def typed(event: Any) -> None:
            row[name] = event.value or ""
            self._reading.refresh()

        autocomplete = None if checked is None else [*checked, *methodology.scenarios()]
        cell = ui.input(
            label, value=row[name], on_change=typed, autocomplete=autocomplete,
            validation=None if checked is None else lambda text: self._fault(row, name, text),
        ).props("outlined dense")  # fmt: skip
        cell.style("flex:1" if width == "1fr" else f"width:{width}")

    def _fault(self, row: dict[str, Any], name: str, text: str) -> str | None:
        """What is wrong with this cell alone, read in the table as it stands."""
        alone = {
            **self.document,
            "rows": [{"id": "row", "when": "true", "points": "1", name: text}],
        }
        try:
            incentive.read_rule(canonical.dumps(alone))
        except (DocumentError, canonical.NotCanonical, KeyError, TypeError, ValueError) as error:
            return str(error)
        row[name] = text
        return None

    @ui.refreshable_method
    def _needs(self) -> None:
        needs = self.document["needs"]
        ui.label("事件字段与参数按规则文件的写法(JSON)。").classes("th-sub")
        for kind, label in (("event", "事件字段"), ("history", "历史"), ("counters", "计数"),
                            ("params", "参数")):  # fmt: skip
            shown = json.dumps(needs[kind], ensure_ascii=False, indent=1)
            ui.textarea(
                label, value=shown, on_change=self._need(kind), validation=_object_fault
            ).props("outlined dense autogrow").style("width:100%")

    def _need(self, kind: str) -> Any:
        def typed(event: Any) -> None:
            if _object_fault(event.value) is None:
                self.document["needs"][kind] = json.loads(event.value)
                self._reading.refresh()

        return typed

    @ui.refreshable_method
    def _caps(self) -> None:
        for n, cap in enumerate(self.document["caps"]):
            with ui.row(wrap=False).style("width:100%;gap:8px;align-items:center"):
                self._cell(cap, "name", "名称", "1fr")
                ui.select(
                    WINDOWS, value=cap["window"], on_change=self._capped(cap, "window")
                ).props("outlined dense").style("width:110px")
                ui.number("积分", value=cap["limit"], precision=0, min=0,
                          on_change=self._capped(cap, "limit")).props("outlined dense")  # fmt: skip
                ui.button(icon="delete", on_click=partial(self._drop, "caps", n)).props(
                    'flat dense aria-label="删除此上限"'
                )
        ui.button("加一项上限", icon="add", on_click=self._add_cap).props("flat")

    def _capped(self, cap: dict[str, Any], name: str) -> Any:
        def typed(event: Any) -> None:
            cap[name] = int(event.value or 0) if name == "limit" else event.value
            self._reading.refresh()

        return typed

    def _set(self, name: str) -> Any:
        def typed(event: Any) -> None:
            value = event.value
            if name == "version":
                value = int(value or 1)
            elif name == "day_to":
                value = value or None
            self.document[name] = value
            self._reading.refresh()

        return typed

    def _add_row(self) -> None:
        number = len(self.document["rows"]) + 1
        self.document["rows"].append({"id": f"row-{number}", "when": "true", "points": "0"})
        self._table.refresh()
        self._reading.refresh()

    def _add_cap(self) -> None:
        self.document["caps"].append({"name": "上限", "window": "month", "limit": 100})
        self._caps.refresh()
        self._reading.refresh()

    def _drop(self, kind: str, n: int) -> None:
        del self.document[kind][n]
        (self._table if kind == "rows" else self._caps).refresh()
        self._reading.refresh()

    async def _save(self, by: Session) -> str:
        text = canonical.dumps(self.document)
        made = await rule_life.save_draft(self.visit.services, by, "rule", text)
        ui.navigate.to(f"/rules/{made.id}/{made.version}")
        return "草案已保存。"


def _object_fault(text: str) -> str | None:
    try:
        value = json.loads(text or "")
    except ValueError:
        return "不是合法的 JSON"
    return None if isinstance(value, dict) else "应是 {…}"
