"""Tables of shared parking. Instants in UTC, `span`s half-open, a stay's id is its entry event's.

The exclusion constraints (no two live reservations, no two stays in a space; no two versions of a
price or contract on a day) stand in migration 0020 alone: what they say cannot be said here.
"""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Column,
    Date,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlmodel import Field, SQLModel


def _text(*, nullable: bool = False) -> Any:
    return Column(Text, nullable=nullable)


def _bytes(*, nullable: bool = False) -> Any:
    return Column(LargeBinary, nullable=nullable)


def _instant(*, nullable: bool = False) -> Any:
    return Column(DateTime(timezone=True), nullable=nullable)


def _big(*, nullable: bool = False) -> Any:
    return Column(BigInteger, nullable=nullable)


def _to(target: str, kind: Any, **options: Any) -> Any:
    return Column(ForeignKey(target), type_=kind, **options)


class PartyRow(SQLModel, table=True):
    """Who takes part in the money: owner, manager, public body, operator, platform, city."""

    __tablename__ = "party"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        UniqueConstraint("account"),
        UniqueConstraint("citizen_id"),
        Index("party_partner_idx", "partner_id"),
    )

    party_id: str = Field(sa_column=Column(Text, primary_key=True))
    kind: str = Field(sa_column=_text())
    # Of a person only what the citizens' registry allows to show: never a name in clear.
    name: str = Field(sa_column=_text())
    partner_id: str | None = Field(default=None, sa_column=_to("partner.partner_id", Text))
    citizen_id: UUID | None = None
    # Has a merchant account at the rail, so a split can be returned from it.
    merchant: bool
    # Its pseudonym on chain: 20 random bytes.
    account: bytes = Field(sa_column=_bytes())
    created_at: datetime = Field(sa_column=_instant())


class ParkingLotRow(SQLModel, table=True):
    """A car park; `base_search_s` is how long one searches there when it is full (≤ 486)."""

    __tablename__ = "parking_lot"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        UniqueConstraint("lot_id"),
        Index("parking_lot_place_idx", "latitude_udeg", "longitude_udeg"),
    )

    lot_no: int = Field(sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    lot_id: str = Field(sa_column=_text())
    operator_id: str = Field(sa_column=_to("partner.partner_id", Text, nullable=False))
    name: str = Field(sa_column=_text())
    # Millionths of a degree (WGS 84).
    latitude_udeg: int
    longitude_udeg: int
    capacity: int
    base_search_s: int
    created_at: datetime = Field(sa_column=_instant())


class WindowPolicyRow(SQLModel, table=True):
    """When spaces are open to others, as canonical JSON under its SM3 digest."""

    __tablename__ = "window_policy"  # pyright: ignore[reportAssignmentType]

    digest: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    document: bytes = Field(sa_column=_bytes())


class ParkingSpaceRow(SQLModel, table=True):
    """A bay whose owner lets others use it while its policy is open."""

    __tablename__ = "parking_space"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        UniqueConstraint("space_id"),
        UniqueConstraint("lot_no", "label"),
        Index("parking_space_owner_idx", "owner_id"),
    )

    space_no: int = Field(sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    space_id: UUID
    lot_no: int = Field(sa_column=_to("parking_lot.lot_no", BigInteger, nullable=False))
    label: str = Field(sa_column=_text())
    space_class: str = Field(sa_column=Column("class", Text, nullable=False))
    owner_id: str = Field(sa_column=_to("party.party_id", Text, nullable=False))
    policy: bytes | None = Field(default=None, sa_column=_to("window_policy.digest", LargeBinary))
    state: str = Field(sa_column=_text())
    created_at: datetime = Field(sa_column=_instant())


class OccupancyRow(SQLModel, table=True):
    """What a lot's counter said: occupied may be below 0 or above capacity, as sensors are."""

    __tablename__ = "occupancy"  # pyright: ignore[reportAssignmentType]

    lot_no: int = Field(sa_column=_to("parking_lot.lot_no", BigInteger, primary_key=True))
    counted_at: datetime = Field(sa_column=Column(DateTime(timezone=True), primary_key=True))
    occupied: int
    capacity: int


class VehicleRow(SQLModel, table=True):
    """A vehicle by the keyed hash of its plate; the plate itself is sealed."""

    __tablename__ = "vehicle"  # pyright: ignore[reportAssignmentType]

    plate_hash: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    plate_sealed: bytes = Field(sa_column=_bytes())
    vehicle_class: str = Field(sa_column=Column("class", Text, nullable=False))
    fuel: str = Field(sa_column=_text())
    seen_at: datetime = Field(sa_column=_instant())


class VehicleBindingRow(SQLModel, table=True):
    """Whose vehicle it is; one person at a time."""

    __tablename__ = "vehicle_binding"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        Index(
            "vehicle_binding_once",
            "plate_hash",
            unique=True,
            postgresql_where=text("ended_at IS NULL"),
        ),
    )

    citizen_id: UUID = Field(primary_key=True)
    plate_hash: bytes = Field(sa_column=_to("vehicle.plate_hash", LargeBinary, primary_key=True))
    bound_at: datetime = Field(sa_column=Column(DateTime(timezone=True), primary_key=True))
    ended_at: datetime | None = Field(default=None, sa_column=_instant(nullable=True))


