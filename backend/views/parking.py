"""Parking as people see it: stays with what was paid, an owner's spaces and income."""

from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from backend.kit.db import Row, Tx


async def stays_of(
    tx: Tx, citizen_id: UUID, *, before: UUID | None, limit: int
) -> list[dict[str, Any]]:
    """A person's stays, by id downwards, each with how it stands with the money."""
    rows = await tx.fetch(
        """SELECT s.stay_id, l.lot_id, l.name AS lot_name, s.entered_at, s.left_at, s.charge_fen,
                  s.overstay_s, coalesce(o.refunded_fen, 0) AS refunded_fen,
                  CASE WHEN s.state = 'open' THEN 'inside'
                       WHEN s.state = 'excepted' THEN 'being-checked'
                       WHEN s.charge_fen = 0 THEN 'free'
                       WHEN o.state = 'paid' THEN 'paid' ELSE 'due' END AS payment
           FROM stay AS s JOIN parking_lot AS l USING (lot_no)
           LEFT JOIN payment_order AS o USING (order_id)
           WHERE s.citizen_id = $1 AND s.state <> 'void' AND ($2::uuid IS NULL OR s.stay_id < $2)
           ORDER BY s.stay_id DESC LIMIT $3""",
        citizen_id,
        before,
        limit,
    )
    return [dict(row) for row in rows]


async def spaces_of_citizen(tx: Tx, citizen_id: UUID) -> list[Row]:
    """A person's spaces with the lot and the digest of their windows."""
    return await tx.fetch(
        """SELECT s.space_id, l.lot_id, s.label, s.class, s.state, encode(s.policy, 'hex') AS policy
           FROM party AS p JOIN parking_space AS s ON s.owner_id = p.party_id
           JOIN parking_lot AS l USING (lot_no)
           WHERE p.citizen_id = $1 ORDER BY s.space_no""",
        citizen_id,
    )


@dataclass(frozen=True, slots=True)
class Income:
    """What an owner is due, owes and got, in fen, and the statements behind it."""

    payable_fen: int
    debt_fen: int
    paid_fen: int
    days: list[Row]


async def income_of_citizen(tx: Tx, citizen_id: UUID, limit: int) -> Income:
    """What a person's spaces brought, newest day first."""
    balances = {
        row["holds"]: row["rest"]
        for row in await tx.fetch(
            """SELECT split_part(b.account, ':', 3) AS holds, b.input - b.output AS rest
               FROM party AS p JOIN balance AS b
                   ON b.account = ANY (ARRAY['party:' || p.party_id || ':payable',
                       'party:' || p.party_id || ':paid', 'party:' || p.party_id || ':debt'])
               WHERE p.citizen_id = $1 AND b.asset = 'CNY'""",
            citizen_id,
        )
    }
    days = await tx.fetch(
        """SELECT s.day, l.lot_id, s.part, s.count AS lines, s.total_fen,
                  encode(s.root, 'hex') AS root, '0x' || encode(t.tx_hash, 'hex') AS tx
           FROM party AS p JOIN party_statement AS s USING (party_id)
           JOIN settlement AS t USING (lot_no, day, part) JOIN parking_lot AS l USING (lot_no)
           WHERE p.citizen_id = $1 ORDER BY s.day DESC, l.lot_id, s.part DESC LIMIT $2""",
        citizen_id,
        limit,
    )
    return Income(
        payable_fen=balances.get("payable", 0),
        debt_fen=max(0, -balances.get("debt", 0)),
        paid_fen=balances.get("paid", 0),
        days=list(days),
    )


