"""Award, reverse and read: the only code that writes the journal, balances and lots.

Callers hold the lock of every person concerned (`lock_people` of the flows), so that what is
read here about a person stands still until the transaction ends.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from backend.kit.db import Tx
from backend.ledger import chart
from backend.ledger.journal import (
    Movements,
    PointAward,
    Posting,
    award_postings,
    reversal_postings,
)

REASON = {"award": 0, "redeem": 0, "expire": 1, "reverse": 2, "erase": 3, "refund": 4}
"""The reason code of each act (formats.md §4)."""

_TRANSFER = (
    "transfer_id",
    "act",
    "reason",
    "of_transfer",
    "citizen_id",
    "class",
    "amount",
    "programme_id",
    "rule_id",
    "rule_version",
    "city_day",
    "idempotency_key",
    "body_digest",
    "note",
    "created_at",
)
_POSTING = ("transfer_id", "n", "source", "destination", "amount", "asset", "expiry_month")


class LedgerError(Exception):
    """A refused operation, which changed nothing: `name` is the kebab-case reason."""

    def __init__(self, name: str, detail: str) -> None:
        super().__init__(f"{name}: {detail}")
        self.name = name


@dataclass(frozen=True, slots=True)
class Balance:
    """What a person has of one class, in whole points, and when it lapses.

    `held` is set aside for redemptions under way. `lots` are (first day of the month at whose end
    it lapses, open points), earliest first; they sum to available + held, except that points which
    a voided hold set free while a debt stood are shown net of it, never beside it.
    """

    available: int
    held: int
    debt: int
    lots: tuple[tuple[date, int], ...]

    @property
    def free_lots(self) -> dict[date, int]:
        """The open lots without what is held, which is taken from those that lapse first."""
        held, free = self.held, dict[date, int]()
        for month, points in self.lots:
            kept = min(held, points)
            held -= kept
            if points > kept:
                free[month] = points - kept
        return free


@dataclass(frozen=True, slots=True)
class NewTransfer:
    """A transfer of one person's points and its postings, about to be written."""

    transfer_id: UUID
    act: str
    of_transfer: UUID | None
    citizen_id: UUID
    points_class: str
    amount: int
    city_day: date
    postings: Sequence[Posting]
    idempotency_key: str | None = None
    body_digest: bytes | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Reversal:
    """A counter-entry: the whole amount of the award it takes back. `repeated`: made earlier."""

    transfer_id: UUID
    of_transfer: UUID
    citizen_id: UUID
    points_class: str
    amount: int
    city_day: date
    repeated: bool


async def award_points(tx: Tx, awards: Sequence[PointAward], at: datetime) -> None:
    """Issue points, set-based. Several awards of one person apply in the order given."""
    debts = await debts_of(tx, {(a.citizen_id, a.points_class) for a in awards})
    movements = Movements()
    transfers: list[tuple[Any, ...]] = []
    postings: list[tuple[Any, ...]] = []
    for a in awards:
        owner = (a.citizen_id, a.points_class)
        debt = debts.get(owner, 0)
        if debt:
            debts[owner] = debt - min(debt, a.amount)
        transfers.append(
            (
                *(a.transfer_id, "award", 0, None, a.citizen_id, a.points_class, a.amount),
                *(a.programme_id, a.rule_id, a.rule_version, a.city_day, None, None, None, at),
            )
        )
        for n, p in enumerate(award_postings(a, debt)):
            movements.apply(a.citizen_id, a.points_class, p)
            postings.append(_posting_record(a.transfer_id, n, p))
    await tx.copy("transfer", _TRANSFER, transfers)
    await tx.copy("posting", _POSTING, postings)
    await _move(tx, movements)


