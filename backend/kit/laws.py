"""Laws that stored rows have to obey, written as queries that give only the rows breaking them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backend.kit.db import Tx


@dataclass(frozen=True, slots=True)
class Difference:
    """A law that does not hold: which one, of what, what it asks for and what is stored."""

    law: str
    subject: str
    expected: str
    found: str


async def broken(tx: Tx, laws: Mapping[str, str], *args: Any) -> list[Difference]:
    """Every row that breaks one of the laws; each query gives (subject, expected, found) as text.

    Asked in a repeatable-read transaction, all laws see one snapshot and hold under load.
    """
    found: list[Difference] = []
    for law, sql in laws.items():
        found += differences(law, await tx.fetch(sql, *args))
    return found


def differences(law: str, rows: Sequence[Mapping[str, Any]]) -> list[Difference]:
    """Rows of (subject, expected, found) as differences of one law."""
    return [Difference(law, row["subject"], row["expected"], row["found"]) for row in rows]
