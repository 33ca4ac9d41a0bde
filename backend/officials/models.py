"""Tables of the officials' registry. Instants in UTC."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel


def _instant(*, nullable: bool = False) -> Column[datetime]:
    return Column(DateTime(timezone=True), nullable=nullable)


def _bytes(*, nullable: bool = False) -> Column[bytes]:
    return Column(LargeBinary, nullable=nullable)


def _whose() -> Column[str]:
    return Column(Text, ForeignKey("official.official_id"), nullable=False)


class OfficialRow(SQLModel, table=True):
    """A person in office. `kind` is business or system and never changes."""

    __tablename__ = "official"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        CheckConstraint("kind IN ('business', 'system')", name="official_kind_known"),
        UniqueConstraint("official_id", "kind", name="official_kind_key"),
    )

    official_id: str = Field(sa_column=Column(Text, primary_key=True))
    name: str = Field(sa_type=Text)
    kind: str = Field(sa_type=Text)
    created_at: datetime = Field(sa_column=_instant())
    suspended_at: datetime | None = Field(default=None, sa_column=_instant(nullable=True))


class OfficialRole(SQLModel, table=True):
    """A role of an official, of the official's own kind; of a system official the only one."""

    __tablename__ = "official_role"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        ForeignKeyConstraint(["official_id", "kind"], ["official.official_id", "official.kind"]),
        Index(
            "official_role_one_system_idx",
            "official_id",
            unique=True,
            postgresql_where=text("kind = 'system'"),
        ),
    )

    official_id: str = Field(primary_key=True, sa_type=Text)
    role: str = Field(primary_key=True, sa_type=Text)
    kind: str = Field(sa_type=Text)
    granted_at: datetime = Field(sa_column=_instant())


class OfficialKey(SQLModel, table=True):
    """An address that belongs to one official for ever, and stands until `ended_at`.

    The keystore opens with the official's password alone; None where the key is kept elsewhere.
    """

    __tablename__ = "official_key"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        CheckConstraint("address ~ '^0x[0-9a-f]{40}$'"),
        Index(
            "official_key_standing_idx",
            "official_id",
            unique=True,
            postgresql_where=text("ended_at IS NULL"),
        ),
    )

    address: str = Field(sa_column=Column(Text, primary_key=True))
    official_id: str = Field(sa_column=_whose())
    keystore_sealed: bytes | None = Field(default=None, sa_column=_bytes(nullable=True))
    added_at: datetime = Field(sa_column=_instant())
    ended_at: datetime | None = Field(default=None, sa_column=_instant(nullable=True))


class OfficialAccess(SQLModel, table=True):
    """How an official signs in. A TOTP step counts once: the last one used is kept."""

    __tablename__ = "official_access"  # pyright: ignore[reportAssignmentType]

    official_id: str = Field(
        sa_column=Column(Text, ForeignKey("official.official_id"), primary_key=True)
    )
    password_hash: str = Field(sa_type=Text)
    totp_sealed: bytes = Field(sa_column=_bytes())
    totp_step_last: int = Field(sa_type=BigInteger)
    set_at: datetime = Field(sa_column=_instant())


class OfficialSession(SQLModel, table=True):
    """A sign-in that stands until it expires or is revoked; of the token only the SM3 is kept."""

    __tablename__ = "official_session"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        UniqueConstraint("token_hash", name="official_session_token_hash_key"),
        Index(
            "official_session_official_idx",
            "official_id",
            postgresql_where=text("revoked_at IS NULL"),
        ),
    )

    session_id: UUID = Field(primary_key=True)
    official_id: str = Field(sa_column=_whose())
    token_hash: bytes = Field(sa_column=_bytes())
    created_at: datetime = Field(sa_column=_instant())
    expires_at: datetime = Field(sa_column=_instant())
    revoked_at: datetime | None = Field(default=None, sa_column=_instant(nullable=True))


class SignInGuard(SQLModel, table=True):
    """Tries at a user name since the last success."""

    __tablename__ = "sign_in_guard"  # pyright: ignore[reportAssignmentType]

    user_name: str = Field(sa_column=Column(Text, primary_key=True))
    tries: int
    tried_at: datetime = Field(sa_column=_instant())
    locked_until: datetime | None = Field(default=None, sa_column=_instant(nullable=True))


class OfficialRequest(SQLModel, table=True):
    """A change to an account that one administrator asked for and another settles."""

    __tablename__ = "official_request"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (Index("official_request_about_idx", "official_id", "settled_at"),)

    request_id: UUID = Field(primary_key=True)
    act: str = Field(sa_type=Text)
    official_id: str = Field(sa_type=Text)
    name: str | None = Field(default=None, sa_type=Text)
    role: str | None = Field(default=None, sa_type=Text)
    reason: str = Field(sa_type=Text)
    asker_half: bytes | None = Field(default=None, sa_column=_bytes(nullable=True))
    asked_by: str = Field(sa_type=Text)
    asked_at: datetime = Field(sa_column=_instant())
    state: str = Field(sa_type=Text)
    settled_by: str | None = Field(default=None, sa_type=Text)
    settled_at: datetime | None = Field(default=None, sa_column=_instant(nullable=True))


class OfficialActivation(SQLModel, table=True):
    """A code, half of it with each of two administrators, that lets an official set a password."""

    __tablename__ = "official_activation"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        Index(
            "official_activation_official_idx",
            "official_id",
            postgresql_where=text("used_at IS NULL"),
        ),
    )

    activation_id: UUID = Field(primary_key=True)
    official_id: str = Field(sa_column=_whose())
    code_hash: bytes = Field(sa_column=_bytes())
    totp_sealed: bytes = Field(sa_column=_bytes())
    made_at: datetime = Field(sa_column=_instant())
    expires_at: datetime = Field(sa_column=_instant())
    used_at: datetime | None = Field(default=None, sa_column=_instant(nullable=True))


class AuditEntry(SQLModel, table=True):
    """One act in office: who, what, about what. Written once."""

    __tablename__ = "audit_entry"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        Index("audit_entry_at_idx", "at", "entry_id"),
        Index("audit_entry_about_idx", "about", "entry_id"),
        Index("audit_entry_actor_idx", "actor", "entry_id"),
    )

    entry_id: UUID = Field(primary_key=True)
    at: datetime = Field(sa_column=_instant())
    actor: str = Field(sa_type=Text)
    act: str = Field(sa_type=Text)
    about: str = Field(sa_type=Text)
    detail: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))


class AuditDay(SQLModel, table=True):
    """A closed day of the audit log: how many entries, and the root over them (32 bytes)."""

    __tablename__ = "audit_day"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (UniqueConstraint("head_id", name="audit_day_head_id_key"),)

    city_day: date = Field(primary_key=True)
    head_id: UUID
    opens_at: datetime = Field(sa_column=_instant())
    closes_at: datetime = Field(sa_column=_instant())
    entry_count: int = Field(sa_type=BigInteger)
    head: bytes = Field(sa_column=_bytes())
    closed_at: datetime = Field(sa_column=_instant())
