"""What there is: parties, lots, spaces with windows, vehicles, and what lots' counters say."""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from backend.kit.db import Row, Tx
from backend.kit.ids import new_id
from backend.kit.problems import Problem
from backend.parking.plates import Plates
from backend.parking.windows import WindowPolicy

PartyKind = Literal["person", "manager", "public-body", "operator", "platform", "city"]
SpaceState = Literal["offered", "suspended", "withdrawn"]


@dataclass(frozen=True, slots=True)
class Party:
    """Who has a part in the money; `account` are its 20 random bytes on chain."""

    party_id: str
    kind: PartyKind
    name: str
    partner_id: str | None
    citizen_id: UUID | None
    merchant: bool
    account: bytes


@dataclass(frozen=True, slots=True)
class Lot:
    """A car park; coordinates in millionths of a degree (WGS 84)."""

    lot_no: int
    lot_id: str
    operator_id: str
    name: str
    latitude_udeg: int
    longitude_udeg: int
    capacity: int
    base_search_s: int


@dataclass(frozen=True, slots=True)
class Space:
    """A bay that its owner shares; `policy` is the document of its windows, None while it has none.

    `space_class` is standard, large, accessible or charging.
    """

    space_no: int
    space_id: UUID
    lot_no: int
    label: str
    space_class: str
    owner_id: str
    policy: bytes | None
    state: SpaceState


async def enter_party(
    tx: Tx,
    party_id: str,
    *,
    kind: PartyKind,
    name: str,
    merchant: bool,
    now: datetime,
    partner_id: str | None = None,
    citizen_id: UUID | None = None,
    account: bytes | None = None,
) -> Party:
    """The party of that id, entered if it is new; what stands is not changed."""
    await tx.execute(
        """INSERT INTO party (party_id, kind, name, partner_id, citizen_id, merchant, account,
                              created_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (party_id) DO NOTHING""",
        party_id,
        kind,
        name,
        partner_id,
        citizen_id,
        merchant,
        account or secrets.token_bytes(20),
        now,
    )
    return (await parties(tx, [party_id]))[party_id]


async def parties(tx: Tx, party_ids: Iterable[str]) -> dict[str, Party]:
    """Parties by id; unknown ones are absent."""
    rows = await tx.fetch("SELECT * FROM party WHERE party_id = ANY($1::text[])", list(party_ids))
    return {row["party_id"]: _party(row) for row in rows}


async def party_of_citizen(tx: Tx, citizen_id: UUID) -> Party | None:
    """The party a person is as an owner, or None while they own nothing here."""
    row = await tx.fetchrow("SELECT * FROM party WHERE citizen_id = $1", citizen_id)
    return None if row is None else _party(row)


async def parties_of_partner(tx: Tx, partner_id: str) -> list[Party]:
    """The parties that sign with a partner's keys, in the order of their ids."""
    rows = await tx.fetch("SELECT * FROM party WHERE partner_id = $1 ORDER BY party_id", partner_id)
    return [_party(row) for row in rows]


async def put_lot(
    tx: Tx,
    lot_id: str,
    *,
    operator_id: str,
    name: str,
    latitude_udeg: int,
    longitude_udeg: int,
    capacity: int,
    base_search_s: int,
    now: datetime,
) -> Lot:
    """Enter a lot or change what may change. Raises Problem 409 `lot-of-another-operator`."""
    row = await tx.fetchrow(
        """INSERT INTO parking_lot (lot_id, operator_id, name, latitude_udeg, longitude_udeg,
                                    capacity, base_search_s, created_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
           ON CONFLICT (lot_id) DO UPDATE SET name = excluded.name,
               latitude_udeg = excluded.latitude_udeg, longitude_udeg = excluded.longitude_udeg,
               capacity = excluded.capacity, base_search_s = excluded.base_search_s
               WHERE parking_lot.operator_id = excluded.operator_id
           RETURNING *""",
        lot_id,
        operator_id,
        name,
        latitude_udeg,
        longitude_udeg,
        capacity,
        base_search_s,
        now,
    )
    if row is None:
        raise Problem(409, "lot-of-another-operator", "该停车场由另一家运营方登记。", lot_id=lot_id)
    return _lot(row)


async def find_lot(tx: Tx, lot_id: str) -> Lot:
    """A lot by id. Raises Problem 404 `unknown-lot`."""
    row = await tx.fetchrow("SELECT * FROM parking_lot WHERE lot_id = $1", lot_id)
    if row is None:
        raise Problem(404, "unknown-lot", "没有这个停车场。", lot_id=lot_id[:64])
    return _lot(row)


async def lots(tx: Tx, lot_nos: Iterable[int]) -> dict[int, Lot]:
    """Lots by number."""
    rows = await tx.fetch(
        "SELECT * FROM parking_lot WHERE lot_no = ANY($1::bigint[])", list(lot_nos)
    )
    return {row["lot_no"]: _lot(row) for row in rows}