async def reverse_award(
    tx: Tx,
    *,
    transfer_id: UUID,
    of_transfer: UUID,
    city_day: date,
    idempotency_key: str,
    body_digest: bytes,
    note: str,
    at: datetime,
) -> Reversal:
    """Take an award back by a counter-entry under the client's own id and key.

    The same key with the same body digest gives the first answer again. Raises LedgerError:
    `idempotency-conflict` (same key, other body), `unknown-transfer`, `not-an-award`,
    `already-reversed`. A refusal changes nothing.
    """
    earlier = await tx.fetchrow(
        "SELECT * FROM transfer WHERE idempotency_key = $1", idempotency_key
    )
    if earlier is not None:
        if earlier["body_digest"] != body_digest:
            raise LedgerError("idempotency-conflict", f"{idempotency_key} had another body")
        return _reversal(earlier)
    award = await tx.fetchrow("SELECT * FROM transfer WHERE transfer_id = $1", of_transfer)
    if award is None:
        raise LedgerError("unknown-transfer", f"{of_transfer}")
    if award["act"] != "award":
        raise LedgerError("not-an-award", f"{of_transfer} is of act {award['act']}")
    if await tx.fetchval(
        "SELECT 1 FROM transfer WHERE of_transfer = $1 AND act = 'reverse'", of_transfer
    ):
        raise LedgerError("already-reversed", f"{of_transfer}")
    citizen_id, points_class = award["citizen_id"], award["class"]
    balance = await balance_of(tx, citizen_id, points_class)
    own_lot = await tx.fetchval(
        "SELECT max(expiry_month) FROM posting WHERE transfer_id = $1", of_transfer
    )
    postings = reversal_postings(
        citizen_id, points_class, award["amount"], balance.free_lots, own_lot
    )
    reversal = NewTransfer(
        transfer_id,
        "reverse",
        of_transfer,
        citizen_id,
        points_class,
        award["amount"],
        city_day,
        postings,
        idempotency_key,
        body_digest,
        note,
    )
    await write_transfers(tx, [reversal], at)
    return Reversal(
        transfer_id,
        of_transfer,
        citizen_id,
        points_class,
        award["amount"],
        city_day,
        repeated=False,
    )


async def write_transfers(tx: Tx, transfers: Sequence[NewTransfer], at: datetime) -> None:
    """Write transfers other than awards with their postings, and move balances and lots."""
    movements = Movements()
    rows: list[tuple[Any, ...]] = []
    postings: list[tuple[Any, ...]] = []
    for t in transfers:
        rows.append(
            (
                *(t.transfer_id, t.act, REASON[t.act], t.of_transfer, t.citizen_id),
                *(t.points_class, t.amount, None, None, None, t.city_day),
                *(t.idempotency_key, t.body_digest, t.note, at),
            )
        )
        for n, posting in enumerate(t.postings):
            movements.apply(t.citizen_id, t.points_class, posting)
            postings.append(_posting_record(t.transfer_id, n, posting))
    await tx.copy("transfer", _TRANSFER, rows)
    await tx.copy("posting", _POSTING, postings)
    await _move(tx, movements)


async def balance_of(tx: Tx, citizen_id: UUID, points_class: str) -> Balance:
    """What a person has of one class; zeros before the first award."""
    account, asset = chart.citizen_points(citizen_id), chart.asset(points_class)
    row = await tx.fetchrow(
        """SELECT (SELECT input - output FROM balance WHERE account = $1 AND asset = $2) AS points,
                  (SELECT sum(amount)::bigint FROM hold
                   WHERE citizen_id = $3 AND class = $4 AND state = 'open') AS held""",
        account,
        asset,
        citizen_id,
        points_class,
    )
    points, held = (0, 0) if row is None else (row["points"] or 0, row["held"] or 0)
    debts = await debts_of(tx, {(citizen_id, points_class)})
    net = points - held - debts.get((citizen_id, points_class), 0)
    lots = await tx.fetch(
        """SELECT expiry_month, open FROM lot
           WHERE citizen_id = $1 AND class = $2 AND open > 0 ORDER BY expiry_month""",
        citizen_id,
        points_class,
    )
    return Balance(
        available=max(net, 0),
        held=held,
        debt=max(-net, 0),
        lots=tuple((row["expiry_month"], row["open"]) for row in lots),
    )


async def debts_of(tx: Tx, owners: Iterable[tuple[UUID, str]]) -> dict[tuple[UUID, str], int]:
    """What people owe by (citizen, class), in whole points; those without a debt are absent."""
    by_account: dict[str, dict[str, tuple[UUID, str]]] = {}
    for citizen_id, points_class in owners:
        accounts = by_account.setdefault(chart.asset(points_class), {})
        accounts[chart.citizen_debt(citizen_id)] = (citizen_id, points_class)
    debts: dict[tuple[UUID, str], int] = {}
    for asset, accounts in by_account.items():
        rows = await tx.fetch(
            """SELECT account, output - input AS debt FROM balance
               WHERE account = ANY($1::text[]) AND asset = $2 AND output > input""",
            list(accounts),
            asset,
        )
        debts |= {accounts[row["account"]]: row["debt"] for row in rows}
    return debts


