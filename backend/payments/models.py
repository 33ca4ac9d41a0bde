"""Tables of parking money: orders, notices, refunds, statement lines, payouts, compared files.

Amounts are fen. What only grows has no UPDATE for the application's role.
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
    Index,
    Integer,
    LargeBinary,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel


def _text(*, nullable: bool = False) -> Any:
    return Column(Text, nullable=nullable)


def _key(kind: Any = Text) -> Any:
    return Column(kind, primary_key=True)


def _instant(*, nullable: bool = False) -> Any:
    return Column(DateTime(timezone=True), nullable=nullable)


def _fen(*, nullable: bool = False) -> Any:
    return Column(BigInteger, nullable=nullable)


def _fen_zero() -> Any:
    return Column(BigInteger, nullable=False, server_default=text("0"))


def _bytes(*, nullable: bool = False) -> Any:
    return Column(LargeBinary, nullable=nullable)


class MoneyTransferRow(SQLModel, table=True):
    """Money moved for one thing, whose id it has; its postings stand in `posting`."""

    __tablename__ = "money_transfer"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (Index("money_transfer_day_idx", "city_day", "act"),)

    transfer_id: UUID = Field(primary_key=True)
    act: str = Field(sa_column=_text())
    amount: int = Field(sa_column=_fen())
    city_day: date
    created_at: datetime = Field(sa_column=_instant())


class PaymentOrderRow(SQLModel, table=True):
    """What is owed for a stay that ended on `book_day`, the day of its statement."""

    __tablename__ = "payment_order"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        Index("payment_order_stay_idx", "stay_id"),
        Index(
            "payment_order_citizen_idx",
            "citizen_id",
            "order_id",
            postgresql_where=text("citizen_id IS NOT NULL"),
        ),
        Index(
            "payment_order_unsettled_idx",
            "book_day",
            "lot_no",
            postgresql_where=text("state = 'paid' AND settled_part IS NULL"),
        ),
        Index("payment_order_open_idx", "created_at", postgresql_where=text("state = 'open'")),
        Index("payment_order_book_idx", "book_day"),
    )

    order_id: UUID = Field(primary_key=True)
    stay_id: UUID
    lot_no: int = Field(sa_column=Column(BigInteger, nullable=False))
    citizen_id: UUID | None = None
    # Whose space it was, at the time.
    owner_id: str | None = Field(default=None, sa_column=_text(nullable=True))
    rail_id: str = Field(sa_column=_text())
    amount_fen: int = Field(sa_column=_fen())
    state: str = Field(sa_column=_text())
    rail_ref: str | None = Field(default=None, sa_column=_text(nullable=True))
    created_at: datetime = Field(sa_column=_instant())
    paid_at: datetime | None = Field(default=None, sa_column=_instant(nullable=True))
    book_day: date
    settled_part: int | None = None
    refunded_fen: int = Field(sa_column=_fen_zero())


class RailNoticeRow(SQLModel, table=True):
    """A notice of a rail, kept whatever came of it; the same again changes nothing."""

    __tablename__ = "rail_notice"  # pyright: ignore[reportAssignmentType]

    rail_id: str = Field(sa_column=_key())
    notice_id: str = Field(sa_column=_key())
    digest: bytes = Field(sa_column=_bytes())
    kind: str = Field(sa_column=_text())
    order_id: UUID
    amount_fen: int = Field(sa_column=_fen())
    outcome: str = Field(sa_column=_text())
    received_at: datetime = Field(sa_column=_instant())


class RefundRow(SQLModel, table=True):
    """Money given back, by where it came from: still frozen, returned by parties, owed by them."""

    __tablename__ = "refund"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        Index("refund_order_idx", "order_id"),
        Index("refund_unsettled_idx", "city_day", postgresql_where=text("settled_part IS NULL")),
    )

    refund_id: UUID = Field(primary_key=True)
    order_id: UUID = Field(
        sa_column=Column(ForeignKey("payment_order.order_id"), type_=Uuid, nullable=False)
    )
    amount_fen: int = Field(sa_column=_fen())
    frozen_fen: int = Field(sa_column=_fen())
    returned_fen: int = Field(sa_column=_fen())
    debt_fen: int = Field(sa_column=_fen())
    reason: str = Field(sa_column=_text())
    city_day: date
    made_at: datetime = Field(sa_column=_instant())
    settled_part: int | None = None


class RefundPartRow(SQLModel, table=True):
    """What one party gives back of a refund made after the charge was divided."""

    __tablename__ = "refund_part"  # pyright: ignore[reportAssignmentType]

    refund_id: UUID = Field(
        sa_column=Column(ForeignKey("refund.refund_id"), type_=Uuid, primary_key=True)
    )
    party_id: str = Field(sa_column=_key())
    amount_fen: int = Field(sa_column=_fen())


class SettlementRow(SQLModel, table=True):
    """A lot's money of a day divided and closed; what arrives later makes the next part."""

    __tablename__ = "settlement"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        Index("settlement_waiting_idx", "closed_at", postgresql_where=text("final_at IS NULL")),
        Index("settlement_day_idx", "day"),
    )

    lot_no: int = Field(sa_column=_key(BigInteger))
    day: date = Field(sa_column=_key(Date))
    part: int = Field(sa_column=_key(Integer))
    order_count: int = Field(sa_column=_fen())
    charged_fen: int = Field(sa_column=_fen())
    refunded_fen: int = Field(sa_column=_fen())
    # Who took the money in and owes the others theirs.
    merchant_id: str = Field(sa_column=Column(ForeignKey("party.party_id"), nullable=False))
    closed_at: datetime = Field(sa_column=_instant())
    tx_id: UUID | None = None
    tx_hash: bytes | None = Field(default=None, sa_column=_bytes(nullable=True))
    block: int | None = Field(default=None, sa_column=_fen(nullable=True))
    final_at: datetime | None = Field(default=None, sa_column=_instant(nullable=True))


