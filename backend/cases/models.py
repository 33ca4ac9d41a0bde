"""Tables of cases. A citizen's words are sealed; an official's reason is theirs to read."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import Column, DateTime, ForeignKey, Index, LargeBinary, Text, text
from sqlmodel import Field, SQLModel


def _instant(*, nullable: bool = False) -> Column[datetime]:
    return Column(DateTime(timezone=True), nullable=nullable)


class CaseFile(SQLModel, table=True):
    """One case: who, about what, until when it is answered, and how it ended.

    `kind`: an appeal or correction is a citizen's, a clawback an official's. `remedy`: nothing, the
    partner is asked to correct its report, points of a redemption come back, an award is reversed.
    """

    __tablename__ = "case_file"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        Index("case_file_citizen_idx", "citizen_id", "case_id"),
        Index("case_file_open_idx", "deadline", "case_id", postgresql_where=text("state = 'open'")),
        Index(
            "case_file_about_once",
            "kind",
            "about",
            unique=True,
            postgresql_where=text("state = 'open' AND about IS NOT NULL"),
        ),
    )

    case_id: UUID = Field(primary_key=True)
    kind: str = Field(sa_type=Text)
    citizen_id: UUID
    about_kind: str = Field(sa_type=Text)
    about: UUID | None = None
    words_sealed: bytes | None = Field(default=None, sa_column=Column(LargeBinary))
    state: str = Field(sa_type=Text)
    officer: str | None = Field(default=None, sa_type=Text)
    deadline: date
    opened_at: datetime = Field(sa_column=_instant())
    outcome: str | None = Field(default=None, sa_type=Text)
    reason: str | None = Field(default=None, sa_type=Text)
    remedy: str | None = Field(default=None, sa_type=Text)
    counter_transfer: UUID | None = None
    decided_at: datetime | None = Field(default=None, sa_column=_instant(nullable=True))


class CaseStep(SQLModel, table=True):
    """What happened to a case, by whom; insert-only."""

    __tablename__ = "case_step"  # pyright: ignore[reportAssignmentType]

    case_id: UUID = Field(
        sa_column=Column(ForeignKey("case_file.case_id"), primary_key=True, nullable=False)
    )
    n: int = Field(primary_key=True)
    at: datetime = Field(sa_column=_instant())
    actor: str = Field(sa_type=Text)
    act: str = Field(sa_type=Text)
    words: str | None = Field(default=None, sa_type=Text)
