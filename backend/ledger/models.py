"""Tables of the ledger. Points are whole; transfer and posting only ever grow."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Index,
    LargeBinary,
    SmallInteger,
    Text,
    text,
)
from sqlmodel import Field, SQLModel


class Transfer(SQLModel, table=True):
    """One movement of one person's points, made of postings. Its id is made by the client."""

    __tablename__ = "transfer"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        Index(
            "transfer_idempotency_key",
            "idempotency_key",
            unique=True,
            postgresql_where=text("idempotency_key IS NOT NULL"),
        ),
        Index(
            "transfer_reversed_once",
            "of_transfer",
            unique=True,
            postgresql_where=text("act = 'reverse'"),
        ),
        Index(
            "transfer_refunded_once",
            "of_transfer",
            unique=True,
            postgresql_where=text("act = 'refund'"),
        ),
        Index("transfer_citizen_idx", "citizen_id", "transfer_id"),
    )

    transfer_id: UUID = Field(primary_key=True)
    act: str = Field(sa_type=Text)
    reason: int = Field(sa_type=SmallInteger)
    of_transfer: UUID | None = None
    citizen_id: UUID
    points_class: str = Field(sa_column=Column("class", Text, nullable=False))
    amount: int = Field(sa_type=BigInteger)
    programme_id: str | None = Field(default=None, sa_type=Text)
    rule_id: str | None = Field(default=None, sa_type=Text)
    rule_version: int | None = None
    city_day: date
    idempotency_key: str | None = Field(default=None, sa_type=Text)
    body_digest: bytes | None = Field(default=None, sa_type=LargeBinary)
    # Why an act of an official was done, in words without personal data.
    note: str | None = Field(default=None, sa_type=Text)
    created_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))


class PostingRow(SQLModel, table=True):
    """Points from one account to another; `expiry_month` names the lot that is filled or taken."""

    __tablename__ = "posting"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (CheckConstraint("source <> destination", name="posting_moves"),)

    transfer_id: UUID = Field(primary_key=True)
    n: int = Field(primary_key=True, sa_type=SmallInteger)
    source: str = Field(sa_type=Text)
    destination: str = Field(sa_type=Text)
    amount: int = Field(sa_type=BigInteger)
    asset: str = Field(sa_type=Text)
    expiry_month: date | None = None


class BalanceRow(SQLModel, table=True):
    """What went into and out of an account: the sums of its postings."""

    __tablename__ = "balance"  # pyright: ignore[reportAssignmentType]

    account: str = Field(primary_key=True, sa_type=Text)
    asset: str = Field(primary_key=True, sa_type=Text)
    input: int = Field(sa_type=BigInteger)
    output: int = Field(sa_type=BigInteger)


class Lot(SQLModel, table=True):
    """Points of one person and class that lapse together, at the end of `expiry_month`."""

    __tablename__ = "lot"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        Index("lot_lapsing_idx", "expiry_month", "citizen_id", postgresql_where=text("open > 0")),
    )

    citizen_id: UUID = Field(primary_key=True)
    points_class: str = Field(sa_column=Column("class", Text, primary_key=True))
    expiry_month: date = Field(primary_key=True)
    open: int = Field(sa_type=BigInteger)


class Hold(SQLModel, table=True):
    """Points set aside for a redemption under way; posted, it becomes the transfer of its id."""

    __tablename__ = "hold"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        Index("hold_open_idx", "citizen_id", "class", postgresql_where=text("state = 'open'")),
    )

    hold_id: UUID = Field(primary_key=True)
    citizen_id: UUID
    points_class: str = Field(sa_column=Column("class", Text, nullable=False))
    amount: int = Field(sa_type=BigInteger)
    state: str = Field(sa_type=Text)
    held_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    settled_at: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True)))
