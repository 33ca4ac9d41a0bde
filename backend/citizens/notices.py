"""What a person is told inside the app: a topic and its facts; the door makes the sentence."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
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
    """Put a notice into a person's list, in the commit of what it tells of.

    It is pushed too where the person has allowed a message of this topic.
    """
    await tx.execute(
        """INSERT INTO citizen_notice (notice_id, citizen_id, topic, about, facts, created_at,
               push_state, push_due_at)
           SELECT $1, $2, $3, $4, $5, $6::timestamptz, CASE WHEN allowed THEN 'waiting' END,
                  CASE WHEN allowed THEN $6::timestamptz END
           FROM (SELECT EXISTS (
                     SELECT FROM push_grant
                     WHERE citizen_id = $2 AND topic = $3 AND times_left > 0) AS allowed) AS g""",
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


async def count_unread(tx: Tx, citizen_id: UUID) -> int:
    """How many notices a person has not read."""
    return int(
        await tx.fetchval(
            "SELECT count(*) FROM citizen_notice WHERE citizen_id = $1 AND read_at IS NULL",
            citizen_id,
        )
    )


@dataclass(frozen=True, slots=True)
class Settings:
    """What a person chose; quiet hours in minutes of the city's day, possibly over midnight."""

    quiet_from_min: int = 22 * 60
    quiet_to_min: int = 8 * 60
    push: bool = True
    ranking: bool = False
    goal_mg: int | None = None

    def quiet_for_min(self, minute: int) -> int:
        """How many minutes of quiet are left at a minute of the day; 0 outside quiet hours."""
        length = (self.quiet_to_min - self.quiet_from_min) % 1_440
        into = (minute - self.quiet_from_min) % 1_440
        return length - into if into < length else 0


async def settings_of(tx: Tx, citizen_id: UUID) -> Settings:
    """A person's settings; the defaults before they chose."""
    row = await tx.fetchrow(
        """SELECT quiet_from_min, quiet_to_min, push, ranking, goal_mg FROM citizen_setting
           WHERE citizen_id = $1""",
        citizen_id,
    )
    return Settings() if row is None else Settings(**row)


async def keep_settings(tx: Tx, citizen_id: UUID, chosen: Settings) -> None:
    """What a person chose, in place of what they chose before."""
    await tx.execute(
        """INSERT INTO citizen_setting (citizen_id, quiet_from_min, quiet_to_min, push, ranking,
               goal_mg) VALUES ($1, $2, $3, $4, $5, $6)
           ON CONFLICT (citizen_id) DO UPDATE
           SET quiet_from_min = $2, quiet_to_min = $3, push = $4, ranking = $5, goal_mg = $6""",
        citizen_id,
        chosen.quiet_from_min,
        chosen.quiet_to_min,
        chosen.push,
        chosen.ranking,
        chosen.goal_mg,
    )


async def allow_push(tx: Tx, citizen_id: UUID, topics: Sequence[str]) -> None:
    """One more message of each of these topics may be pushed: what a tap in the app allows."""
    await tx.execute(
        """INSERT INTO push_grant (citizen_id, topic, times_left)
           SELECT $1, unnest($2::text[]), 1
           ON CONFLICT (citizen_id, topic) DO UPDATE
           SET times_left = least(push_grant.times_left + 1, 100)""",
        citizen_id,
        sorted(set(topics)),
    )


@dataclass(frozen=True, slots=True)
class Push:
    """A notice that is to be pushed, claimed by whoever got it."""

    notice_id: UUID
    citizen_id: UUID
    topic: str
    facts: Mapping[str, Any]


async def claim_push(tx: Tx, at: datetime, lease: timedelta) -> Push | None:
    """A notice due to be pushed, kept from others for a while; None if none is due."""
    row = await tx.fetchrow(
        """UPDATE citizen_notice SET push_due_at = $1::timestamptz + $2
           WHERE notice_id = (SELECT notice_id FROM citizen_notice
                              WHERE push_state = 'waiting' AND push_due_at <= $1
                              ORDER BY push_due_at LIMIT 1 FOR UPDATE SKIP LOCKED)
           RETURNING notice_id, citizen_id, topic, facts""",
        at,
        lease,
    )
    return None if row is None else Push(**{**row, "facts": json.loads(row["facts"])})


async def postpone_push(tx: Tx, notice_id: UUID, until: datetime) -> None:
    """Quiet hours, or a provider that is away: later."""
    await tx.execute(
        "UPDATE citizen_notice SET push_due_at = $2 WHERE notice_id = $1", notice_id, until
    )


async def settle_push(tx: Tx, push: Push, *, sent: bool) -> None:
    """It was sent, which uses up one permission; or never will be."""
    await tx.execute(
        "UPDATE citizen_notice SET push_state = $2 WHERE notice_id = $1",
        push.notice_id,
        "sent" if sent else "failed",
    )
    if sent:
        await tx.execute(
            """UPDATE push_grant SET times_left = times_left - 1
               WHERE citizen_id = $1 AND topic = $2 AND times_left > 0""",
            push.citizen_id,
            push.topic,
        )
