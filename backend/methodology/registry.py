"""Methods in the database: published as documents, in force by city day once enacted."""

from dataclasses import dataclass
from datetime import date, datetime

from backend.kit.db import Tx
from backend.kit.needs import DocumentError, contains
from backend.methodology.document import Method, read_method
from backend.methodology.publication import check_publication


@dataclass(frozen=True, slots=True)
class MethodCalendar:
    """The enacted methods with their windows, in the order in which they take precedence."""

    entries: tuple[tuple[Method, date, date | None], ...]

    def in_force(self, scenario: str, city_day: date) -> Method | None:
        """The method that quantifies a scenario on a city day.

        Among those whose window covers the day: approved before provisional, then the highest
        version, then the latest enactment.
        """
        for method, day_from, day_to in self.entries:
            if scenario in method.scenarios and contains(day_from, day_to, city_day):
                return method
        return None


async def publish(tx: Tx, document: bytes, at: datetime) -> Method:
    """Store a method version, not yet in force. The same bytes again change nothing.

    Raises DocumentError: a reason of `read_method` or `check_publication`, or `version-exists`.
    """
    method = read_method(document)
    check_publication(method)
    stored = await tx.fetchval(
        """INSERT INTO method (method_id, version, status, document, digest, day_from, day_to,
               published_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
           ON CONFLICT (method_id, version) DO NOTHING RETURNING digest""",
        method.id,
        method.version,
        method.status,
        document,
        method.digest,
        method.day_from,
        method.day_to,
        at,
    )
    if stored is None and await document_of(tx, method.id, method.version) != document:
        raise DocumentError(
            "version-exists", f"{method.id} version {method.version} has another document"
        )
    return method


async def document_of(tx: Tx, method_id: str, version: int) -> bytes | None:
    """The canonical JSON of a method version, or None."""
    return await tx.fetchval(
        "SELECT document FROM method WHERE method_id = $1 AND version = $2", method_id, version
    )


async def enact(
    tx: Tx, method_id: str, version: int, at: datetime, day_to: date | None = None
) -> None:
    """Put a published version in force, as the chain has it; `day_to` lowers the window's end.

    Raises DocumentError `unknown-method`.
    """
    done = await tx.execute(
        """UPDATE method SET enacted_at = coalesce(enacted_at, $3), day_to = coalesce($4, day_to)
           WHERE method_id = $1 AND version = $2""",
        method_id,
        version,
        at,
        day_to,
    )
    if done != "UPDATE 1":
        raise DocumentError("unknown-method", f"{method_id} version {version}")


async def calendar(tx: Tx) -> MethodCalendar:
    """All enacted methods. One query; compiled documents are kept by the process."""
    rows = await tx.fetch(
        """SELECT document, day_from, day_to FROM method WHERE enacted_at IS NOT NULL
           ORDER BY status <> 'approved', version DESC, enacted_at DESC, method_id"""
    )
    return MethodCalendar(
        tuple((read_method(r["document"]), r["day_from"], r["day_to"]) for r in rows)
    )


async def in_force(tx: Tx, scenario: str, city_day: date) -> Method | None:
    """The method that quantifies a scenario on a city day, or None."""
    return (await calendar(tx)).in_force(scenario, city_day)
