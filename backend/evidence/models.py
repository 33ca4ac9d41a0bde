"""Tables of the evidence room. Instants in UTC; digests are SM3, 32 bytes.

They are declared for the comparison with the migrations and for readers; recording writes them by
COPY and never builds these objects.
"""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Index,
    LargeBinary,
    SmallInteger,
    Text,
    UniqueConstraint,
)
from sqlmodel import Field, SQLModel


def _bytes() -> Column[bytes]:
    return Column(LargeBinary, nullable=False)


def _instant() -> Column[datetime]:
    return Column(DateTime(timezone=True), nullable=False)


def _text(*, nullable: bool = False) -> Column[str]:
    return Column(Text, nullable=nullable)


class Upload(SQLModel, table=True):
    """One signed request whose events were recorded, with the answer that was given."""

    __tablename__ = "upload"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        UniqueConstraint("partner_id", "webhook_id", name="upload_webhook_key"),
        CheckConstraint("octet_length(request_digest) = 32"),
        Index("upload_received_idx", "partner_id", "received_at"),
    )

    upload_id: UUID = Field(primary_key=True)
    partner_id: str = Field(sa_column=_text())
    webhook_id: str = Field(sa_column=_text())
    # Over the bytes as they were sent, before inflation.
    request_digest: bytes = Field(sa_column=_bytes())
    scheme: str = Field(sa_column=_text())
    key_id: str = Field(sa_column=_text())
    received_at: datetime = Field(sa_column=_instant())
    event_count: int
    # The lowest and highest evidence id of the upload: its rows are one stretch of the primary key,
    # so that no index by upload is needed. Null where nothing was accepted.
    evidence_from: UUID | None = None
    evidence_to: UUID | None = None
    answer: bytes = Field(sa_column=_bytes())


class Evidence(SQLModel, table=True):
    """A recorded event: who, what, when and its digest. Never changed, never deleted."""

    __tablename__ = "evidence"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        Index("evidence_identity_idx", "partner_id", "event_id", "source", unique=True),
        Index("evidence_citizen_idx", "citizen_id", "evidence_id"),
    )

    evidence_id: UUID = Field(primary_key=True)
    upload_id: UUID
    partner_id: str = Field(sa_column=_text())
    source: str = Field(sa_column=_text())
    event_id: str = Field(sa_column=_text())
    event_digest: bytes = Field(sa_column=_bytes())
    scenario: str = Field(sa_column=_text())
    citizen_id: UUID
    occurred_at: datetime = Field(sa_column=_instant())
    # The partner's own spelling, offset and fraction included.
    occurred_text: str = Field(sa_column=_text())
    originaltime: str | None = Field(default=None, sa_column=_text(nullable=True))
    city_day: date
    origin: str = Field(sa_column=_text())
    evidence_level: str = Field(sa_column=_text())
    recorded_at: datetime = Field(sa_column=_instant())


class EvidenceBody(SQLModel, table=True):
    """The canonical JSON of an event, SM4-CTR encrypted under its day's key; erasable.

    `position` is the event's first 16-byte block in the keystream that `nonce` begins.
    """

    __tablename__ = "evidence_body"  # pyright: ignore[reportAssignmentType]
    __table_args__ = {"postgresql_partition_by": "RANGE (recorded_day)"}

    evidence_id: UUID = Field(primary_key=True)
    recorded_day: date = Field(primary_key=True)
    nonce: bytes = Field(sa_column=_bytes())
    position: int
    body: bytes = Field(sa_column=_bytes())


class EvidenceKey(SQLModel, table=True):
    """The key of one day's bodies, sealed by the vault."""

    __tablename__ = "evidence_key"  # pyright: ignore[reportAssignmentType]

    day: date = Field(primary_key=True)
    key_sealed: bytes = Field(sa_column=_bytes())


class Rejection(SQLModel, table=True):
    """An event the door turned away: its digest and the reason, no byte of its content."""

    __tablename__ = "rejection"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (Index("rejection_upload_idx", "upload_id"),)

    rejection_id: UUID = Field(primary_key=True)
    upload_id: UUID
    partner_id: str = Field(sa_column=_text())
    n: int
    digest: bytes = Field(sa_column=_bytes())
    reason: str = Field(sa_column=_text())
    rejected_at: datetime = Field(sa_column=_instant())


class Decision(SQLModel, table=True):
    """What became of an event after recording: refused with a reason, awarded, or applied.

    A retraction is applied; it can be neither refused nor awarded.
    """

    __tablename__ = "decision"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        CheckConstraint("state IN ('refused', 'awarded', 'applied')"),
        CheckConstraint(
            "(state = 'refused') = (reason IS NOT NULL)", name="decision_refused_has_reason"
        ),
    )

    evidence_id: UUID = Field(primary_key=True)
    state: str = Field(sa_column=_text())
    reason: str | None = Field(default=None, sa_column=_text(nullable=True))
    method_id: str | None = Field(default=None, sa_column=_text(nullable=True))
    method_version: int | None = None
    reduction_mg: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))
    decided_at: datetime = Field(sa_column=_instant())


class Reading(SQLModel, table=True):
    """A whole month of one meter, kept as history. Energy in Wh; `month` is its first day.

    `base_evidence_id` is the reading of the same month of last year that this one was compared
    with. Personal: the eraser may delete it.
    """

    __tablename__ = "reading"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (Index("reading_history_idx", "citizen_id", "month"),)

    evidence_id: UUID = Field(primary_key=True)
    citizen_id: UUID
    partner_id: str = Field(sa_column=_text())
    # SM3 of the partner's own name for the meter.
    meter_hash: bytes = Field(sa_column=_bytes())
    month: date
    energy_wh: int = Field(sa_column=Column(BigInteger, nullable=False))
    days: int = Field(sa_column=Column(SmallInteger, nullable=False))
    estimated: bool
    base_evidence_id: UUID | None = None


class ClaimRow(SQLModel, table=True):
    """The stretch of a person's time that an event claims; a point where no start is known."""

    __tablename__ = "claim"  # pyright: ignore[reportAssignmentType]

    citizen_id: UUID = Field(primary_key=True)
    ends_at: datetime = Field(sa_column=Column(DateTime(timezone=True), primary_key=True))
    evidence_id: UUID = Field(primary_key=True)
    starts_at: datetime = Field(sa_column=_instant())
    scenario: str = Field(sa_column=_text())
    quantity: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))
    place: bytes | None = Field(default=None, sa_column=Column(LargeBinary, nullable=True))


class CorrectionRow(SQLModel, table=True):
    """An event that takes the place of an earlier one, or takes it back.

    `root_id` is the first event of the chain, `n` counts those recorded after it; the last stands.
    """

    __tablename__ = "correction"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (UniqueConstraint("root_id", "n", name="correction_chain_key"),)

    evidence_id: UUID = Field(primary_key=True)
    kind: str = Field(sa_column=_text())
    of_evidence_id: UUID
    root_id: UUID
    n: int


class Supersession(SQLModel, table=True):
    """An event that lost its standing, why, and the event that stands instead."""

    __tablename__ = "supersession"  # pyright: ignore[reportAssignmentType]

    evidence_id: UUID = Field(primary_key=True)
    reason: str = Field(sa_column=_text())
    by_evidence_id: UUID
    superseded_at: datetime = Field(sa_column=_instant())
