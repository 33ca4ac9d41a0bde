"""Methods of monthly home energy, one for each published grid factor: made from one table.

The three national series are kept apart as methods of their own, and so is each province. A
version is in force from the day after its notice was published, so that an activity day always
finds a series published before it. A factor without a known notice gets no method.
"""

import json
from collections.abc import Iterator
from datetime import date
from functools import cache
from typing import Any

from backend.kit import canonical
from backend.kit.needs import GRADES_APPROVED
from backend.methodology.scenarios import DOCUMENTS

SCENARIO = "energy.home.month"
FIRST_YEAR = 2021
"""A version's number is its factor's year less this one."""


@cache
def grid_methods() -> dict[tuple[str, int], bytes]:
    """Every method made from the table, as canonical JSON, by id and version."""
    table = json.loads((DOCUMENTS / "grid.json").read_text(encoding="utf-8"))
    notices = {notice["year"]: notice for notice in table["notices"]}
    return {
        (document["id"], document["version"]): canonical.dumps(document)
        for series in table["series"]
        if series["method"] is not None
        for document in _versions(series, notices, table["sources"])
    }


def _versions(
    series: dict[str, Any], notices: dict[int, dict[str, Any]], sources: dict[str, str]
) -> Iterator[dict[str, Any]]:
    """A document for each factor with a notice; each ends where the next one begins."""
    known = [value for value in series["values"] if value["year"] in notices]
    ends = [notices[value["year"]]["in_force_from"] for value in known[1:]]
    for value, day_to in zip(known, [*ends, None], strict=True):
        notice = notices[value["year"]]
        yield _document(series, value, notice, day_to, sources[value["grade"]])


def _document(
    series: dict[str, Any],
    value: dict[str, Any],
    notice: dict[str, Any],
    day_to: str | None,
    read_in: str,
) -> dict[str, Any]:
    name, year = series["name"], value["year"]
    reference = f"{notice['title']}:{year} 年{name}电力二氧化碳排放因子"
    reference += f"({notice['source'] if value['grade'] in GRADES_APPROVED else read_in})"
    return {
        "format": "tanhui-method-v1",
        "id": series["method"],
        "version": year - FIRST_YEAR,
        "status": series["status"],
        "scenarios": [SCENARIO],
        "day_from": date.fromisoformat(notice["in_force_from"]).isoformat(),
        "day_to": day_to,
        "needs": {
            "event": {"energy_wh": "int", "days": "int"},
            "history": {"base_wh": "int", "base_days": "int"},
            "counters": {},
            "params": {
                "grid_ug_per_wh": {
                    "value": value["ug_per_wh"],
                    "unit": "µg/Wh",
                    "date": str(year),
                    "reference": reference,
                    "grade": value["grade"],
                }
            },
        },
        "formula": FORMULA,
        "bounds": [{"reason": reason, "expr": text} for reason, text in BOUNDS],
        "text": _text(series, value),
    }


FORMULA = (
    "base_wh * days > energy_wh * base_days"
    " ? (base_wh * days - energy_wh * base_days) * grid_ug_per_wh / (base_days * 1000) : 0"
)

# Per day a household uses at least 0.1 kWh, a fridge alone more, and at most 200 kWh.
BOUNDS = (
    ("days-out-of-range", "days >= 28 && days <= 31"),
    ("base-days-out-of-range", "base_days >= 28 && base_days <= 31"),
    ("meter-rollover", "energy_wh >= 0"),
    ("energy-not-positive", "energy_wh != 0"),
    ("suspicious-unit", "energy_wh >= days * 100 && energy_wh < days * 10000000"),
    ("energy-too-much", "energy_wh <= days * 200000"),
    ("base-energy-out-of-range", "base_wh >= base_days * 100 && base_wh <= base_days * 200000"),
    ("saving-too-large", "energy_wh * base_days * 10 >= base_wh * days"),
)


def _text(series: dict[str, Any], value: dict[str, Any]) -> dict[str, str]:
    name, year, grade = series["name"], value["year"], value["grade"]
    figure = f"{value['ug_per_wh'] // 100 / 10_000:.4f} 千克/千瓦时"
    provisional = series["status"] == "provisional"
    weak = f"因子为 {grade} 级,未与公告原文核对。" if grade not in GRADES_APPROVED else ""
    return {
        "applicability": ("暂行方法(provisional),未经主管部门批准。" if provisional else "")
        + "居民家庭实名电表一个完整自然月的用电量,由供电或售电方按电表上报;"
        "估抄、换表、缺少去年同月或不足整月的不予核算;家用光伏上网电量不计入。",
        "boundary": "一户一表的购网电量对应的二氧化碳当量排放;"
        "不含燃气、热力及充电桩单独计量的电量。",
        "baseline": "同一电表去年同月的用电量,按天数折算到本月。",
        "quantification": "减排量(毫克)=(去年同月用电量 × 本月天数 − 本月用电量 × 去年同月天数)"
        "× 电网因子(微克/瓦时)÷(去年同月天数 × 1000);为负计零,只在最后一步取整。",
        "monitoring": "电量取自计量电表的月冻结值,由上报方密钥签名;去年同月的值由平台在其已收到的"
        "同表数据中查取并注明。每日用电 0.1 至 200 千瓦时为合理范围,低于下限或达到每日 10 兆瓦时的,"
        "疑为单位错误;电量为负视为电表翻转或换表;降幅超过九成视为空置,不予核算。",
        "appendix": f"电网因子:{name} {year} 年 {figure}({grade} 级)。{weak}"
        "三套全国因子(平均、不含市场化交易的非化石能源、化石能源)分列为不同方法,不得混用。",
    }
