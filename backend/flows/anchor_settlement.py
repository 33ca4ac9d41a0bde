"""a closed settlement → chain: every party's net and root go to `ParkingSettlement`.

The merchant of record took the money in, so its net is what it owes the others: the nets of a
settlement sum to zero, and the contract refuses one that does not.
"""

from collections.abc import Sequence
from datetime import date, datetime

from backend.chain import (
    ChainAccess,
    ChainTx,
    Driver,
    Purpose,
    Receipt,
    chain_terms,
    contracts,
    prepare,
    settlements,
)
from backend.kit.clock import day_number
from backend.kit.db import Database, Row, Tx
from backend.kit.logs import log

PURPOSE = "parking"
SETTLE_LOCK = 0x7061_726B
"""Advisory lock ("park" in ASCII): two processes never prepare the same settlement."""

AT_ONCE = 20


async def anchor_settlements(db: Database, access: ChainAccess, now: datetime) -> int:
    """Settle what is under way, then send further closed settlements, oldest first.

    Returns how many were prepared or settled. Raises NodeAway: call again later.
    """
    driver = _driver(db, access)
    done = await driver.drive(now)
    prepared = await _prepare(db, access, now)
    if prepared:
        done += prepared + await driver.drive(now)
    return done


def _driver(db: Database, access: ChainAccess) -> Driver:
    signer = access.keys.anchor
    purpose = Purpose(on_settled=_settled, on_resigned=_resigned)
    return Driver(db, access.client, {signer.address: signer}, {PURPOSE: purpose})


async def _prepare(db: Database, access: ChainAccess, now: datetime) -> int:
    async with db.transaction(readonly=True) as tx:
        if not await _waiting(tx, 1):
            return 0
    terms = await chain_terms(access.client)
    async with db.transaction() as tx:
        await tx.lock(SETTLE_LOCK)
        waiting = await _waiting(tx, AT_ONCE)
        for row in waiting:
            records = await _records(tx, row)
            stored = await prepare(
                tx,
                access.keys.anchor,
                terms,
                to=access.settlements,
                data=settlements.settle_input(
                    head_of(row["lot_id"], row["day"], row["part"]), records
                ),
                gas=settlements.settle_gas(len(records) // settlements.RECORD_BYTES),
                purpose=PURPOSE,
                ref=f"{row['lot_no']}/{row['day']}/{row['part']}",
                now=now,
            )
            await _set_tx(tx, row["lot_no"], row["day"], row["part"], stored)
    return len(waiting)


def head_of(lot_id: str, day: date, part: int) -> settlements.SettlementHead:
    """How a settlement is named on chain: its lot, its day and its part."""
    return settlements.SettlementHead(
        scope=contracts.chain_id_text(lot_id), day=day_number(day), part=part
    )


async def _waiting(tx: Tx, limit: int) -> Sequence[Row]:
    """Closed settlements without a transaction under way; one that failed is tried again."""
    return await tx.fetch(
        """SELECT s.lot_no, l.lot_id, s.day, s.part, s.merchant_id FROM settlement AS s
           JOIN parking_lot AS l USING (lot_no) LEFT JOIN chain_tx AS t USING (tx_id)
           WHERE s.final_at IS NULL AND (s.tx_id IS NULL OR t.state = 'failed')
           ORDER BY s.closed_at, s.lot_no, s.day, s.part LIMIT $1""",
        limit,
    )


async def _records(tx: Tx, settlement: Row) -> bytes:
    rows = await tx.fetch(
        """SELECT s.party_id, s.count, s.total_fen, s.root, p.account
           FROM party_statement AS s JOIN party AS p USING (party_id)
           WHERE s.lot_no = $1 AND s.day = $2 AND s.part = $3""",
        settlement["lot_no"],
        settlement["day"],
        settlement["part"],
    )
    others_fen = sum(r["total_fen"] for r in rows if r["party_id"] != settlement["merchant_id"])
    return settlements.make_statements(
        [
            settlements.PartyStatement(
                party=row["account"],
                line_count=row["count"],
                net_fen=-others_fen
                if row["party_id"] == settlement["merchant_id"]
                else row["total_fen"],
                root=row["root"],
            )
            for row in rows
        ]
    )


async def _set_tx(tx: Tx, lot_no: int, day: date, part: int, stored: ChainTx) -> None:
    await tx.execute(
        "UPDATE settlement SET tx_id = $4 WHERE lot_no = $1 AND day = $2 AND part = $3",
        lot_no,
        day,
        part,
        stored.tx_id,
    )


async def _settled(tx: Tx, done: ChainTx, _receipt: Receipt | None) -> None:
    lot_no, day, part = _ref(done)
    if done.state != "final":
        log("settlement_refused_by_chain", ref=done.ref, reason=done.reason)
        return
    await tx.execute(
        """UPDATE settlement SET tx_hash = $4, block = $5,
               final_at = (SELECT settled_at FROM chain_tx WHERE tx_id = $6)
           WHERE lot_no = $1 AND day = $2 AND part = $3 AND final_at IS NULL""",
        lot_no,
        day,
        part,
        done.tx_hash,
        done.block,
        done.tx_id,
    )


async def _resigned(tx: Tx, old: ChainTx, new: ChainTx) -> None:
    await _set_tx(tx, *_ref(old), new)


def _ref(row: ChainTx) -> tuple[int, date, int]:
    lot_no, day, part = row.ref.split("/")
    return int(lot_no), date.fromisoformat(day), int(part)
