"""Ledger: who holds what, as postings between accounts, with lots that lapse by month.

`money` moves fen through the same journal.
"""

from backend.ledger import chart, money
from backend.ledger.holds import (
    Spent,
    expire_lapsed,
    has_open_hold,
    hold_points,
    owners_of_lapsed,
    post_hold,
    refund_redemption,
    retire_all,
    void_hold,
)
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
    "Spent",
    "award_points",
    "balance_of",
    "chart",
    "debts_of",
    "expire_lapsed",
    "expiry_month_of",
    "has_open_hold",
    "hold_points",
    "money",
    "owners_of",
    "owners_of_lapsed",
    "post_hold",
    "refund_redemption",
    "replay",
    "retire_all",
    "reverse_award",
    "reversed_among",
    "void_hold",
]
