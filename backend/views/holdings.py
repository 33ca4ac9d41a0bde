"""A citizen's points: what they hold, what is on its way to the chain, what moved."""

from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from backend.kit.db import Tx
from backend.views.edges import edges


@dataclass(frozen=True, slots=True)
class Holding:
    """Whole points of one class.

    `available` can be spent, `held` is set aside for redemptions under way, `debt` is owed
    after a reversal, `pending` is the part of the awards the chain does not show yet;
    `expiring` is (first day of the month, points), soonest first.
    """

    points_class: str
    available: int
    held: int
    debt: int
    pending: int
    expiring: tuple[tuple[date, int], ...]


@dataclass(frozen=True, slots=True)
class Movement:
    """One transfer of a citizen; `points` is signed: what it did to their balance."""

    movement_id: UUID
    act: str
    points_class: str
    points: int
    programme_id: str | None
    activity_id: UUID | None
    of_movement: UUID | None
    city_day: date
    note: str | None
    created_at: datetime


# One statement, because this is what every phone asks first. An award is pending until a settled
# cut covers its leaf, unless it was taken back.
_HOLDINGS = """
    SELECT 'issued' AS what, class, NULL::date AS month, 0::bigint AS points
    FROM (SELECT DISTINCT class FROM programme) AS p
    UNION ALL
    SELECT split_part(account, ':', 3), substr(asset, 7), NULL, input - output
    FROM balance
    WHERE account IN ('citizen:' || $1::uuid || ':points', 'citizen:' || $1::uuid || ':debt')
      AND asset LIKE 'POINT/%'
    UNION ALL
    SELECT 'held', class, NULL, sum(amount)::bigint FROM hold
    WHERE citizen_id = $1 AND state = 'open' GROUP BY class
    UNION ALL
    SELECT 'pending', t.class, NULL, sum(t.amount)::bigint
    FROM transfer AS t LEFT JOIN leaf AS l ON l.ref = t.transfer_id
    WHERE t.citizen_id = $1 AND t.act = 'award' AND (l.index IS NULL OR l.index >= $2)
      AND NOT EXISTS (SELECT FROM transfer AS r
                      WHERE r.of_transfer = t.transfer_id AND r.act = 'reverse')
    GROUP BY t.class
    UNION ALL
    (SELECT 'lot', class, expiry_month, open FROM lot
     WHERE citizen_id = $1 AND open > 0 ORDER BY class, expiry_month)"""


async def holdings_of(tx: Tx, citizen_id: UUID) -> list[Holding]:
    """What a citizen holds of every class the city issues, classes in order."""
    posted = (await edges(tx)).posted
    found: dict[tuple[str, str], int] = {}
    expiring: dict[str, list[tuple[date, int]]] = {}
    classes: set[str] = set()
    for row in await tx.fetch(_HOLDINGS, citizen_id, posted):
        classes.add(row["class"])
        if row["what"] == "lot":
            expiring.setdefault(row["class"], []).append((row["month"], row["points"]))
        else:
            found[row["what"], row["class"]] = row["points"]
    return [_holding(name, found, expiring.get(name, [])) for name in sorted(classes)]


def _holding(
    name: str, found: dict[tuple[str, str], int], expiring: list[tuple[date, int]]
) -> Holding:
    held = found.get(("held", name), 0)
    # A debt's balance is below zero: what is not set aside stands against it.
    net = found.get(("points", name), 0) - held + found.get(("debt", name), 0)
    return Holding(
        points_class=name,
        available=max(net, 0),
        held=held,
        debt=max(-net, 0),
        pending=found.get(("pending", name), 0),
        expiring=tuple(sorted(expiring)),
    )


async def movements_of(
    tx: Tx, citizen_id: UUID, *, before: UUID | None, limit: int
) -> list[Movement]:
    """A citizen's transfers, newest first, older than the transfer `before`."""
    rows = await tx.fetch(
        """SELECT t.transfer_id AS movement_id, t.act, t.class AS points_class,
                  CASE WHEN t.act IN ('award', 'refund') THEN t.amount ELSE -t.amount END
                      AS points,
                  t.programme_id, a.evidence_id AS activity_id, t.of_transfer AS of_movement,
                  t.city_day, t.note, t.created_at
           FROM transfer AS t
           LEFT JOIN award AS a ON a.transfer_id = coalesce(t.of_transfer, t.transfer_id)
           WHERE t.citizen_id = $1 AND ($2::uuid IS NULL OR t.transfer_id < $2)
           ORDER BY t.transfer_id DESC LIMIT $3""",
        citizen_id,
        before,
        limit,
    )
    return [Movement(**row) for row in rows]
