"""The laws of the ledger, asked of the database: the journal explains every balance and lot."""

from backend.kit.db import Tx
from backend.kit.laws import Difference, broken

# Each query gives rows (subject, expected, found) where a law is broken.
LAWS: dict[str, str] = {
    # Replaying the journal gives the stored balances.
    "balances-follow-from-postings": """
        WITH moved AS (
            SELECT account, asset, sum(input) AS input, sum(output) AS output FROM (
                SELECT destination AS account, asset, amount AS input, 0 AS output FROM posting
                UNION ALL SELECT source, asset, 0, amount FROM posting) AS both_sides
            GROUP BY account, asset)
        SELECT account || ' ' || asset AS subject,
               coalesce(m.input, 0) || '/' || coalesce(m.output, 0) AS expected,
               coalesce(b.input, 0) || '/' || coalesce(b.output, 0) AS found
        FROM moved AS m FULL JOIN balance AS b USING (account, asset)
        WHERE (coalesce(m.input, 0), coalesce(m.output, 0))
           <> (coalesce(b.input, 0), coalesce(b.output, 0))""",
    # Replaying the journal gives the open lots.
    "lots-follow-from-postings": """
        WITH moved AS (
            SELECT t.citizen_id, t.class, p.expiry_month,
                   sum(CASE WHEN p.destination = 'citizen:' || t.citizen_id || ':points'
                            THEN p.amount ELSE -p.amount END) AS open
            FROM posting AS p JOIN transfer AS t USING (transfer_id)
            WHERE p.expiry_month IS NOT NULL GROUP BY 1, 2, 3)
        SELECT citizen_id || ' ' || class || ' ' || expiry_month AS subject,
               coalesce(m.open, 0)::text AS expected, coalesce(l.open, 0)::text AS found
        FROM moved AS m FULL JOIN lot AS l USING (citizen_id, class, expiry_month)
        WHERE coalesce(m.open, 0) <> coalesce(l.open, 0)""",
    # The open lots of a person are exactly what they have: available and held.
    "open-lots-equal-available": """
        WITH open AS (
            SELECT 'citizen:' || citizen_id || ':points' AS account, 'POINT/' || class AS asset,
                   sum(open) AS open
            FROM lot GROUP BY 1, 2)
        SELECT account || ' ' || asset AS subject,
               coalesce(b.input - b.output, 0)::text AS expected,
               coalesce(o.open, 0)::text AS found
        FROM open AS o
        FULL JOIN (SELECT * FROM balance WHERE account LIKE 'citizen:%:points') AS b
            USING (account, asset)
        WHERE coalesce(b.input - b.output, 0) <> coalesce(o.open, 0)""",
    # A debt is never a credit, and nobody has points while they owe some, except those that are
    # held for a redemption, or were until its hold was voided.
    "a-debt-is-repaid-first": """
        SELECT d.account AS subject, 'no points beside a debt' AS expected,
               (d.output - d.input) || ' owed' AS found
        FROM balance AS d
        LEFT JOIN balance AS p ON p.asset = d.asset
             AND p.account = replace(d.account, ':debt', ':points')
        WHERE d.account LIKE 'citizen:%:debt'
          AND (d.input > d.output OR (d.output > d.input AND p.input > p.output + (
                SELECT coalesce(sum(h.amount), 0) FROM hold AS h
                WHERE h.state IN ('open', 'voided')
                  AND d.account = 'citizen:' || h.citizen_id || ':debt'
                  AND d.asset = 'POINT/' || h.class)))""",
    # Nobody has more set aside than they have.
    "holds-are-covered": """
        SELECT h.citizen_id || ' ' || h.class AS subject, coalesce(p.rest, 0)::text AS expected,
               h.held || ' held' AS found
        FROM (SELECT citizen_id, class, sum(amount) AS held FROM hold WHERE state = 'open'
              GROUP BY 1, 2) AS h
        LEFT JOIN (SELECT account, asset, input - output AS rest FROM balance) AS p
             ON p.account = 'citizen:' || h.citizen_id || ':points'
            AND p.asset = 'POINT/' || h.class
        WHERE h.held > coalesce(p.rest, 0)""",
    # A hold that was posted is a redemption of the same id, person and amount, and no other is.
    "holds-become-redemptions": """
        SELECT coalesce(h.hold_id, t.transfer_id)::text AS subject,
               concat_ws(' ', h.citizen_id, h.class, h.amount) AS expected,
               concat_ws(' ', t.citizen_id, t.class, t.amount) AS found
        FROM (SELECT * FROM hold WHERE state = 'posted') AS h
        FULL JOIN (SELECT * FROM transfer WHERE act = 'redeem') AS t ON t.transfer_id = h.hold_id
        WHERE (h.citizen_id, h.class, h.amount)
              IS DISTINCT FROM (t.citizen_id, t.class, t.amount)""",
    # What a redemption spent comes back at most once, and whole.
    "a-refund-is-its-redemption": """
        SELECT r.transfer_id::text AS subject, concat_ws(' ', t.act, t.amount) AS expected,
               r.amount::text AS found
        FROM transfer AS r LEFT JOIN transfer AS t ON t.transfer_id = r.of_transfer
        WHERE r.act = 'refund'
          AND (t.act, t.citizen_id, t.class, t.amount)
              IS DISTINCT FROM ('redeem', r.citizen_id, r.class, r.amount)""",
    # A transfer is the sum of its postings.
    "a-transfer-is-its-postings": """
        SELECT coalesce(t.transfer_id, p.transfer_id)::text AS subject,
               coalesce(t.amount, 0)::text AS expected, coalesce(p.amount, 0)::text AS found
        FROM (SELECT transfer_id, amount FROM transfer
              UNION ALL SELECT transfer_id, amount FROM money_transfer) AS t
        FULL JOIN (SELECT transfer_id, sum(amount) AS amount FROM posting GROUP BY 1) AS p
            USING (transfer_id)
        WHERE coalesce(t.amount, 0) <> coalesce(p.amount, 0)""",
    # What programmes issued is held, owed back or ended in a class account: totals are constant.
    "totals-are-constant": """
        SELECT asset AS subject, '0' AS expected, sum(input - output)::text AS found
        FROM balance GROUP BY asset HAVING sum(input - output) <> 0""",
}


async def replay(tx: Tx) -> list[Difference]:
    """Every way in which stored balances and lots differ from the journal; empty when sound.

    Reads everything in one snapshot if `tx` is repeatable read, so it holds under load.
    """
    return await broken(tx, LAWS)
