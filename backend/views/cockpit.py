"""What officials steer by: people, reduction and points of a window, by day, scenario and source.

A cell that fewer than ten people stand behind is withheld, together with its people count, and
windows are fixed spans that end today: nobody can be found by taking one cell from another.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from backend.kit.db import Row, Tx

PEOPLE_MIN = 10
"""The fewest people a cell may stand for (k-anonymity)."""

WINDOWS_DAYS = (7, 30, 365)
"""The spans that can be asked for."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell: `name` is what it is about; the figures are None where it is withheld.

    `reduction_mg` in milligrams of CO2e, `points` whole points of every class together.
    """

    name: str
    people: int | None
    awards: int | None
    reduction_mg: int | None
    points: int | None

    @property
    def withheld(self) -> bool:
        """Whether too few people stand behind it."""
        return self.people is None


@dataclass(frozen=True, slots=True)
class Cockpit:
    """Figures of the city days in [day_from, day_to), each list in its natural order."""

    day_from: date
    day_to: date
    total: Cell
    by_day: tuple[Cell, ...]
    by_scenario: tuple[Cell, ...]
    by_partner: tuple[Cell, ...]
    by_level: tuple[Cell, ...]
    by_status: tuple[Cell, ...]
    by_class: tuple[Cell, ...]
    refused: tuple[tuple[str, int], ...]


_AWARDS = """
    FROM award AS a
    WHERE a.city_day >= $1 AND a.city_day < $2
      AND NOT EXISTS (SELECT FROM award_release AS r WHERE r.award_id = a.award_id)
"""
_WITH_EVENTS = _AWARDS.replace("AS a\n", "AS a JOIN evidence AS e USING (evidence_id)\n")
_FIGURES = """count(DISTINCT a.citizen_id) AS people, count(*) AS awards,
              coalesce(sum(a.reduction_mg), 0)::bigint AS reduction_mg,
              coalesce(sum(a.amount), 0)::bigint AS points"""


async def cockpit(tx: Tx, today: date, days: int) -> Cockpit:
    """The figures of the last `days` city days, today included; `days` is one of WINDOWS_DAYS.

    Raises ValueError for another span.
    """
    if days not in WINDOWS_DAYS:
        raise ValueError(f"a span of {days} days is not offered")
    start, end = today - timedelta(days=days - 1), today + timedelta(days=1)

    async def cells(by: str, source: str = _AWARDS) -> tuple[Cell, ...]:
        rows = await tx.fetch(
            f"SELECT {by} AS name, {_FIGURES} {source} GROUP BY 1 ORDER BY 1",
            start,
            end,
        )
        return _disclosed(rows)

    (whole,) = await tx.fetch(f"SELECT '' AS name, {_FIGURES} {_AWARDS}", start, end)
    refused = await tx.fetch(
        """SELECT d.reason, count(*) AS events, count(DISTINCT e.citizen_id) AS people
           FROM evidence AS e JOIN decision AS d USING (evidence_id)
           WHERE e.city_day >= $1 AND e.city_day < $2 AND d.reason IS NOT NULL
           GROUP BY 1 HAVING count(DISTINCT e.citizen_id) >= $3 ORDER BY 2 DESC""",
        start,
        end,
        PEOPLE_MIN,
    )
    return Cockpit(
        day_from=start,
        day_to=end,
        total=_disclosed([whole])[0],
        by_day=await cells("a.city_day::text"),
        by_scenario=await cells("a.scenario"),
        by_partner=await cells("e.partner_id", _WITH_EVENTS),
        by_level=await cells("a.evidence_level"),
        by_status=await cells("a.method_status"),
        by_class=await cells("a.class"),
        refused=tuple((row["reason"], row["events"]) for row in refused),
    )


def _disclosed(rows: Sequence[Row]) -> tuple[Cell, ...]:
    """Cells of a table; one withheld cell alone could be computed, so a second goes with it."""
    few = {row["name"] for row in rows if 0 < row["people"] < PEOPLE_MIN}
    if len(few) == 1 and len(rows) > 1:
        others = (row for row in rows if row["name"] not in few)
        few.add(min(others, key=lambda row: row["people"])["name"])
    return tuple(
        Cell(row["name"], None, None, None, None)
        if row["name"] in few
        else Cell(row["name"], row["people"], row["awards"], row["reduction_mg"], row["points"])
        for row in rows
    )
