"""Tables of the citizens' registry. Instants in UTC; hashes are SM3, 32 bytes."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    LargeBinary,
    SmallInteger,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
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
        Index("login_citizen_idx", "citizen_id", "login_id"),
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
    # What the device calls itself, as its owner will see it in the list of sign-ins.
    device: str | None = Field(default=None, sa_type=Text)


class IdempotentAnswer(SQLModel, table=True):
    """The first answer to a write that carried an Idempotency-Key, sealed."""

    __tablename__ = "idempotent_answer"  # pyright: ignore[reportAssignmentType]

    scope: str = Field(sa_column=Column(Text, primary_key=True))
    key_hash: bytes = Field(sa_column=_bytes(primary_key=True))
    body_digest: bytes = Field(sa_column=_bytes())
    status: int
    answer_sealed: bytes = Field(sa_column=_bytes())
    created_at: datetime = Field(sa_column=_instant())


class CitizenIdentity(SQLModel, table=True):
    """What names a person, sealed. `risk`: how the sign-in provider warned of them."""

    __tablename__ = "citizen_identity"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (UniqueConstraint("phone_hash", name="citizen_identity_phone_key"),)

    citizen_id: UUID = Field(primary_key=True, foreign_key="citizen.citizen_id")
    openid_sealed: bytes | None = Field(default=None, sa_column=_bytes(nullable=True))
    phone_sealed: bytes | None = Field(default=None, sa_column=_bytes(nullable=True))
    phone_hash: bytes | None = Field(default=None, sa_column=_bytes(nullable=True))
    phone_bound_at: datetime | None = Field(default=None, sa_column=_instant(nullable=True))
    risk: str | None = Field(default=None, sa_type=Text)
    under_14: bool | None = None
    declared_at: datetime | None = Field(default=None, sa_column=_instant(nullable=True))


class CitizenSetting(SQLModel, table=True):
    """What a person chose: quiet hours in minutes of the city's day, pushes, ranking, a goal."""

    __tablename__ = "citizen_setting"  # pyright: ignore[reportAssignmentType]

    citizen_id: UUID = Field(primary_key=True, foreign_key="citizen.citizen_id")
    quiet_from_min: int = Field(sa_type=SmallInteger)
    quiet_to_min: int = Field(sa_type=SmallInteger)
    push: bool
    ranking: bool
    goal_mg: int | None = Field(default=None, sa_type=BigInteger)


class CitizenNotice(SQLModel, table=True):
    """What a person is told: a topic, what it is about, and the facts its sentence is made of."""

    __tablename__ = "citizen_notice"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        Index("citizen_notice_citizen_idx", "citizen_id", "notice_id"),
        Index(
            "citizen_notice_push_idx",
            "push_due_at",
            postgresql_where=text("push_state = 'waiting'"),
        ),
    )

    notice_id: UUID = Field(primary_key=True)
    citizen_id: UUID
    topic: str = Field(sa_type=Text)
    about: UUID | None = None
    facts: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    created_at: datetime = Field(sa_column=_instant())
    read_at: datetime | None = Field(default=None, sa_column=_instant(nullable=True))
    push_due_at: datetime | None = Field(default=None, sa_column=_instant(nullable=True))
    push_state: str | None = Field(default=None, sa_type=Text)


class PushGrant(SQLModel, table=True):
    """How often a person still lets the provider push a topic: each tap allows one message."""

    __tablename__ = "push_grant"  # pyright: ignore[reportAssignmentType]

    citizen_id: UUID = Field(primary_key=True)
    topic: str = Field(sa_column=Column(Text, primary_key=True))
    times_left: int


class ConsentReceipt(SQLModel, table=True):
    """Which text a consent was given to, and when; insert-only."""

    __tablename__ = "consent_receipt"  # pyright: ignore[reportAssignmentType]

    consent_id: UUID = Field(primary_key=True, foreign_key="consent.consent_id")
    text_version: str = Field(sa_type=Text)
    text_digest: bytes = Field(sa_column=_bytes())
    sensitive: bool
    given_at: datetime = Field(sa_column=_instant())


class Share(SQLModel, table=True):
    """A shared receipt as ciphertext; the key is in the link alone (formats.md §15)."""

    __tablename__ = "share"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        Index("share_citizen_idx", "citizen_id", "created_at"),
        Index(
            "share_expiry_idx",
            "expires_at",
            postgresql_where=text("ciphertext IS NOT NULL"),
        ),
    )

    share_id: str = Field(primary_key=True, sa_type=Text)
    citizen_id: UUID
    transfer_id: UUID
    ciphertext: bytes | None = Field(default=None, sa_column=_bytes(nullable=True))
    created_at: datetime = Field(sa_column=_instant())
    expires_at: datetime = Field(sa_column=_instant())
    revoked_at: datetime | None = Field(default=None, sa_column=_instant(nullable=True))


class CitizenAccess(SQLModel, table=True):
    """Who of the platform looked at a person's data, at what and why; insert-only."""

    __tablename__ = "citizen_access"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (Index("citizen_access_citizen_idx", "citizen_id", "access_id"),)

    access_id: UUID = Field(primary_key=True)
    citizen_id: UUID
    who: str = Field(sa_type=Text)
    what: str = Field(sa_type=Text)
    why: str = Field(sa_type=Text)
    at: datetime = Field(sa_column=_instant())


class Erasure(SQLModel, table=True):
    """A person asked to be erased: asked → points retired → erased, once the chain shows it."""

    __tablename__ = "erasure"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        Index("erasure_open_idx", "asked_at", postgresql_where=text("state <> 'erased'")),
    )

    citizen_id: UUID = Field(primary_key=True, foreign_key="citizen.citizen_id")
    state: str = Field(sa_type=Text)
    asked_at: datetime = Field(sa_column=_instant())
    retired_at: datetime | None = Field(default=None, sa_column=_instant(nullable=True))
    erased_at: datetime | None = Field(default=None, sa_column=_instant(nullable=True))
