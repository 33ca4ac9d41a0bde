"""What the columns of an unknown table hold, guessed from names and sample rows, with reasons.

The same table always gives the same guesses: names and values are tried against fixed lists.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Literal

TIME_FORMATS = (
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%dT%H:%M:%S%z",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%d",
    "%Y/%m/%d %H:%M:%S",
    "%Y/%m/%d %H:%M",
    "%Y/%m/%d",
    "%Y年%m月%d日 %H:%M:%S",
    "%Y年%m月%d日 %H:%M",
    "%Y年%m月%d日",
    "%Y年%m月",
    "%Y-%m",
    "%Y%m%d%H%M%S",
    "%Y%m%d",
    "%m/%d/%Y %H:%M:%S",
    "%m/%d/%Y %H:%M",
    "%m/%d/%Y",
    "%d/%m/%Y %H:%M:%S",
    "%d/%m/%Y %H:%M",
    "%d/%m/%Y",
    "%d.%m.%Y %H:%M",
    "%m/%d/%y %H:%M",
    "%y-%m-%d %H:%M",
    "%H:%M:%S",
)
"""Tried in this order; where several fit every sample, the first is taken and the doubt told."""

MISSING_MARKS = ("NA", "N/A", "NULL", "null", "NaN", "-", "--", "—", "无", "空")

WIDE_NAMES = (
    (r"\d{4}-\d{2}", "%Y-%m"),
    (r"\d{4}/\d{2}", "%Y/%m"),
    (r"\d{4}年\d{1,2}月", "%Y年%m月"),
    (r"\d{2}:\d{2}", "%H:%M"),
    (r"\d{2}:\d{2}:\d{2}", "%H:%M:%S"),
)
WIDE_COLUMNS_MIN = 6

Role = Literal[
    "time", "start", "end", "id", "person", "meter", "from", "to", "station", "kind", "readings",
    "kwh", "wh", "km", "m", "min", "s", "number", "other",
]  # fmt: skip
Confidence = Literal["高 high", "中 medium", "低 low"]

_NAMES: tuple[tuple[Role, str], ...] = (
    ("readings", r"n_?(half)?_?hours|readings|读数个数|点数"),
    ("kwh", r"kwh|千瓦时|度数|用电量|电量"),
    ("wh", r"(^|[^k])wh($|[^a-z])|瓦时"),
    ("km", r"(^|[^a-z])km($|[^a-z])|kilomet|公里|千米"),
    ("m", r"(^|_)distance_m$|met(er|re)s$|(里程|距离).*米"),
    ("min", r"minutes|_min$|分钟"),
    ("s", r"duration|seconds|_s$|时长.*秒|秒数"),
    ("from", r"(from|start|origin|entry).*(station|stop|站)|上车站|进站(名|站|编)|起点|出发站"),
    ("to", r"(to|end|dest\w*|exit).*(station|stop|站)|下车站|出站(名|站|编)|终点|到达站"),
    ("station", r"station|stop_?id|车站|站点|站名"),
    ("start", r"start|created|begin|depart|开始|起始|进站时间|借车"),
    ("end", r"stop_?time|ended|end|finish|arriv|结束|出站时间|还车"),
    ("meter", r"meter|customer|户号|表号|电表|用户编号"),
    ("person", r"user(?!.?type)|card|rider|member|token|用户|卡号|会员|手机"),
    ("id", r"(trip|session|order|ride|record|serial)_? ?id|编号|单号|订单|流水"),
)
"""Role → pattern in a column's name; the first that fits counts."""

ENTRIES = ("入站", "进站", "entry", "tap_in", "in")
EXITS = ("出站", "exit", "tap_out", "out")
BOARDINGS = ("巴士", "公交", "bus")


@dataclass(frozen=True, slots=True)
class Guess:
    """One column: its role, and why. `formats` are those that read every sample as a time."""

    name: str
    role: Role
    confidence: Confidence
    why: str
    samples: tuple[str, ...]
    values: tuple[str, ...]
    formats: tuple[str, ...] = ()
    years_below_100: bool = False
    missing: tuple[str, ...] = ()
    thousands: bool = False
    ends_in_station: bool = False