async def owners_of(tx: Tx, transfer_ids: Iterable[UUID]) -> set[UUID]:
    """The people whose points these transfers moved; unknown transfers are nobody's."""
    rows = await tx.fetch(
        "SELECT DISTINCT citizen_id FROM transfer WHERE transfer_id = ANY($1::uuid[])",
        list(transfer_ids),
    )
    return {row["citizen_id"] for row in rows}


async def reversed_among(tx: Tx, transfer_ids: Iterable[UUID]) -> set[UUID]:
    """Those of these awards' transfers that were taken back already."""
    rows = await tx.fetch(
        """SELECT of_transfer FROM transfer
           WHERE of_transfer = ANY($1::uuid[]) AND act = 'reverse'""",
        list(transfer_ids),
    )
    return {row["of_transfer"] for row in rows}


async def _move(tx: Tx, movements: Movements) -> None:
    lots: dict[tuple[str, date], list[tuple[UUID, int]]] = {}
    for (citizen_id, points_class, month), moved in movements.lots.items():
        lots.setdefault((points_class, month), []).append((citizen_id, moved))
    for (points_class, month), moves in sorted(lots.items()):
        filled = [move for move in moves if move[1] > 0]
        taken = [move for move in moves if move[1] < 0]
        for sql, part in ((_FILL_LOTS, filled), (_TAKE_FROM_LOTS, taken)):
            if part:
                await tx.execute(
                    sql,
                    points_class,
                    month,
                    [citizen_id for citizen_id, _ in part],
                    [moved for _, moved in part],
                )
    # The last write of a flow, and sorted: the rows that all people share (class:…, programme:…)
    # come last and are locked only for the length of the commit.
    balances: dict[str, list[tuple[str, list[int]]]] = {}
    for (account, asset), moved in sorted(movements.balances.items()):
        balances.setdefault(asset, []).append((account, moved))
    for asset, moves in balances.items():
        # A row that would begin below zero cannot be proposed to an upsert, and never exists.
        less = [move for move in moves if move[1][0] < move[1][1] and move[0].endswith(":points")]
        known = {account for account, _ in less}
        more = [move for move in moves if move[0] not in known]
        for sql, part in ((_TAKE_FROM_BALANCES, less), (_FILL_BALANCES, more)):
            if part:
                await tx.execute(
                    sql,
                    asset,
                    [account for account, _ in part],
                    [moved[0] for _, moved in part],
                    [moved[1] for _, moved in part],
                )


_FILL_BALANCES = """
    INSERT INTO balance (account, asset, input, output)
    SELECT m.account, $1, m.input, m.output
    FROM unnest($2::text[], $3::bigint[], $4::bigint[]) AS m (account, input, output)
    ON CONFLICT (account, asset) DO UPDATE
    SET input = balance.input + excluded.input, output = balance.output + excluded.output"""

_TAKE_FROM_BALANCES = """
    UPDATE balance SET input = balance.input + m.input, output = balance.output + m.output
    FROM unnest($2::text[], $3::bigint[], $4::bigint[]) AS m (account, input, output)
    WHERE balance.account = m.account AND balance.asset = $1"""

_FILL_LOTS = """
    INSERT INTO lot (citizen_id, class, expiry_month, open)
    SELECT m.citizen_id, $1, $2, m.open
    FROM unnest($3::uuid[], $4::bigint[]) AS m (citizen_id, open)
    ON CONFLICT (citizen_id, class, expiry_month) DO UPDATE SET open = lot.open + excluded.open"""

_TAKE_FROM_LOTS = """
    UPDATE lot SET open = lot.open + m.open
    FROM unnest($3::uuid[], $4::bigint[]) AS m (citizen_id, open)
    WHERE lot.class = $1 AND lot.expiry_month = $2 AND lot.citizen_id = m.citizen_id"""


def _posting_record(transfer_id: UUID, n: int, p: Posting) -> tuple[Any, ...]:
    return (transfer_id, n, p.source, p.destination, p.amount, p.asset, p.expiry_month)


def _reversal(row: Any) -> Reversal:
    return Reversal(
        row["transfer_id"],
        row["of_transfer"],
        row["citizen_id"],
        row["class"],
        row["amount"],
        row["city_day"],
        repeated=True,
    )
