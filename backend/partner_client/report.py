"""The sender's report: what became of every row of the file."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass(slots=True)
class Report:
    """Rows by what became of them; the parts always add up to `rows_total`."""

    rows_total: int
    events_total: int
    accepted: int = 0
    duplicate: int = 0
    rejected: Counter[str] = field(default_factory=Counter[str])
    refused: Counter[str] = field(default_factory=Counter[str])
    left_out: Counter[str] = field(default_factory=Counter[str])
    unpaired: Counter[str] = field(default_factory=Counter[str])
    undecided: int = 0
    notes: list[str] = field(default_factory=list[str])

    def rows_accounted(self) -> int:
        """The sum of all parts, in rows."""
        parts = (self.rejected, self.refused, self.left_out, self.unpaired)
        return self.accepted + self.duplicate + self.undecided + sum(p.total() for p in parts)

    def document(self) -> dict[str, Any]:
        """The report as JSON members, all in rows of the file."""
        return {
            "rows": self.rows_total,
            "events": self.events_total,
            "accepted": self.accepted,
            "duplicate": self.duplicate,
            "undecided": self.undecided,
            "rejected": dict(sorted(self.rejected.items())),
            "refused": dict(sorted(self.refused.items())),
            "left_out": dict(sorted(self.left_out.items())),
            "unpaired": dict(sorted(self.unpaired.items())),
            "notes": self.notes,
            "adds_up": self.rows_accounted() == self.rows_total,
        }

    def print_to(self, console: Console, *, sent: bool = True) -> None:
        """A table for people: one line a reason, in rows of the file.

        `sent=False` is for a dry run, which knows only what would be turned away.
        """
        for note in self.notes:
            console.print(note, highlight=False, markup=False)
        became, would = (
            "每一行的去向 · what became of each row",
            "试运行 · what would become of each row",
        )
        table = Table(title=became if sent else would)
        table.add_column("结果 outcome")
        table.add_column("原因 reason")
        table.add_column("行 rows", justify="right")
        if sent:
            table.add_row("accepted 已接收", "", f"{self.accepted:,}")
            table.add_row("duplicate 重复", "", f"{self.duplicate:,}")
        if self.undecided:
            waiting = "recorded 已记录,未判定" if sent else "would be sent 将会发送"
            table.add_row(waiting, "", f"{self.undecided:,}")
        for outcome, reasons in (
            ("rejected 被拒收" if sent else "would be rejected 将被拒收", self.rejected),
            ("refused 未通过", self.refused),
            ("left out 未发送", self.left_out),
            ("unpaired 未配对", self.unpaired),
        ):
            for reason, rows in sorted(reasons.items()):
                table.add_row(outcome, reason, f"{rows:,}")
        table.add_section()
        adds_up = "✓" if self.rows_accounted() == self.rows_total else "✗"
        table.add_row(
            "合计 total", f"= 文件行数 rows of the file {adds_up}", f"{self.rows_total:,}"
        )
        console.print(table)