async def add_space(
    tx: Tx, lot: Lot, label: str, space_class: str, owner_id: str, now: datetime
) -> Space:
    """Enter a space without windows. Raises Problem 409 `space-taken` (the label is known)."""
    row = await tx.fetchrow(
        """INSERT INTO parking_space (space_id, lot_no, label, class, owner_id, state, created_at)
           VALUES ($1, $2, $3, $4, $5, 'offered', $6) ON CONFLICT (lot_no, label) DO NOTHING
           RETURNING *, NULL::bytea AS document""",
        new_id(),
        lot.lot_no,
        label,
        space_class,
        owner_id,
        now,
    )
    if row is None:
        raise Problem(409, "space-taken", "该停车场已有同号车位。", lot_id=lot.lot_id, label=label)
    return _space(row)


async def find_space(tx: Tx, space_id: UUID, *, lock: bool = False) -> Space:
    """A space by id, held until `tx` ends with `lock`. Raises Problem 404 `unknown-space`."""
    sql = """SELECT s.*, p.document FROM parking_space AS s
             LEFT JOIN window_policy AS p ON p.digest = s.policy WHERE s.space_id = $1"""
    row = await tx.fetchrow(f"{sql} FOR UPDATE OF s" if lock else sql, space_id)
    if row is None:
        raise Problem(404, "unknown-space", "没有这个车位。", space_id=str(space_id))
    return _space(row)


async def space_by_label(tx: Tx, lot: Lot, label: str) -> UUID:
    """The id of a lot's space. Raises Problem 404 `unknown-space`."""
    space_id = await tx.fetchval(
        "SELECT space_id FROM parking_space WHERE lot_no = $1 AND label = $2", lot.lot_no, label
    )
    if space_id is None:
        raise Problem(404, "unknown-space", "没有这个车位。", lot_id=lot.lot_id, label=label[:64])
    return space_id


async def spaces_of_owner(tx: Tx, owner_id: str) -> list[Space]:
    """An owner's spaces, in the order in which they were entered."""
    rows = await tx.fetch(
        """SELECT s.*, p.document FROM parking_space AS s
           LEFT JOIN window_policy AS p ON p.digest = s.policy
           WHERE s.owner_id = $1 ORDER BY s.space_no""",
        owner_id,
    )
    return [_space(row) for row in rows]


async def owners_of_spaces(tx: Tx, space_nos: Iterable[int]) -> dict[int, str]:
    """Whose spaces these are now, by number."""
    rows = await tx.fetch(
        "SELECT space_no, owner_id FROM parking_space WHERE space_no = ANY($1::bigint[])",
        sorted(space_nos),
    )
    return {row["space_no"]: row["owner_id"] for row in rows}


async def set_policy(tx: Tx, space_id: UUID, policy: WindowPolicy) -> None:
    """Let a space be open as the policy says; what is reserved stays reserved."""
    await tx.execute(
        "INSERT INTO window_policy (digest, document) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        policy.digest,
        policy.document,
    )
    await tx.execute(
        "UPDATE parking_space SET policy = $2 WHERE space_id = $1", space_id, policy.digest
    )


async def set_space_state(tx: Tx, space_id: UUID, state: SpaceState) -> None:
    """Suspend, offer again or withdraw a space; what is reserved stays reserved."""
    await tx.execute("UPDATE parking_space SET state = $2 WHERE space_id = $1", space_id, state)


async def hand_over(tx: Tx, space_id: UUID, owner_id: str) -> None:
    """Give a space to another owner; charges of earlier days stay the earlier owner's."""
    await tx.execute(
        "UPDATE parking_space SET owner_id = $2 WHERE space_id = $1", space_id, owner_id
    )


async def see_vehicles(
    tx: Tx, plates: Plates, seen: Mapping[str, tuple[str, str]], now: datetime
) -> dict[str, bytes]:
    """The hash of each plate; those not known yet are entered with (class, fuel)."""
    hashes = {plate: plates.hash(plate) for plate in seen}
    known = {
        row["plate_hash"]
        for row in await tx.fetch(
            "SELECT plate_hash FROM vehicle WHERE plate_hash = ANY($1::bytea[])",
            list(hashes.values()),
        )
    }
    fresh = {hashes[plate]: plate for plate in seen if hashes[plate] not in known}
    ordered = sorted(fresh.items())
    if ordered:
        await tx.execute(
            """INSERT INTO vehicle (plate_hash, plate_sealed, class, fuel, seen_at)
               SELECT plate_hash, sealed, class, fuel, $5
               FROM unnest($1::bytea[], $2::bytea[], $3::text[], $4::text[])
                    AS new (plate_hash, sealed, class, fuel)
               ON CONFLICT (plate_hash) DO NOTHING""",
            [plate_hash for plate_hash, _ in ordered],
            [plates.seal(plate, plate_hash) for plate_hash, plate in ordered],
            [seen[plate][0] for _, plate in ordered],
            [seen[plate][1] for _, plate in ordered],
            now,
        )
    return hashes


