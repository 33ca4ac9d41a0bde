"""Tables of the citizens' registry. Instants in UTC; hashes are SM3, 32 bytes."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    LargeBinary,
    Text,
    UniqueConstraint,
    text,
)
from sqlmodel import Field, SQLModel


def _bytes(*, nullable: bool = False, primary_key: bool = False) -> Column[bytes]:
    return Column(LargeBinary, nullable=nullable, primary_key=primary_key)


def _instant(*, nullable: bool = False) -> Column[datetime]:
    return Column(DateTime(timezone=True), nullable=nullable)


class Citizen(SQLModel, table=True):
    """A natural person, known by a keyed hash of what the sign-in provider calls them."""

    __tablename__ = "citizen"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        UniqueConstraint("provider", "provider_ref_hash", name="citizen_provider_ref_key"),
    )

    citizen_id: UUID = Field(primary_key=True)
    provider: str = Field(sa_type=Text)
    provider_ref_hash: bytes = Field(sa_column=_bytes())
    created_at: datetime = Field(sa_column=_instant())
    erased_at: datetime | None = Field(default=None, sa_column=_instant(nullable=True))


class CitizenSecret(SQLModel, table=True):
    """The 32 random bytes behind a person's accounts on chain, sealed; erased with the person."""

    __tablename__ = "citizen_secret"  # pyright: ignore[reportAssignmentType]

    citizen_id: UUID = Field(primary_key=True, foreign_key="citizen.citizen_id")
    secret_sealed: bytes = Field(sa_column=_bytes())


class CitizenAccount(SQLModel, table=True):
    """A person's account of one points class: 20 bytes, the name of the account on chain."""

    __tablename__ = "citizen_account"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        UniqueConstraint("account", name="citizen_account_account_key"),
        CheckConstraint("octet_length(account) = 20"),
    )

    citizen_id: UUID = Field(primary_key=True)
    points_class: str = Field(sa_column=Column("class", Text, primary_key=True))
    account: bytes = Field(sa_column=_bytes())


class Consent(SQLModel, table=True):
    """A person lets one partner report one scenario, from a whole second until withdrawn."""

    __tablename__ = "consent"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        Index("consent_partner_citizen_idx", "partner_id", "citizen_id"),
        Index("consent_citizen_idx", "citizen_id"),
        Index(
            "consent_standing_idx",
            "citizen_id",
            "partner_id",
            "scenario",
            unique=True,
            postgresql_where=text("withdrawn_at IS NULL"),
        ),
        CheckConstraint("date_trunc('second', given_at) = given_at"),
    )

    consent_id: UUID = Field(primary_key=True)
    citizen_id: UUID
    partner_id: str = Field(sa_type=Text)
    scenario: str = Field(sa_type=Text)
    given_at: datetime = Field(sa_column=_instant())
    withdrawn_at: datetime | None = Field(default=None, sa_column=_instant(nullable=True))


class BindingCode(SQLModel, table=True):
    """A one-time code the citizen hands to a partner, kept as its hash."""

    __tablename__ = "binding_code"  # pyright: ignore[reportAssignmentType]

    code_hash: bytes = Field(sa_column=_bytes(primary_key=True))
    consent_id: UUID
    citizen_id: UUID
    partner_id: str = Field(sa_type=Text)
    expires_at: datetime = Field(sa_column=_instant())
    used_at: datetime | None = Field(default=None, sa_column=_instant(nullable=True))


class Binding(SQLModel, table=True):
    """What a partner calls a citizen: one token for each of the partner's users, as its hash."""

    __tablename__ = "binding"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        UniqueConstraint("token_hash", name="binding_token_hash_key"),
        UniqueConstraint("partner_id", "user_ref_hash", name="binding_partner_user_ref_key"),
    )

    binding_id: UUID = Field(primary_key=True)
    partner_id: str = Field(sa_type=Text)
    citizen_id: UUID
    token_hash: bytes = Field(sa_column=_bytes())
    user_ref_hash: bytes = Field(sa_column=_bytes())
    created_at: datetime = Field(sa_column=_instant())


class LoginCodeUsed(SQLModel, table=True):
    """Sign-in codes that were spent: each full code works once."""

    __tablename__ = "login_code_used"  # pyright: ignore[reportAssignmentType]

    provider: str = Field(sa_column=Column(Text, primary_key=True))
    code_hash: bytes = Field(sa_column=_bytes(primary_key=True))
    used_at: datetime = Field(sa_column=_instant())


class Login(SQLModel, table=True):
    """One pair of access and refresh token; pairs that follow each other form a family."""

    __tablename__ = "login"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        UniqueConstraint("access_hash", name="login_access_hash_key"),
        UniqueConstraint("refresh_hash", name="login_refresh_hash_key"),
        Index("login_family_idx", "family_id"),
    )

    login_id: UUID = Field(primary_key=True)
    family_id: UUID
    citizen_id: UUID = Field(sa_column=Column(ForeignKey("citizen.citizen_id"), nullable=False))
    access_hash: bytes = Field(sa_column=_bytes())
    refresh_hash: bytes = Field(sa_column=_bytes())
    access_expires_at: datetime = Field(sa_column=_instant())
    refresh_expires_at: datetime = Field(sa_column=_instant())
    refreshed_at: datetime | None = Field(default=None, sa_column=_instant(nullable=True))
    revoked_at: datetime | None = Field(default=None, sa_column=_instant(nullable=True))
    created_at: datetime = Field(sa_column=_instant())


class IdempotentAnswer(SQLModel, table=True):
    """The first answer to a write that carried an Idempotency-Key, sealed."""

    __tablename__ = "idempotent_answer"  # pyright: ignore[reportAssignmentType]

    scope: str = Field(sa_column=Column(Text, primary_key=True))
    key_hash: bytes = Field(sa_column=_bytes(primary_key=True))
    body_digest: bytes = Field(sa_column=_bytes())
    status: int
    answer_sealed: bytes = Field(sa_column=_bytes())
    created_at: datetime = Field(sa_column=_instant())