class TariffRow(SQLModel, table=True):
    """A version of a lot's prices, for [day_from, day_to)."""

    __tablename__ = "tariff"  # pyright: ignore[reportAssignmentType]

    lot_no: int = Field(sa_column=_to("parking_lot.lot_no", BigInteger, primary_key=True))
    version: int = Field(primary_key=True)
    document: bytes = Field(sa_column=_bytes())
    digest: bytes = Field(sa_column=_bytes())
    day_from: date
    day_to: date | None = None
    published_at: datetime = Field(sa_column=_instant())


class SplitContractRow(SQLModel, table=True):
    """A version of who gets what at a lot, for [day_from, day_to)."""

    __tablename__ = "split_contract"  # pyright: ignore[reportAssignmentType]

    lot_no: int = Field(sa_column=_to("parking_lot.lot_no", BigInteger, primary_key=True))
    version: int = Field(primary_key=True)
    document: bytes = Field(sa_column=_bytes())
    digest: bytes = Field(sa_column=_bytes())
    merchant_id: str = Field(sa_column=_to("party.party_id", Text, nullable=False))
    # Who gets the owner's share of a stay that had no space of its own.
    without_space: str = Field(sa_column=_to("party.party_id", Text, nullable=False))
    day_from: date
    day_to: date | None = None
    published_at: datetime = Field(sa_column=_instant())


class ContractShareRow(SQLModel, table=True):
    """A contract's shares as rows, so that a day's charges are divided in one statement."""

    __tablename__ = "contract_share"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        UniqueConstraint("lot_no", "version", "party_id"),
        ForeignKeyConstraint(
            ["lot_no", "version"], ["split_contract.lot_no", "split_contract.version"]
        ),
    )

    lot_no: int = Field(sa_column=Column(BigInteger, primary_key=True))
    version: int = Field(primary_key=True)
    n: int = Field(sa_column=Column(SmallInteger, primary_key=True))
    # None: the owner of the space in which the car stood.
    party_id: str | None = Field(default=None, sa_column=_to("party.party_id", Text))
    share_bp: int
    via: str = Field(sa_column=_text())


class ReservationRow(SQLModel, table=True):
    """A space for a car and a time: held until confirmed, then used, cancelled or missed."""

    __tablename__ = "reservation"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        Index("reservation_citizen_idx", "citizen_id", "reservation_id"),
        Index("reservation_plate_idx", "lot_no", "plate_hash", "starts_at"),
        Index(
            "reservation_lot_idx",
            "lot_no",
            "starts_at",
            postgresql_where=text("state IN ('held', 'confirmed', 'used')"),
        ),
        Index("reservation_space_idx", "space_no", "starts_at"),
        Index("reservation_due_idx", "ends_at", postgresql_where=text("state = 'confirmed'")),
    )

    reservation_id: UUID = Field(primary_key=True)
    space_no: int = Field(sa_column=_to("parking_space.space_no", BigInteger, nullable=False))
    lot_no: int = Field(sa_column=_to("parking_lot.lot_no", BigInteger, nullable=False))
    citizen_id: UUID
    plate_hash: bytes = Field(sa_column=_to("vehicle.plate_hash", LargeBinary, nullable=False))
    starts_at: datetime = Field(sa_column=_instant())
    ends_at: datetime = Field(sa_column=_instant())
    state: str = Field(sa_column=_text())
    held_until: datetime = Field(sa_column=_instant())
    reserved_at: datetime = Field(sa_column=_instant())
    # When the phone came within 300 m of the lot.
    arrived_at: datetime | None = Field(default=None, sa_column=_instant(nullable=True))


class GateBatchRow(SQLModel, table=True):
    """What a device signed at once."""

    __tablename__ = "gate_batch"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (UniqueConstraint("device_id", "digest"),)

    batch_id: UUID = Field(primary_key=True)
    device_id: str = Field(sa_column=_to("device.device_id", Text, nullable=False))
    digest: bytes = Field(sa_column=_bytes())
    signature: bytes = Field(sa_column=_bytes())
    event_count: int
    received_at: datetime = Field(sa_column=_instant())