def recognise(name: str, cells: Sequence[str]) -> Guess:
    """What a column holds, by its name and the cells of the sample rows."""
    full = [unicodedata.normalize("NFKC", cell).strip() for cell in cells]
    missing = tuple(mark for mark in MISSING_MARKS if mark in full)
    known = [cell for cell in full if cell and cell not in missing]
    distinct = tuple(dict.fromkeys(known))
    formats = _formats(known)
    role, confidence, why = _role(name, known, distinct, formats)
    return Guess(
        name=name,
        role=role,
        confidence=confidence,
        why=why,
        samples=distinct[:3],
        values=distinct if len(distinct) <= 12 else (),
        formats=formats if role in {"time", "start", "end"} else (),
        years_below_100=role in {"time", "start", "end"} and bool(known) and known[0][:2] == "00",
        missing=missing,
        thousands=_number(known) is False and _number([c.replace(",", "") for c in known]) is True,
        ends_in_station=any(cell.endswith("站") for cell in distinct),
    )


def _role(
    name: str, known: Sequence[str], distinct: Sequence[str], formats: Sequence[str]
) -> tuple[Role, Confidence, str]:
    lowered = unicodedata.normalize("NFKC", name).lower()
    by_name = _role_by_name(lowered)
    if not known:
        return "other", "低 low", "样本全空 every sample is empty"
    role: Role
    compact = all(re.fullmatch(r"\d+", cell) for cell in known[:50])
    if formats and (not compact or re.search(r"date|time|day|日|时间", lowered)):
        role = by_name if by_name in {"start", "end"} else "time"
        return role, *_time_reason(formats)
    if _is_kind(distinct):
        return "kind", "高 high", f"少数几种取值 few values: {', '.join(distinct[:4])}"
    numeric = _number([cell.replace(",", "") for cell in known]) is True
    if by_name in {"kwh", "wh", "km", "m", "min", "s", "readings"}:
        if numeric:
            return (
                by_name,
                "高 high",
                "列名含单位且均为数字 unit in the name, every sample a number",
            )
        return "other", "低 low", "列名像数量但值不是数字 named as a quantity, not numbers"
    if by_name in {"start", "end"}:
        return (
            ("number" if numeric else "other"),
            "低 low",
            "列名像时间但读不出 no time can be read",
        )
    if by_name is not None:
        return by_name, "中 medium", "按列名 by its name"
    if len(distinct) == len(known) > 20 and re.search(r"id$|^id|no\.?$|号$", lowered):
        return "id", "中 medium", "每行不同 differs in every row"
    if numeric:
        return "number", "低 low", "数字,单位不明 numbers of no stated unit"
    return "other", "低 low", "未识别 not recognised"


def _role_by_name(name: str) -> Role | None:
    for role, pattern in _NAMES:
        if re.search(pattern, name):
            return role
    return None


def _time_reason(formats: Sequence[str]) -> tuple[Confidence, str]:
    if len(formats) > 1:
        return "低 low", f"几种写法都读得通 also readable as {formats[1]}: check day and month"
    return "高 high", "样本全部读得通 every sample is read"


def _formats(known: Sequence[str]) -> tuple[str, ...]:
    fitting = [each for each in TIME_FORMATS if known and _reads(known[0], each)]
    return tuple(each for each in fitting if all(_reads(cell, each) for cell in known))


def _reads(text: str, spelled: str) -> bool:
    try:
        datetime.strptime(text, spelled)  # noqa: DTZ007 — only whether it reads
    except ValueError:
        return False
    return True


def _number(cells: Sequence[str]) -> bool | None:
    """Whether every cell is a number; None without cells."""
    try:
        return all(Decimal(cell).is_finite() for cell in cells) if cells else None
    except InvalidOperation:
        return False


def _is_kind(distinct: Sequence[str]) -> bool:
    words = [cell.lower() for cell in distinct]
    return 1 < len(words) <= 12 and any(
        cell.endswith(ENTRIES) or cell.endswith(EXITS) for cell in words
    )
