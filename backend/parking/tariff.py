"""Tariffs as data: what a stay costs, in fen, by expressions of the integer language.

A stay is cut into parking days (which may begin at 05:00 instead of midnight). The expression
`day` prices each of them, `total` turns their sum into the charge, `cancel` prices a cancelled
reservation. Minutes are started minutes: every minute belongs to the parking day and the bands in
which it begins, so the parts always add up to the whole.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, cast

from backend.kit import canonical, needs
from backend.kit.expr import ExprError, Expression, ExprType, is_name
from backend.kit.needs import DocumentError
from backend.kit.sm import sm3
from backend.parking.calendar import Calendar, minute_of

FORMAT = "tanhui-tariff-v1"
CHARGE_FEN_MAX = 10_000_000
"""100,000 CNY: a charge above it is an error of the tariff, not a price."""

STAY_DAYS_MAX = 400

_MEMBERS = (
    *("format", "lot", "version", "day_from", "day_to", "name", "parking_day", "bands"),
    *("needs", "day", "total", "cancel", "text"),
)
_COMMON: dict[str, ExprType] = {
    "vehicle_class": "string",
    "electric": "bool",
    "reserved": "bool",
    "reentry": "bool",
    "total_minutes": "int",
}
_DAY: dict[str, ExprType] = {
    **_COMMON,
    "minutes": "int",
    "first": "bool",
    "holiday": "bool",
    "weekend": "bool",
}
_TOTAL: dict[str, ExprType] = {
    **_COMMON,
    "sum_fen": "int",
    "parking_days": "int",
    "overstay_minutes": "int",
    "coupon_fen": "int",
}
_CANCEL: dict[str, ExprType] = {
    "notice_minutes": "int",
    "booked_minutes": "int",
    "since_reserved_minutes": "int",
    "price_fen": "int",
    "by_owner": "bool",
}
_BAND = re.compile(r"[a-z][a-z0-9]{0,15}", re.ASCII)


class TariffError(Exception):
    """A charge that the tariff cannot give: `name` is the kebab-case reason."""

    def __init__(self, name: str, detail: str) -> None:
        super().__init__(f"{name}: {detail}")
        self.name = name


@dataclass(frozen=True, slots=True)
class Priced:
    """What is known of a stay when it is priced. Times in seconds since 1970."""

    entered_s: int
    left_s: int
    vehicle_class: str = "small"
    electric: bool = False
    reserved: bool = False
    reentry: bool = False
    overstay_s: int = 0
    coupon_fen: int = 0


@dataclass(frozen=True, slots=True)
class DayPart:
    """One parking day of a stay: the day on which it began, its minutes, and what it costs."""

    day: date
    minutes: int
    amount_fen: int


@dataclass(frozen=True, slots=True)
class Charge:
    """What a stay costs and how it came about."""

    amount_fen: int
    parts: tuple[DayPart, ...]


@dataclass(frozen=True, slots=True)
class Tariff:
    """A version of a lot's prices, ready to run; `digest` is the SM3 of its canonical JSON."""

    lot: str
    version: int
    day_from: date
    day_to: date | None
    name: str
    parking_day_minute: int
    bands: tuple[tuple[str, int, int], ...]
    params: Mapping[str, needs.Value]
    day: Expression
    total: Expression
    cancel: Expression
    text: str
    document: bytes
    digest: bytes


def read_tariff(document: bytes | Mapping[str, Any]) -> Tariff:
    """Check and compile a tariff.

    Raises DocumentError: `not-json`, `bad-tariff`, `bad-window`, `bad-needs`, `bad-expression`, …
    """
    content = _parsed(document) if isinstance(document, bytes) else cast("dict[str, Any]", document)
    found = needs.members(content, _MEMBERS, "bad-tariff")
    if found["format"] != FORMAT:
        raise DocumentError("bad-tariff", f"the format is {FORMAT}")
    day_from, day_to = needs.window(found)
    bands = tuple(_band(each) for each in needs.items(found["bands"], "bad-tariff"))
    if len({name for name, _, _ in bands}) != len(bands):
        raise DocumentError("name-twice", "two bands have one name")
    band_types: dict[str, ExprType] = {f"{name}_minutes": "int" for name, _, _ in bands}
    reserved = frozenset({*_DAY, *_TOTAL, *_CANCEL, *band_types})
    wanted = needs.read_needs(found["needs"], reserved=reserved)
    if wanted.event or wanted.history or wanted.counters:
        raise DocumentError("bad-needs", "a tariff declares params only")
    params = wanted.types()
    spelled = canonical.dumps(content)
    return Tariff(
        lot=needs.identifier(found["lot"], "bad-tariff"),
        version=needs.whole(found["version"], "bad-tariff", least=1, most=2**31 - 1),
        day_from=day_from,
        day_to=day_to,
        name=needs.text(found["name"], "bad-tariff"),
        parking_day_minute=_minute(found["parking_day"]),
        bands=bands,
        params=wanted.values(),
        day=needs.compiled(found["day"], _DAY | band_types | params, "int"),
        total=needs.compiled(found["total"], _TOTAL | params, "int"),
        cancel=needs.compiled(found["cancel"], _CANCEL | params, "int"),
        text=needs.text(found["text"], "bad-tariff"),
        document=spelled,
        digest=sm3(spelled),
    )


