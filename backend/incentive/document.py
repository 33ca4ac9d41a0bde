"""A rule as a document: a decision table with caps, read, checked and compiled once."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from typing import Any, Literal

from backend.incentive.counters import WINDOWS
from backend.kit import canonical
from backend.kit.expr import Expression, ExprType, decided
from backend.kit.needs import (
    DocumentError,
    Needs,
    Value,
    compiled,
    contains,
    identifier,
    items,
    members,
    read_needs,
    text,
    whole,
    window,
)

FORMAT = "tanhui-rule-v1"
DEPTH_MAX = 13
"""A document goes whole into a receipt, which leaves it this many levels."""

GIVEN: Mapping[str, ExprType] = {
    "reduction_mg": "int",
    "scenario": "string",
    "evidence_level": "string",
    "status": "string",
}
"""What every rule sees of the quantified reduction without declaring it (formats.md §9)."""

Hit = Literal["first", "unique", "sum"]

_MEMBERS = (
    "format",
    "id",
    "version",
    "programme",
    "class",
    "day_from",
    "day_to",
    "hit",
    "needs",
    "rows",
    "caps",
)
_ROW_ID = re.compile(r"[a-z][a-z0-9-]{0,31}")


@dataclass(frozen=True, slots=True)
class RuleRow:
    """One line of the table: if `when` is true, it may pay `points`."""

    id: str
    when: Expression
    points: Expression


@dataclass(frozen=True, slots=True)
class Cap:
    """At most `limit` whole points per person and programme in a window of city days."""

    name: str
    window: str
    limit: int


@dataclass(frozen=True, slots=True)
class Rule:
    """A checked and compiled rule document. `digest` is H(CJ(document)).

    `cap_counters` name the counter that each cap reads, in the order of `caps`.
    """

    id: str
    version: int
    programme: str
    points_class: str
    day_from: date
    day_to: date | None
    hit: Hit
    needs: Needs
    rows: tuple[RuleRow, ...]
    caps: tuple[Cap, ...]
    cap_counters: tuple[str, ...]
    digest: bytes
    params: dict[str, Value] = field(repr=False)

    def covers(self, day: date) -> bool:
        """Whether the document's own window contains the city day."""
        return contains(self.day_from, self.day_to, day)

    def concerns(self, scenario: str) -> bool:
        """Whether some row may pay for a scenario; where none can, the rule is not asked."""
        given = {"scenario": scenario}
        return any(decided(row.when, given) is not False for row in self.rows)

    def counters(self) -> tuple[str, ...]:
        """Counters that its caps and its needs read."""
        return tuple(dict.fromkeys([*self.cap_counters, *self.needs.counters]))


@lru_cache(maxsize=256)
def read_rule(document: bytes) -> Rule:
    """The rule of a canonical JSON document.

    Raises DocumentError with the reason's name; equal bytes are read once per process.
    """
    try:
        known = canonical.loads_strict(document, depth_max=DEPTH_MAX)
    except ValueError as error:
        raise DocumentError("not-canonical", str(error)) from error
    doc = members(known, _MEMBERS, "bad-rule")
    if doc["format"] != FORMAT:
        raise DocumentError("bad-rule", f"the format is {FORMAT}")
    if doc["hit"] not in ("first", "unique", "sum"):
        raise DocumentError("bad-rule", "hit is first, unique or sum")
    needs = read_needs(doc["needs"], reserved=frozenset(GIVEN))
    day_from, day_to = window(doc)
    caps = _caps(doc["caps"])
    return Rule(
        id=identifier(doc["id"], "bad-rule"),
        version=whole(doc["version"], "bad-rule", least=1, most=2**31 - 1),
        programme=identifier(doc["programme"], "bad-rule"),
        points_class=identifier(doc["class"], "bad-rule"),
        day_from=day_from,
        day_to=day_to,
        hit=doc["hit"],
        needs=needs,
        rows=_rows(doc["rows"], {**needs.types(), **GIVEN}),
        caps=caps,
        cap_counters=tuple(f"points_{cap.window}" for cap in caps),
        digest=hashlib.new("sm3", document).digest(),
        params=needs.values(),
    )


def _rows(value: Any, types: Mapping[str, ExprType]) -> tuple[RuleRow, ...]:
    rows: list[RuleRow] = []
    for each in items(value, "bad-rows"):
        doc = members(each, ("id", "when", "points"), "bad-rows")
        if not isinstance(doc["id"], str) or _ROW_ID.fullmatch(doc["id"]) is None:
            raise DocumentError("bad-rows", "a row has an id in kebab-case")
        if any(row.id == doc["id"] for row in rows):
            raise DocumentError("bad-rows", f"the row {doc['id']} stands twice")
        rows.append(
            RuleRow(
                doc["id"],
                compiled(doc["when"], types, "bool"),
                compiled(doc["points"], types, "int"),
            )
        )
    if not rows:
        raise DocumentError("bad-rows", "a rule has at least one row")
    return tuple(rows)


def _caps(value: Any) -> tuple[Cap, ...]:
    caps: list[Cap] = []
    for each in items(value, "bad-caps"):
        doc = members(each, ("name", "window", "limit"), "bad-caps")
        name = text(doc["name"], "bad-caps")
        if doc["window"] not in WINDOWS:
            raise DocumentError("bad-caps", f"a window is one of {', '.join(WINDOWS)}")
        if any(cap.name == name for cap in caps):
            raise DocumentError("bad-caps", f"the cap {name} stands twice")
        caps.append(Cap(name, doc["window"], whole(doc["limit"], "bad-caps")))
    return tuple(caps)
