"""Gate events: read from what a device signed, stored once, whatever order they come in.

A device signs `tanhui-device-v1`, its id and the SM3 of the payload, so that the signature can be
checked for ever although the plates of the payload are not kept in clear.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated, Literal, NamedTuple
from uuid import UUID

import msgspec

from backend.kit.clock import instant_of
from backend.kit.db import Tx
from backend.kit.ids import new_id
from backend.kit.problems import Problem
from backend.kit.sm import sm3, sm3_after
from backend.parking.plates import Plates

AHEAD_MAX = timedelta(seconds=300)
OLD_MAX = timedelta(days=35)
"""An offline buffer older than this is not sent to the gates' route any more but corrected."""

EVENTS_MAX = 5_000
_digest = sm3_after(b"tanhui-gate-v1\n")


class _Event(msgspec.Struct, forbid_unknown_fields=True):
    seq: Annotated[int, msgspec.Meta(ge=1, le=2**53 - 1)]
    direction: Literal["in", "out"]
    time: str
    plate: Annotated[str, msgspec.Meta(max_length=32)] | None = None
    space: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] | None = None
    lifted: bool = False
    vehicle_class: Literal["small", "large", "motorcycle"] = "small"
    electric: bool = False


class _Payload(msgspec.Struct, forbid_unknown_fields=True):
    device_id: str
    events: Annotated[list[msgspec.Raw], msgspec.Meta(min_length=1, max_length=EVENTS_MAX)]


_read_payload = msgspec.json.Decoder(_Payload).decode
_read_event = msgspec.json.Decoder(_Event).decode


class GateEvent(NamedTuple):
    """A car that passed; `plate_hash` None where the camera read nothing."""

    event_id: UUID
    seq: int
    direction: str
    occurred_at: datetime
    plate_hash: bytes | None
    space_label: str | None
    lifted: bool


class Turned(NamedTuple):
    """An event that was not taken: its place in the payload from 0, and why."""

    place: int
    problem: str


@dataclass(slots=True)
class ReadBatch:
    """A payload taken apart: what is well-formed, the vehicles in it, and what is not."""

    events: list[tuple[int, GateEvent]] = field(default_factory=list[tuple[int, GateEvent]])
    vehicles: dict[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])
    turned: list[Turned] = field(default_factory=list[Turned])


@dataclass(frozen=True, slots=True)
class StoredBatch:
    """What became of a batch: events stored now, how many were known, which were turned away."""

    stored: list[GateEvent]
    known: int
    turned: list[Turned]


def batch_digest(payload: bytes) -> bytes:
    """What a device signs, after its own id: the SM3 of the payload, in hex."""
    return sm3(payload).hex().encode()


