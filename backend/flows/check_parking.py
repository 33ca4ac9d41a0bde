"""Parking's books against themselves: charges = lines = postings = statements, to the fen."""

from collections.abc import Mapping
from typing import Any

from backend.kit.db import Tx
from backend.kit.laws import Difference, broken

LAWS: dict[str, str] = {
    # A car that has left is charged, or its stay is named in the list of exceptions.
    "a-finished-stay-is-charged-or-named": """
        SELECT s.stay_id::text AS subject, 'charged or named' AS expected, s.state AS found
        FROM stay AS s
        WHERE s.left_at IS NOT NULL AND s.state <> 'void'
          AND NOT (s.state = 'due' AND s.charge_fen IS NOT NULL)
          AND NOT EXISTS (SELECT FROM parking_exception AS e WHERE e.subject = s.stay_id)""",
    # What is owed for a stay is its charge.
    "an-order-is-its-stay": """
        SELECT s.stay_id::text AS subject, s.charge_fen::text AS expected,
               coalesce(o.amount_fen::text, 'no order') AS found
        FROM stay AS s LEFT JOIN payment_order AS o USING (order_id)
        WHERE s.state = 'due' AND s.charge_fen > 0
          AND (o.state IS DISTINCT FROM 'paid' AND o.state IS DISTINCT FROM 'open'
               OR o.amount_fen IS DISTINCT FROM s.charge_fen)""",
    # A divided charge is the sum of its lines.
    "a-charge-is-its-lines": """
        SELECT l.source_id::text AS subject, max(l.charge_fen)::text AS expected,
               sum(l.amount_fen)::text AS found
        FROM settlement_line AS l WHERE l.source_id = l.order_id
        GROUP BY l.source_id HAVING sum(l.amount_fen) <> max(l.charge_fen)""",
    # Nobody gave back more of a charge than they had.
    "a-refund-is-within-its-share": """
        SELECT order_id || ' ' || party_id AS subject, 'not below 0' AS expected,
               sum(amount_fen)::text AS found
        FROM settlement_line GROUP BY order_id, party_id HAVING sum(amount_fen) < 0""",
    # A statement is the sum of its lines.
    "a-statement-is-its-lines": """
        SELECT concat_ws(' ', lot_no, day, part, party_id) AS subject,
               concat_ws(' ', l.count, l.total_fen) AS expected,
               concat_ws(' ', s.count, s.total_fen) AS found
        FROM (SELECT lot_no, day, part, party_id, count(*) AS count,
                     sum(amount_fen)::bigint AS total_fen
              FROM settlement_line GROUP BY 1, 2, 3, 4) AS l
        FULL JOIN party_statement AS s USING (lot_no, day, part, party_id)
        WHERE (l.count, l.total_fen) IS DISTINCT FROM (s.count, s.total_fen)""",
    # A settlement is the sum of its statements.
    "a-settlement-is-its-statements": """
        SELECT concat_ws(' ', t.lot_no, t.day, t.part) AS subject,
               (t.charged_fen - t.refunded_fen)::text AS expected, sum(s.total_fen)::text AS found
        FROM settlement AS t LEFT JOIN party_statement AS s USING (lot_no, day, part)
        GROUP BY t.lot_no, t.day, t.part
        HAVING coalesce(sum(s.total_fen), 0) <> t.charged_fen - t.refunded_fen""",
    # Every paid order moved its money in, once.
    "a-paid-order-is-posted": """
        SELECT o.order_id::text AS subject, o.amount_fen::text AS expected,
               coalesce(m.amount::text, 'nothing') AS found
        FROM payment_order AS o LEFT JOIN money_transfer AS m
             ON m.transfer_id = o.order_id AND m.act = 'charge'
        WHERE o.state = 'paid' AND m.amount IS DISTINCT FROM o.amount_fen""",
    # What was divided of the frozen money is what the settlements charged.
    "splits-are-settlements": """
        SELECT day::text AS subject, coalesce(t.fen, 0)::text AS expected,
               coalesce(m.fen, 0)::text AS found
        FROM (SELECT day, sum(charged_fen) AS fen FROM settlement GROUP BY 1) AS t
        FULL JOIN (SELECT city_day AS day, sum(amount) AS fen FROM money_transfer
                   WHERE act = 'split' GROUP BY 1) AS m USING (day)
        WHERE coalesce(t.fen, 0) <> coalesce(m.fen, 0)""",
    # What the rail still holds is what was paid, less what was divided and given back before.
    "the-rail-holds-the-rest": """
        SELECT r.rail_id AS subject, r.fen::text AS expected, coalesce(b.fen, 0)::text AS found
        FROM (SELECT rail_id, sum(amount_fen) FILTER (WHERE settled_part IS NULL)
                     - coalesce(sum(refunded_fen) FILTER (WHERE settled_part IS NULL), 0) AS fen
              FROM payment_order WHERE state = 'paid' GROUP BY 1) AS r
        LEFT JOIN (SELECT split_part(account, ':', 2) AS rail_id, input - output AS fen
                   FROM balance WHERE account LIKE 'rail:%:frozen') AS b USING (rail_id)
        WHERE coalesce(r.fen, 0) <> coalesce(b.fen, 0)""",
}


async def check_parking(tx: Tx) -> list[Difference]:
    """Every way in which the books differ; empty when they are sound."""
    return await broken(tx, LAWS)


async def parking_totals(tx: Tx) -> Mapping[str, Any]:
    """The four sums that are one, in fen, and what they are made of."""
    row = await tx.fetchrow(
        """SELECT (SELECT coalesce(sum(charge_fen), 0) FROM stay AS s JOIN payment_order AS o
                       USING (order_id) WHERE o.settled_part IS NOT NULL)::bigint AS charges_fen,
                  (SELECT coalesce(sum(amount_fen), 0) FROM settlement_line
                       WHERE source_id = order_id)::bigint AS splits_fen,
                  (SELECT coalesce(sum(p.amount), 0) FROM money_transfer AS m
                       JOIN posting AS p USING (transfer_id)
                       WHERE m.act = 'split')::bigint AS postings_fen,
                  (SELECT coalesce(sum(total_fen), 0) FROM party_statement)::bigint
                      AS statements_fen,
                  (SELECT coalesce(sum(refunded_fen), 0) FROM settlement)::bigint
                      AS taken_back_fen,
                  (SELECT coalesce(sum(frozen_fen), 0) FROM refund)::bigint AS before_fen,
                  (SELECT count(*) FROM stay WHERE state = 'due') AS stays_charged,
                  (SELECT count(*) FROM stay WHERE state = 'open') AS stays_open,
                  (SELECT count(*) FROM stay WHERE state = 'excepted') AS stays_excepted,
                  (SELECT count(*) FROM settlement) AS settlements"""
    )
    if row is None:
        raise LookupError("a query of sums answers with one row")
    return dict(row)
