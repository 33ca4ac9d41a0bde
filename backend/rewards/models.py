"""Tables of rewards. Points are whole, money in fen; codes are sealed."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import (
    BigInteger,
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


def _instant(*, nullable: bool = False) -> Column[datetime]:
    return Column(DateTime(timezone=True), nullable=nullable)


def _reward_id() -> Column[str]:
    return Column(Text, ForeignKey("reward.reward_id"), nullable=False)


class PointsPolicy(SQLModel, table=True):
    """What the law of a place lets happen to points of a class.

    `debit`: holder (the person may spend them) or nobody; `cash_out`: whether they may become
    money. A class without a row may be spent and not cashed.
    """

    __tablename__ = "points_policy"  # pyright: ignore[reportAssignmentType]

    points_class: str = Field(sa_column=Column("class", Text, primary_key=True))
    jurisdiction: str = Field(sa_type=Text)
    debit: str = Field(sa_type=Text)
    cash_out: bool
    set_at: datetime = Field(sa_column=_instant())


class RewardRow(SQLModel, table=True):
    """What points buy. `stock` may still be promised; `supplier` names who hands it over."""

    __tablename__ = "reward"  # pyright: ignore[reportAssignmentType]

    reward_id: str = Field(primary_key=True, sa_type=Text)
    name: str = Field(sa_type=Text)
    kind: str = Field(sa_type=Text)
    supplier: str = Field(sa_type=Text)
    points_class: str = Field(sa_column=Column("class", Text, nullable=False))
    price_points: int = Field(sa_type=BigInteger)
    face_fen: int | None = Field(default=None, sa_type=BigInteger)
    stock: int
    per_person: int | None = None
    valid_days: int | None = None
    terms: str = Field(sa_type=Text)
    day_from: date
    day_to: date | None = None
    refundable: bool
    created_at: datetime = Field(sa_column=_instant())


class RewardCode(SQLModel, table=True):
    """A code of our own stock, sealed; handed out once, to the redemption it names."""

    __tablename__ = "reward_code"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        UniqueConstraint("redemption_id", name="reward_code_redemption_key"),
        Index(
            "reward_code_free_idx",
            "reward_id",
            "code_id",
            postgresql_where=text("redemption_id IS NULL"),
        ),
    )

    code_id: UUID = Field(primary_key=True)
    reward_id: str = Field(sa_column=_reward_id())
    code_sealed: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    redemption_id: UUID | None = None
    loaded_at: datetime = Field(sa_column=_instant())


class RedemptionRow(SQLModel, table=True):
    """Points against a reward. Its id is also the hold's and, once posted, the transfer's.

    `held`: points set aside, not handed over yet; `unknown`: the supplier was asked and nobody
    knows what it did; `posted`: handed over and spent; `voided`: not handed over, points free
    again; `refunded`: handed over, given back.
    """

    __tablename__ = "redemption"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        Index("redemption_citizen_idx", "citizen_id", "redemption_id"),
        Index(
            "redemption_due_idx",
            "due_at",
            postgresql_where=text("state IN ('held', 'unknown')"),
        ),
    )

    redemption_id: UUID = Field(primary_key=True)
    citizen_id: UUID
    reward_id: str = Field(sa_column=_reward_id())
    points_class: str = Field(sa_column=Column("class", Text, nullable=False))
    price_points: int = Field(sa_type=BigInteger)
    state: str = Field(sa_type=Text)
    reason: str | None = Field(default=None, sa_type=Text)
    code_sealed: bytes | None = Field(default=None, sa_column=Column(LargeBinary))
    supplier_ref: str | None = Field(default=None, sa_type=Text)
    valid_to: date | None = None
    tries: int = Field(default=0, sa_column_kwargs={"server_default": text("0")})
    due_at: datetime = Field(sa_column=_instant())
    created_at: datetime = Field(sa_column=_instant())
    settled_at: datetime | None = Field(default=None, sa_column=_instant(nullable=True))