async def bind_vehicle(
    tx: Tx,
    plates: Plates,
    citizen_id: UUID,
    plate: str,
    *,
    vehicle_class: str,
    fuel: str,
    now: datetime,
) -> bytes:
    """Bind a vehicle to a person; its hash. Raises Problem 409 `vehicle-of-another`."""
    plate_hash = (await see_vehicles(tx, plates, {plate: (vehicle_class, fuel)}, now))[plate]
    holder = await holder_of(tx, plate_hash)
    if holder is None:
        # The class a camera guessed gives way to what the owner says.
        await tx.execute(
            "UPDATE vehicle SET class = $2, fuel = $3 WHERE plate_hash = $1",
            plate_hash,
            vehicle_class,
            fuel,
        )
        await tx.execute(
            """INSERT INTO vehicle_binding (citizen_id, plate_hash, bound_at) VALUES ($1, $2, $3)
               ON CONFLICT (plate_hash) WHERE ended_at IS NULL DO NOTHING""",
            citizen_id,
            plate_hash,
            now,
        )
        holder = await holder_of(tx, plate_hash)
    if holder != citizen_id:
        raise Problem(409, "vehicle-of-another", "该车牌已由另一位市民绑定。")
    return plate_hash


async def holder_of(tx: Tx, plate_hash: bytes) -> UUID | None:
    """Who a vehicle is bound to now."""
    return await tx.fetchval(
        "SELECT citizen_id FROM vehicle_binding WHERE plate_hash = $1 AND ended_at IS NULL",
        plate_hash,
    )


async def vehicles_of(tx: Tx, citizen_id: UUID) -> list[Row]:
    """A person's bound vehicles: plate_hash, plate_sealed, class, fuel, bound_at."""
    return await tx.fetch(
        """SELECT b.plate_hash, v.plate_sealed, v.class, v.fuel, b.bound_at
           FROM vehicle_binding AS b JOIN vehicle AS v USING (plate_hash)
           WHERE b.citizen_id = $1 AND b.ended_at IS NULL ORDER BY b.bound_at""",
        citizen_id,
    )


async def unbind_vehicle(tx: Tx, citizen_id: UUID, plate_hash: bytes, now: datetime) -> bool:
    """End a binding; False if this person has none."""
    tag = await tx.execute(
        """UPDATE vehicle_binding SET ended_at = $3
           WHERE citizen_id = $1 AND plate_hash = $2 AND ended_at IS NULL""",
        citizen_id,
        plate_hash,
        now,
    )
    return tag == "UPDATE 1"


async def count_spaces(tx: Tx, lot: Lot, counts: Sequence[tuple[datetime, int, int]]) -> None:
    """Keep what a lot's counter said: (instant, occupied, capacity); the last word counts."""
    await tx.execute(
        """INSERT INTO occupancy (lot_no, counted_at, occupied, capacity)
           SELECT DISTINCT ON (at) $1::bigint, at, occupied, capacity
           FROM unnest($2::timestamptz[], $3::int[], $4::int[]) WITH ORDINALITY
                AS said (at, occupied, capacity, n)
           ORDER BY at, n DESC
           ON CONFLICT (lot_no, counted_at)
           DO UPDATE SET occupied = excluded.occupied, capacity = excluded.capacity""",
        lot.lot_no,
        [at for at, _, _ in counts],
        [occupied for _, occupied, _ in counts],
        [capacity for _, _, capacity in counts],
    )


async def occupancy_pct(tx: Tx, lot_no: int, at: datetime) -> int | None:
    """How full a lot was: its counter's last word within the hour before, 0 … 100.

    A count below 0 reads as 0 and one above capacity as 100; None where nobody counted.
    """
    return await tx.fetchval(
        """SELECT least(100, greatest(0, occupied * 100 / capacity)) FROM occupancy
           WHERE lot_no = $1 AND counted_at <= $2 AND counted_at > $2 - interval '1 hour'
             AND capacity > 0
           ORDER BY counted_at DESC LIMIT 1""",
        lot_no,
        at,
    )


def _party(row: Any) -> Party:
    return Party(
        *(row["party_id"], row["kind"], row["name"], row["partner_id"], row["citizen_id"]),
        *(row["merchant"], row["account"]),
    )


def _lot(row: Any) -> Lot:
    return Lot(
        *(row["lot_no"], row["lot_id"], row["operator_id"], row["name"]),
        *(row["latitude_udeg"], row["longitude_udeg"], row["capacity"], row["base_search_s"]),
    )


def _space(row: Any) -> Space:
    return Space(
        *(row["space_no"], row["space_id"], row["lot_no"], row["label"], row["class"]),
        *(row["owner_id"], row["document"], row["state"]),
    )
