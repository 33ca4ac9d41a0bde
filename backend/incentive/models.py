"""Tables of programmes, budgets, rules, approvals, counters and awards. Points are whole."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
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


def _bytes(*, nullable: bool = False) -> Column[bytes]:
    return Column(LargeBinary, nullable=nullable)


def _instant(*, nullable: bool = False) -> Column[datetime]:
    return Column(DateTime(timezone=True), nullable=nullable)


def _texts() -> Column[list[str]]:
    return Column(ARRAY(Text), nullable=False)


class ProgrammeRow(SQLModel, table=True):
    """An incentive with its points class and, for its points, the months until they expire."""

    __tablename__ = "programme"  # pyright: ignore[reportAssignmentType]

    programme_id: str = Field(primary_key=True, sa_type=Text)
    name: str = Field(sa_type=Text)
    points_class: str = Field(sa_column=Column("class", Text, nullable=False))
    day_from: date
    day_to: date | None = None
    budget_period: str = Field(sa_type=Text)
    expiry_months: int
    created_at: datetime = Field(sa_column=_instant())


class Budget(SQLModel, table=True):
    """Points a programme may issue in a period (`total` or a year): issued + leased ≤ envelope."""

    __tablename__ = "budget"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        ForeignKeyConstraint(["programme_id"], ["programme.programme_id"]),
        CheckConstraint("issued + leased <= envelope", name="budget_envelope_holds"),
    )

    programme_id: str = Field(primary_key=True, sa_type=Text)
    period: str = Field(primary_key=True, sa_type=Text)
    envelope: int = Field(sa_type=BigInteger)
    issued: int = Field(sa_column=Column(BigInteger, nullable=False, server_default=text("0")))
    leased: int = Field(sa_column=Column(BigInteger, nullable=False, server_default=text("0")))
    closed_at: datetime | None = Field(default=None, sa_column=_instant(nullable=True))


class BudgetPurse(SQLModel, table=True):
    """Points leased from a budget; whoever locks the row spends them (see `budget.py`)."""

    __tablename__ = "budget_purse"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        ForeignKeyConstraint(["programme_id", "period"], ["budget.programme_id", "budget.period"]),
        CheckConstraint("spent <= leased", name="budget_purse_holds"),
        Index("budget_purse_budget_idx", "programme_id", "period"),
    )

    purse_id: UUID = Field(primary_key=True)
    programme_id: str = Field(sa_type=Text)
    period: str = Field(sa_type=Text)
    leased: int = Field(sa_type=BigInteger)
    spent: int = Field(sa_column=Column(BigInteger, nullable=False, server_default=text("0")))


class RuleRow(SQLModel, table=True):
    """One version of a rule: canonical JSON with its SM3 digest, its window and its standing."""

    __tablename__ = "rule"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        ForeignKeyConstraint(["programme_id"], ["programme.programme_id"]),
        Index("rule_programme_idx", "programme_id"),
    )

    rule_id: str = Field(primary_key=True, sa_type=Text)
    version: int = Field(primary_key=True)
    programme_id: str = Field(sa_type=Text)
    document: bytes = Field(sa_column=_bytes())
    digest: bytes = Field(sa_column=_bytes())
    day_from: date
    # A stop lowers it below the document's own day_to.
    day_to: date | None = None
    status: str = Field(sa_type=Text)
    enacted_at: datetime | None = Field(default=None, sa_column=_instant(nullable=True))
    published_at: datetime = Field(sa_column=_instant())


class Approval(SQLModel, table=True):
    """An official's own EIP-712 signature over a document's digest and window (65 bytes)."""

    __tablename__ = "approval"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        UniqueConstraint("what", "id", "version", "address", name="approval_once_key"),
    )

    approval_id: UUID = Field(primary_key=True)
    # 1 rule, 2 method, as in the signed struct (formats.md §8).
    what: int = Field(sa_type=SmallInteger)
    id: str = Field(sa_type=Text)
    version: int = Field(sa_type=Integer)
    digest: bytes = Field(sa_column=_bytes())
    official_id: str = Field(sa_type=Text)
    address: str = Field(sa_type=Text)
    signature: bytes = Field(sa_column=_bytes())
    approved_at: datetime = Field(sa_column=_instant())


class Enactment(SQLModel, table=True):
    """A rule or method put in force, or a rule stopped, with its two approvers ascending."""

    __tablename__ = "enactment"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (Index("enactment_document_idx", "id", "version"),)

    enactment_id: UUID = Field(primary_key=True)
    what: str = Field(sa_type=Text)
    id: str = Field(sa_type=Text)
    version: int = Field(sa_type=Integer)
    digest: bytes = Field(sa_column=_bytes())
    day_from: date
    day_to: date | None = None
    approvers: list[str] = Field(sa_column=_texts())
    tx_hash: bytes | None = Field(default=None, sa_column=_bytes(nullable=True))
    enacted_at: datetime = Field(sa_column=_instant())


class Counter(SQLModel, table=True):
    """What a person's awards of a programme sum to in a day, month or year (see `counters.py`)."""

    __tablename__ = "counter"  # pyright: ignore[reportAssignmentType]

    citizen_id: UUID = Field(primary_key=True)
    programme_id: str = Field(primary_key=True, sa_type=Text)
    name: str = Field(primary_key=True, sa_type=Text)
    period: str = Field(primary_key=True, sa_type=Text)
    value: int = Field(sa_type=BigInteger)


