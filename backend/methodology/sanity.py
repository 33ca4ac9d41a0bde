"""Physical sanity of published totals: does a figure lie where figures of its kind can lie.

A press figure, a partner's total or a rule's promise is divided down to a quantity with known
limits (kg per litre, g per km, one user's share); the limits stand with grade and source in one
table, the ones of electricity in the table of grid factors.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any, Literal

from backend.methodology.scenarios import DOCUMENTS

Verdict = Literal["plausible", "too-low", "too-high", "suspicious-unit"]

ELECTRICITY = "kg per kWh"
UNIT_FACTOR = 1_000
"""What a figure is off by when somebody took g for kg, or Wh for kWh."""

_NUMBER = r"\d[\d,]*(?:\.\d+)?"
_FIGURE = re.compile(rf"\s*{_NUMBER}\s*(?:[*×/÷]\s*{_NUMBER}\s*)*")


@dataclass(frozen=True, slots=True)
class Limit:
    """Figures of a check lie from `low` to `high`, both included, in `unit`.

    `of` says of what: petrol, metro, a province.
    """

    check: str
    of: str
    low: Fraction
    high: Fraction
    unit: str
    grade: str
    source: str


@dataclass(frozen=True, slots=True)
class Finding:
    """A figure held against one limit."""

    limit: Limit
    figure: Fraction
    verdict: Verdict


@cache
def sanity_limits() -> tuple[Limit, ...]:
    """Every limit, electricity by series and province last."""
    listed: list[dict[str, Any]] = json.loads(
        (DOCUMENTS / "sanity.json").read_text(encoding="utf-8")
    )
    for each in listed:
        each |= {"low": Fraction(each["low"]), "high": Fraction(each["high"])}
    return (*(Limit(**each) for each in listed), *_electricity())


def check_figure(check: str, figure: Fraction, of: str | None = None) -> list[Finding]:
    """The figure against every limit of a check, or against the one `of` something.

    Raises LookupError when there is no such limit.
    """
    found = [
        Finding(limit, figure, _verdict(limit, figure))
        for limit in sanity_limits()
        if limit.check.casefold() == check.strip().casefold() and of in (None, limit.of)
    ]
    if not found:
        raise LookupError(f"no limit for {check!r}" + ("" if of is None else f" of {of!r}"))
    return found


def read_figure(text: str) -> Fraction:
    """The exact value of `15.53`, `730,000/47,000` or `5.2*1000/5200`, read left to right.

    Raises ValueError; a division by zero is one too.
    """
    if _FIGURE.fullmatch(text) is None:
        raise ValueError(f"not a figure or a ratio of figures: {text[:64]!r}")
    parts = re.findall(rf"{_NUMBER}|[*×/÷]", text)
    value = Fraction(parts[0].replace(",", ""))
    for mark, number in zip(parts[1::2], parts[2::2], strict=True):
        by = Fraction(number.replace(",", ""))
        if mark in "/÷" and not by:
            raise ValueError("a division by zero")
        value = Fraction(value, by) if mark in "/÷" else value * by
    return value


def _verdict(limit: Limit, figure: Fraction) -> Verdict:
    if limit.low <= figure <= limit.high:
        return "plausible"
    for scaled in (figure * UNIT_FACTOR, Fraction(figure, UNIT_FACTOR)):
        if limit.low > 0 and limit.low <= scaled <= limit.high:
            return "suspicious-unit"
    return "too-low" if figure < limit.low else "too-high"


def _electricity() -> Iterable[Limit]:
    """The lowest and highest factor known of each series; of any, the range of all."""
    table = json.loads((DOCUMENTS / "grid.json").read_text(encoding="utf-8"))
    values = {
        series["id"]: (series["name"], [(v["ug_per_wh"], v["grade"]) for v in series["values"]])
        for series in table["series"]
    }
    everything = [value for _, listed in values.values() for value in listed]
    for of, (name, listed) in {**values, "any": ("各地各年", everything)}.items():
        numbers = [number for number, _ in listed]
        yield Limit(
            ELECTRICITY,
            of,
            Fraction(min(numbers), 1_000_000),
            Fraction(max(numbers), 1_000_000),
            "kg/kWh",
            max(grade for _, grade in listed),
            f"{name}电力二氧化碳排放因子,生态环境部、国家统计局公告(公开报道或第三方转引)",
        )
