"""Table of the devices' registry. Instants in UTC."""

from datetime import datetime

from sqlalchemy import CheckConstraint, Column, DateTime, ForeignKey, Index, LargeBinary, Text
from sqlmodel import Field, SQLModel


class DeviceRow(SQLModel, table=True):
    """A gate's lane or a bay's sensor with the key it signs with; it never gets another one."""

    __tablename__ = "device"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        CheckConstraint("device_id ~ '^[a-z][a-z0-9.-]{0,63}$'"),
        CheckConstraint("purpose IN ('gate', 'sensor')"),
        CheckConstraint("octet_length(public_key) = 65"),
        Index("device_place_idx", "place"),
    )

    device_id: str = Field(sa_column=Column(Text, primary_key=True))
    operator_id: str = Field(
        sa_column=Column(ForeignKey("partner.partner_id"), type_=Text, nullable=False)
    )
    # The lot it stands at: what it says about another place is refused.
    place: str = Field(sa_column=Column(Text, nullable=False))
    lane: str = Field(sa_column=Column(Text, nullable=False))
    purpose: str = Field(sa_column=Column(Text, nullable=False))
    public_key: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    registered_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    revoked_at: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True)))
