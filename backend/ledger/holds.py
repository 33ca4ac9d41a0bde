"""Spend, give back, lapse, erase: a hold sets points aside, and posts or voids exactly once.

A hold is no transfer: it moves nothing and has no leaf. It lowers what is available until it is
posted, which writes the redemption under the hold's own id, or voided, which writes nothing.
Callers hold the lock of the person (`lock_people` of the flows).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from backend.kit.db import Tx
from backend.kit.ids import new_ids
from backend.ledger import chart
from backend.ledger.journal import refund_postings, spending_postings
from backend.ledger.service import (
    Balance,
    LedgerError,
    NewTransfer,
    balance_of,
    debts_of,
    write_transfers,
)


@dataclass(frozen=True, slots=True)
class Hold:
    """Whole points of one person set aside; `state` is open, posted or voided."""

    hold_id: UUID
    citizen_id: UUID
    points_class: str
    amount: int
    state: str


@dataclass(frozen=True, slots=True)
class Spent:
    """Points that left a person by one transfer of act redeem, refund, expire or erase."""

    transfer_id: UUID
    citizen_id: UUID
    points_class: str
    amount: int


async def hold_points(
    tx: Tx, *, hold_id: UUID, citizen_id: UUID, points_class: str, amount: int, at: datetime
) -> None:
    """Set points aside under the client's own id. Raises LedgerError `points-short`.

    What has lapsed must have been expired before: held points no longer lapse.
    """
    if amount <= 0:
        raise ValueError(f"a hold is above 0: {amount}")
    available = (await balance_of(tx, citizen_id, points_class)).available
    if available < amount:
        raise LedgerError("points-short", f"{available} available, {amount} wanted")
    await tx.execute(
        """INSERT INTO hold (hold_id, citizen_id, class, amount, state, held_at)
           VALUES ($1, $2, $3, $4, 'open', $5)""",
        hold_id,
        citizen_id,
        points_class,
        amount,
        at,
    )


async def hold_of(tx: Tx, hold_id: UUID) -> Hold | None:
    """A hold by its id, or None."""
    row = await tx.fetchrow(
        """SELECT hold_id, citizen_id, class AS points_class, amount, state
           FROM hold WHERE hold_id = $1""",
        hold_id,
    )
    return None if row is None else Hold(**row)


async def has_open_hold(tx: Tx, citizen_id: UUID) -> bool:
    """Whether a redemption of this person is under way."""
    return bool(
        await tx.fetchval(
            "SELECT EXISTS (SELECT FROM hold WHERE citizen_id = $1 AND state = 'open')", citizen_id
        )
    )


async def post_hold(tx: Tx, hold_id: UUID, city_day: date, at: datetime) -> bool:
    """The held points are spent: the redemption is written under the hold's id.

    False when the hold was posted before. Raises LedgerError `hold-voided`.
    """
    hold = await _settle(tx, hold_id, "posted", at)
    if hold is None:
        return False
    end = chart.class_redeemed(hold.points_class)
    lots = dict((await balance_of(tx, hold.citizen_id, hold.points_class)).lots)
    await write_transfers(
        tx,
        [
            NewTransfer(
                hold_id,
                "redeem",
                None,
                hold.citizen_id,
                hold.points_class,
                hold.amount,
                city_day,
                spending_postings(hold.citizen_id, hold.points_class, lots, hold.amount, end),
            )
        ],
        at,
    )
    return True


async def void_hold(tx: Tx, hold_id: UUID, at: datetime) -> bool:
    """The held points are free again. False when voided before; LedgerError `hold-posted`."""
    return await _settle(tx, hold_id, "voided", at) is not None


async def _settle(tx: Tx, hold_id: UUID, state: str, at: datetime) -> Hold | None:
    row = await tx.fetchrow(
        """UPDATE hold SET state = $2, settled_at = $3 WHERE hold_id = $1 AND state = 'open'
           RETURNING hold_id, citizen_id, class AS points_class, amount, state""",
        hold_id,
        state,
        at,
    )
    if row is not None:
        return Hold(**row)
    hold = await hold_of(tx, hold_id)
    if hold is None:
        raise LedgerError("unknown-hold", f"{hold_id}")
    if hold.state != state:
        raise LedgerError(f"hold-{hold.state}", f"{hold_id}")
    return None


async def refund_redemption(
    tx: Tx, *, transfer_id: UUID, of_transfer: UUID, city_day: date, note: str, at: datetime
) -> Spent:
    """Give a redemption's points back, whole and once, to the lots they came from.

    Raises LedgerError: `unknown-transfer`, `not-a-redemption`, `already-refunded`.
    """
    row = await tx.fetchrow("SELECT * FROM transfer WHERE transfer_id = $1", of_transfer)
    if row is None:
        raise LedgerError("unknown-transfer", f"{of_transfer}")
    if row["act"] != "redeem":
        raise LedgerError("not-a-redemption", f"{of_transfer} is of act {row['act']}")
    if await tx.fetchval(
        "SELECT 1 FROM transfer WHERE of_transfer = $1 AND act = 'refund'", of_transfer
    ):
        raise LedgerError("already-refunded", f"{of_transfer}")
    citizen_id, points_class = row["citizen_id"], row["class"]
    spent = [
        (part["expiry_month"], part["amount"])
        for part in await tx.fetch(
            "SELECT expiry_month, amount FROM posting WHERE transfer_id = $1 ORDER BY n",
            of_transfer,
        )
    ]
    owner = (citizen_id, points_class)
    debt = (await debts_of(tx, {owner})).get(owner, 0)
    postings = refund_postings(*owner, spent, debt, city_day.replace(day=1))
    refund = NewTransfer(
        transfer_id,
        "refund",
        of_transfer,
        citizen_id,
        points_class,
        row["amount"],
        city_day,
        postings,
        note=note,
    )
    await write_transfers(tx, [refund], at)
    return Spent(transfer_id, citizen_id, points_class, row["amount"])


async def owners_of_lapsed(
    tx: Tx, month_before: date, after: UUID | None, limit: int
) -> list[UUID]:
    """People with open lots of months before that one, in order after `after`, up to `limit`.

    People whose lapsed lots are all held, or owed, are found too.
    """
    rows = await tx.fetch(
        """SELECT DISTINCT citizen_id FROM lot
           WHERE open > 0 AND expiry_month < $1 AND ($2::uuid IS NULL OR citizen_id > $2)
           ORDER BY citizen_id LIMIT $3""",
        month_before,
        after,
        limit,
    )
    return [row["citizen_id"] for row in rows]


async def expire_lapsed(
    tx: Tx, citizen_ids: Sequence[UUID], city_day: date, at: datetime
) -> list[Spent]:
    """Retire what of these people's lots has lapsed by a city day: one transfer for each lot.

    Points that are held are left until the redemption is decided; a debt is not made larger.
    """
    month = city_day.replace(day=1)
    rows = await tx.fetch(
        """SELECT citizen_id, class, expiry_month, open FROM lot
           WHERE citizen_id = ANY($1::uuid[]) AND open > 0 AND expiry_month < $2
           ORDER BY citizen_id, class, expiry_month""",
        list(citizen_ids),
        month,
    )
    balances: dict[tuple[UUID, str], Balance] = {}
    left: dict[tuple[UUID, str], int] = {}
    transfers: list[NewTransfer] = []
    for row, transfer_id in zip(rows, new_ids(len(rows)), strict=True):
        owner, lot = (row["citizen_id"], row["class"]), row["expiry_month"]
        if owner not in balances:
            balances[owner] = await balance_of(tx, *owner)
            left[owner] = balances[owner].available
        amount = min(balances[owner].free_lots.get(lot, 0), left[owner])
        if amount <= 0:
            continue
        left[owner] -= amount
        end = chart.class_expired(row["class"])
        postings = spending_postings(*owner, {lot: amount}, amount, end)
        transfers.append(
            NewTransfer(transfer_id, "expire", None, *owner, amount, city_day, postings)
        )
    if transfers:
        await write_transfers(tx, transfers, at)
    return [Spent(t.transfer_id, t.citizen_id, t.points_class, t.amount) for t in transfers]


async def retire_all(tx: Tx, citizen_id: UUID, city_day: date, at: datetime) -> list[Spent]:
    """Retire what a person who is to be erased still has, of every class.

    Raises LedgerError `redemption-under-way` while anything is held.
    """
    if await has_open_hold(tx, citizen_id):
        raise LedgerError("redemption-under-way", f"{citizen_id}")
    rows = await tx.fetch(
        "SELECT DISTINCT class FROM lot WHERE citizen_id = $1 AND open > 0 ORDER BY class",
        citizen_id,
    )
    transfers: list[NewTransfer] = []
    for row, transfer_id in zip(rows, new_ids(len(rows)), strict=True):
        balance = await balance_of(tx, citizen_id, row["class"])
        if balance.available <= 0:
            continue
        end = chart.class_erased(row["class"])
        lots = dict(balance.lots)
        postings = spending_postings(citizen_id, row["class"], lots, balance.available, end)
        transfers.append(
            NewTransfer(
                transfer_id,
                "erase",
                None,
                citizen_id,
                row["class"],
                balance.available,
                city_day,
                postings,
            )
        )
    if transfers:
        await write_transfers(tx, transfers, at)
    return [Spent(t.transfer_id, t.citizen_id, t.points_class, t.amount) for t in transfers]
