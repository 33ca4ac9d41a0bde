"""Counters by name: what is counted, over which part of the awards, in which period of city days.

    <what>[_<scope>]_<window>[_before[_<n>]]

`what` is `points` (after caps), `awards` (those of 0 points included) or `paid` (awards of more
than 0 points). A scope narrows it to awards with the same scenario, evidence level or paid row.
`before` asks about the n-th whole period before that of the event, n = 1 where it is not written.
`campaign` is the time under one rule version, `total` all time. The set is closed: a rule that
names anything else is refused when it is published.
"""

import re
from datetime import date, timedelta
from functools import lru_cache
from typing import NamedTuple

WINDOWS = ("day", "week", "month", "quarter", "half", "year", "total", "campaign")
WHATS = ("points", "awards", "paid")
SCOPES = ("scenario", "level", "row")
BACK_MAX = 24

_NAME = re.compile(
    rf"(?P<what>{'|'.join(WHATS)})(?:_(?P<scope>{'|'.join(SCOPES)}))?_(?P<window>"
    rf"{'|'.join(WINDOWS)})(?P<before>_before(?:_(?P<back>[1-9][0-9]?))?)?"
)
_CALENDAR = frozenset(("day", "week", "month", "quarter", "half", "year"))


class CounterName(NamedTuple):
    """A counter's name taken apart; `back` is 0 for the event's own period."""

    what: str
    scope: str | None
    window: str
    back: int

    @property
    def stored(self) -> str:
        """The name under which the value is kept, whatever period is asked about."""
        scope = "" if self.scope is None else f"_{self.scope}"
        return f"{self.what}{scope}_{self.window}"


class Occasion(NamedTuple):
    """Where an award counts: its day, and what the scopes look at.

    `rule` is `rule_ref`; `row` is None where the rule paid no row or several.
    """

    city_day: date
    scenario: str
    evidence_level: str
    rule: str
    row: str | None


@lru_cache(maxsize=1024)
def counter_name(name: str) -> CounterName | None:
    """The parts of a counter's name, or None where no such counter is kept."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    back = 0 if found["before"] is None else int(found["back"] or 1)
    if back > BACK_MAX or (back and found["window"] not in _CALENDAR):
        return None
    return CounterName(found["what"], found["scope"], found["window"], back)


def rule_ref(rule_id: str, version: int) -> str:
    """The period of a `campaign` counter."""
    return f"{rule_id}/{version}"


@lru_cache(maxsize=8192)
def period_text(window: str, city_day: date, back: int = 0) -> str:
    """A calendar period as text: `2026-11-22`, `2026-W47`, `2026-11`, `2026-Q4`, `2026-H2`, `2026`.

    Weeks begin on Monday and belong to the year of their Thursday (ISO 8601). `total` for all time.
    """
    match window:
        case "day":
            return (city_day - timedelta(days=back)).isoformat()
        case "week":
            year, week, _ = (city_day - timedelta(weeks=back)).isocalendar()
            return f"{year:04d}-W{week:02d}"
        case "month":
            year, month = _months_back(city_day, back)
            return f"{year:04d}-{month:02d}"
        case "quarter":
            year, month = _months_back(city_day, 3 * back)
            return f"{year:04d}-Q{(month + 2) // 3}"
        case "half":
            year, month = _months_back(city_day, 6 * back)
            return f"{year:04d}-H{(month + 5) // 6}"
        case "year":
            return f"{city_day.year - back:04d}"
        case "total":
            return "total"
        case _:
            raise ValueError(f"{window} is no calendar window")


def period_on(name: str, on: Occasion) -> str | None:
    """The period of a counter that an award on this occasion reads and counts in.

    None for a counter by row where there is not exactly one row.
    """
    counter = counter_name(name)
    if counter is None:
        raise ValueError(f"no counter is called {name}")
    _, scope, window, back = counter
    period = on.rule if window == "campaign" else period_text(window, on.city_day, back)
    if scope is None:
        return period
    value = {"scenario": on.scenario, "level": on.evidence_level, "row": on.row}[scope]
    return None if value is None else f"{period} {value}"


def counted(name: str, amount: int) -> int:
    """What one award adds to the named counter."""
    if name.startswith("points"):
        return amount
    return 1 if amount or name.startswith("awards") else 0


def _months_back(day: date, months: int) -> tuple[int, int]:
    at = day.year * 12 + day.month - 1 - months
    return at // 12, at % 12 + 1


# The period of an award `a` for a counter `k` with columns scope and window_name, as period_on has
# it; null where a counter by row has not exactly one row.
PERIOD_SQL = """
    (CASE k.window_name
         WHEN 'day' THEN to_char(a.city_day, 'YYYY-MM-DD')
         WHEN 'week' THEN to_char(a.city_day, 'IYYY"-W"IW')
         WHEN 'month' THEN to_char(a.city_day, 'YYYY-MM')
         WHEN 'quarter' THEN to_char(a.city_day, 'YYYY"-Q"Q')
         WHEN 'half' THEN to_char(a.city_day, 'YYYY') ||
                          CASE WHEN extract(month FROM a.city_day) < 7 THEN '-H1' ELSE '-H2' END
         WHEN 'year' THEN to_char(a.city_day, 'YYYY')
         WHEN 'total' THEN 'total'
         ELSE a.rule_id || '/' || a.rule_version
     END
     || CASE k.scope
            WHEN 'scenario' THEN ' ' || a.scenario
            WHEN 'level' THEN ' ' || a.evidence_level
            WHEN 'row' THEN ' ' || CASE cardinality(a.rule_rows) WHEN 1 THEN a.rule_rows[1] END
            ELSE ''
        END)"""

# What one award `a` adds to a counter `k` with a column what.
COUNTED_SQL = """
    (CASE k.what WHEN 'points' THEN a.amount
                 WHEN 'awards' THEN 1
                 ELSE (a.amount > 0)::int END)"""
