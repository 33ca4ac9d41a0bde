"""Ledger: who holds what, as postings between accounts, with lots that lapse by month."""

from backend.ledger import chart
from backend.ledger.journal import PointAward, expiry_month_of
from backend.ledger.replay import replay
from backend.ledger.service import (
    Balance,
    LedgerError,
    Reversal,
    award_points,
    balance_of,
    debts_of,
    owners_of,
    reverse_award,
    reversed_among,
)

__all__ = [
    "Balance",
    "LedgerError",
    "PointAward",
    "Reversal",
    "award_points",
    "balance_of",
    "chart",
    "debts_of",
    "expiry_month_of",
    "owners_of",
    "replay",
    "reverse_award",
    "reversed_among",
]
