"""a day's paid charges → shares → postings → a statement for each party.

One transaction for each lot and day. A day is divided once it is over; what is paid later for that
day makes a further part of it, so that a statement never changes.
"""

from collections.abc import Sequence
from datetime import date, datetime
from uuid import UUID

from backend import proof
from backend.flows.park_stay import lock_lot
from backend.kit.clock import Clock, city_day
from backend.kit.db import Database
from backend.kit.logs import log
from backend.kit.problems import Problem
from backend.kit.sm import sm3
from backend.ledger import chart, money
from backend.parking import Lot, assets, split, terms
from backend.payments import settling


async def settle_waiting(db: Database, clock: Clock, city_tz: str, limit: int = 200) -> int:
    """Divide every lot's days that are over; how many statements' days were closed."""
    today = city_day(clock.now(), city_tz)
    async with db.transaction(readonly=True) as tx:
        waiting = await settling.waiting_days(tx, today, limit)
    for lot_no, day in waiting:
        await settle_day(db, lot_no, day, clock.now())
    return len(waiting)


async def settle_day(
    db: Database, lot_no: int, day: date, now: datetime
) -> settling.DayPart | None:
    """Divide what waits of a lot's day; None if nothing does.

    Raises Problem 409 `no-contract`.
    """
    async with db.transaction() as tx:
        await lock_lot(tx, lot_no)
        lot = (await assets.lots(tx, [lot_no]))[lot_no]
        contract = await terms.contract_on(tx, lot_no, day)
        if contract is None:
            raise Problem(409, "no-contract", "该停车场当日没有生效的分账合同。", lot_id=lot.lot_id)
        part = await settling.next_part(tx, lot_no, day)
        order_count, charged_fen = await settling.divide(
            tx, lot_no, day, part, shares_of(contract), contract.without_space
        )
        refunded_fen = await settling.take_back(tx, lot_no, day, part)
        sums = await settling.sum_up(tx, lot.lot_id, lot_no, day, part, root_of)
        if not sums:
            return None
        closed = settling.DayPart(
            lot_no, day, part, order_count, charged_fen, refunded_fen, tuple(sums)
        )
        _must_add_up(closed)
        await settling.close_part(tx, closed, contract.merchant_id, now)
        await money.move(tx, _shared(lot, contract, closed), now)
    log(
        "parking_settled",
        lot_id=lot.lot_id,
        day=day,
        part=part,
        orders=order_count,
        charged_fen=charged_fen,
        refunded_fen=refunded_fen,
    )
    return closed


def root_of(leaves: list[bytes]) -> bytes:
    """The root over a statement's leaf hashes (formats.md §4)."""
    return proof.merkle.append(0, {}, leaves).root


def shares_of(contract: split.SplitContract) -> list[settling.Share]:
    """A contract's shares as the division wants them."""
    return [
        settling.Share(
            version=contract.version,
            n=n,
            party_id=None if share.party_id == split.SPACE_OWNER else share.party_id,
            share_bp=share.share_bp,
            merchant=share.party_id == contract.merchant_id,
        )
        for n, share in enumerate(contract.shares)
    ]


def settlement_transfer(lot_id: str, day: date, part: int) -> UUID:
    """The id under which a settlement moves money: the same on every run."""
    text = f"tanhui-settlement-v1\n{lot_id}\n{day}\n{part}\n"
    return UUID(bytes=sm3(text.encode())[:16])


class DoesNotAddUp(RuntimeError):
    """Parts that are not their whole: nothing of the settlement is kept."""


def _must_add_up(closed: settling.DayPart) -> None:
    """Σ lines = charges − refunds, held before anything is kept."""
    whole_fen = sum(each.total_fen for each in closed.parties)
    shared_fen = sum(each.share_fen for each in closed.parties)
    if (whole_fen, shared_fen) != (closed.charged_fen - closed.refunded_fen, closed.charged_fen):
        raise DoesNotAddUp(f"lot {closed.lot_no}, {closed.day}: {whole_fen}, {shared_fen} fen")


def _shared(
    lot: Lot, contract: split.SplitContract, closed: settling.DayPart
) -> Sequence[money.Movement]:
    """Frozen money goes to the parties: paid at once where the rail splits, else at the payout.

    Refunds moved their money when they were made.
    """
    frozen = chart.rail_frozen(contract.rail)
    via = {share.party_id: share.via for share in contract.shares}
    owners_via = via.get(split.SPACE_OWNER, "payout")
    flows = tuple(
        money.Flow(frozen, _account(each, via.get(each.party_id, owners_via)), each.share_fen)
        for each in closed.parties
        if each.share_fen > 0
    )
    if not flows:
        return []
    transfer_id = settlement_transfer(lot.lot_id, closed.day, closed.part)
    return [money.Movement(transfer_id, "split", closed.day, flows)]


def _account(each: settling.PartySum, via: str) -> str:
    if via == "payout":
        return chart.party_payable(each.party_id)
    return chart.party_paid(each.party_id)
