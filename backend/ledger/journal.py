"""Postings of a transfer and what they do to balances and lots: pure, one function for each act.

A posting that moves a person's spendable points names the lot it fills or takes from, so that
balances and lots both follow from the journal alone, whatever order it is read in.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

from backend.ledger import chart


class Posting(NamedTuple):
    """`amount` > 0 whole points from one account to another; `expiry_month` is the lot moved."""

    source: str
    destination: str
    amount: int
    asset: str
    expiry_month: date | None


class PointAward(NamedTuple):
    """Points to be issued to a person: the transfer's id is made by the caller."""

    transfer_id: UUID
    citizen_id: UUID
    points_class: str
    amount: int
    programme_id: str
    rule_id: str
    rule_version: int
    city_day: date
    expiry_month: date


@dataclass(slots=True)
class Movements:
    """What a set of postings adds to balances (input, output) and to lots (open)."""

    balances: dict[tuple[str, str], list[int]] = field(
        default_factory=dict[tuple[str, str], list[int]]
    )
    lots: dict[tuple[UUID, str, date], int] = field(
        default_factory=dict[tuple[UUID, str, date], int]
    )

    def apply(self, citizen_id: UUID, points_class: str, posting: Posting) -> None:
        """Count one posting of a transfer of this citizen and class."""
        balances, amount = self.balances, posting.amount
        balances.setdefault((posting.source, posting.asset), [0, 0])[1] += amount
        balances.setdefault((posting.destination, posting.asset), [0, 0])[0] += amount
        if posting.expiry_month is not None:
            lot = (citizen_id, points_class, posting.expiry_month)
            filled = posting.destination.startswith("citizen:")
            self.lots[lot] = self.lots.get(lot, 0) + (amount if filled else -amount)


@lru_cache(maxsize=4096)
def expiry_month_of(city_day: date, months: int) -> date:
    """The month whose end is the end of points earned on `city_day`, as its first day."""
    index = city_day.year * 12 + city_day.month - 1 + months
    return date(index // 12, index % 12 + 1, 1)


def award_postings(award: PointAward, debt: int) -> list[Posting]:
    """Issue points; what the person owes is repaid first, the rest fills the lot."""
    if award.amount <= 0 or debt < 0:
        raise ValueError(f"an award is above 0 and a debt not below: {award.amount}, {debt}")
    issued, asset = chart.programme_issued(award.programme_id), chart.asset(award.points_class)
    repaid = min(award.amount, debt)
    postings: list[Posting] = []
    if repaid:
        owed = chart.citizen_debt(award.citizen_id)
        postings.append(Posting(issued, owed, repaid, asset, None))
    if award.amount > repaid:
        points = chart.citizen_points(award.citizen_id)
        rest = award.amount - repaid
        postings.append(Posting(issued, points, rest, asset, award.expiry_month))
    return postings


def reversal_postings(
    citizen_id: UUID,
    points_class: str,
    amount: int,
    lots: Mapping[date, int],
    first_lot: date | None,
) -> list[Posting]:
    """Take points back: from the award's own lot, then from the lots that lapse first.

    What the lots do not hold becomes a debt, which later awards repay.
    """
    points, taken = chart.citizen_points(citizen_id), chart.class_reversed(points_class)
    asset = chart.asset(points_class)
    order = sorted(lots, key=lambda month: (month != first_lot, month))
    postings: list[Posting] = []
    rest = amount
    for month in order:
        part = min(rest, lots[month])
        if part > 0:
            postings.append(Posting(points, taken, part, asset, month))
            rest -= part
    if rest > 0:
        owed = chart.citizen_debt(citizen_id)
        postings.append(Posting(owed, taken, rest, asset, None))
    return postings


def spending_postings(
    citizen_id: UUID, points_class: str, lots: Mapping[date, int], amount: int, end: str
) -> list[Posting]:
    """Points leave a person for the class account `end`, from the lots that lapse first.

    Raises ValueError when the lots do not hold the amount: the caller has checked that.
    """
    points, asset = chart.citizen_points(citizen_id), chart.asset(points_class)
    postings: list[Posting] = []
    rest = amount
    for month in sorted(lots):
        part = min(rest, lots[month])
        if part > 0:
            postings.append(Posting(points, end, part, asset, month))
            rest -= part
    if rest or amount <= 0:
        raise ValueError(f"lots of {sum(lots.values())} points do not give {amount}")
    return postings


def refund_postings(
    citizen_id: UUID,
    points_class: str,
    spent: Sequence[tuple[date, int]],
    debt: int,
    month_min: date,
) -> list[Posting]:
    """Spent points come back: a debt is repaid first, the rest returns to the lots it left.

    `spent` are the (lot, points) of the redemption. A lot that has lapsed meanwhile gives way to
    `month_min`, so that what is given back can still be spent.
    """
    source, asset = chart.class_redeemed(points_class), chart.asset(points_class)
    points, owed = chart.citizen_points(citizen_id), chart.citizen_debt(citizen_id)
    postings: list[Posting] = []
    for month, amount in spent:
        repaid = min(debt, amount)
        if repaid:
            postings.append(Posting(source, owed, repaid, asset, None))
            debt -= repaid
        if amount > repaid:
            lot = max(month, month_min)
            postings.append(Posting(source, points, amount - repaid, asset, lot))
    return postings
