"""An operator's or a rail's list of a day held against ours, order by order.

A file is CSV with the columns `order` and `amount_fen`; others are ignored. A row that cannot be
read is listed by its line and sinks nothing. Every order of either side has one outcome, so the
four sums add up to both sides' totals.
"""

import csv
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple
from uuid import UUID

from backend.kit.problems import Problem

Outcome = Literal["match", "ours-only", "theirs-only", "differs"]
OUTCOMES: tuple[str, ...] = ("match", "ours-only", "theirs-only", "differs")
ROWS_MAX = 500_000
_WHOLE = re.compile(r"0|[1-9][0-9]{0,9}", re.ASCII)


class BadRow(NamedTuple):
    """A row that could not be read: its line in the file (the heading is 1), and why."""

    line: int
    reason: str


class Compared(NamedTuple):
    """One order: what we have, what they have, in fen."""

    order_ref: str
    outcome: Outcome
    ours_fen: int | None
    theirs_fen: int | None


@dataclass(frozen=True, slots=True)
class TheirFile:
    """A file taken apart: amounts by order as they spell it, and the rows that are none."""

    amounts: Mapping[str, int]
    bad: tuple[BadRow, ...]


def read_file(data: bytes) -> TheirFile:
    """Read a file. Raises Problem 422 `bad-file` where not even the heading can be read."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Problem(422, "bad-file", "对账文件须为 UTF-8 编码的 CSV。") from error
    rows = csv.reader(io.StringIO(text.replace("\x00", "�")))
    nothing: list[str] = []
    heading = [name.strip() for name in next(rows, nothing)]
    if "order" not in heading or "amount_fen" not in heading:
        raise Problem(422, "bad-file", "对账文件须有 order 与 amount_fen 两列。")
    order_at, amount_at = heading.index("order"), heading.index("amount_fen")
    amounts: dict[str, int] = {}
    bad: list[BadRow] = []
    try:
        for row in rows:
            if not row:
                continue
            reason = _read_row(row, order_at, amount_at, amounts)
            if reason:
                bad.append(BadRow(rows.line_num, reason))
            if len(amounts) > ROWS_MAX:
                raise Problem(422, "bad-file", f"对账文件最多 {ROWS_MAX} 行。")
    except csv.Error as error:
        bad.append(BadRow(rows.line_num, f"unreadable: {error}"))
    return TheirFile(amounts, tuple(bad))


def _read_row(row: list[str], order_at: int, amount_at: int, amounts: dict[str, int]) -> str:
    """Enter a row; why not, if it cannot be read."""
    if len(row) <= max(order_at, amount_at):
        return "too-few-columns"
    order, amount = row[order_at].strip(), row[amount_at].strip()
    try:
        order = str(UUID(order))
    except ValueError:
        return "bad-order"
    if not _WHOLE.fullmatch(amount):
        return "bad-amount"
    if order in amounts:
        return "order-twice"
    amounts[order] = int(amount)
    return ""


def compare(ours: Mapping[str, int], theirs: Mapping[str, int]) -> list[Compared]:
    """Every order of either side with its outcome, in the order of their ids."""
    found: list[Compared] = []
    for order in sorted(ours.keys() | theirs.keys()):
        ours_fen, theirs_fen = ours.get(order), theirs.get(order)
        outcome: Outcome = "match"
        if theirs_fen is None:
            outcome = "ours-only"
        elif ours_fen is None:
            outcome = "theirs-only"
        elif ours_fen != theirs_fen:
            outcome = "differs"
        found.append(Compared(order, outcome, ours_fen, theirs_fen))
    return found
