"""Write tests/vectors/expr.jsonl: vectors of the expression language, answered by the reference.

Run as `python tests/expr_reference/make_vectors.py > tests/vectors/expr.jsonl`; it needs Node. The
same cases come out every time: the only source of chance is `random()` of a seeded generator, whose
sequence Python guarantees. The hand-written cases of `edge_cases.py` state their answers, and the
reference evaluator must agree with each of them before anything is written.
"""

import json
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from edge_cases import EDGE_CASES

SEED = 20261122
HERE = Path(__file__).parent
WELL_TYPED, ILL_TYPED, DAMAGED = 9_400, 900, 2_300

LEVELS = {"?:": 0, "||": 1, "&&": 2, "rel": 3, "+": 4, "-": 4, "*": 5, "/": 5, "%": 5, "un": 6}
RELATIONS = ("<", "<=", ">", ">=", "==", "!=", "in")
INTS = (0, 1, 2, 3, 7, 10, 60, 1000, 3600, 61364, 271818, 2**31, 2**53 - 1, 2**62, 2**63 - 1)
STRINGS = ("", "a", "transit.metro.trip", "地铁", "共享 car", "L3", "it's", "approved", "龥")
VARIABLES = {
    "int": ("distance_m", "days", "x", "i2"),
    "bool": ("estimated", "flag", "b_1"),
    "string": ("scenario", "status", "s"),
}
NOISE = (
    *'()[]?:,+-*/%!<>=&|"',
    *(" ", "in", "true", "null", "0", "01", "1u", "x", "X", "_", "\t", "\\", ".", "'", "é", "、"),
    *("😀", "&&", "||", "=="),
)


