"""Table of the public door: how often an address has called lately."""

from sqlalchemy import BigInteger, Column, LargeBinary
from sqlmodel import Field, SQLModel


class RateHit(SQLModel, table=True):
    """Calls of one caller (a hash of the address) in one second; unlogged, kept for minutes."""

    __tablename__ = "rate_hit"  # pyright: ignore[reportAssignmentType]
    __table_args__ = {"prefixes": ["UNLOGGED"]}

    caller: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    second: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    calls: int
