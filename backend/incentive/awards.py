"""Awards as stored: everything that a receipt shows and that an auditor needs to redo them."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import NamedTuple
from uuid import UUID

import msgspec

from backend.incentive.apply import Reduction
from backend.incentive.document import Cap, Rule
from backend.kit.db import Tx
from backend.kit.needs import Value

_COLUMNS = (
    "award_id",
    "evidence_id",
    "programme_id",
    "citizen_id",
    "city_day",
    "rule_id",
    "rule_version",
    "rule_digest",
    "rule_rows",
    "points_before_caps",
    "amount",
    "class",
    "method_id",
    "method_version",
    "method_digest",
    "method_status",
    "scenario",
    "evidence_level",
    "origin",
    "reduction_mg",
    "inputs",
    "stated",
    "cut_by",
    "transfer_id",
    "awarded_at",
)
_encode = msgspec.json.Encoder().encode


class Award(NamedTuple):
    """One event × one programme. `amount` is in whole points after caps; 0 has no transfer.

    `caps` are those that concern it, in the rule's order; `used_before` are the points already
    awarded in each one's window.
    """

    award_id: UUID
    evidence_id: UUID
    citizen_id: UUID
    city_day: date
    rule: Rule
    rule_rows: tuple[str, ...]
    points_before_caps: int
    amount: int
    method_id: str
    method_version: int
    method_digest: bytes
    reduction: Reduction
    origin: str
    inputs: dict[str, Value]
    history: dict[str, Value]
    counters: dict[str, int]
    caps: tuple[Cap, ...]
    used_before: tuple[int, ...]
    cut_by: str | None
    transfer_id: UUID | None

    def stated(self) -> dict[str, object]:
        """What only the issuer can know, as bound in the leaf (formats.md §4)."""
        return {
            "history": self.history,
            "counters": self.counters,
            "caps": [
                {"name": cap.name, "limit": cap.limit, "used_before": used}
                for cap, used in zip(self.caps, self.used_before, strict=True)
            ],
        }


async def store_awards(tx: Tx, awards: Sequence[Award], at: datetime) -> None:
    """Write awards by COPY."""
    await tx.copy("award", _COLUMNS, (_record(award, at) for award in awards))


async def awarded_before(tx: Tx, evidence_ids: Iterable[UUID]) -> set[tuple[UUID, str]]:
    """Those (evidence_id, programme_id) that have an award already."""
    rows = await tx.fetch(
        "SELECT evidence_id, programme_id FROM award WHERE evidence_id = ANY($1::uuid[])",
        list(evidence_ids),
    )
    return {(row["evidence_id"], row["programme_id"]) for row in rows}


def _record(award: Award, at: datetime) -> tuple[object, ...]:
    rule, reduction = award.rule, award.reduction
    return (
        award.award_id,
        award.evidence_id,
        rule.programme,
        award.citizen_id,
        award.city_day,
        rule.id,
        rule.version,
        rule.digest,
        award.rule_rows,
        award.points_before_caps,
        award.amount,
        rule.points_class,
        award.method_id,
        award.method_version,
        award.method_digest,
        reduction.status,
        reduction.scenario,
        reduction.evidence_level,
        award.origin,
        reduction.reduction_mg,
        _encode(award.inputs).decode(),
        _encode(award.stated()).decode(),
        award.cut_by,
        award.transfer_id,
        at,
    )
