"""Tables of the chain room, declared so that `alembic check` compares them with the migrations."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Text,
    UniqueConstraint,
    text,
)
from sqlmodel import Field, SQLModel


class ChainLane(SQLModel, table=True):
    """One sending key: its address and the nonce its next transaction takes."""

    __tablename__ = "chain_lane"  # pyright: ignore[reportAssignmentType]

    lane: str = Field(sa_column=Column(Text, primary_key=True))
    next_nonce: int = Field(sa_column=Column(BigInteger, nullable=False))


class ChainTx(SQLModel, table=True):
    """A signed transaction, stored before it is first sent; its bytes never change.

    `final` and `failed`: a final receipt of status 1 or 0. `superseded`: another final
    transaction took the nonce, so these bytes can never be mined.
    """

    __tablename__ = "chain_tx"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        UniqueConstraint("tx_hash", name="chain_tx_tx_hash_key"),
        UniqueConstraint("lane", "nonce", name="chain_tx_lane_nonce_key"),
        Index("chain_tx_open_idx", "lane", "nonce", postgresql_where=text("settled_at IS NULL")),
        Index("chain_tx_purpose_ref_idx", "purpose", "ref"),
    )

    tx_id: UUID = Field(primary_key=True)
    lane: str = Field(sa_column=Column(Text, ForeignKey("chain_lane.lane"), nullable=False))
    nonce: int = Field(sa_column=Column(BigInteger, nullable=False))
    purpose: str = Field(sa_column=Column(Text, nullable=False))
    ref: str = Field(sa_column=Column(Text, nullable=False))
    to_address: str = Field(sa_column=Column(Text, nullable=False))
    raw: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    tx_hash: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    state: str = Field(sa_column=Column(Text, nullable=False))
    block: int | None = Field(default=None, sa_column=Column(BigInteger))
    block_hash: bytes | None = Field(default=None, sa_column=Column(LargeBinary))
    gas_used: int | None = Field(default=None, sa_column=Column(BigInteger))
    reason: str | None = Field(default=None, sa_column=Column(Text))
    created_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    sent_at: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True)))
    settled_at: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True)))


class PostCut(SQLModel, table=True):
    """A range of leaves whose sums go to the accounts together; at most one is open."""

    __tablename__ = "post_cut"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        UniqueConstraint("leaf_to", name="post_cut_leaf_to_key"),
        Index(
            "post_cut_one_open_idx",
            text("(settled_at IS NULL)"),
            unique=True,
            postgresql_where=text("settled_at IS NULL"),
        ),
    )

    leaf_from: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    leaf_to: int = Field(sa_column=Column(BigInteger, nullable=False))
    cut_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    settled_at: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True)))


class ChainBatch(SQLModel, table=True):
    """One batch of formats.md §7: header, days and records as they are posted.

    `recut`: refused, and its leaves lie in smaller batches since.
    """

    __tablename__ = "chain_batch"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        Index("chain_batch_leaf_from_idx", "leaf_from", "leaf_to"),
        Index("chain_batch_open_idx", "state", postgresql_where=text("state <> 'final'")),
    )

    batch_id: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    leaf_from: int = Field(sa_column=Column(BigInteger, nullable=False))
    leaf_to: int = Field(sa_column=Column(BigInteger, nullable=False))
    kind: int = Field(sa_column=Column(SmallInteger, nullable=False))
    class_: str = Field(sa_column=Column("class", Text, nullable=False))
    programme: str = Field(sa_column=Column(Text, nullable=False))
    rule: str = Field(sa_column=Column(Text, nullable=False))
    rule_version: int = Field(sa_column=Column(Integer, nullable=False))
    reason: int = Field(sa_column=Column(SmallInteger, nullable=False))
    account_from: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    account_to: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    day_from: int = Field(sa_column=Column(Integer, nullable=False))
    day_to: int = Field(sa_column=Column(Integer, nullable=False))
    records: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    account_count: int = Field(sa_column=Column(Integer, nullable=False))
    total: int = Field(sa_column=Column(BigInteger, nullable=False))
    state: str = Field(sa_column=Column(Text, nullable=False))
    tx_id: UUID = Field(foreign_key="chain_tx.tx_id")
    refused_reason: str | None = Field(default=None, sa_column=Column(Text))
    created_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    settled_at: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True)))


class Anchor(SQLModel, table=True):
    """A checkpoint sent to `EvidenceAnchor`; leaves below a final one are confirmed."""

    __tablename__ = "anchor"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        Index("anchor_final_idx", "size", postgresql_where=text("final_at IS NOT NULL")),
    )

    size: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    root: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    tx_id: UUID = Field(foreign_key="chain_tx.tx_id")
    tx_hash: bytes | None = Field(default=None, sa_column=Column(LargeBinary))
    block: int | None = Field(default=None, sa_column=Column(BigInteger))
    block_hash: bytes | None = Field(default=None, sa_column=Column(LargeBinary))
    created_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    final_at: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True)))


class Deployment(SQLModel, table=True):
    """Where a contract's proxy stands and the code hashes that trust.json pins."""

    __tablename__ = "deployment"  # pyright: ignore[reportAssignmentType]

    name: str = Field(sa_column=Column(Text, primary_key=True))
    address: str = Field(sa_column=Column(Text, nullable=False))
    proxy_code_hash: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    implementation_code_hash: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    implementation_address: str = Field(sa_column=Column(Text, nullable=False))
    block: int = Field(sa_column=Column(BigInteger, nullable=False))
    block_hash: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    chain_id: int = Field(sa_column=Column(BigInteger, nullable=False))


class Implementation(SQLModel, table=True):
    """The code that an upgrade put behind a contract's proxy, from its block on."""

    __tablename__ = "implementation"  # pyright: ignore[reportAssignmentType]

    name: str = Field(sa_column=Column(Text, ForeignKey("deployment.name"), primary_key=True))
    block: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    address: str = Field(sa_column=Column(Text, nullable=False))
    code_hash: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
