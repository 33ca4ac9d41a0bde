"""Parking as people see it: stays with what was paid, an owner's spaces and income."""

from dataclasses import dataclass
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
