"""Methods and rules as they are published: every version, where it stands, who approved it."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from backend.kit.db import Row, Tx

What = Literal["rule", "method"]


@dataclass(frozen=True, slots=True)
class DocumentEntry:
    """One version of a method or rule. `status` is draft, approved, enacted or stopped.

    `grade` is a method's own standing (approved or provisional), None for a rule; `approvers`
    are addresses, ascending; `tx_hash` the enactment's transaction.
    """

    what: What
    id: str
    version: int
    status: str
    grade: str | None
    document: bytes
    digest: bytes
    day_from: date
    day_to: date | None
    published_at: datetime
    enacted_at: datetime | None
    approvers: tuple[str, ...]
    tx_hash: bytes | None


_COLUMNS = """
    d.document, d.digest, d.day_from, d.day_to, d.published_at, d.enacted_at,
    (SELECT array_agg(a.address ORDER BY a.address) FROM approval AS a
     WHERE a.what = {code} AND a.id = d.{id} AND a.version = d.version
       AND a.digest = d.digest) AS approvers,
    (SELECT e.tx_hash FROM enactment AS e
     WHERE e.what = '{what}' AND e.id = d.{id} AND e.version = d.version
     ORDER BY e.enacted_at LIMIT 1) AS tx_hash
"""
_RULES = (
    "SELECT d.rule_id AS id, d.version, d.status, NULL AS grade,"
    + _COLUMNS.format(code=1, id="rule_id", what="rule")
    + "FROM rule AS d"
)
_METHODS = (
    """SELECT d.method_id AS id, d.version, d.status AS grade,
              CASE WHEN d.enacted_at IS NULL THEN 'draft' ELSE 'enacted' END AS status,"""
    + _COLUMNS.format(code=2, id="method_id", what="method")
    + "FROM method AS d"
)


async def documents_listed(
    tx: Tx, what: What, *, after: tuple[str, int] = ("", 0), limit: int = 1_000
) -> list[DocumentEntry]:
    """Versions in order of id and version, those after `after`."""
    source, key = (_RULES, "d.rule_id") if what == "rule" else (_METHODS, "d.method_id")
    rows = await tx.fetch(
        f"{source} WHERE ({key}, d.version) > ($1, $2) ORDER BY {key}, d.version LIMIT $3",
        *after,
        limit,
    )
    return [_entry(what, row) for row in rows]


async def document_entry(tx: Tx, what: What, name: str, version: int) -> DocumentEntry | None:
    """One version, or None."""
    source, key = (_RULES, "d.rule_id") if what == "rule" else (_METHODS, "d.method_id")
    row = await tx.fetchrow(f"{source} WHERE {key} = $1 AND d.version = $2", name, version)
    return None if row is None else _entry(what, row)


def _entry(what: What, row: Row) -> DocumentEntry:
    return DocumentEntry(
        what=what,
        id=row["id"],
        version=row["version"],
        status=row["status"],
        grade=row["grade"],
        document=row["document"],
        digest=row["digest"],
        day_from=row["day_from"],
        day_to=row["day_to"],
        published_at=row["published_at"],
        enacted_at=row["enacted_at"],
        approvers=tuple(row["approvers"] or ()),
        tx_hash=row["tx_hash"],
    )
