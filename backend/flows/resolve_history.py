"""needs → history: what a method compares an activity with, out of the issuer's own tables.

A month of home energy is compared with the same month of last year of the same meter. Every whole
month is kept as a reading, whatever it earns, so that there is something to compare with next year.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from uuid import UUID

from backend import evidence, methodology
from backend.evidence import Chains, EvidenceRow, Reading
from backend.kit.db import Tx

MONTHS_OF_METERS = frozenset({"energy.home.month"})
"""The scenarios whose events are readings of a meter."""

NEEDS = frozenset({"base_wh", "base_days"})
"""What a method may need of a reading's base month."""

Readings = Mapping[tuple[UUID, str, date], Sequence[Reading]]


@dataclass(slots=True)
class History:
    """What was looked up by evidence: values, or the reason why there are none.

    `readings` are to be kept with the decision about their events.
    """

    values: dict[UUID, dict[str, object]] = field(default_factory=dict[UUID, dict[str, object]])
    refused: dict[UUID, str] = field(default_factory=dict[UUID, str])
    readings: dict[UUID, Reading] = field(default_factory=dict[UUID, Reading])


async def resolve_history(
    tx: Tx, rows: Sequence[EvidenceRow], methods: methodology.MethodCalendar, chains: Chains
) -> History:
    """Look up what the methods in force need of history, for a whole batch at once.

    Reasons, in the order in which they are asked: those of `evidence.read_month`, the method's own
    where the month fails by itself, `estimated-reading`, `base-month-missing`, `meter-changed`,
    `base-month-estimated`.
    """
    history = History()
    months: dict[UUID, EvidenceRow] = {}
    for row in rows:
        if row.scenario in MONTHS_OF_METERS and row.data is not None:
            months[row.evidence_id] = row
    if not months:
        return history
    for evidence_id, row in months.items():
        if chains.superseding(evidence_id) or chains.is_retraction(evidence_id):
            continue
        reading = evidence.read_month(
            evidence_id, row.citizen_id, row.partner_id, row.city_day, row.data or {}
        )
        if isinstance(reading, Reading):
            reading = _plausible(reading, row, methods)
        if isinstance(reading, Reading):
            history.readings[evidence_id] = reading
        else:
            history.refused[evidence_id] = reading.reason
    kept = await evidence.base_readings(tx, list(history.readings.values()))
    bases = _joined(kept, _in_order(history.readings.values(), months))
    for evidence_id, reading in list(history.readings.items()):
        method = methods.in_force(months[evidence_id].scenario, months[evidence_id].city_day)
        if method is None or NEEDS.isdisjoint(method.needs.history):
            continue
        base = _base_of(reading, bases)
        if isinstance(base, str):
            history.refused[evidence_id] = base
        else:
            history.values[evidence_id] = values_of(base)
            history.readings[evidence_id] = reading._replace(base_evidence_id=base.evidence_id)
    return history


def values_of(base: Reading) -> dict[str, object]:
    """What a method may state of a base month."""
    return {"base_wh": base.energy_wh, "base_days": base.days}


def _plausible(
    reading: Reading, row: EvidenceRow, methods: methodology.MethodCalendar
) -> Reading | methodology.Refused:
    """The reading, unless the method refuses it for what it says of itself.

    Compared with itself a month is refused by no other bound. So a wrong unit is named at once,
    and never becomes what the next year is compared with.
    """
    method = methods.in_force(row.scenario, row.city_day)
    if method is None:
        return reading
    alone = methodology.quantify(method, row.data or {}, values_of(reading))
    return alone if isinstance(alone, methodology.Refused) else reading


def _base_of(reading: Reading, bases: Readings) -> Reading | str:
    """The reading to compare with, or the reason why there is none."""
    if reading.estimated:
        return "estimated-reading"
    last_year = bases.get((reading.citizen_id, reading.partner_id, reading.base_month), ())
    same_meter = [base for base in last_year if base.meter_hash == reading.meter_hash]
    if not same_meter:
        return "meter-changed" if last_year else "base-month-missing"
    # The strongest first; an estimated one only where nothing was read.
    read = [base for base in same_meter if not base.estimated]
    return read[0] if read else "base-month-estimated"


def _in_order(readings: Iterable[Reading], months: Mapping[UUID, EvidenceRow]) -> list[Reading]:
    """The readings of the batch, in the order in which kept ones are found."""
    rows = {reading.evidence_id: months[reading.evidence_id] for reading in readings}
    return sorted(
        readings,
        key=lambda r: (-int(rows[r.evidence_id].evidence_level[1:]), rows[r.evidence_id].digest),
    )


def _joined(kept: Readings, fresh: Iterable[Reading]) -> Readings:
    """Readings of the batch beside those kept before, which come first."""
    joined = {key: list(readings) for key, readings in kept.items()}
    for reading in fresh:
        key = (reading.citizen_id, reading.partner_id, reading.month)
        joined.setdefault(key, []).append(reading)
    return joined