class SettlementLineRow(SQLModel, table=True):
    """One party's part of one charge, or of one refund (below 0): a line of its statement."""

    __tablename__ = "settlement_line"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        Index("settlement_line_statement_idx", "lot_no", "day", "part", "party_id"),
        Index("settlement_line_order_idx", "order_id"),
    )

    order_id: UUID
    # The order itself, or the refund.
    source_id: UUID = Field(primary_key=True)
    party_id: str = Field(sa_column=_key())
    lot_no: int = Field(sa_column=Column(BigInteger, nullable=False))
    day: date
    part: int
    contract_version: int
    share_bp: int
    charge_fen: int = Field(sa_column=_fen())
    amount_fen: int = Field(sa_column=_fen())


class PartyStatementRow(SQLModel, table=True):
    """What a party is due at a lot for a day: the root over its lines."""

    __tablename__ = "party_statement"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        ForeignKeyConstraint(
            ["lot_no", "day", "part"], ["settlement.lot_no", "settlement.day", "settlement.part"]
        ),
        Index("party_statement_party_idx", "party_id", "day"),
    )

    lot_no: int = Field(sa_column=_key(BigInteger))
    day: date = Field(sa_column=_key(Date))
    part: int = Field(sa_column=_key(Integer))
    party_id: str = Field(sa_column=Column(ForeignKey("party.party_id"), primary_key=True))
    count: int = Field(sa_column=_fen())
    total_fen: int = Field(sa_column=_fen())
    root: bytes = Field(sa_column=_bytes())


class PartyCosignatureRow(SQLModel, table=True):
    """The party's SM2 signature over its statement: the first valid one stands."""

    __tablename__ = "party_cosignature"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        ForeignKeyConstraint(
            ["lot_no", "day", "part", "party_id"],
            [
                "party_statement.lot_no",
                "party_statement.day",
                "party_statement.part",
                "party_statement.party_id",
            ],
        ),
    )

    lot_no: int = Field(sa_column=_key(BigInteger))
    day: date = Field(sa_column=_key(Date))
    part: int = Field(sa_column=_key(Integer))
    party_id: str = Field(sa_column=_key())
    key_id: str = Field(sa_column=_text())
    signature: bytes = Field(sa_column=_bytes())
    cosigned_at: datetime = Field(sa_column=_instant())


class LineDisputeRow(SQLModel, table=True):
    """A party's objection to one line of its statement, made once."""

    __tablename__ = "line_dispute"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        ForeignKeyConstraint(
            ["source_id", "party_id"], ["settlement_line.source_id", "settlement_line.party_id"]
        ),
        UniqueConstraint("source_id", "party_id"),
    )

    dispute_id: UUID = Field(primary_key=True)
    party_id: str = Field(sa_column=_text())
    source_id: UUID
    reason: str = Field(sa_column=_text())
    opened_at: datetime = Field(sa_column=_instant())
    resolved_at: datetime | None = Field(default=None, sa_column=_instant(nullable=True))
    resolution: str | None = Field(default=None, sa_column=_text(nullable=True))


