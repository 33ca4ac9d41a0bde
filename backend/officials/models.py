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
    Integer,
    LargeBinary,
    SmallInteger,
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
        Index(
            "official_role_drafts_or_approves_idx",
            "official_id",
            unique=True,
            postgresql_where=text("role = ANY (ARRAY['drafter'::text, 'approver'::text])"),
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


class DocumentStep(SQLModel, table=True):
    """A step in the life of a rule (what 1) or method (what 2): drafted, submitted, returned."""

    __tablename__ = "document_step"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (Index("document_step_document_idx", "what", "id", "version", "step_id"),)

    step_id: UUID = Field(primary_key=True)
    what: int = Field(sa_type=SmallInteger)
    id: str = Field(sa_type=Text)
    version: int = Field(sa_type=Integer)
    digest: bytes = Field(sa_column=_bytes())
    step: str = Field(sa_type=Text)
    actor: str = Field(sa_type=Text)
    at: datetime = Field(sa_column=_instant())
    reason: str | None = Field(default=None, sa_type=Text)


class PublicNotice(SQLModel, table=True):
    """The public notice of an approved version; objections can be filed until it closes."""

    __tablename__ = "public_notice"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        UniqueConstraint("what", "id", "version", "digest", name="public_notice_once_key"),
    )

    notice_id: UUID = Field(primary_key=True)
    what: int = Field(sa_type=SmallInteger)
    id: str = Field(sa_type=Text)
    version: int = Field(sa_type=Integer)
    digest: bytes = Field(sa_column=_bytes())
    opens_at: datetime = Field(sa_column=_instant())
    closes_at: datetime = Field(sa_column=_instant())
    given_by: str = Field(sa_type=Text)


class Objection(SQLModel, table=True):
    """What somebody has against a version on notice; text and contact are sealed."""

    __tablename__ = "objection"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (Index("objection_notice_idx", "notice_id", "objection_id"),)

    objection_id: UUID = Field(primary_key=True)
    notice_id: UUID = Field(foreign_key="public_notice.notice_id")
    text_sealed: bytes = Field(sa_column=_bytes())
    contact_sealed: bytes | None = Field(default=None, sa_column=_bytes(nullable=True))
    filed_at: datetime = Field(sa_column=_instant())


class ObjectionAnswer(SQLModel, table=True):
    """The answer to an objection. An upheld one ends the version's way: it is drafted anew."""

    __tablename__ = "objection_answer"  # pyright: ignore[reportAssignmentType]

    objection_id: UUID = Field(primary_key=True, foreign_key="objection.objection_id")
    answer: str = Field(sa_type=Text)
    upheld: bool
    answered_by: str = Field(sa_type=Text)
    answered_at: datetime = Field(sa_column=_instant())


class StopOrder(SQLModel, table=True):
    """An order to end an enacted version earlier; it takes two approvers' signatures."""

    __tablename__ = "stop_order"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (Index("stop_order_document_idx", "what", "id", "version"),)

    stop_id: UUID = Field(primary_key=True)
    what: int = Field(sa_type=SmallInteger)
    id: str = Field(sa_type=Text)
    version: int = Field(sa_type=Integer)
    digest: bytes = Field(sa_column=_bytes())
    day_to: date
    reason: str = Field(sa_type=Text)
    asked_by: str = Field(sa_type=Text)
    asked_at: datetime = Field(sa_column=_instant())


class StopApproval(SQLModel, table=True):
    """One approver's signature under a stop."""

    __tablename__ = "stop_approval"  # pyright: ignore[reportAssignmentType]

    stop_id: UUID = Field(primary_key=True, foreign_key="stop_order.stop_id")
    address: str = Field(primary_key=True, sa_type=Text)
    official_id: str = Field(sa_type=Text)
    signature: bytes = Field(sa_column=_bytes())
    approved_at: datetime = Field(sa_column=_instant())
