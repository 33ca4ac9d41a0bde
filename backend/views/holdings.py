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


async def holdings_of(tx: Tx, citizen_id: UUID) -> list[Holding]:
    """What a citizen holds of every class the city issues, classes in order."""
    posted = (await edges(tx)).posted
    balances = {
        (row["account"].rpartition(":")[2], row["asset"].removeprefix("POINT/")): row["rest"]
        for row in await tx.fetch(
            """SELECT account, asset, input - output AS rest FROM balance
               WHERE account = ANY($1::text[]) AND asset LIKE 'POINT/%'""",
            [f"citizen:{citizen_id}:{part}" for part in ("points", "debt")],
        )
    }
    held = {
        row["class"]: row["points"]
        for row in await tx.fetch(
            """SELECT class, sum(amount)::bigint AS points FROM hold
               WHERE citizen_id = $1 AND state = 'open' GROUP BY class""",
            citizen_id,
        )
    }
    pending = {
        row["class"]: row["points"]
        for row in await tx.fetch(
            """SELECT t.class, sum(t.amount)::bigint AS points
               FROM transfer AS t LEFT JOIN leaf AS l ON l.ref = t.transfer_id
               WHERE t.citizen_id = $1 AND t.act = 'award'
                 AND (l.index IS NULL OR l.index >= $2)
                 AND NOT EXISTS (SELECT FROM transfer AS r
                                 WHERE r.of_transfer = t.transfer_id AND r.act = 'reverse')
               GROUP BY t.class""",
            citizen_id,
            posted,
        )
    }
    expiring: dict[str, list[tuple[date, int]]] = {}
    for row in await tx.fetch(
        """SELECT class, expiry_month, open FROM lot
           WHERE citizen_id = $1 AND open > 0 ORDER BY class, expiry_month""",
        citizen_id,
    ):
        expiring.setdefault(row["class"], []).append((row["expiry_month"], row["open"]))
    issued = await tx.fetch("SELECT DISTINCT class FROM programme")
    classes = {row["class"] for row in issued} | {name for _, name in balances}
    found: list[Holding] = []
    for name in sorted(classes):
        # A debt's balance is below zero: what is not set aside stands against it.
        free = balances.get(("points", name), 0) - held.get(name, 0)
        net = free + balances.get(("debt", name), 0)
        found.append(
            Holding(
                points_class=name,
                available=max(net, 0),
                held=held.get(name, 0),
                debt=max(-net, 0),
                pending=pending.get(name, 0),
                expiring=tuple(expiring.get(name, ())),
            )
        )
    return found


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