def read_batch(device_id: str, payload: bytes, plates: Plates, now: datetime) -> ReadBatch:
    """Take a payload `{device_id, events: […]}` apart; one bad event never sinks the others.

    An event is turned away as `bad-shape`, `bad-time`, `time-in-future`, `too-old` or `bad-plate`.
    Raises Problem 422 `bad-payload`, 401 `bad-device-signature` (signed for another device).
    """
    try:
        said = _read_payload(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Problem(422, "bad-payload", f"设备上报的内容不合规定:{error}") from error
    if said.device_id != device_id:
        raise Problem(401, "bad-device-signature", "上报内容属于另一台设备。", device_id=device_id)
    read = ReadBatch()
    hashes: dict[str, bytes] = {}
    prefix = device_id.encode() + b"\n"
    for index, raw in enumerate(said.events):
        try:
            each = _read_event(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            read.turned.append(Turned(index, "bad-shape"))
            continue
        try:
            occurred_at = instant_of(each.time)
        except ValueError:
            read.turned.append(Turned(index, "bad-time"))
            continue
        if occurred_at > now + AHEAD_MAX or occurred_at < now - OLD_MAX:
            ahead = occurred_at > now
            read.turned.append(Turned(index, "time-in-future" if ahead else "too-old"))
            continue
        plate_hash = None
        if each.plate:
            plate_hash = hashes.get(each.plate)
            if plate_hash is None:
                try:
                    plate_hash = hashes[each.plate] = plates.hash(each.plate)
                except Problem:
                    read.turned.append(Turned(index, "bad-plate"))
                    continue
                fuel = "electric" if each.electric else "petrol"
                read.vehicles[each.plate] = (each.vehicle_class, fuel)
        read.events.append((index, _event(prefix, each, occurred_at, plate_hash)))
    return read


def _event(
    prefix: bytes, each: _Event, occurred_at: datetime, plate_hash: bytes | None
) -> GateEvent:
    """The id is made of the content, with the keyed hash in the plate's place."""
    told = f"{each.seq}\n{each.direction}\n{int(occurred_at.timestamp())}\n{each.space or ''}\n"
    mark = b"\x01" if each.lifted else b"\x00"
    digest = _digest(prefix + told.encode() + mark + (plate_hash or b""))
    return GateEvent(
        event_id=UUID(bytes=digest[:16]),
        seq=each.seq,
        direction=each.direction,
        occurred_at=occurred_at,
        plate_hash=plate_hash,
        space_label=each.space,
        lifted=each.lifted,
    )


async def store_batch(
    tx: Tx,
    device_id: str,
    lot_no: int,
    read: ReadBatch,
    *,
    payload: bytes,
    signature: bytes,
    now: datetime,
) -> StoredBatch:
    """Store what is new of a batch.

    The same event again is known; another one under a sequence number that is taken is turned
    away as `seq-conflict`.
    """
    # Two copies of one buffer wait for each other instead of failing on the unique number.
    await tx.lock(int.from_bytes(sm3(b"gate\n" + device_id.encode())[:8], signed=True))
    rows = await tx.fetch(
        "SELECT seq, event_id FROM gate_event WHERE device_id = $1 AND seq = ANY($2::bigint[])",
        device_id,
        [event.seq for _, event in read.events],
    )
    taken: dict[int, UUID] = {row["seq"]: row["event_id"] for row in rows}
    stored: list[GateEvent] = []
    turned = list(read.turned)
    known = 0
    for index, event in read.events:
        twin = taken.get(event.seq)
        if twin is None:
            taken[event.seq] = event.event_id
            stored.append(event)
        elif twin == event.event_id:
            known += 1
        else:
            turned.append(Turned(index, "seq-conflict"))
    if stored:
        batch_id = await _enter_batch(tx, device_id, payload, signature, len(stored), now)
        await tx.copy(
            "gate_event",
            (
                *("event_id", "batch_id", "device_id", "seq", "lot_no", "direction"),
                *("occurred_at", "plate_hash", "space_label", "lifted"),
            ),
            [
                (
                    *(e.event_id, batch_id, device_id, e.seq, lot_no, e.direction),
                    *(e.occurred_at, e.plate_hash, e.space_label, e.lifted),
                )
                for e in stored
            ],
        )
    return StoredBatch(stored, known, sorted(turned))


async def _enter_batch(
    tx: Tx, device_id: str, payload: bytes, signature: bytes, count: int, now: datetime
) -> UUID:
    """The batch's id; the same bytes may bring something new when their future has come."""
    digest = sm3(payload)
    await tx.execute(
        """INSERT INTO gate_batch (batch_id, device_id, digest, signature, event_count, received_at)
           VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (device_id, digest) DO NOTHING""",
        new_id(),
        device_id,
        digest,
        signature,
        count,
        now,
    )
    return await tx.fetchval(
        "SELECT batch_id FROM gate_batch WHERE device_id = $1 AND digest = $2", device_id, digest
    )


class Reading(NamedTuple):
    """When a car passed, and the plate that was read, by hash and sealed; None: nothing was."""

    occurred_at: datetime
    plate_hash: bytes | None
    plate_sealed: bytes | None


async def reading_of(tx: Tx, lot_no: int, event_id: UUID) -> Reading:
    """What a camera made of a car.

    Raises Problem 404 `unknown-gate-event`.
    """
    row = await tx.fetchrow(
        """SELECT e.occurred_at, e.plate_hash, v.plate_sealed FROM gate_event AS e
           LEFT JOIN vehicle AS v USING (plate_hash)
           WHERE e.event_id = $1 AND e.lot_no = $2""",
        event_id,
        lot_no,
    )
    if row is None:
        raise Problem(404, "unknown-gate-event", "没有这条过闸记录。")
    return Reading(**dict(row))


async def correct_plate(
    tx: Tx, lot_no: int, event_id: UUID, plate_hash: bytes, by: str, now: datetime
) -> bytes | None:
    """Enter a person's reading of a plate; the hash that was read before (None: nothing).

    Raises Problem 404 `unknown-gate-event`, 409 `plate-corrected` (once, and for good).
    """
    row = await tx.fetchrow(
        "SELECT plate_hash FROM gate_event WHERE event_id = $1 AND lot_no = $2", event_id, lot_no
    )
    if row is None:
        raise Problem(404, "unknown-gate-event", "没有这条过闸记录。")
    tag = await tx.execute(
        """INSERT INTO plate_correction (event_id, plate_hash, corrected_by, corrected_at)
           VALUES ($1, $2, $3, $4) ON CONFLICT (event_id) DO NOTHING""",
        event_id,
        plate_hash,
        by,
        now,
    )
    if tag != "INSERT 0 1":
        raise Problem(409, "plate-corrected", "这条记录的车牌已由人工更正过。")
    return row["plate_hash"]
