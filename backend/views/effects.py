"""What each rule version brought: people, events, points and reduction, by evidence level."""

from dataclasses import dataclass
from datetime import date

from backend.kit.db import Tx
from backend.views.cockpit import PEOPLE_MIN


@dataclass(frozen=True, slots=True)
class Effect:
    """A rule version's awards of a window that stand; None where fewer than ten people do it.

    `levels` are its awards by evidence level, withheld together where one of them is.
    """

    programme_id: str
    rule_id: str
    rule_version: int
    people: int | None
    awards: int | None
    points: int | None
    reduction_mg: int | None
    levels: dict[str, int | None]


async def effects(tx: Tx, day_from: date, day_to: date) -> list[Effect]:
    """Every rule version with awards of city days in [day_from, day_to), in order of programme."""
    rows = await tx.fetch(
        """SELECT a.programme_id, a.rule_id, a.rule_version, a.evidence_level,
                  grouping(a.evidence_level) = 1 AS whole,
                  count(DISTINCT a.citizen_id) AS people, count(*) AS awards,
                  sum(a.amount)::bigint AS points, sum(a.reduction_mg)::bigint AS reduction_mg
           FROM award AS a
           WHERE a.city_day >= $1 AND a.city_day < $2
             AND NOT EXISTS (SELECT FROM award_release AS r WHERE r.award_id = a.award_id)
           GROUP BY GROUPING SETS ((1, 2, 3, 4), (1, 2, 3)) ORDER BY 1, 2, 3, 4""",
        day_from,
        day_to,
    )
    found: list[Effect] = []
    for row in rows:
        if not row["whole"]:
            continue
        key = (row["programme_id"], row["rule_id"], row["rule_version"])
        parts = [
            each
            for each in rows
            if not each["whole"]
            and (each["programme_id"], each["rule_id"], each["rule_version"]) == key
        ]
        few = row["people"] < PEOPLE_MIN
        hidden = few or any(each["people"] < PEOPLE_MIN for each in parts)
        found.append(
            Effect(
                *key,
                *(None if few else row[name] for name in _FIGURES),
                # One level withheld alone could be computed from the others: all go with it.
                levels={e["evidence_level"]: None if hidden else e["awards"] for e in parts},
            )
        )
    return found


_FIGURES = ("people", "awards", "points", "reduction_mg")
