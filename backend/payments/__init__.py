"""Payments 支付与清分: orders, a rail's notices, dividing a day, statements, refunds, files.

`sandbox` is the rail of a demo; `linter` says whether a rail can execute a contract. Amounts are
fen. The room knows parties and lots by their ids only.
"""

from backend.payments import comparing, linter, notices, orders, sandbox, settling, statement
from backend.payments.orders import Order, OrderDraft
from backend.payments.rail import WECHAT_LIKE, Rail, RailLimits, RailRefused, Receiver, limits_of
from backend.payments.sandbox import SandboxRail

__all__ = [
    "WECHAT_LIKE",
    "Order",
    "OrderDraft",
    "Rail",
    "RailLimits",
    "RailRefused",
    "Receiver",
    "SandboxRail",
    "comparing",
    "limits_of",
    "linter",
    "notices",
    "orders",
    "sandbox",
    "settling",
    "statement",
]