class GateEventRow(SQLModel, table=True):
    """A car passed a gate. Its id is the first 16 bytes of its digest, so no order makes it."""

    __tablename__ = "gate_event"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        UniqueConstraint("device_id", "seq"),
        Index("gate_event_car_idx", "lot_no", "plate_hash", "occurred_at"),
    )

    event_id: UUID = Field(primary_key=True)
    batch_id: UUID = Field(sa_column=_to("gate_batch.batch_id", Uuid, nullable=False))
    device_id: str = Field(sa_column=_text())
    seq: int = Field(sa_column=_big())
    lot_no: int = Field(sa_column=_big())
    direction: str = Field(sa_column=_text())
    occurred_at: datetime = Field(sa_column=_instant())
    # None where the camera read nothing.
    plate_hash: bytes | None = Field(default=None, sa_column=_bytes(nullable=True))
    space_label: str | None = Field(default=None, sa_column=_text(nullable=True))
    # The barrier was lifted by hand.
    lifted: bool


class PlateCorrectionRow(SQLModel, table=True):
    """A person's reading of a plate that the camera misread."""

    __tablename__ = "plate_correction"  # pyright: ignore[reportAssignmentType]

    event_id: UUID = Field(sa_column=_to("gate_event.event_id", Uuid, primary_key=True))
    plate_hash: bytes = Field(sa_column=_to("vehicle.plate_hash", LargeBinary, nullable=False))
    corrected_by: str = Field(sa_column=_text())
    corrected_at: datetime = Field(sa_column=_instant())


class StayRow(SQLModel, table=True):
    """What the gate events of a car came to; it follows them until its charge is paid."""

    __tablename__ = "stay"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        UniqueConstraint("order_id"),
        Index("stay_car_idx", "lot_no", "plate_hash", "entered_at"),
        Index(
            "stay_citizen_idx",
            "citizen_id",
            "stay_id",
            postgresql_where=text("citizen_id IS NOT NULL"),
        ),
        Index("stay_day_idx", "city_day", "lot_no"),
        Index("stay_open_idx", "entered_at", postgresql_where=text("state = 'open'")),
        Index(
            "stay_space_idx",
            "space_no",
            "entered_at",
            postgresql_where=text("space_no IS NOT NULL"),
        ),
    )

    stay_id: UUID = Field(primary_key=True)
    order_id: UUID
    lot_no: int = Field(sa_column=_to("parking_lot.lot_no", BigInteger, nullable=False))
    space_no: int | None = Field(default=None, sa_column=_big(nullable=True))
    reservation_id: UUID | None = Field(
        default=None, sa_column=_to("reservation.reservation_id", Uuid)
    )
    citizen_id: UUID | None = None
    plate_hash: bytes = Field(sa_column=_bytes())
    entered_at: datetime = Field(sa_column=_instant())
    left_at: datetime | None = Field(default=None, sa_column=_instant(nullable=True))
    entry_lifted: bool
    exit_lifted: bool
    exit_event: UUID | None = None
    # open: inside; due: charged; excepted: named in parking_exception; void: no longer follows.
    state: str = Field(sa_column=_text())
    tariff_version: int | None = None
    overstay_s: int = Field(sa_column=Column(Integer, nullable=False, server_default=text("0")))
    # Its space was still taken by a stay that began earlier: it stood elsewhere in the lot.
    displaced: bool = Field(default=False, sa_column_kwargs={"server_default": "false"})
    charge_fen: int | None = Field(default=None, sa_column=_big(nullable=True))
    # The day of the exit.
    city_day: date | None = Field(default=None, sa_column=Column(Date))


class ParkingExceptionRow(SQLModel, table=True):
    """What made no charged stay, or needs a person: by kind and the event, stay or reservation."""

    __tablename__ = "parking_exception"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        Index(
            "parking_exception_open_idx",
            "lot_no",
            "occurred_at",
            postgresql_where=text("resolved_at IS NULL"),
        ),
    )

    kind: str = Field(sa_column=Column(Text, primary_key=True))
    subject: UUID = Field(primary_key=True)
    lot_no: int = Field(sa_column=_big())
    occurred_at: datetime = Field(sa_column=_instant())
    detail: str = Field(sa_column=_text())
    opened_at: datetime = Field(sa_column=_instant())
    resolved_at: datetime | None = Field(default=None, sa_column=_instant(nullable=True))
    resolution: str | None = Field(default=None, sa_column=_text(nullable=True))
