"""Which lots near a place have a free shared space for a time, and what it would cost."""

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from backend.kit.db import Row, Tx
from backend.parking.assets import Lot, lots
from backend.parking.calendar import Calendar, second
from backend.parking.reservations import LENGTH_MAX
from backend.parking.tariff import Priced, Tariff, TariffError, charge
from backend.parking.terms import in_force, tariffs_of_lots
from backend.parking.windows import covers, policy_of

UDEG_PER_METRE_LATITUDE = 9
"""A metre is 8.98 millionths of a degree of latitude; rounded up, so the box holds the circle."""


@dataclass(frozen=True, slots=True)
class Sought:
    """Where (millionths of a degree), how far, when, for which vehicle and which kind of space."""

    latitude_udeg: int
    longitude_udeg: int
    radius_m: int
    starts_at: datetime
    ends_at: datetime
    vehicle_class: str = "small"
    electric: bool = False
    space_class: str | None = None
    price_fen_max: int | None = None
    order: Literal["distance", "price"] = "distance"


@dataclass(frozen=True, slots=True)
class Found:
    """A lot with free spaces; `price_fen` None where no price is in force on the day."""

    lot: Lot
    distance_m: int
    free: int
    price_fen: int | None


async def search(
    tx: Tx, sought: Sought, calendar: Calendar, now: datetime, limit: int = 50
) -> list[Found]:
    """Lots in reach with at least one space free for the whole time, nearest or cheapest first."""
    near = _box(sought)
    rows = await tx.fetch(_POLICIES, *near, sought.space_class)
    allowed = [
        row["policy"]
        for row in rows
        if sought.vehicle_class in policy_of(row["document"]).classes
        and not covers(policy_of(row["document"]), calendar, sought.starts_at, sought.ends_at)
    ]
    if not allowed:
        return []
    free = await tx.fetch(
        _FREE,
        *near,
        sought.space_class,
        allowed,
        sought.starts_at,
        sought.ends_at,
        now,
        sought.starts_at - LENGTH_MAX,
    )
    count = {row["lot_no"]: row["free"] for row in free}
    places = await lots(tx, count)
    near_by = sorted((_distance_m(sought, lot), lot.lot_id, lot) for lot in places.values())
    near_by = [each for each in near_by if each[0] <= sought.radius_m]
    if sought.order == "distance" and sought.price_fen_max is None:
        near_by = near_by[:limit]  # Whose price decides nothing is not asked for it.
    tariffs = await tariffs_of_lots(tx, [lot.lot_no for _, _, lot in near_by])
    found = [
        Found(
            lot, distance_m, count[lot.lot_no], quote(tariffs.get(lot.lot_no, []), sought, calendar)
        )
        for distance_m, _, lot in near_by
    ]
    if sought.price_fen_max is not None:
        most_fen = sought.price_fen_max
        found = [f for f in found if f.price_fen is not None and f.price_fen <= most_fen]
    if sought.order == "price":
        found.sort(key=lambda f: (f.price_fen is None, f.price_fen or 0, f.distance_m))
    return found[:limit]


def quote(tariffs: list[Tariff], sought: Sought, calendar: Calendar) -> int | None:
    """What the stay would cost by the price of its first day, in fen; None without a price."""
    starts_s, ends_s = second(sought.starts_at), second(sought.ends_at)
    tariff = in_force(tariffs, calendar.day_of(starts_s))
    if tariff is None:
        return None
    priced = Priced(
        starts_s,
        ends_s,
        vehicle_class=sought.vehicle_class,
        electric=sought.electric,
        reserved=True,
    )
    try:
        return charge(tariff, priced, calendar).amount_fen
    except TariffError:
        return None