def charge(tariff: Tariff, stay: Priced, calendar: Calendar) -> Charge:
    """What the stay costs.

    Raises TariffError: `impossible-times`, `tariff-fails`, `negative-charge`, `charge-too-large`.
    """
    if not 0 < stay.left_s - stay.entered_s <= STAY_DAYS_MAX * 86_400:
        raise TariffError("impossible-times", "a stay ends after it began, within 400 days")
    total_minutes = -(-(stay.left_s - stay.entered_s) // 60)
    common: dict[str, needs.Value] = {
        **tariff.params,
        "vehicle_class": stay.vehicle_class,
        "electric": stay.electric,
        "reserved": stay.reserved,
        "reentry": stay.reentry,
        "total_minutes": total_minutes,
    }
    parts = _parts(tariff, stay, calendar, common)
    amount_fen = _run(
        tariff.total,
        {
            **common,
            "sum_fen": sum(part.amount_fen for part in parts),
            "parking_days": len(parts),
            "overstay_minutes": -(-stay.overstay_s // 60),
            "coupon_fen": stay.coupon_fen,
        },
    )
    return Charge(_within(amount_fen), tuple(parts))


def cancellation_fee(
    tariff: Tariff,
    *,
    notice_s: int,
    booked_s: int,
    since_reserved_s: int,
    price_fen: int,
    by_owner: bool,
) -> int:
    """What cancelling a reservation costs the driver. Raises TariffError as `charge`."""
    values: dict[str, needs.Value] = {
        **tariff.params,
        "notice_minutes": notice_s // 60,
        "booked_minutes": booked_s // 60,
        "since_reserved_minutes": since_reserved_s // 60,
        "price_fen": price_fen,
        "by_owner": by_owner,
    }
    return _within(_run(tariff.cancel, values))


def _parts(
    tariff: Tariff, stay: Priced, calendar: Calendar, common: Mapping[str, needs.Value]
) -> list[DayPart]:
    parts: list[DayPart] = []
    start_minute = tariff.parking_day_minute
    day = calendar.day_of(stay.entered_s)
    if calendar.second_of(day, start_minute) > stay.entered_s:
        day -= timedelta(days=1)
    begin_s = stay.entered_s
    while begin_s < stay.left_s:
        following = day + timedelta(days=1)
        end_s = min(stay.left_s, calendar.second_of(following, start_minute))
        minutes = _minutes_between(stay.entered_s, begin_s, end_s)
        # A second or two before the change of day begin no minute of their own.
        if minutes:
            values = {
                **common,
                "minutes": minutes,
                "first": not parts,
                "holiday": calendar.is_holiday(day),
                "weekend": calendar.is_weekend(day),
            }
            for name, from_minute, to_minute in tariff.bands:
                values[f"{name}_minutes"] = sum(
                    _minutes_between(
                        stay.entered_s,
                        max(begin_s, calendar.second_of(each, from_minute)),
                        min(end_s, calendar.second_of(each, to_minute)),
                    )
                    for each in (day - timedelta(days=1), day, following)
                )
            amount_fen = _run(tariff.day, values)
            if amount_fen < 0:
                raise TariffError("negative-charge", f"{day} would cost {amount_fen} fen")
            parts.append(DayPart(day, minutes, amount_fen))
        day, begin_s = following, end_s
    return parts


def _minutes_between(entered_s: int, from_s: int, to_s: int) -> int:
    """How many minutes, counted from the entry, begin in [from_s, to_s)."""
    if to_s <= from_s:
        return 0
    return -((entered_s - to_s) // 60) + ((entered_s - from_s) // 60)


def _run(expression: Expression, values: Mapping[str, needs.Value]) -> int:
    try:
        return cast("int", expression.evaluate(values))
    except ExprError as error:
        raise TariffError("tariff-fails", f"{expression.text[:80]}: {error}") from error


def _within(amount_fen: int) -> int:
    if amount_fen < 0:
        raise TariffError("negative-charge", f"{amount_fen} fen")
    if amount_fen > CHARGE_FEN_MAX:
        raise TariffError("charge-too-large", f"{amount_fen} fen")
    return amount_fen


def _band(document: Any) -> tuple[str, int, int]:
    """(name, from, to) in minutes; a band that ends before it begins ends on the next day."""
    band = needs.members(document, ("name", "from", "to"), "bad-tariff")
    name = band["name"]
    if not isinstance(name, str) or _BAND.fullmatch(name) is None or not is_name(name):
        raise DocumentError("bad-tariff", f"a band's name matches {_BAND.pattern}")
    begin, end = _minute(band["from"]), _minute(band["to"])
    return name, begin, end if end > begin else end + 1_440


def _minute(value: Any) -> int:
    try:
        return minute_of(needs.text(value, "bad-tariff"))
    except ValueError as error:
        raise DocumentError("bad-tariff", str(error)) from error


def _parsed(document: bytes) -> dict[str, Any]:
    try:
        return needs.mapping(canonical.parse_event_json(document), "bad-tariff")
    except (canonical.NotJson, canonical.NotCanonical) as error:
        raise DocumentError("not-json", str(error)) from error
