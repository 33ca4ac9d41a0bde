"""Tables of the partners' registry. Instants in UTC."""

from datetime import datetime

from sqlalchemy import (
    ARRAY,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    LargeBinary,
    Text,
)
from sqlmodel import Field, SQLModel


def _text() -> Column[str]:
    return Column(Text, nullable=False)


def _instant(*, nullable: bool = False) -> Column[datetime]:
    return Column(DateTime(timezone=True), nullable=nullable)


class PartnerRow(SQLModel, table=True):
    """A platform that reports what citizens did, and what it may report."""

    __tablename__ = "partner"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        CheckConstraint("partner_id ~ '^[a-z][a-z0-9.-]{0,31}$'"),
        CheckConstraint("required_scheme IN ('v1', 'v1sm', 'v1s2')"),
    )

    partner_id: str = Field(sa_column=Column(Text, primary_key=True))
    name: str = Field(sa_column=_text())
    # The weakest signature that counts: v1 HMAC-SHA256, v1sm HMAC-SM3, v1s2 SM2 with SM3.
    required_scheme: str = Field(sa_column=_text())
    scenarios: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    # May send old events under a shifted date (`originaltime`); never in production.
    replay: bool = Field(default=False, sa_column_kwargs={"server_default": "false"})
    created_at: datetime = Field(sa_column=_instant())


class PartnerKeyRow(SQLModel, table=True):
    """One key of a partner: a sealed shared secret or a public key, with its window."""

    __tablename__ = "partner_key"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        CheckConstraint("scheme IN ('v1', 'v1sm', 'v1s2')"),
        CheckConstraint("purpose IN ('webhook', 'statement')"),
        CheckConstraint("octet_length(public_key) = 65"),
        CheckConstraint(
            "(secret_sealed IS NULL) <> (public_key IS NULL)", name="partner_key_holds_one_key"
        ),
    )

    partner_id: str = Field(
        sa_column=Column(ForeignKey("partner.partner_id"), primary_key=True, type_=Text)
    )
    key_id: str = Field(sa_column=Column(Text, primary_key=True))
    scheme: str = Field(sa_column=_text())
    purpose: str = Field(sa_column=_text())
    secret_sealed: bytes | None = Field(default=None, sa_column=Column(LargeBinary))
    public_key: bytes | None = Field(default=None, sa_column=Column(LargeBinary))
    valid_from: datetime = Field(sa_column=_instant())
    valid_to: datetime | None = Field(default=None, sa_column=_instant(nullable=True))