async def parking_day(tx: Tx, day: date) -> dict[str, Any]:
    """A day of all lots: stays and what they came to, income by party, settlements, exceptions."""
    stays = await tx.fetchrow(
        """SELECT count(*) FILTER (WHERE s.state = 'due') AS charged,
                  count(*) FILTER (WHERE s.state = 'excepted') AS excepted,
                  coalesce(sum(s.charge_fen) FILTER (WHERE s.state = 'due'), 0)::bigint
                      AS charged_fen,
                  coalesce(sum(o.amount_fen) FILTER (WHERE o.state = 'paid'), 0)::bigint
                      AS paid_fen,
                  coalesce(sum(o.refunded_fen), 0)::bigint AS refunded_fen
           FROM stay AS s LEFT JOIN payment_order AS o USING (order_id)
           WHERE s.city_day = $1""",
        day,
    )
    parties = await tx.fetch(
        """SELECT s.party_id, p.name, p.kind, sum(s.total_fen)::bigint AS total_fen,
                  sum(s.count)::bigint AS lines,
                  count(c.party_id) AS cosigned, count(*) AS statements
           FROM party_statement AS s JOIN party AS p USING (party_id)
           LEFT JOIN party_cosignature AS c USING (lot_no, day, part, party_id)
           WHERE s.day = $1 GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1 LIMIT 200""",
        day,
    )
    settlements = await tx.fetch(
        """SELECT l.lot_id, s.part, s.order_count, s.charged_fen, s.refunded_fen, s.closed_at,
                  '0x' || encode(s.tx_hash, 'hex') AS tx, s.block
           FROM settlement AS s JOIN parking_lot AS l USING (lot_no)
           WHERE s.day = $1 ORDER BY l.lot_id, s.part LIMIT 500""",
        day,
    )
    exceptions = await tx.fetch(
        """SELECT kind, count(*) AS count, min(occurred_at) AS oldest FROM parking_exception
           WHERE resolved_at IS NULL GROUP BY kind ORDER BY kind"""
    )
    return {
        "day": day,
        **dict(stays or {}),
        "parties": [dict(row) for row in parties],
        "settlements": [dict(row) for row in settlements],
        "exceptions": [dict(row) for row in exceptions],
    }


async def lot_timeline(tx: Tx, lot_id: str, day: date) -> list[dict[str, Any]]:
    """The stays of a lot's day, by space: when each car came and left, and what it paid."""
    rows = await tx.fetch(
        """SELECT s.stay_id, p.label AS space, s.entered_at, s.left_at, s.state, s.displaced,
                  s.overstay_s, s.charge_fen, o.state AS payment
           FROM stay AS s JOIN parking_lot AS l USING (lot_no)
           LEFT JOIN parking_space AS p USING (space_no)
           LEFT JOIN payment_order AS o USING (order_id)
           WHERE l.lot_id = $1 AND s.city_day = $2 AND s.state <> 'void'
           ORDER BY p.label NULLS LAST, s.entered_at LIMIT 2000""",
        lot_id,
        day,
    )
    return [dict(row) for row in rows]


async def money_path(tx: Tx, stay_id: UUID) -> dict[str, Any] | None:
    """One stay's way from the gate events to the block; None if there is no such stay."""
    row = await tx.fetchrow(
        """SELECT s.stay_id, l.lot_id, s.entered_at, s.left_at, s.exit_event,
                  i.device_id AS gate_in, x.device_id AS gate_out, s.tariff_version,
                  s.charge_fen, o.order_id,
                  o.state AS payment, o.rail_ref, o.paid_at, o.refunded_fen, o.book_day,
                  o.settled_part, t.closed_at, '0x' || encode(t.tx_hash, 'hex') AS tx, t.block,
                  t.final_at
           FROM stay AS s JOIN parking_lot AS l USING (lot_no)
           JOIN gate_event AS i ON i.event_id = s.stay_id
           LEFT JOIN gate_event AS x ON x.event_id = s.exit_event
           LEFT JOIN payment_order AS o USING (order_id)
           LEFT JOIN settlement AS t ON t.lot_no = s.lot_no AND t.day = o.book_day
                AND t.part = o.settled_part
           WHERE s.stay_id = $1""",
        stay_id,
    )
    if row is None:
        return None
    lines = await tx.fetch(
        """SELECT party_id, contract_version, share_bp, amount_fen,
                  CASE WHEN source_id = order_id THEN 'share' ELSE 'refund' END AS kind
           FROM settlement_line WHERE order_id = $1 ORDER BY kind DESC, party_id, source_id""",
        row["order_id"],
    )
    return {**dict(row), "lines": [dict(line) for line in lines]}
