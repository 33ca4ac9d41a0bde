"""Lapsed lots are retired: month by month, person by person, each with its own leaf."""

from collections.abc import Sequence
from datetime import date, datetime
from uuid import UUID

from backend import citizens, ledger, proof
from backend.flows.person_lock import lock_people
from backend.kit.clock import Clock, city_day
from backend.kit.db import Database, Tx
from backend.kit.logs import log
from backend.proof import leaves

PEOPLE_MAX = 500
"""People whose lots are retired in one commit."""


async def expire_points(db: Database, clock: Clock, city_tz: str) -> int:
    """Retire what has lapsed, `PEOPLE_MAX` people in one commit; how many lots it was.

    Points held for a redemption stay until it is decided; call again later.
    """
    lots, after = 0, None
    while True:
        now = clock.now()
        day = city_day(now, city_tz)
        async with db.transaction() as tx:
            people = await ledger.owners_of_lapsed(tx, day.replace(day=1), after, PEOPLE_MAX)
            if not people:
                return lots
            await lock_people(tx, people)
            spent = await expire_in(tx, people, day, now)
        if spent:
            log("points_expired", lots=len(spent), points=sum(each.amount for each in spent))
        lots, after = lots + len(spent), people[-1]


async def expire_in(
    tx: Tx, citizen_ids: Sequence[UUID], day: date, now: datetime
) -> list[ledger.Spent]:
    """The same for some people whose locks are held, in the caller's commit."""
    spent = await ledger.expire_lapsed(tx, citizen_ids, day, now)
    if spent:
        await proof.queue(tx, leaves.TRANSFER, [each.transfer_id for each in spent])
        for each in spent:
            await citizens.notices.tell(
                tx,
                each.citizen_id,
                "points.expired",
                each.transfer_id,
                {"points": each.amount, "class": each.points_class},
                now,
            )
    return spent