async def taken_spans(
    tx: Tx, space_no: int, starts_at: datetime, ends_at: datetime, now: datetime
) -> list[tuple[datetime, datetime]]:
    """When a space is reserved between two instants, in order."""
    rows = await tx.fetch(
        """SELECT starts_at, ends_at FROM reservation
           WHERE space_no = $1 AND starts_at < $3 AND ends_at > $2
             AND (state IN ('confirmed', 'used') OR (state = 'held' AND held_until > $4))
           ORDER BY starts_at""",
        space_no,
        starts_at,
        ends_at,
        now,
    )
    return [(row["starts_at"], row["ends_at"]) for row in rows]


async def free_spaces(
    tx: Tx, lot_no: int, sought: Sought, calendar: Calendar, now: datetime, limit: int = 50
) -> list[Row]:
    """Free spaces of one lot: space_id, label, class; in the order of labels."""
    rows = await tx.fetch(
        """SELECT s.space_id, s.label, s.class, p.document FROM parking_space AS s
           JOIN window_policy AS p ON p.digest = s.policy
           WHERE s.lot_no = $1 AND s.state = 'offered' AND ($2::text IS NULL OR s.class = $2)
             AND NOT EXISTS (SELECT FROM reservation AS r
                 WHERE r.space_no = s.space_no AND r.starts_at < $4 AND r.ends_at > $3
                   AND (r.state IN ('confirmed', 'used')
                        OR (r.state = 'held' AND r.held_until > $5)))
           ORDER BY s.label""",
        lot_no,
        sought.space_class,
        sought.starts_at,
        sought.ends_at,
        now,
    )
    return [
        row
        for row in rows
        if sought.vehicle_class in policy_of(row["document"]).classes
        and not covers(policy_of(row["document"]), calendar, sought.starts_at, sought.ends_at)
    ][:limit]


_POLICIES = """
    SELECT DISTINCT s.policy, p.document
    FROM parking_lot AS l JOIN parking_space AS s USING (lot_no)
    JOIN window_policy AS p ON p.digest = s.policy
    WHERE l.latitude_udeg BETWEEN $1 AND $2 AND l.longitude_udeg BETWEEN $3 AND $4
      AND s.state = 'offered' AND ($5::text IS NULL OR s.class = $5)"""

_FREE = """
    WITH near AS MATERIALIZED (
        SELECT lot_no FROM parking_lot
        WHERE latitude_udeg BETWEEN $1 AND $2 AND longitude_udeg BETWEEN $3 AND $4),
    taken AS MATERIALIZED (
        SELECT DISTINCT r.space_no FROM reservation AS r JOIN near USING (lot_no)
        WHERE r.starts_at < $8 AND r.ends_at > $7 AND r.starts_at > $10
          AND r.state IN ('held', 'confirmed', 'used')
          AND (r.state <> 'held' OR r.held_until > $9))
    SELECT s.lot_no, count(*) AS free FROM parking_space AS s JOIN near USING (lot_no)
    WHERE s.state = 'offered' AND ($5::text IS NULL OR s.class = $5)
      AND s.policy = ANY($6::bytea[])
      AND s.space_no NOT IN (SELECT space_no FROM taken)
    GROUP BY s.lot_no"""


def _box(sought: Sought) -> tuple[int, int, int, int]:
    """The degrees around a place that hold every point in reach."""
    up = sought.radius_m * UDEG_PER_METRE_LATITUDE + 1
    shrink = max(1, int(1_000 * math.cos(math.radians(sought.latitude_udeg // 1_000_000))))
    wide = up * 1_000 // shrink + 1
    return (
        *(sought.latitude_udeg - up, sought.latitude_udeg + up),
        *(sought.longitude_udeg - wide, sought.longitude_udeg + wide),
    )


def _distance_m(sought: Sought, lot: Lot) -> int:
    """Straight-line metres over a few kilometres, where the earth is flat enough."""
    north = (lot.latitude_udeg - sought.latitude_udeg) * 111_195
    squeeze = math.cos(math.radians(sought.latitude_udeg // 1_000_000))
    east = int((lot.longitude_udeg - sought.longitude_udeg) * 111_195 * squeeze)
    return math.isqrt(north * north + east * east) // 1_000_000
