"""Dividing a lot's day: every paid order becomes one line for each party, and no fen is lost."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple
from uuid import UUID

from backend.kit.db import Row, Tx
from backend.payments.statement import Line, StatementKey, leaf_hash

RootOf = Callable[[list[bytes]], bytes]


class Share(NamedTuple):
    """A row of a contract: `party_id` None stands for the owner of the space."""

    version: int
    n: int
    party_id: str | None
    share_bp: int
    merchant: bool


@dataclass(frozen=True, slots=True)
class PartySum:
    """A party's statement: lines, their sum, the root over them, and what of it are refunds."""

    party_id: str
    count: int
    total_fen: int
    share_fen: int
    root: bytes


@dataclass(frozen=True, slots=True)
class DayPart:
    """What a lot's day came to: the sums of charges and refunds and each party's statement."""

    lot_no: int
    day: date
    part: int
    order_count: int
    charged_fen: int
    refunded_fen: int
    parties: tuple[PartySum, ...]


async def waiting_days(tx: Tx, before: date, limit: int = 1_000) -> list[tuple[int, date]]:
    """(lot_no, day) with money or refunds of days before `before` that stand in no statement."""
    rows = await tx.fetch(
        """SELECT lot_no, book_day AS day FROM payment_order
           WHERE state = 'paid' AND settled_part IS NULL AND book_day < $1
           UNION
           SELECT o.lot_no, r.city_day FROM refund AS r JOIN payment_order AS o USING (order_id)
           WHERE r.settled_part IS NULL AND r.city_day < $1
             AND EXISTS (SELECT FROM refund_part AS p WHERE p.refund_id = r.refund_id)
           ORDER BY 2, 1 LIMIT $2""",
        before,
        limit,
    )
    return [(row["lot_no"], row["day"]) for row in rows]


async def next_part(tx: Tx, lot_no: int, day: date) -> int:
    """The number of the statement that a lot's day gets now."""
    return await tx.fetchval(
        "SELECT coalesce(max(part) + 1, 0) FROM settlement WHERE lot_no = $1 AND day = $2",
        lot_no,
        day,
    )


async def divide(
    tx: Tx,
    lot_no: int,
    day: date,
    part: int,
    shares: Sequence[Share],
    without_space: str,
) -> tuple[int, int]:
    """Write the lines of all paid orders of a lot's day; how many orders, how many fen.

    Each gets the floor of its share; the fen that are left go to the largest remainders, at equal
    remainders first to the merchant of record, then in the contract's order. What was refunded
    before is not divided. One statement for the whole day, and the same rule as
    `backend.parking.split_fen`, which a test holds it against.
    """
    row = await tx.fetchrow(
        _DIVIDE,
        lot_no,
        day,
        part,
        [share.version for share in shares],
        [share.n for share in shares],
        [share.party_id for share in shares],
        [share.share_bp for share in shares],
        [share.merchant for share in shares],
        without_space,
    )
    if row is None:
        raise LookupError("the statement that divides answers with one row")
    return row["order_count"], row["charged_fen"]


_DIVIDE = """
    WITH due AS MATERIALIZED (
        UPDATE payment_order SET settled_part = $3
        WHERE lot_no = $1 AND book_day = $2 AND state = 'paid' AND settled_part IS NULL
        RETURNING order_id, owner_id, amount_fen - refunded_fen AS charge_fen),
    share AS (
        SELECT * FROM unnest($4::int[], $5::int[], $6::text[], $7::int[], $8::boolean[])
               AS s (version, n, party_id, share_bp, merchant)),
    cut AS (
        SELECT d.order_id, d.charge_fen, s.version,
               coalesce(s.party_id, d.owner_id, $9) AS party_id,
               sum(s.share_bp)::bigint AS share_bp, bool_or(s.merchant) AS merchant, min(s.n) AS n
        FROM due AS d CROSS JOIN share AS s GROUP BY 1, 2, 3, 4),
    ranked AS (
        SELECT *, charge_fen * share_bp / 10000 AS floor_fen,
               charge_fen - sum(charge_fen * share_bp / 10000) OVER of_order AS left_fen,
               row_number() OVER (PARTITION BY order_id ORDER BY charge_fen * share_bp % 10000 DESC,
                                  merchant DESC, n) AS place
        FROM cut WINDOW of_order AS (PARTITION BY order_id)),
    written AS (
        INSERT INTO settlement_line (order_id, source_id, party_id, lot_no, day, part,
                                     contract_version, share_bp, charge_fen, amount_fen)
        SELECT order_id, order_id, party_id, $1, $2, $3, version, share_bp, charge_fen,
               floor_fen + (place <= left_fen)::int
        FROM ranked)
    SELECT count(*) AS order_count, coalesce(sum(charge_fen), 0)::bigint AS charged_fen FROM due"""


