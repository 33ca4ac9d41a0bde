"""violation → blacklist → appeal: what officers note about a person, and take back.

A person is named by one of its records, so that nobody has to look up who it is. What was earned
before stays; taking points back is a case of its own.
"""

from dataclasses import dataclass
from uuid import UUID

from backend import incentive, officials
from backend.kit.clock import city_day
from backend.kit.db import Tx
from backend.kit.problems import Problem
from backend.kit.services import Services
from backend.officials import Session


@dataclass(frozen=True, slots=True)
class Noted:
    """A violation, how many stand now, and the blacklisting it led to."""

    violation_id: UUID
    violations: int
    blacklisting_id: UUID | None


async def note_violation(
    services: Services, by: Session, programme_id: str, evidence_id: UUID, kind: str
) -> Noted:
    """Note a violation by the person of a record; the terms say how many blacklist.

    Raises Problem 404 `unknown-programme`, `unknown-record`.
    """
    now, user = services.clock.now(), by.official.official_id
    today = city_day(now, services.settings.city_tz)
    async with services.db.transaction() as tx:
        if await incentive.programme_of(tx, programme_id) is None:
            raise Problem(404, "unknown-programme", "没有这个激励活动。")
        citizen_id = await tx.fetchval(
            "SELECT citizen_id FROM evidence WHERE evidence_id = $1", evidence_id
        )
        if citizen_id is None:
            raise Problem(404, "unknown-record", "没有这条记录。")
        watch = (await incentive.terms_calendar(tx)).of(programme_id, today).watch
        violation_id, entry = await incentive.note_violation(
            tx, programme_id, citizen_id, kind, today, watch, user, now, evidence_id
        )
        count = await incentive.violations(tx, programme_id, citizen_id)
        await _note(tx, services, user, "violation.note", programme_id, violation_id, kind)
    return Noted(violation_id, count, entry)


async def withdraw_violation(
    services: Services, by: Session, violation_id: UUID, reason: str
) -> None:
    """Take a violation back. Raises Problem 404 `unknown-violation`."""
    now, user = services.clock.now(), by.official.official_id
    async with services.db.transaction() as tx:
        if not await incentive.withdraw_violation(tx, violation_id, reason, user, now):
            raise Problem(404, "unknown-violation", "没有这条有效的违规记录。")
        await _note(tx, services, user, "violation.withdraw", "", violation_id, reason)


async def lift_blacklisting(
    services: Services, by: Session, blacklisting_id: UUID, reason: str
) -> None:
    """End a blacklisting, as an appeal decided. Raises Problem 404 `unknown-blacklisting`."""
    now, user = services.clock.now(), by.official.official_id
    async with services.db.transaction() as tx:
        if not await incentive.lift(tx, blacklisting_id, reason, user, now):
            raise Problem(404, "unknown-blacklisting", "没有这条有效的黑名单记录。")
        await _note(tx, services, user, "blacklist.lift", "", blacklisting_id, reason)


async def _note(
    tx: Tx, services: Services, user: str, act: str, programme_id: str, about: UUID, words: str
) -> None:
    await officials.note(
        tx,
        actor=user,
        act=act,
        about=str(about),
        detail={"programme": programme_id or None, "words": words},
        at=services.clock.now(),
    )
