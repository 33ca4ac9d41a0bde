"""T+1: what parties are due is sent on the next banking day, what they owe is kept back."""

import csv
import io
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from backend.kit.db import Database, Tx
from backend.kit.logs import log
from backend.kit.problems import Problem
from backend.kit.sm import sm3
from backend.ledger import chart, money
from backend.parking import Calendar

PAYOUT_LOCK = 0x7061_796F_7574
"""Advisory lock ("payout" in ASCII)."""


@dataclass(frozen=True, slots=True)
class Payout:
    """What a party is sent on a day: its payable money less what it repaid of a debt."""

    payout_id: UUID
    party_id: str
    amount_fen: int
    repaid_fen: int


async def pay_out(db: Database, calendar: Calendar, day: date, now: datetime) -> list[Payout]:
    """Send every party what it is due; once a banking day, again gives the same list.

    Raises Problem 409 `not-a-banking-day`.
    """
    if not calendar.is_banking_day(day):
        following = calendar.next_banking_day(day)
        raise Problem(
            409, "not-a-banking-day", f"{day} 不是银行工作日,下一个付款日是 {following}。"
        )
    async with db.transaction() as tx:
        await tx.lock(PAYOUT_LOCK)
        stands = await payouts_of(tx, day)
        if stands:
            return stands
        due = await _due(tx)
        made: list[Payout] = []
        movements: list[money.Movement] = []
        for party_id, (payable_fen, debt_fen) in sorted(due.items()):
            repaid_fen = min(payable_fen, debt_fen)
            payout_id = UUID(bytes=sm3(f"tanhui-payout-v1\n{party_id}\n{day}\n".encode())[:16])
            each = Payout(payout_id, party_id, payable_fen - repaid_fen, repaid_fen)
            payable = chart.party_payable(party_id)
            flows = (
                money.Flow(payable, chart.party_debt(party_id), repaid_fen),
                money.Flow(payable, chart.party_paid(party_id), each.amount_fen),
            )
            made.append(each)
            movements.append(
                money.Movement(payout_id, "payout", day, tuple(f for f in flows if f.amount))
            )
        await tx.copy(
            "payout",
            ("payout_id", "party_id", "day", "amount_fen", "repaid_fen", "made_at"),
            [(p.payout_id, p.party_id, day, p.amount_fen, p.repaid_fen, now) for p in made],
        )
        await money.move(tx, movements, now)
    log("paid_out", day=day, parties=len(made), amount_fen=sum(p.amount_fen for p in made))
    return made


async def payouts_of(tx: Tx, day: date) -> list[Payout]:
    """What was sent on a day, in the order of parties."""
    rows = await tx.fetch(
        """SELECT payout_id, party_id, amount_fen, repaid_fen FROM payout
           WHERE day = $1 ORDER BY party_id""",
        day,
    )
    return [Payout(**dict(row)) for row in rows]


async def _due(tx: Tx) -> dict[str, tuple[int, int]]:
    """(payable, debt) in fen of every party that is due something; the balances are held."""
    rows = await tx.fetch("SELECT party_id FROM party ORDER BY party_id")
    ids = [row["party_id"] for row in rows]
    rests = await money.lock_balances(
        tx, [name(p) for p in ids for name in (chart.party_payable, chart.party_debt)]
    )
    due: dict[str, tuple[int, int]] = {}
    for party_id in ids:
        payable_fen = rests.get(chart.party_payable(party_id), 0)
        if payable_fen > 0:
            due[party_id] = (payable_fen, max(0, -rests.get(chart.party_debt(party_id), 0)))
    return due


def payout_file(day: date, payouts: list[Payout]) -> bytes:
    """The file a bank takes: one line a party, amounts in fen, and a last line with the total."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("payout_id", "party_id", "day", "amount_fen", "repaid_fen"))
    for each in payouts:
        if each.amount_fen:
            writer.writerow((each.payout_id, each.party_id, day, each.amount_fen, each.repaid_fen))
    writer.writerow(("total", "", day, sum(p.amount_fen for p in payouts), ""))
    return text.getvalue().encode()
