"""What a person is told inside the app: a topic and its facts; the door makes the sentence."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from backend.kit.db import Tx
from backend.kit.ids import new_id


@dataclass(frozen=True, slots=True)
class Notice:
    """One notice; `about` is the id of what it concerns, `facts` what its sentence needs."""

    notice_id: UUID
    topic: str
    about: UUID | None
    facts: Mapping[str, Any]
    created_at: datetime
    read_at: datetime | None


async def tell(
    tx: Tx,
    citizen_id: UUID,
    topic: str,
    about: UUID | None,
    facts: Mapping[str, str | int | None],
    at: datetime,
) -> None:
    """Put a notice into a person's list, in the commit of what it tells of."""
    await tx.execute(
        """INSERT INTO citizen_notice (notice_id, citizen_id, topic, about, facts, created_at)
           VALUES ($1, $2, $3, $4, $5, $6)""",
        new_id(),
        citizen_id,
        topic,
        about,
        json.dumps(facts),
        at,
    )


async def notices_of(tx: Tx, citizen_id: UUID, *, before: UUID | None, limit: int) -> list[Notice]:
    """A person's notices, newest first, older than the notice `before`."""
    rows = await tx.fetch(
        """SELECT notice_id, topic, about, facts, created_at, read_at FROM citizen_notice
           WHERE citizen_id = $1 AND ($2::uuid IS NULL OR notice_id < $2)
           ORDER BY notice_id DESC LIMIT $3""",
        citizen_id,
        before,
        limit,
    )
    return [Notice(**{**row, "facts": json.loads(row["facts"])}) for row in rows]


async def mark_read(tx: Tx, citizen_id: UUID, up_to: UUID, at: datetime) -> int:
    """The notices up to that one are read; how many were not before."""
    tag = await tx.execute(
        """UPDATE citizen_notice SET read_at = $3
           WHERE citizen_id = $1 AND notice_id <= $2 AND read_at IS NULL""",
        citizen_id,
        up_to,
        at,
    )
    return int(tag.rpartition(" ")[2])
