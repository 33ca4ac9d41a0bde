"""A table looked over before it is published: holes, overlaps, idle rows, conditions that fail.

Every name that a condition reads is tried at the values it is compared with and their neighbours;
along each number the exact place where the answer changes is then searched for. What is found comes
with an example, so that an official can see it happen.
"""

import itertools
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from backend.incentive.document import GIVEN, Rule
from backend.kit.expr import ExprError, ExprType, thresholds
from backend.kit.needs import INTEGER_MAX, Value

BASES_MAX = 400
"""Combinations of all names from which each number is then followed along its line."""

CELLS_MAX = 100_000
"""Conditions evaluated in all, a fraction of a second; a table that needs more is looked over in
part, and then no row is said never to pay."""

STEPS_MAX = 60
"""Changes looked for between two neighbouring values of a line."""

_SPREAD = (0, 1, 10, 1_000, 100_000, 10_000_000, 1_000_000_000)
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "evidence_level": ("L0", "L1", "L2", "L3", "L4"),
    "status": ("approved", "provisional"),
}

Hits = tuple[bool, ...] | str
"""Whether each row's condition holds, or the name of an error."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with a table, with an input that shows it.

    Names: `table-gap` (between values that pay, one that no row takes), `table-overlap` (two rows
    under `unique`), `row-never-pays`, `condition-fails`.
    """

    name: str
    rows: tuple[str, ...]
    example: Mapping[str, Value]

    def __str__(self) -> str:
        shown = ", ".join(f"{name} = {_shown(value)}" for name, value in self.example.items())
        rows = f"rows {', '.join(self.rows)}; " if self.rows else ""
        return f"{rows}for example {shown or 'any input'}"


class _Enough(Exception):
    """The table is larger than what can be looked over."""


@dataclass(slots=True)
class _Table:
    """The conditions of a rule, answered for points and remembered."""

    rule: Rule
    names: list[str]
    answers: dict[tuple[Value, ...], Hits] = field(default_factory=dict[tuple[Value, ...], Hits])

    def at(self, point: tuple[Value, ...]) -> Hits:
        hits = self.answers.get(point)
        if hits is None:
            if len(self.answers) * len(self.rule.rows) > CELLS_MAX:
                raise _Enough
            values = {**self.rule.params, **dict(zip(self.names, point, strict=True))}
            try:
                hits = tuple(row.when.evaluate(values) is True for row in self.rule.rows)
            except ExprError as error:
                hits = error.kind
            self.answers[point] = hits
        return hits

    def example(self, point: tuple[Value, ...]) -> dict[str, Value]:
        return dict(zip(self.names, point, strict=True))


def review(rule: Rule) -> list[Finding]:
    """What is wrong with the table; each kind at most once, empty when nothing is.

    A gap is a value that no row takes between two that some row takes, all else being equal; a
    table that begins to pay above a threshold, or stops at one, has none. Rows of a `sum` stand
    each for itself and are asked only whether they fail or can never pay.
    """
    candidates, whole = _candidates(rule)
    names = sorted(candidates)
    table = _Table(rule, names)
    found: dict[str, Finding] = {}
    paying: set[int] = set()
    try:
        for base in _bases([candidates[name] for name in names], str(rule.digest)):
            lines = list(_lines(table, base, candidates)) or [[base]]
            for line in lines:
                _look_along(table, line, found, paying)
    except _Enough:
        whole = False
    if whole:
        for number, row in enumerate(rule.rows):
            if number not in paying:
                found.setdefault("row-never-pays", Finding("row-never-pays", (row.id,), {}))
    return list(found.values())


def _look_along(
    table: _Table,
    line: Sequence[tuple[Value, ...]],
    found: dict[str, Finding],
    paying: set[int],
) -> None:
    """Judge the points of one line, which are in ascending order of its number."""
    rule = table.rule
    hole: tuple[Value, ...] | None = None
    covered = False
    for point in line:
        hits = table.at(point)
        if hits == "overflow":
            continue  # only values far beyond any event come here; then nothing is paid
        if isinstance(hits, str):
            found.setdefault(
                "condition-fails", Finding("condition-fails", (), table.example(point))
            )
            continue
        true = [number for number, hit in enumerate(hits) if hit]
        paying.update(true[:1] if rule.hit == "first" else true)
        if rule.hit == "unique" and len(true) > 1:
            rows = tuple(rule.rows[number].id for number in true)
            finding = Finding("table-overlap", rows, table.example(point))
            found.setdefault("table-overlap", finding)
        if true and covered and hole is not None and rule.hit != "sum":
            found.setdefault("table-gap", Finding("table-gap", (), table.example(hole)))
        if true:
            covered, hole = True, None
        elif hole is None:
            hole = point


def _candidates(rule: Rule) -> tuple[dict[str, list[Value]], bool]:
    """The values to try of each name that a condition reads; whether they are all that matter."""
    types: dict[str, ExprType] = {**rule.needs.types(), **GIVEN}
    known = {name: value for name, value in rule.params.items() if type(value) is int}
    compared: dict[str, set[Value]] = {}
    whole = True
    for row in rule.rows:
        found, complete = thresholds(row.when, known)
        whole = whole and complete
        for name, values in found.items():
            if name not in known:
                compared.setdefault(name, set()).update(values)
    return {name: _values(name, types[name], values) for name, values in compared.items()}, whole


def _values(name: str, type_name: ExprType, compared: set[Value]) -> list[Value]:
    if type_name == "bool":
        return [False, True]
    if type_name == "string":
        return sorted({*(v for v in compared if isinstance(v, str)), *_CHOICES.get(name, ("",))})
    near = {v + step for v in compared if type(v) is int for step in (-1, 0, 1)}
    return sorted(v for v in {*near, *_SPREAD} if 0 <= v <= INTEGER_MAX)


def _bases(axes: Sequence[Sequence[Value]], seed: str) -> Iterator[tuple[Value, ...]]:
    """Combinations to start from: all of them, or as many as are affordable, always the same."""
    if math.prod(len(axis) for axis in axes) <= BASES_MAX:
        yield from itertools.product(*axes)
        return
    chooser = random.Random(seed)  # noqa: S311 - samples, not secrets
    for _ in range(BASES_MAX):
        yield tuple(chooser.choice(axis) for axis in axes)


def _lines(
    table: _Table, base: tuple[Value, ...], candidates: Mapping[str, Sequence[Value]]
) -> Iterator[list[tuple[Value, ...]]]:
    """For each number of a base point, the points along it where the answer changes."""
    for at, name in enumerate(table.names):
        values = [v for v in candidates[name] if type(v) is int]
        if values:
            yield [
                (*base[:at], value, *base[at + 1 :]) for value in _changes(table, base, at, values)
            ]


def _changes(
    table: _Table, base: tuple[Value, ...], at: int, values: Sequence[int]
) -> Iterator[int]:
    """The values of one number, and between two with different answers both sides of the change."""

    def hits(value: int) -> Hits:
        return table.at((*base[:at], value, *base[at + 1 :]))

    for low, high in itertools.pairwise(values):
        yield low
        for _ in range(STEPS_MAX):
            if hits(low) == hits(high) or low + 1 >= high:
                break
            last, first = low, high
            while last + 1 < first:
                middle = (last + first) // 2
                if hits(middle) == hits(low):
                    last = middle
                else:
                    first = middle
            yield from (last, first)
            low = first  # noqa: PLW2901 - the search goes on behind the change
    yield values[-1]


def _shown(value: Value) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value).lower()