class Chance:
    """Choices made from `random()` alone, so that they are the same in every Python."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def below(self, bound: int) -> int:
        return int(self._random.random() * bound)

    def of(self, options: Sequence[Any]) -> Any:
        return options[self.below(len(options))]

    def one_in(self, count: int) -> bool:
        return self.below(count) == 0


class Writer:
    """Writes random trees as text, with random blanks and superfluous parentheses."""

    def __init__(self, chance: Chance, *, well_typed: bool) -> None:
        self.chance = chance
        self.well_typed = well_typed
        self.vars: dict[str, Any] = {}

    def tokens(self, kind: str, size: int, level: int = 0) -> list[str]:
        if not self.well_typed and self.chance.one_in(6):
            kind = self.chance.of(("int", "bool", "string"))
        own, tokens = self.node(kind, size)
        if own < level or self.chance.one_in(12):
            return ["(", *tokens, ")"]
        return tokens

    def node(self, kind: str, size: int) -> tuple[int, list[str]]:
        chance = self.chance
        if size <= 1:
            return 7, self.leaf(kind)
        if chance.one_in(7):
            third = max(1, size // 3)
            condition, yes = self.tokens("bool", third, 1), self.tokens(kind, third, 1)
            return 0, [*condition, "?", *yes, ":", *self.tokens(kind, third, 0)]
        if kind == "string":
            return 7, self.leaf(kind)
        if chance.one_in(6):
            return 6, ["-" if kind == "int" else "!", *self.tokens(kind, size - 1, 7)]
        if kind == "int":
            return self.binary(chance.of("+-*/%"), "int", size)
        if chance.one_in(2):
            return self.binary(chance.of(("&&", "||")), "bool", size)
        return self.relation(chance.of(RELATIONS), size)

    def binary(self, mark: str, kind: str, size: int) -> tuple[int, list[str]]:
        level, left = LEVELS[mark], 1 + self.chance.below(size - 1)
        right = self.tokens(kind, size - left, level + 1)
        return level, [*self.tokens(kind, left, level), mark, *right]

    def relation(self, mark: str, size: int) -> tuple[int, list[str]]:
        kind = (
            self.chance.of(("int", "int", "bool", "string"))
            if mark in ("==", "!=", "in")
            else "int"
        )
        left = 1 + self.chance.below(size - 1)
        if mark != "in":
            right = self.tokens(kind, size - left, 4)
            return 3, [*self.tokens(kind, left, 4), mark, *right]
        members: list[str] = []
        for _ in range(1 + self.chance.below(4)):
            members += [",", *self.literal(kind)]
        return 3, [*self.tokens(kind, left, 4), "in", "[", *members[1:], "]"]

    def leaf(self, kind: str) -> list[str]:
        if self.chance.one_in(2):
            return self.literal(kind)
        name = self.chance.of(VARIABLES[kind])
        if name not in self.vars:
            self.vars[name] = self.value(kind)
        return [name]

    def literal(self, kind: str) -> list[str]:
        if kind == "bool":
            return [self.chance.of(("true", "false"))]
        if kind == "string":
            return [f'"{self.chance.of(STRINGS)}"']
        return [str(self.chance.below(10) if self.chance.one_in(2) else self.chance.of(INTS))]

    def value(self, kind: str) -> Any:
        if kind == "bool":
            return self.chance.one_in(2)
        if kind == "string":
            return {"s": self.chance.of(STRINGS)}
        value = self.chance.below(20) if self.chance.one_in(2) else self.chance.of(INTS)
        sign = -1 if self.chance.one_in(3) else 1
        return str(-(2**63) if value == 2**63 - 1 and sign < 0 else sign * value)

    def text(self, tokens: list[str]) -> str:
        parts: list[str] = []
        for token in tokens:
            touching = bool(parts) and is_word(parts[-1][-1:]) and is_word(token[0])
            parts += [" " * (touching + (self.chance.below(3) == 2)), token]
        return "".join(parts) + " " * self.chance.one_in(9)


def is_word(mark: str) -> bool:
    return mark.isascii() and (mark.isalnum() or mark == "_")


def a_case(chance: Chance, *, well_typed: bool) -> dict[str, Any]:
    writer = Writer(chance, well_typed=well_typed)
    kind = chance.of(("int", "int", "bool", "bool", "string"))
    size = 2 + chance.below(9) if not chance.one_in(12) else 10 + chance.below(40)
    return {"expr": writer.text(writer.tokens(kind, size)), "vars": writer.vars}


def a_damaged_case(chance: Chance) -> dict[str, Any]:
    case = a_case(chance, well_typed=True)
    text = case["expr"]
    for _ in range(1 + chance.below(2)):
        start = chance.below(len(text) + 1)
        noise = chance.of(NOISE) if not chance.one_in(3) else ""
        text = text[:start] + noise + text[start + chance.below(2 + (not noise)) :]
    return {"expr": text, "vars": case["vars"]}


def answers(cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The reference evaluator's answer to each case."""
    lines = "".join(as_line(case) for case in cases)
    command = ["node", str(HERE / "evaluator.mjs")]
    done = subprocess.run(command, input=lines.encode(), capture_output=True, check=True)
    return [json.loads(line) for line in done.stdout.decode().splitlines()]


def as_line(case: dict[str, Any]) -> str:
    return json.dumps(case, ensure_ascii=False, separators=(",", ":")) + "\n"


def main() -> None:
    chance = Chance(SEED)
    stated = [{"expr": expr, "vars": values} for expr, values, _ in EDGE_CASES]
    for (expr, _, answer), found in zip(EDGE_CASES, answers(stated), strict=True):
        if found not in ({"error": answer}, {"result": answer}):
            raise SystemExit(
                f"the reference answers {found} and the edge case says {answer}: {expr}"
            )
    cases = stated + [a_case(chance, well_typed=True) for _ in range(WELL_TYPED)]
    cases += [a_case(chance, well_typed=False) for _ in range(ILL_TYPED)]
    cases += [a_damaged_case(chance) for _ in range(DAMAGED)]
    unique = {as_line(case): case for case in cases}
    found = answers(list(unique.values()))
    lines = (as_line(case | answer) for case, answer in zip(unique.values(), found, strict=True))
    sys.stdout.buffer.write("".join(lines).encode())


if __name__ == "__main__":
    main()
