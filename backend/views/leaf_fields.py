"""What a leaf says, gathered from the rows it stands for (formats.md §4).

The sealer commits to these values and a receipt opens them again, so both read them here.
"""

import json
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

from backend.kit.clock import city_day, to_text
from backend.kit.db import Row, Tx

_TRANSFERS = """
SELECT t.transfer_id, t.act, t.reason, t.of_transfer, t.class, t.amount, t.city_day, t.created_at,
       k.account,
       a.award_id, a.method_id, a.method_version, a.method_digest, a.method_status, a.scenario,
       a.evidence_level, a.origin, a.reduction_mg, a.programme_id, a.rule_id, a.rule_version,
       a.rule_digest, a.rule_rows, a.points_before_caps, a.inputs, a.stated,
       e.partner_id, e.source, e.event_id, e.event_digest, e.occurred_text, e.originaltime
FROM transfer AS t
LEFT JOIN citizen_account AS k ON k.citizen_id = t.citizen_id AND k.class = t.class
LEFT JOIN award AS a ON a.transfer_id = t.transfer_id
LEFT JOIN evidence AS e ON e.evidence_id = a.evidence_id
WHERE t.transfer_id = ANY($1::uuid[])
"""

_ENACTMENTS = """
SELECT enactment_id, what, id, version, digest, day_from, day_to, approvers
FROM enactment WHERE enactment_id = ANY($1::uuid[])
"""


async def transfer_fields(
    tx: Tx, transfer_ids: Sequence[UUID], city_tz: str
) -> dict[UUID, dict[str, Any]]:
    """The nine fields of each transfer's leaf; ids without a transfer are left out."""
    rows = await tx.fetch(_TRANSFERS, list(transfer_ids))
    return {row["transfer_id"]: _transfer(row, city_tz) for row in rows}


async def enactment_fields(tx: Tx, enactment_ids: Sequence[UUID]) -> dict[UUID, dict[str, Any]]:
    """The one field of each enactment's leaf; ids without an enactment are left out."""
    rows = await tx.fetch(_ENACTMENTS, list(enactment_ids))
    return {row["enactment_id"]: {"enactment": _enactment(row)} for row in rows}


async def audit_fields(tx: Tx, head_ids: Sequence[UUID]) -> dict[UUID, dict[str, Any]]:
    """The one field of each audit head's leaf; ids without a closed day are left out."""
    rows = await tx.fetch(
        """SELECT head_id, city_day, entry_count, head FROM audit_day
           WHERE head_id = ANY($1::uuid[])""",
        list(head_ids),
    )
    return {
        row["head_id"]: {
            "audit": {
                "day": row["city_day"].isoformat(),
                "count": row["entry_count"],
                "head": row["head"].hex(),
            }
        }
        for row in rows
    }


def _transfer(row: Row, city_tz: str) -> dict[str, Any]:
    award = row["award_id"] is not None
    account, of_transfer = row["account"], row["of_transfer"]
    return {
        "act": {
            "act": row["act"],
            "transfer": str(row["transfer_id"]),
            "of": None if of_transfer is None else str(of_transfer),
            "reason": row["reason"],
        },
        "points": {"class": row["class"], "amount": row["amount"]},
        "method": _method(row) if award else None,
        "rule": _rule(row) if award else None,
        "inputs": json.loads(row["inputs"]) if award else None,
        "stated": json.loads(row["stated"]) if award else None,
        "occurrence": {
            "time": row["occurred_text"]
            if award
            else _act_time(row["created_at"], row["city_day"], city_tz),
            "originaltime": row["originaltime"],
            "city_day": row["city_day"].isoformat(),
            "place": None,
        },
        "event": _event(row) if award else None,
        "account": None if account is None else account.hex(),
    }


def _act_time(at: datetime, day: date, city_tz: str) -> str | None:
    """When an act without an event happened, if its day is the city's day of that instant."""
    return to_text(at) if city_day(at, city_tz) == day else None


def _method(row: Row) -> dict[str, Any]:
    return {
        "id": row["method_id"],
        "version": row["method_version"],
        "digest": row["method_digest"].hex(),
        "status": row["method_status"],
        "scenario": row["scenario"],
        "evidence_level": row["evidence_level"],
        "origin": row["origin"],
        "reduction_mg": row["reduction_mg"],
    }


def _rule(row: Row) -> dict[str, Any]:
    return {
        "programme": row["programme_id"],
        "id": row["rule_id"],
        "version": row["rule_version"],
        "digest": row["rule_digest"].hex(),
        "row": list(row["rule_rows"]),
        "points_before_caps": row["points_before_caps"],
    }


def _event(row: Row) -> dict[str, Any]:
    digest = row["event_digest"]
    return {
        "partner": row["partner_id"],
        "source": row["source"],
        "id": row["event_id"],
        "digest": None if digest is None else digest.hex(),
    }


def _enactment(row: Row) -> dict[str, Any]:
    return {
        "what": row["what"],
        "id": row["id"],
        "version": row["version"],
        "digest": row["digest"].hex(),
        "day_from": row["day_from"].isoformat(),
        "day_to": None if row["day_to"] is None else row["day_to"].isoformat(),
        "approvers": sorted(row["approvers"]),
    }