async def take_back(tx: Tx, lot_no: int, day: date, part: int) -> int:
    """Write the lines of refunds made on a lot's day after the charge was divided; their fen."""
    return await tx.fetchval(
        """WITH made AS MATERIALIZED (
               UPDATE refund SET settled_part = $3 FROM payment_order AS o
               WHERE o.order_id = refund.order_id AND o.lot_no = $1 AND refund.city_day = $2
                 AND refund.settled_part IS NULL
                 AND EXISTS (SELECT FROM refund_part AS p WHERE p.refund_id = refund.refund_id)
               RETURNING refund.refund_id, refund.order_id),
           written AS (
               INSERT INTO settlement_line (order_id, source_id, party_id, lot_no, day, part,
                                            contract_version, share_bp, charge_fen, amount_fen)
               SELECT m.order_id, m.refund_id, p.party_id, $1, $2, $3, l.contract_version,
                      l.share_bp, l.charge_fen, -p.amount_fen
               FROM made AS m JOIN refund_part AS p USING (refund_id)
               JOIN settlement_line AS l
                   ON l.source_id = m.order_id AND l.party_id = p.party_id
               RETURNING amount_fen)
           SELECT coalesce(-sum(amount_fen), 0)::bigint FROM written""",
        lot_no,
        day,
        part,
    )


async def sum_up(
    tx: Tx, lot_id: str, lot_no: int, day: date, part: int, root_of: RootOf
) -> list[PartySum]:
    """Each party's statement over its lines, in the order of parties."""
    by_party: dict[str, list[Line]] = {}
    for row in await _lines(tx, lot_no, day, part, None):
        by_party.setdefault(row["party_id"], []).append(_line(row))
    sums: list[PartySum] = []
    for party_id, lines in by_party.items():
        key = StatementKey(lot_id, day, part, party_id)
        sums.append(
            PartySum(
                party_id=party_id,
                count=len(lines),
                total_fen=sum(line.amount_fen for line in lines),
                share_fen=sum(line.amount_fen for line in lines if line.kind == "share"),
                root=root_of([leaf_hash(key, line) for line in lines]),
            )
        )
    return sums


async def close_part(tx: Tx, closed: DayPart, merchant_id: str, now: datetime) -> None:
    """Enter a settlement with its statements: from now on they stand."""
    key = (closed.lot_no, closed.day, closed.part)
    await tx.execute(
        """INSERT INTO settlement (lot_no, day, part, order_count, charged_fen, refunded_fen,
                                   merchant_id, closed_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8)""",
        *key,
        closed.order_count,
        closed.charged_fen,
        closed.refunded_fen,
        merchant_id,
        now,
    )
    await tx.copy(
        "party_statement",
        ("lot_no", "day", "part", "party_id", "count", "total_fen", "root"),
        [(*key, p.party_id, p.count, p.total_fen, p.root) for p in closed.parties],
    )


async def lines_of(tx: Tx, lot_no: int, day: date, part: int, party_id: str) -> list[Line]:
    """The lines of a party's statement, in the order of the tree."""
    return [_line(row) for row in await _lines(tx, lot_no, day, part, party_id)]


async def _lines(tx: Tx, lot_no: int, day: date, part: int, party_id: str | None) -> list[Row]:
    return await tx.fetch(
        """SELECT party_id, order_id, source_id, contract_version, share_bp, charge_fen, amount_fen
           FROM settlement_line
           WHERE lot_no = $1 AND day = $2 AND part = $3 AND ($4::text IS NULL OR party_id = $4)
           ORDER BY party_id, source_id""",
        lot_no,
        day,
        part,
        party_id,
    )


async def statements_on(tx: Tx, day: date, party_ids: Sequence[str]) -> list[Row]:
    """Statements of parties on a day, with whether they are signed."""
    return await tx.fetch(
        """SELECT s.lot_no, s.part, s.party_id, s.count, s.total_fen, s.root,
                  c.party_id IS NOT NULL AS cosigned
           FROM party_statement AS s
           LEFT JOIN party_cosignature AS c USING (lot_no, day, part, party_id)
           WHERE s.day = $1 AND s.party_id = ANY($2::text[])
           ORDER BY s.lot_no, s.part, s.party_id""",
        day,
        list(party_ids),
    )


async def line_amounts(tx: Tx, order_id: UUID) -> list[Row]:
    """What each party has of a divided charge now, after refunds: party_id, amount_fen.

    Refunds that stand in no statement yet are counted.
    """
    return await tx.fetch(
        """SELECT l.party_id,
                  (l.amount_fen - coalesce((
                      SELECT sum(p.amount_fen) FROM refund_part AS p JOIN refund AS r
                          USING (refund_id)
                      WHERE r.order_id = $1 AND p.party_id = l.party_id), 0))::bigint
                  AS amount_fen
           FROM settlement_line AS l WHERE l.source_id = $1 ORDER BY l.party_id""",
        order_id,
    )


def _line(row: Row) -> Line:
    return Line(
        order_id=row["order_id"],
        source_id=row["source_id"],
        contract_version=row["contract_version"],
        share_bp=row["share_bp"],
        charge_fen=row["charge_fen"],
        amount_fen=row["amount_fen"],
    )
