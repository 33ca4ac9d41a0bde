"""Monthly readings of meters: what a month says of itself, and the month a year before it."""

import re
from calendar import monthrange
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple
from uuid import UUID

from backend.evidence.corrections import outdated
from backend.kit.db import Tx
from backend.kit.sm import sm3

_COLUMNS = (
    "evidence_id",
    "citizen_id",
    "partner_id",
    "meter_hash",
    "month",
    "energy_wh",
    "days",
    "estimated",
    "base_evidence_id",
)
_MONTH = re.compile(r"20[0-9]{2}-(?:0[1-9]|1[0-2])", re.ASCII)


class Reading(NamedTuple):
    """A whole month of one meter. `month` is its first day; energy in Wh."""

    evidence_id: UUID
    citizen_id: UUID
    partner_id: str
    meter_hash: bytes
    month: date
    energy_wh: int
    days: int
    estimated: bool
    base_evidence_id: UUID | None = None

    @property
    def base_month(self) -> date:
        """The same month of last year, as its first day."""
        return self.month.replace(year=self.month.year - 1)


class MonthRefused(NamedTuple):
    """Why a reported month is no reading.

    `missing-field`, `bad-month`, `partial-month`, or `meter-rollover` for energy below zero.
    """

    reason: str


def read_month(
    evidence_id: UUID,
    citizen_id: UUID,
    partner_id: str,
    city_day: date,
    data: Mapping[str, Any],
) -> Reading | MonthRefused:
    """The reading that an event's `data` reports; `city_day` is the day the activity ended.

    The month must be the one the event ended in (`bad-month`) and have all its days: fewer are a
    `partial-month`, more a `bad-month`.
    """
    month, days, meter = data.get("month"), data.get("days"), data.get("meter_ref")
    energy_wh, estimated = data.get("energy_wh"), data.get("estimated", False)
    if type(month) is not str or type(meter) is not str or not meter:
        return MonthRefused("missing-field")
    if type(days) is not int or type(energy_wh) is not int or type(estimated) is not bool:
        return MonthRefused("missing-field")
    if _MONTH.fullmatch(month) is None or month != city_day.isoformat()[:7]:
        return MonthRefused("bad-month")
    days_of_month = monthrange(city_day.year, city_day.month)[1]
    if days != days_of_month:
        return MonthRefused("partial-month" if days < days_of_month else "bad-month")
    if energy_wh < 0:
        return MonthRefused("meter-rollover")
    return Reading(
        evidence_id,
        citizen_id,
        partner_id,
        sm3(meter.encode()),
        city_day.replace(day=1),
        energy_wh,
        days,
        estimated,
    )


async def store_readings(tx: Tx, readings: Iterable[Reading]) -> None:
    """Keep readings as history, those that earn nothing too."""
    await tx.copy("reading", _COLUMNS, readings)


async def base_readings(
    tx: Tx, wanted: Sequence[Reading]
) -> dict[tuple[UUID, str, date], list[Reading]]:
    """What is kept of each reading's base month, by (citizen, partner, month), strongest first.

    Readings that were corrected, retracted or lost a double claim are left out. Of several for a
    meter the highest level of evidence comes first, then the smallest digest.
    """
    rows = await tx.fetch(
        f"""SELECT r.evidence_id, r.citizen_id, r.partner_id, r.meter_hash, r.month, r.energy_wh,
                  r.days, r.estimated, r.base_evidence_id
           FROM reading AS r JOIN evidence AS e USING (evidence_id)
           WHERE r.citizen_id = ANY($1::uuid[]) AND r.month = ANY($2::date[])
             AND NOT EXISTS (SELECT FROM supersession AS s WHERE s.evidence_id = r.evidence_id)
             AND NOT {outdated("r")}
           ORDER BY e.evidence_level DESC, e.event_digest""",  # noqa: S608 - constants only
        list({one.citizen_id for one in wanted}),
        list({one.base_month for one in wanted}),
    )
    found: dict[tuple[UUID, str, date], list[Reading]] = {}
    for row in rows:
        reading = Reading._make(row.values())
        found.setdefault((reading.citizen_id, reading.partner_id, reading.month), []).append(
            reading
        )
    return found


async def bases_of(tx: Tx, evidence_ids: Iterable[UUID]) -> dict[UUID, UUID]:
    """The base reading each of these readings was compared with; those without are absent."""
    rows = await tx.fetch(
        """SELECT evidence_id, base_evidence_id FROM reading
           WHERE evidence_id = ANY($1::uuid[]) AND base_evidence_id IS NOT NULL""",
        list(evidence_ids),
    )
    return {row["evidence_id"]: row["base_evidence_id"] for row in rows}