class PayoutRow(SQLModel, table=True):
    """Money sent to a party on a banking day, after what it owed was kept back."""

    __tablename__ = "payout"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (UniqueConstraint("party_id", "day"),)

    payout_id: UUID = Field(primary_key=True)
    party_id: str = Field(sa_column=Column(ForeignKey("party.party_id"), nullable=False))
    day: date
    amount_fen: int = Field(sa_column=_fen())
    repaid_fen: int = Field(sa_column=_fen())
    made_at: datetime = Field(sa_column=_instant())


class ComparedFileRow(SQLModel, table=True):
    """An operator's or a rail's file of a day; `bad_rows` lists what could not be read, by line."""

    __tablename__ = "compared_file"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (UniqueConstraint("source", "source_id", "day", "digest"),)

    file_id: UUID = Field(primary_key=True)
    source: str = Field(sa_column=_text())
    source_id: str = Field(sa_column=_text())
    day: date
    digest: bytes = Field(sa_column=_bytes())
    good_rows: int
    bad_rows: list[Any] = Field(sa_column=Column(JSONB, nullable=False))
    compared_at: datetime = Field(sa_column=_instant())


class ComparedRowRow(SQLModel, table=True):
    """One order of a compared day and what came of holding both sides against each other."""

    __tablename__ = "compared_row"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        Index(
            "compared_row_open_idx",
            "file_id",
            postgresql_where=text("outcome <> 'match' AND resolved_at IS NULL"),
        ),
    )

    file_id: UUID = Field(
        sa_column=Column(ForeignKey("compared_file.file_id"), type_=Uuid, primary_key=True)
    )
    n: int = Field(sa_column=_key(Integer))
    outcome: str = Field(sa_column=_text())
    order_ref: str = Field(sa_column=_text())
    ours_fen: int | None = Field(default=None, sa_column=_fen(nullable=True))
    theirs_fen: int | None = Field(default=None, sa_column=_fen(nullable=True))
    resolved_at: datetime | None = Field(default=None, sa_column=_instant(nullable=True))
    resolution: str | None = Field(default=None, sa_column=_text(nullable=True))


class SandboxChargeRow(SQLModel, table=True):
    """The sandbox rail's own book: a payment it took, and what of it is still frozen."""

    __tablename__ = "sandbox_charge"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        UniqueConstraint("rail_ref"),
        Index("sandbox_charge_day_idx", "paid_at"),
    )

    order_ref: UUID = Field(primary_key=True)
    rail_ref: str = Field(sa_column=_text())
    amount_fen: int = Field(sa_column=_fen())
    frozen_fen: int = Field(sa_column=_fen())
    refunded_fen: int = Field(sa_column=_fen_zero())
    paid_at: datetime = Field(sa_column=_instant())
    unfrozen_at: datetime | None = Field(default=None, sa_column=_instant(nullable=True))


class SandboxSplitRow(SQLModel, table=True):
    """The sandbox rail's own book: one receiver of one split request."""

    __tablename__ = "sandbox_split"  # pyright: ignore[reportAssignmentType]

    order_ref: UUID = Field(
        sa_column=Column(ForeignKey("sandbox_charge.order_ref"), type_=Uuid, primary_key=True)
    )
    request_no: int = Field(sa_column=_key(Integer))
    receiver: str = Field(sa_column=_key())
    amount_fen: int = Field(sa_column=_fen())
    merchant: bool
    state: str = Field(sa_column=_text())


class SandboxNoticeRow(SQLModel, table=True):
    """The sandbox rail's own book: a notice, how often it goes out, and how often it did."""

    __tablename__ = "sandbox_notice"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        Index("sandbox_notice_due_idx", "due_at", postgresql_where=text("sent < copies")),
    )

    notice_id: str = Field(sa_column=_key())
    order_ref: UUID
    body: bytes = Field(sa_column=_bytes())
    due_at: datetime = Field(sa_column=_instant())
    copies: int
    sent: int = Field(sa_column=Column(Integer, nullable=False, server_default=text("0")))
