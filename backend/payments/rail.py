"""The port to a payment rail: what it can do, within which limits, and what it refuses."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol
from uuid import UUID

from backend.kit.db import Tx


@dataclass(frozen=True, slots=True)
class RailLimits:
    """What a rail allows for one payment.

    `split_bp_max`: the most that all receivers together may be split, in basis points of the
    payment; `wait_s`: before the first split; `freeze_days`: then the rest goes to the merchant.
    """

    split_bp_max: int
    receivers_max: int
    requests_max: int
    wait_s: int
    freeze_days: int
    refund_days: int


WECHAT_LIKE = RailLimits(
    split_bp_max=3_000,
    receivers_max=50,
    requests_max=50,
    wait_s=60,
    freeze_days=30,
    refund_days=365,
)
"""As read of WeChat's and Alipay's split products: 30 % by default, 50 × 50, a minute, 30 days."""


_LIMITS = {"rail.sandbox": WECHAT_LIKE}


def limits_of(rail_id: str) -> RailLimits | None:
    """What a rail allows; None for one that is not connected."""
    return _LIMITS.get(rail_id)


class Receiver(NamedTuple):
    """Who gets how much of a split; only a merchant's account can be asked to give it back."""

    party_id: str
    amount_fen: int
    merchant: bool


class SplitResult(NamedTuple):
    """A receiver and whether it has the money; what failed stays with the payer of the split."""

    party_id: str
    amount_fen: int
    done: bool


class RailCharge(NamedTuple):
    """What the rail knows of a payment."""

    order_ref: UUID
    rail_ref: str
    amount_fen: int
    frozen_fen: int
    refunded_fen: int
    paid_at: datetime


class RailRefused(Exception):
    """The rail said no, and nothing changed there: `name` is the kebab-case reason.

    `too-early`, `too-late`, `split-too-large`, `too-many-receivers`, `too-many-requests`,
    `frozen-exceeded`, `unknown-charge`, `refund-exceeds-payment`, `not-returnable`.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class Rail(Protocol):
    """A payment rail. Every act names our own number, and the same act again changes nothing."""

    @property
    def rail_id(self) -> str:
        """Its id among partners: notices come signed with that partner's key."""
        ...

    @property
    def limits(self) -> RailLimits:
        """What it allows."""
        ...

    async def query(self, tx: Tx, order_ref: UUID) -> RailCharge | None:
        """What became of an order; None if nobody paid. The cure for a notice that was lost."""
        ...

    async def split(
        self, tx: Tx, order_ref: UUID, request_no: int, receivers: list[Receiver], now: datetime
    ) -> list[SplitResult]:
        """Send parts of a frozen payment to receivers; each succeeds or fails by itself."""
        ...

    async def give_back(self, tx: Tx, order_ref: UUID, party_id: str) -> int:
        """Take a split back from a merchant's account; the fen that are frozen again."""
        ...

    async def refund(self, tx: Tx, order_ref: UUID, amount_fen: int, now: datetime) -> None:
        """Give money back to the payer."""
        ...
