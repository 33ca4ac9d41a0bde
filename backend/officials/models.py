"""Table of the officials' registry."""

from datetime import datetime

from sqlalchemy import CheckConstraint, Column, DateTime, Text, UniqueConstraint
from sqlmodel import Field, SQLModel


class Official(SQLModel, table=True):
    """A person in office, and the address whose key file only they can open."""

    __tablename__ = "official"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        UniqueConstraint("address", name="official_address_key"),
        CheckConstraint("address ~ '^0x[0-9a-f]{40}$'"),
    )

    official_id: str = Field(sa_column=Column(Text, primary_key=True))
    name: str = Field(sa_type=Text)
    role: str = Field(sa_type=Text)
    address: str = Field(sa_type=Text)
    created_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
