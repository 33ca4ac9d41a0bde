"""Tables of methods. A document never changes; the other columns say where it stands."""

from datetime import date, datetime

from sqlalchemy import (
    CheckConstraint,
    Column,
    DateTime,
    ForeignKeyConstraint,
    LargeBinary,
    Text,
)
from sqlmodel import Field, SQLModel


class MethodRow(SQLModel, table=True):
    """One version of a method: canonical JSON with its SM3 digest, and its window in city days."""

    __tablename__ = "method"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        CheckConstraint("version >= 1"),
        CheckConstraint("status IN ('approved', 'provisional')"),
        CheckConstraint("octet_length(digest) = 32"),
        CheckConstraint("day_from <= day_to"),
    )

    method_id: str = Field(primary_key=True, sa_type=Text)
    version: int = Field(primary_key=True)
    status: str = Field(sa_type=Text)
    document: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    digest: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    day_from: date
    # A stop lowers it below the document's own day_to.
    day_to: date | None = None
    enacted_at: datetime | None = Field(
        default=None, sa_column=Column(DateTime(timezone=True), nullable=True)
    )
    published_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))


class MethodNotice(SQLModel, table=True):
    """When a draft lay open to objections: given once, before the version is enacted."""

    __tablename__ = "method_notice"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        CheckConstraint("opens_at < closes_at"),
        ForeignKeyConstraint(["method_id", "version"], ["method.method_id", "method.version"]),
    )

    method_id: str = Field(primary_key=True, sa_type=Text)
    version: int = Field(primary_key=True)
    opens_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    closes_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    given_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
