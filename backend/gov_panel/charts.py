"""Charts of the panel, described in words too (aria). Withheld cells are gaps."""

# pyright: standard

from collections.abc import Mapping, Sequence
from typing import Any

from nicegui import ui

from backend.views import Cell

COLORS = ["#0f7a63", "#e0a030", "#3f7fbf", "#9a5fb5", "#c05a4a", "#6b8e23", "#4d5d59"]
_DARK_COLORS = ["#5fe0bd", "#f3c15f", "#7fb8f0", "#cf9fe8", "#f09484", "#b5d36a", "#b8c8c3"]


def days(cells: Sequence[Cell], *, dark: bool = False) -> None:
    """Reduction (kg) and points by day."""
    if _nothing(cells):
        return
    _chart(
        {
            "legend": {"data": ["减排量 kg", "积分"], "top": 0},
            "grid": {"left": 64, "right": 64, "top": 40, "bottom": 32},
            "tooltip": {"trigger": "axis"},
            "xAxis": {"type": "category", "data": [cell.name[5:] for cell in cells]},
            "yAxis": [
                {"type": "value", "name": "kg"},
                {"type": "value", "name": "分", "splitLine": {"show": False}},
            ],
            "series": [
                {"name": "减排量 kg", "type": "bar", "data": [_kg(c.reduction_mg) for c in cells],
                 "barMaxWidth": 28},
                {"name": "积分", "type": "line", "yAxisIndex": 1, "data": [c.points for c in cells],
                 "connectNulls": False},
            ],
        },
        dark,
        height=300,
    )  # fmt: skip


def two_lines(names: Sequence[str], lines: Mapping[str, Sequence[int]]) -> None:
    """Whole numbers by day, a line each."""
    _chart(
        {
            "legend": {"data": list(lines), "top": 0},
            "grid": {"left": 64, "right": 24, "top": 40, "bottom": 32},
            "tooltip": {"trigger": "axis"},
            "xAxis": {"type": "category", "data": [name[5:] for name in names]},
            "yAxis": {"type": "value", "name": "分"},
            "series": [
                {"name": name, "type": "line", "data": list(values)}
                for name, values in lines.items()
            ],
        },
        dark=False,
        height=260,
    )


def bars(cells: Sequence[Cell], *, dark: bool = False) -> None:
    """Reduction (kg) by name, the largest on top."""
    if _nothing(cells):
        return
    shown = sorted(cells, key=lambda cell: cell.reduction_mg or 0)
    _chart(
        {
            "grid": {"left": 8, "right": 80, "top": 8, "bottom": 24, "containLabel": True},
            "tooltip": {"trigger": "axis", "axisPointer": {"type": "shadow"}},
            "xAxis": {"type": "value"},
            "yAxis": {"type": "category", "data": [cell.name for cell in shown]},
            "series": [
                {"name": "减排量 kg", "type": "bar", "data": [_kg(c.reduction_mg) for c in shown],
                 "label": {"show": True, "position": "right"}, "barMaxWidth": 22}
            ],
        },
        dark,
        height=max(160, 44 * len(shown)),
    )  # fmt: skip


def shares(cells: Sequence[Cell], *, dark: bool = False) -> None:
    """Awards by name, as parts of a whole."""
    if _nothing(cells):
        return
    _chart(
        {
            "tooltip": {"trigger": "item", "formatter": "{b}: {c} 次 ({d}%)"},
            "legend": {"orient": "vertical", "left": 0, "top": "middle"},
            "series": [
                {"type": "pie", "radius": ["45%", "72%"], "center": ["66%", "50%"],
                 "label": {"formatter": "{d}%"},
                 "data": [{"name": c.name, "value": c.awards} for c in cells if not c.withheld]}
            ],
        },
        dark,
        height=260,
    )  # fmt: skip


def spans(stays: Sequence[tuple[str, int, int]]) -> None:
    """One day's stretches of time, a line for each name: (name, first minute, last minute)."""
    names = sorted({name for name, _, _ in stays})
    rank = max(sum(name == each for each, _, _ in stays) for name in names)
    series: list[dict[str, Any]] = []
    for n in range(rank):
        gaps, lengths = [], []
        for name in names:
            mine = sorted((first, last) for each, first, last in stays if each == name)
            before = mine[n - 1][1] if 0 < n <= len(mine) else 0
            first, last = mine[n] if n < len(mine) else (before, before)
            gaps.append(max(0, first - before))
            lengths.append(max(0, last - max(first, before)))
        blank = {"itemStyle": {"color": "transparent"}, "silent": True}
        series.append({"type": "bar", "stack": "day", "data": gaps, "barMaxWidth": 18, **blank})
        series.append(
            {"type": "bar", "stack": "day", "data": lengths, "itemStyle": {"color": COLORS[0]}}
        )
    _chart(
        {
            "grid": {"left": 8, "right": 24, "top": 8, "bottom": 24, "containLabel": True},
            "xAxis": {"type": "value", "min": 0, "max": 1440, "interval": 120,
                      "axisLabel": {":formatter": "minute => `${minute / 60}:00`"}},
            "yAxis": {"type": "category", "data": names},
            "series": series,
        },
        dark=False,
        height=max(120, 34 * len(names) + 40),
    )  # fmt: skip


def _nothing(cells: Sequence[Cell]) -> bool:
    """Say so where no cell may be shown."""
    if all(cell.withheld for cell in cells):
        ui.label("每一格都不足 10 人,不显示。").classes("th-empty")
        return True
    return False


def _chart(options: dict[str, Any], dark: bool, *, height: int) -> None:
    ink = "#d7ebe5" if dark else "#33413d"
    ui.echart(
        {
            "color": _DARK_COLORS if dark else COLORS,
            "textStyle": {"color": ink, "fontFamily": "Noto Sans CJK SC, sans-serif"},
            "aria": {"enabled": True},
            "animation": False,
            **_inked(options, ink, "#24463f" if dark else "#dde5e2"),
        },
        renderer="svg",
    ).style(f"height:{height}px;width:100%")


def _inked(options: dict[str, Any], ink: str, lines: str) -> dict[str, Any]:
    """The options with text dark or light enough to be read (contrast ≥ 4.5)."""
    inked = dict(options)
    for name in ("xAxis", "yAxis"):
        axes = inked.get(name)
        for axis in axes if isinstance(axes, list) else [axes] if axes else []:
            axis.setdefault("axisLabel", {})["color"] = ink
            axis.setdefault("nameTextStyle", {})["color"] = ink
            axis.setdefault("splitLine", {}).setdefault("lineStyle", {})["color"] = lines
    if "legend" in inked:
        inked["legend"] = {**inked["legend"], "textStyle": {"color": ink}}
    for series in inked["series"]:
        if "label" in series:
            series["label"]["color"] = ink
    return inked


def _kg(mg: int | None) -> str | None:
    """Kilograms to two places, rounded down, as the charts read them."""
    return None if mg is None else f"{mg // 1_000_000}.{mg // 10_000 % 100:02d}"
