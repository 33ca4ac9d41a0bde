"""Where each version of a method stands, from its draft to the end of its window."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from backend.kit.db import Tx
from backend.kit.needs import DocumentError

Status = Literal["draft", "notice", "approved", "provisional", "retired"]


@dataclass(frozen=True, slots=True)
class MethodStanding:
    """A version with its window in city days and the notice it lay open on, if any."""

    id: str
    version: int
    status: Status
    day_from: date
    day_to: date | None
    digest: bytes
    opens_at: datetime | None
    closes_at: datetime | None


async def give_notice(
    tx: Tx, method_id: str, version: int, opens_at: datetime, closes_at: datetime, at: datetime
) -> None:
    """Put a draft on public notice from `opens_at` to `closes_at`; the same again changes nothing.

    Raises DocumentError: `unknown-method`, `already-enacted`, `bad-window`, `notice-exists`.
    """
    # Locked: an approval of the same version waits, and then finds the notice.
    row = await tx.fetchrow(
        "SELECT enacted_at FROM method WHERE method_id = $1 AND version = $2 FOR UPDATE",
        method_id,
        version,
    )
    if row is None:
        raise DocumentError("unknown-method", f"{method_id} version {version}")
    if not opens_at < closes_at:
        raise DocumentError("bad-window", "a notice opens before it closes")
    before = await _notice(tx, method_id, version)
    if before == (opens_at, closes_at):
        return
    if row["enacted_at"] is not None:
        raise DocumentError("already-enacted", f"{method_id} version {version}")
    if before is not None:
        raise DocumentError("notice-exists", f"{method_id} version {version}")
    await tx.execute(
        """INSERT INTO method_notice (method_id, version, opens_at, closes_at, given_at)
           VALUES ($1, $2, $3, $4, $5)""",
        method_id,
        version,
        opens_at,
        closes_at,
        at,
    )


async def check_notice(tx: Tx, method_id: str, version: int, at: datetime) -> None:
    """Refuse to approve a version whose notice has not closed. Raises DocumentError `notice-open`.

    A version that was never put on notice may be approved at once.
    """
    notice = await _notice(tx, method_id, version)
    if notice is not None and at < notice[1]:
        raise DocumentError("notice-open", f"until {notice[1].isoformat()}")


async def standings(tx: Tx, at: datetime, today: date) -> list[MethodStanding]:
    """Every version at an instant and city day, in the order of id and version."""
    rows = await tx.fetch(
        """SELECT m.method_id, m.version, m.status, m.day_from, m.day_to, m.digest, m.enacted_at,
                  n.opens_at, n.closes_at
           FROM method AS m LEFT JOIN method_notice AS n USING (method_id, version)
           ORDER BY m.method_id, m.version"""
    )
    return [
        MethodStanding(
            row["method_id"],
            row["version"],
            _status(row["status"], row["enacted_at"], row["day_to"], today)
            or ("notice" if _runs(row["opens_at"], row["closes_at"], at) else "draft"),
            row["day_from"],
            row["day_to"],
            row["digest"],
            row["opens_at"],
            row["closes_at"],
        )
        for row in rows
    ]


def _status(
    own: Status, enacted_at: datetime | None, day_to: date | None, today: date
) -> Status | None:
    """Of an enacted version: the document's own status, or retired once its window has ended."""
    if enacted_at is None:
        return None
    return "retired" if day_to is not None and day_to <= today else own


def _runs(opens_at: datetime | None, closes_at: datetime | None, at: datetime) -> bool:
    return opens_at is not None and closes_at is not None and opens_at <= at < closes_at


async def _notice(tx: Tx, method_id: str, version: int) -> tuple[datetime, datetime] | None:
    row = await tx.fetchrow(
        "SELECT opens_at, closes_at FROM method_notice WHERE method_id = $1 AND version = $2",
        method_id,
        version,
    )
    return None if row is None else (row["opens_at"], row["closes_at"])
