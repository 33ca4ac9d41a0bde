"""days that ended → alarms: budgets near their end, people too fast, points with too few people."""

from datetime import timedelta

from backend import incentive
from backend.kit.clock import Clock, city_day
from backend.kit.db import Database
from backend.kit.logs import log


async def watch_programmes(db: Database, clock: Clock, city_tz: str) -> int:
    """Look at yesterday of every programme; how many alarms are new."""
    now = clock.now()
    yesterday = city_day(now, city_tz) - timedelta(days=1)
    async with db.transaction() as tx:
        terms = await incentive.terms_calendar(tx)
        states = await incentive.budgets(tx)
        programmes = await tx.fetch("SELECT programme_id, budget_period FROM programme ORDER BY 1")
        count = 0
        for row in programmes:
            watch = terms.of(row["programme_id"], yesterday).watch
            kinds = await incentive.raise_alarms(
                tx,
                row["programme_id"],
                row["budget_period"],
                states,
                watch,
                yesterday,
                now,
            )
            for kind in kinds:
                log("programme_alarm", programme_id=row["programme_id"], kind=kind)
            count += len(kinds)
    return count