class AwardRow(SQLModel, table=True):
    """One event × one programme: the reduction, the rule's answer and every value used."""

    __tablename__ = "award"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        UniqueConstraint("evidence_id", "programme_id", name="award_once_key"),
        CheckConstraint("amount BETWEEN 0 AND points_before_caps", name="award_amount_holds"),
        Index(
            "award_transfer_idx",
            "transfer_id",
            unique=True,
            postgresql_where=text("transfer_id IS NOT NULL"),
        ),
    )

    award_id: UUID = Field(primary_key=True)
    evidence_id: UUID
    programme_id: str = Field(sa_type=Text)
    citizen_id: UUID
    city_day: date
    rule_id: str = Field(sa_type=Text)
    rule_version: int = Field(sa_type=Integer)
    rule_digest: bytes = Field(sa_column=_bytes())
    rule_rows: list[str] = Field(sa_column=_texts())
    points_before_caps: int = Field(sa_type=BigInteger)
    amount: int = Field(sa_type=BigInteger)
    points_class: str = Field(sa_column=Column("class", Text, nullable=False))
    method_id: str = Field(sa_type=Text)
    method_version: int = Field(sa_type=Integer)
    method_digest: bytes = Field(sa_column=_bytes())
    method_status: str = Field(sa_type=Text)
    scenario: str = Field(sa_type=Text)
    evidence_level: str = Field(sa_type=Text)
    origin: str = Field(sa_type=Text)
    reduction_mg: int = Field(sa_type=BigInteger)
    inputs: dict[str, object] = Field(sa_column=Column(JSONB, nullable=False))
    stated: dict[str, object] = Field(sa_column=Column(JSONB, nullable=False))
    cut_by: str | None = Field(default=None, sa_type=Text)
    transfer_id: UUID | None = None
    awarded_at: datetime = Field(sa_column=_instant())


class AwardRelease(SQLModel, table=True):
    """An award that no longer counts: another event stands in the place of its own.

    `release_id` is a UUIDv7 made under the person's lock, so it tells between which awards this
    happened.
    """

    __tablename__ = "award_release"  # pyright: ignore[reportAssignmentType]

    award_id: UUID = Field(primary_key=True)
    release_id: UUID = Field(unique=True)
    released_at: datetime = Field(sa_column=_instant())


class ProgrammeTerms(SQLModel, table=True):
    """What a programme's organiser laid down, valid for city days from `day_from` (`terms.py`)."""

    __tablename__ = "programme_terms"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (ForeignKeyConstraint(["programme_id"], ["programme.programme_id"]),)

    programme_id: str = Field(primary_key=True, sa_type=Text)
    version: int = Field(primary_key=True)
    day_from: date
    document: bytes = Field(sa_column=_bytes())
    recorded_by: str = Field(sa_type=Text)
    recorded_at: datetime = Field(sa_column=_instant())


class EligibilityFact(SQLModel, table=True):
    """What somebody attested of a person, as little as a programme asks for; erasable."""

    __tablename__ = "eligibility_fact"  # pyright: ignore[reportAssignmentType]

    citizen_id: UUID = Field(primary_key=True)
    fact: str = Field(primary_key=True, sa_type=Text)
    value: str = Field(sa_type=Text)
    attested_by: str = Field(sa_type=Text)
    attested_at: datetime = Field(sa_column=_instant())


