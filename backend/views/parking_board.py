"""Shared parking as officials see it: lots of a day, a lot's stays, statements of the parties."""

from datetime import date, datetime

from backend.kit.db import Row, Tx


async def lots_of_day(tx: Tx, start: datetime, end: datetime) -> list[Row]:
    """Every lot with what happened in [start, end): stays by state and charges in fen."""
    return await tx.fetch(
        """SELECT l.lot_id, l.name, l.operator_id, l.capacity,
                  count(s.stay_id) AS stays,
                  count(s.stay_id) FILTER (WHERE s.state = 'open') AS inside,
                  count(s.stay_id) FILTER (WHERE s.state = 'excepted') AS excepted,
                  coalesce(sum(s.charge_fen), 0)::bigint AS charge_fen
           FROM parking_lot AS l
           LEFT JOIN stay AS s ON s.lot_no = l.lot_no AND s.entered_at < $2
                AND (s.left_at IS NULL OR s.left_at >= $1) AND s.state <> 'void'
           GROUP BY l.lot_no ORDER BY count(s.stay_id) DESC, l.lot_id""",
        start,
        end,
    )


async def stays_of_lot(tx: Tx, lot_id: str, start: datetime, end: datetime) -> list[Row]:
    """The stays of a lot that touch [start, end), by space and time; no person, no plate."""
    return await tx.fetch(
        """SELECT s.stay_id, s.entered_at, s.left_at, s.state, s.charge_fen, s.overstay_s,
                  s.entry_lifted, s.exit_lifted, s.reservation_id IS NOT NULL AS reserved,
                  coalesce(p.label, '未登记车位') AS space, o.state AS paid, o.settled_part,
                  o.refunded_fen, t.tx_hash, t.block
           FROM stay AS s JOIN parking_lot AS l USING (lot_no)
           LEFT JOIN parking_space AS p ON p.space_no = s.space_no
           LEFT JOIN payment_order AS o ON o.order_id = s.order_id
           LEFT JOIN settlement AS t ON t.lot_no = s.lot_no AND t.day = o.book_day
                AND t.part = o.settled_part
           WHERE l.lot_id = $1 AND s.entered_at < $3 AND (s.left_at IS NULL OR s.left_at >= $2)
             AND s.state <> 'void'
           ORDER BY space, s.entered_at LIMIT 500""",
        lot_id,
        start,
        end,
    )


async def party_statements(tx: Tx, since: date, limit: int = 300) -> list[Row]:
    """Daily statements, newest first, with how far each has come: co-signed, disputed, anchored."""
    return await tx.fetch(
        """SELECT s.day, s.part, l.lot_id, s.party_id, p.name AS party, s.count, s.total_fen,
                  s.root, t.final_at, t.block, c.cosigned_at,
                  (SELECT count(*) FROM line_dispute AS d
                   JOIN settlement_line AS i USING (source_id, party_id)
                   WHERE d.resolved_at IS NULL AND i.party_id = s.party_id
                     AND (i.lot_no, i.day, i.part) = (s.lot_no, s.day, s.part)) AS disputed
           FROM party_statement AS s JOIN settlement AS t USING (lot_no, day, part)
           JOIN parking_lot AS l USING (lot_no) JOIN party AS p ON p.party_id = s.party_id
           LEFT JOIN party_cosignature AS c
                ON (c.lot_no, c.day, c.part, c.party_id) = (s.lot_no, s.day, s.part, s.party_id)
           WHERE s.day >= $1 ORDER BY s.day DESC, l.lot_id, s.part, s.party_id LIMIT $2""",
        since,
        limit,
    )
