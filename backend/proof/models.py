"""Tables of the log. Leaves, nodes, checkpoints and trust files only grow.

They are declared for the comparison with the migrations and for readers; the sealer writes by COPY
and never builds these objects.
"""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    LargeBinary,
    SmallInteger,
    Text,
    UniqueConstraint,
    text,
)
from sqlmodel import Field, SQLModel


def _bytes() -> Column[bytes]:
    return Column(LargeBinary, nullable=False)


def _instant() -> Column[datetime]:
    return Column(DateTime(timezone=True), nullable=False)


def _index() -> Column[int]:
    return Column(BigInteger, primary_key=True, autoincrement=False)


def _text() -> Column[str]:
    return Column(Text, nullable=True)


class Unsealed(SQLModel, table=True):
    """A committed row that waits for its leaf; `refused` says why the sealer set it aside."""

    __tablename__ = "unsealed"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (CheckConstraint("kind IN (1, 2, 3)"),)

    kind: int = Field(sa_column=Column(SmallInteger, primary_key=True, autoincrement=False))
    ref: UUID = Field(primary_key=True)
    queued_at: datetime = Field(
        sa_column=Column(DateTime(timezone=True), nullable=False, server_default=text("now()"))
    )
    refused: str | None = Field(default=None, sa_column=_text())


class LeafRow(SQLModel, table=True):
    """One leaf. `ref` is its transfer or enactment; of a transfer the batch's terms stand here too.

    `account` is 20 bytes, `amount` whole points, `city_day` the activity's day in the city.
    """

    __tablename__ = "leaf"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        UniqueConstraint("ref", name="leaf_ref_key"),
        CheckConstraint("index >= 0"),
        CheckConstraint("kind IN (1, 2, 3)"),
        CheckConstraint("octet_length(leaf_hash) = 32"),
        CheckConstraint("octet_length(account) = 20"),
        CheckConstraint("amount > 0"),
    )

    index: int = Field(sa_column=_index())
    kind: int = Field(sa_column=Column(SmallInteger, nullable=False))
    ref: UUID
    leaf_hash: bytes = Field(sa_column=_bytes())
    act: str | None = Field(default=None, sa_column=_text())
    points_class: str | None = Field(default=None, sa_column=Column("class", Text, nullable=True))
    programme: str | None = Field(default=None, sa_column=_text())
    rule: str | None = Field(default=None, sa_column=_text())
    rule_version: int | None = None
    reason: int | None = Field(default=None, sa_column=Column(SmallInteger, nullable=True))
    account: bytes | None = Field(default=None, sa_column=Column(LargeBinary, nullable=True))
    amount: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))
    city_day: date | None = None
    sealed_at: datetime = Field(sa_column=_instant())


class LeafSecret(SQLModel, table=True):
    """The 32 random bytes a leaf's salts follow from; erasing them closes the leaf for ever."""

    __tablename__ = "leaf_secret"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (CheckConstraint("octet_length(seed) = 32"),)

    index: int = Field(sa_column=_index())
    seed: bytes = Field(sa_column=_bytes())


class LogNode(SQLModel, table=True):
    """The hash of one complete subtree: leaves [index·2^level, (index+1)·2^level)."""

    __tablename__ = "log_node"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        CheckConstraint("level >= 0"),
        CheckConstraint("index >= 0"),
        CheckConstraint("octet_length(hash) = 32"),
    )

    level: int = Field(sa_column=Column(SmallInteger, primary_key=True, autoincrement=False))
    index: int = Field(sa_column=_index())
    hash: bytes = Field(sa_column=_bytes())


class CheckpointRow(SQLModel, table=True):
    """A signed head of the log: its size in leaves, its root, and the note."""

    __tablename__ = "checkpoint"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        CheckConstraint("size >= 1"),
        CheckConstraint("octet_length(root) = 32"),
    )

    size: int = Field(sa_column=_index())
    root: bytes = Field(sa_column=_bytes())
    note: str = Field(sa_column=Column(Text, nullable=False))
    signed_at: datetime = Field(sa_column=_instant())


class TrustRow(SQLModel, table=True):
    """One published trust file with the signature line of a root key (null in version 1)."""

    __tablename__ = "trust"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (CheckConstraint("version >= 1"),)

    version: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    document: bytes = Field(sa_column=_bytes())
    signature: str | None = Field(default=None, sa_column=_text())
    published_at: datetime = Field(sa_column=_instant())


class StatementRow(SQLModel, table=True):
    """What a partner's events of one city_day come to: how many were received, and their root."""

    __tablename__ = "statement"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        CheckConstraint("count >= 0"),
        CheckConstraint("octet_length(root) = 32"),
    )

    partner_id: str = Field(sa_column=Column(Text, primary_key=True))
    day: date = Field(primary_key=True)
    count: int = Field(sa_column=Column(BigInteger, nullable=False))
    root: bytes = Field(sa_column=_bytes())
    closed_at: datetime = Field(sa_column=_instant())


class StatementPartRow(SQLModel, table=True):
    """Up to 1,024 event digests of a statement, ascending, one after another; their own root.

    `first_digest` is the least of them, by which the part of a digest is found.
    """

    __tablename__ = "statement_part"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        CheckConstraint("n >= 0"),
        CheckConstraint("octet_length(first_digest) = 32"),
        CheckConstraint(
            "octet_length(digests) BETWEEN 32 AND 32768 AND octet_length(digests) % 32 = 0"
        ),
        CheckConstraint("octet_length(root) = 32"),
    )

    partner_id: str = Field(sa_column=Column(Text, primary_key=True))
    day: date = Field(primary_key=True)
    n: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    first_digest: bytes = Field(sa_column=_bytes())
    digests: bytes = Field(sa_column=_bytes())
    root: bytes = Field(sa_column=_bytes())


class CosignatureRow(SQLModel, table=True):
    """The partner's own SM2 signature (DER) over a statement's text. The first one stands."""

    __tablename__ = "cosignature"  # pyright: ignore[reportAssignmentType]

    partner_id: str = Field(sa_column=Column(Text, primary_key=True))
    day: date = Field(primary_key=True)
    key_id: str = Field(sa_column=Column(Text, nullable=False))
    signature: bytes = Field(sa_column=_bytes())
    cosigned_at: datetime = Field(sa_column=_instant())
