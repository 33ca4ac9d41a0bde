"""Money in fen through the journal of the points: postings between accounts, asset `CNY`.

A transfer's id is the id of what money moves for (an order, a settlement, a refund, a payout), so
the same thing cannot move it twice.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Literal, NamedTuple
from uuid import UUID

from backend.kit.db import Tx
from backend.ledger import chart

Act = Literal["charge", "split", "refund", "payout"]


class Flow(NamedTuple):
    """`amount` > 0 fen from one account to another."""

    source: str
    destination: str
    amount: int


class Movement(NamedTuple):
    """Money moved for one thing, whose id it has."""

    transfer_id: UUID
    act: Act
    city_day: date
    flows: tuple[Flow, ...]


async def move(tx: Tx, movements: Sequence[Movement], at: datetime) -> None:
    """Write transfers, postings and balances, set-based.

    What would take more from a `payable` or `frozen` account than it has fails as a whole.
    """
    if not movements:
        return
    await tx.copy(
        "money_transfer",
        ("transfer_id", "act", "amount", "city_day", "created_at"),
        [(m.transfer_id, m.act, sum(f.amount for f in m.flows), m.city_day, at) for m in movements],
    )
    await tx.copy(
        "posting",
        ("transfer_id", "n", "source", "destination", "amount", "asset", "expiry_month"),
        [
            (m.transfer_id, n, f.source, f.destination, f.amount, chart.MONEY, None)
            for m in movements
            for n, f in enumerate(m.flows)
        ],
    )
    await _balance(tx, (f for m in movements for f in m.flows))


async def balances(tx: Tx, accounts: Iterable[str]) -> Mapping[str, int]:
    """Input − output of each account in fen; those without a posting are absent."""
    rows = await tx.fetch(
        """SELECT account, input - output AS rest FROM balance
           WHERE account = ANY($1::text[]) AND asset = $2""",
        list(accounts),
        chart.MONEY,
    )
    return {row["account"]: row["rest"] for row in rows}


async def lock_balances(tx: Tx, accounts: Iterable[str]) -> Mapping[str, int]:
    """As `balances`, and nobody else moves them until `tx` ends."""
    rows = await tx.fetch(
        """SELECT account, input - output AS rest FROM balance
           WHERE account = ANY($1::text[]) AND asset = $2 ORDER BY account FOR UPDATE""",
        sorted(set(accounts)),
        chart.MONEY,
    )
    return {row["account"]: row["rest"] for row in rows}


async def _balance(tx: Tx, flows: Iterable[Flow]) -> None:
    moved: dict[str, list[int]] = {}
    for flow in flows:
        moved.setdefault(flow.destination, [0, 0])[0] += flow.amount
        moved.setdefault(flow.source, [0, 0])[1] += flow.amount
    # Sorted, so that two flows that meet wait for each other. A row that would begin below zero
    # cannot be proposed to an upsert, and where it may not stand there it exists already.
    less = sorted((a, *m) for a, m in moved.items() if m[0] < m[1] and _never_below_zero(a))
    more = sorted((a, *m) for a, m in moved.items() if m[0] >= m[1] or not _never_below_zero(a))
    for sql, part in ((_TAKE, less), (_FILL, more)):
        if part:
            await tx.execute(
                sql,
                chart.MONEY,
                [account for account, _, _ in part],
                [taken_in for _, taken_in, _ in part],
                [given_out for _, _, given_out in part],
            )


def _never_below_zero(account: str) -> bool:
    return account.endswith((":frozen", ":payable"))


_FILL = """
    INSERT INTO balance (account, asset, input, output)
    SELECT m.account, $1, m.input, m.output
    FROM unnest($2::text[], $3::bigint[], $4::bigint[]) AS m (account, input, output)
    ON CONFLICT (account, asset) DO UPDATE
    SET input = balance.input + excluded.input, output = balance.output + excluded.output"""

_TAKE = """
    UPDATE balance SET input = balance.input + m.input, output = balance.output + m.output
    FROM unnest($2::text[], $3::bigint[], $4::bigint[]) AS m (account, input, output)
    WHERE balance.account = m.account AND balance.asset = $1"""