class ProgrammePerson(SQLModel, table=True):
    """The people of a programme, numbered from 1 in the order of their first award."""

    __tablename__ = "programme_person"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        ForeignKeyConstraint(["programme_id"], ["programme.programme_id"]),
        UniqueConstraint("programme_id", "number", name="programme_person_number_key"),
    )

    programme_id: str = Field(primary_key=True, sa_type=Text)
    citizen_id: UUID = Field(primary_key=True)
    number: int = Field(sa_type=BigInteger)


class Violation(SQLModel, table=True):
    """A breach of a programme's terms that an officer noted; an appeal may withdraw it."""

    __tablename__ = "violation"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        ForeignKeyConstraint(["programme_id"], ["programme.programme_id"]),
        Index("violation_person_idx", "programme_id", "citizen_id"),
    )

    violation_id: UUID = Field(primary_key=True)
    programme_id: str = Field(sa_type=Text)
    citizen_id: UUID
    kind: str = Field(sa_type=Text)
    evidence_id: UUID | None = None
    noted_by: str = Field(sa_type=Text)
    noted_at: datetime = Field(sa_column=_instant())
    withdrawn_at: datetime | None = Field(default=None, sa_column=_instant(nullable=True))
    withdrawn_by: str | None = Field(default=None, sa_type=Text)
    withdrawn_reason: str | None = Field(default=None, sa_type=Text)


class Blacklisting(SQLModel, table=True):
    """City days on which a person earns nothing in a programme; an appeal may lift it."""

    __tablename__ = "blacklisting"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        ForeignKeyConstraint(["programme_id"], ["programme.programme_id"]),
        Index("blacklisting_person_idx", "programme_id", "citizen_id"),
    )

    blacklisting_id: UUID = Field(primary_key=True)
    programme_id: str = Field(sa_type=Text)
    citizen_id: UUID
    reason: str = Field(sa_type=Text)
    day_from: date
    day_to: date | None = None
    noted_by: str = Field(sa_type=Text)
    noted_at: datetime = Field(sa_column=_instant())
    lifted_at: datetime | None = Field(default=None, sa_column=_instant(nullable=True))
    lifted_by: str | None = Field(default=None, sa_type=Text)
    lifted_reason: str | None = Field(default=None, sa_type=Text)


class ProgrammeAlarm(SQLModel, table=True):
    """Something an official should look at, at most once a day for each kind."""

    __tablename__ = "programme_alarm"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        ForeignKeyConstraint(["programme_id"], ["programme.programme_id"]),
        UniqueConstraint("programme_id", "kind", "city_day", name="programme_alarm_once_key"),
    )

    alarm_id: UUID = Field(primary_key=True)
    programme_id: str = Field(sa_type=Text)
    kind: str = Field(sa_type=Text)
    city_day: date
    detail: dict[str, object] = Field(sa_column=Column(JSONB, nullable=False))
    raised_at: datetime = Field(sa_column=_instant())


class Simulation(SQLModel, table=True):
    """A draft tried on past evidence: who asked, how far it is, and what came out."""

    __tablename__ = "simulation"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        Index("simulation_waiting_idx", "asked_at", postgresql_where=text("state = 'waiting'")),
    )

    simulation_id: UUID = Field(primary_key=True)
    document: bytes = Field(sa_column=_bytes())
    day_from: date
    day_to: date
    state: str = Field(sa_type=Text)
    events_done: int = Field(sa_column=Column(BigInteger, nullable=False, server_default=text("0")))
    events_total: int = Field(
        sa_column=Column(BigInteger, nullable=False, server_default=text("0"))
    )
    asked_by: str = Field(sa_type=Text)
    asked_at: datetime = Field(sa_column=_instant())
    begun_at: datetime | None = Field(default=None, sa_column=_instant(nullable=True))
    seen_at: datetime | None = Field(default=None, sa_column=_instant(nullable=True))
    ended_at: datetime | None = Field(default=None, sa_column=_instant(nullable=True))
    outcome: dict[str, object] | None = Field(default=None, sa_column=Column(JSONB, nullable=True))
    error: str | None = Field(default=None, sa_type=Text)
