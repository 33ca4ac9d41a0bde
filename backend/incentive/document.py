"""A rule as a document: a decision table with caps, read, checked and compiled once.

Two formats are read. `tanhui-rule-v2` is v1 with more windows for caps, and caps that concern only
some scenarios, evidence levels or rows (`of`); a verifier that knows v1 alone refuses it by its
format instead of misjudging a cap.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import lru_cache
from typing import Any, Literal

from backend.incentive.periods import SCOPES, WINDOWS, counter_name
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
    mapping,
    members,
    read_needs,
    text,
    whole,
    window,
)

FORMAT = "tanhui-rule-v1"
FORMAT_2 = "tanhui-rule-v2"
WINDOWS_1 = ("day", "month", "year")
"""The windows of caps in the first format."""

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
    """At most `limit` whole points per person and programme in a window of city days.

    With a `scope`, only awards whose scenario, evidence level or row is one of `values` are cut
    and counted.
    """

    name: str
    window: str
    limit: int
    scope: str | None = None
    values: tuple[str, ...] = ()

    @property
    def counter(self) -> str:
        """The counter that holds what was used, with a scope one value for each of `values`."""
        scope = "" if self.scope is None else f"_{self.scope}"
        return f"points{scope}_{self.window}"

    def concerns(self, scenario: str, evidence_level: str, rows: Sequence[str]) -> bool:
        """Whether an award of this scenario and level, by these rows, is cut by the cap."""
        match self.scope:
            case None:
                return True
            case "scenario":
                return scenario in self.values
            case "level":
                return evidence_level in self.values
            case _:
                return any(row in self.values for row in rows)


@dataclass(frozen=True, slots=True)
class Rule:
    """A checked and compiled rule document. `digest` is H(CJ(document)).

    `cap_counters` name the counter that each cap reads, in the order of `caps`; `scoped` tells
    whether some cap concerns a part of the awards only. `numbers` count the rows from 1.
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
    numbers: Mapping[str, int]
    caps: tuple[Cap, ...]
    cap_counters: tuple[str, ...]
    scoped: bool
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
        """Names of the counters to keep for it, as they are stored."""
        named = [counter_name(name) for name in self.needs.counters]
        asked = [counter.stored for counter in named if counter is not None]
        return tuple(dict.fromkeys([*self.cap_counters, *asked]))

    def caps_of(self, scenario: str, evidence_level: str, rows: Sequence[str]) -> tuple[Cap, ...]:
        """The caps that concern such an award, in the document's order."""
        if not self.scoped:
            return self.caps
        return tuple(c for c in self.caps if c.concerns(scenario, evidence_level, rows))


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
    if doc["format"] not in (FORMAT, FORMAT_2):
        raise DocumentError("bad-rule", f"the format is {FORMAT} or {FORMAT_2}")
    if doc["hit"] not in ("first", "unique", "sum"):
        raise DocumentError("bad-rule", "hit is first, unique or sum")
    needs = read_needs(doc["needs"], reserved=frozenset(GIVEN))
    day_from, day_to = window(doc)
    rows = _rows(doc["rows"], {**needs.types(), **GIVEN})
    if doc["format"] == FORMAT:
        caps = _caps(doc["caps"], WINDOWS_1)
    else:
        caps = _scoped_caps(doc["caps"], doc["hit"], [row.id for row in rows])
    return Rule(
        id=identifier(doc["id"], "bad-rule"),
        version=whole(doc["version"], "bad-rule", least=1, most=2**31 - 1),
        programme=identifier(doc["programme"], "bad-rule"),
        points_class=identifier(doc["class"], "bad-rule"),
        day_from=day_from,
        day_to=day_to,
        hit=doc["hit"],
        needs=needs,
        rows=rows,
        numbers={row.id: number for number, row in enumerate(rows, start=1)},
        caps=caps,
        cap_counters=tuple(cap.counter for cap in caps),
        scoped=any(cap.scope is not None for cap in caps),
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


def _caps(value: Any, windows: Sequence[str]) -> tuple[Cap, ...]:
    caps: list[Cap] = []
    for each in items(value, "bad-caps"):
        doc = members(each, ("name", "window", "limit"), "bad-caps")
        name = text(doc["name"], "bad-caps")
        if doc["window"] not in windows:
            raise DocumentError("bad-caps", f"a window is one of {', '.join(windows)}")
        if any(cap.name == name for cap in caps):
            raise DocumentError("bad-caps", f"the cap {name} stands twice")
        caps.append(Cap(name, doc["window"], whole(doc["limit"], "bad-caps")))
    return tuple(caps)


def _scoped_caps(value: Any, hit: str, row_ids: Sequence[str]) -> tuple[Cap, ...]:
    """The caps of the second format: `of` is null, or an object with one scope and its values."""
    listed = [
        members(each, ("name", "window", "limit", "of"), "bad-caps")
        for each in items(value, "bad-caps")
    ]
    plain = _caps([{k: doc[k] for k in ("name", "window", "limit")} for doc in listed], WINDOWS)
    return tuple(
        cap if doc["of"] is None else _scoped(cap, doc["of"], hit, row_ids)
        for cap, doc in zip(plain, listed, strict=True)
    )


def _scoped(cap: Cap, of: Any, hit: str, row_ids: Sequence[str]) -> Cap:
    found = mapping(of, "bad-caps")
    if len(found) != 1 or not found.keys() <= set(SCOPES):
        raise DocumentError("bad-caps", f"of has one member, one of {', '.join(SCOPES)}")
    [(scope, listed)] = found.items()
    values = [text(each, "bad-caps") for each in items(listed, "bad-caps")]
    if not values or len(set(values)) != len(values):
        raise DocumentError("bad-caps", f"the cap {cap.name} lists each of its values once")
    if scope == "row":
        if hit == "sum":
            # Which part of a sum the cap should cut could be read in more than one way.
            raise DocumentError("bad-caps", "a cap on rows needs hit first or unique")
        unknown = [each for each in values if each not in row_ids]
        if unknown:
            raise DocumentError("bad-caps", f"no row is called {unknown[0]}")
    return replace(cap, scope=scope, values=tuple(values))
