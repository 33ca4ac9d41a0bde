"""Tables of outgoing notices, declared so that `alembic check` compares them."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Text,
    text,
)
from sqlmodel import Field, SQLModel


class WebhookEndpoint(SQLModel, table=True):
    """Where a partner wants its notices, and which types; `stopped` once it has answered 410."""

    __tablename__ = "webhook_endpoint"  # pyright: ignore[reportAssignmentType]

    partner_id: str = Field(
        sa_column=Column(Text, ForeignKey("partner.partner_id"), primary_key=True)
    )
    url: str = Field(sa_column=Column(Text, nullable=False))
    types: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    state: str = Field(sa_column=Column(Text, nullable=False))
    updated_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    # When a ping was last answered with success at this address.
    verified_at: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True)))
    stopped_at: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True)))
    # Nothing is sent before this instant: the endpoint asked for it by Retry-After.
    quiet_until: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True)))


class WebhookSecret(SQLModel, table=True):
    """A secret that notices are signed with. One after the other, with an overlap."""

    __tablename__ = "webhook_secret"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (Index("webhook_secret_partner_idx", "partner_id", "secret_id"),)

    secret_id: UUID = Field(primary_key=True)
    partner_id: str = Field(
        sa_column=Column(Text, ForeignKey("partner.partner_id"), nullable=False)
    )
    secret_sealed: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    valid_from: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    valid_to: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True)))


class Delivery(SQLModel, table=True):
    """One notice on its way to one partner. `body` is what is sent, the same at every attempt."""

    __tablename__ = "delivery"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        Index(
            "delivery_due_idx",
            "partner_id",
            "due_at",
            postgresql_where=text("state = 'waiting'"),
        ),
        Index("delivery_partner_idx", "partner_id", "delivery_id"),
        Index(
            "delivery_dead_idx",
            "partner_id",
            "delivery_id",
            postgresql_where=text("state = 'dead'"),
        ),
    )

    delivery_id: UUID = Field(primary_key=True)
    partner_id: str = Field(
        sa_column=Column(Text, ForeignKey("partner.partner_id"), nullable=False)
    )
    type: str = Field(sa_column=Column(Text, nullable=False))
    body: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    told_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    state: str = Field(sa_column=Column(Text, nullable=False))
    # A claimed delivery is due again when its claim has lapsed.
    due_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    # Attempts in all; `step` is the place in the schedule, which a replay begins again.
    tries: int = Field(sa_column=Column(Integer, nullable=False, server_default=text("0")))
    step: int = Field(sa_column=Column(Integer, nullable=False, server_default=text("0")))
    last_status: int | None = Field(default=None, sa_column=Column(Integer))
    last_error: str | None = Field(default=None, sa_column=Column(Text))
    settled_at: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True)))


class DeliveryAttempt(SQLModel, table=True):
    """One call of an endpoint and what came of it: a status, or the name of an error."""

    __tablename__ = "delivery_attempt"  # pyright: ignore[reportAssignmentType]

    delivery_id: UUID = Field(foreign_key="delivery.delivery_id", primary_key=True)
    n: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    started_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    duration_ms: int = Field(sa_column=Column(Integer, nullable=False))
    status: int | None = Field(default=None, sa_column=Column(Integer))
    error: str | None = Field(default=None, sa_column=Column(Text))


class NoticeBookmark(SQLModel, table=True):
    """Up to which leaf a kind of notice has been told."""

    __tablename__ = "notice_bookmark"  # pyright: ignore[reportAssignmentType]

    name: str = Field(sa_column=Column(Text, primary_key=True))
    leaf_index: int = Field(sa_column=Column(BigInteger, nullable=False))
