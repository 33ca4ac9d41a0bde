"""events received on a day → statement → the partner's co-signature.

A day is closed once it is over: from then on its statement never changes, and what the partner
signs is what every receipt of that day leads to (formats.md §14).
"""

import asyncio
from dataclasses import dataclass
from datetime import date, timedelta

from backend import evidence, partners, views
from backend.kit.clock import Clock, city_day, day_bounds
from backend.kit.db import Database, Tx
from backend.kit.logs import log
from backend.kit.problems import Problem
from backend.kit.sm import Sm2PublicKey
from backend.proof import Cosignature, Statement, statements
from backend.views import DaySum


@dataclass(frozen=True, slots=True)
class StatedDay:
    """A closed day with what its events came to as of now, and the co-signature if there is one."""

    statement: Statement
    sums: list[DaySum]
    cosignature: Cosignature | None


async def close_day(
    db: Database, clock: Clock, city_tz: str, partner_id: str, day: date
) -> Statement:
    """The statement of a day, built and stored at the first call after the day's end.

    Raises `Problem` 409 `day-not-over`.
    """
    start, end = day_bounds(day, city_tz)
    if clock.now() < end:
        raise Problem(
            409,
            "day-not-over",
            "这一天在本市尚未结束,对账单于次日零时起提供",
            day=day.isoformat(),
            partner_id=partner_id,
        )
    async with db.transaction(readonly=True) as tx:
        closed = await statements.statement_of(tx, partner_id, day)
    if closed is not None:
        return closed
    async with db.transaction() as tx:
        await evidence.close_day(tx, partner_id, day)
        closed = await statements.statement_of(tx, partner_id, day)
        if closed is not None:
            return closed
        digests = await evidence.digests_received(tx, partner_id, start, end)
        # Two hashes an event: a large day would keep everything else waiting.
        tree = await asyncio.to_thread(statements.build_tree, digests)
        closed = await statements.add_statement(tx, partner_id, day, tree, clock.now())
    log("day_closed", partner_id=partner_id, day=day, count=closed.count, root=closed.root.hex())
    return closed


async def close_yesterday(db: Database, clock: Clock, city_tz: str) -> int:
    """Close the day that ended last for every partner that sent something; how many were closed.

    Asking closes a day too; this spares the first who asks the seconds that a large day takes.
    """
    day = city_day(clock.now(), city_tz) - timedelta(days=1)
    start, end = day_bounds(day, city_tz)
    async with db.transaction(readonly=True) as tx:
        waiting = await views.partners_to_close(tx, day, start, end)
    for partner_id in waiting:
        await close_day(db, clock, city_tz, partner_id, day)
    return len(waiting)


async def state_day(
    db: Database, clock: Clock, city_tz: str, partner_id: str, day: date
) -> StatedDay:
    """A day's statement, what its events came to, and its co-signature. Closes it if need be.

    Raises `Problem` 409 `day-not-over`.
    """
    statement = await close_day(db, clock, city_tz, partner_id, day)
    start, end = day_bounds(day, city_tz)
    async with db.transaction(isolation="repeatable_read", readonly=True) as tx:
        sums = await views.day_sums(tx, partner_id, start, end)
        return StatedDay(statement, sums, await statements.cosignature_of(tx, partner_id, day))


async def cosign_statement(
    db: Database, clock: Clock, city_tz: str, partner_id: str, day: date, signature: bytes
) -> Cosignature:
    """Keep the partner's signature (DER) over a day's statement; the first valid one stands.

    A valid signature sent again, the same or a fresh one, changes nothing and gets the one that
    stands. Raises `Problem` 409 `day-not-over`, 409 `no-statement-key` (none was valid that day),
    422 `bad-cosignature` (of another day, root or key).
    """
    statement = await close_day(db, clock, city_tz, partner_id, day)
    async with db.transaction() as tx:
        key_id = await _signer_of(tx, city_tz, statement, signature)
        now = clock.now()
        stands = await statements.add_cosignature(tx, statement, key_id, signature, now)
    log("statement_cosigned", partner_id=partner_id, day=day, key_id=stands.key_id)
    return stands


async def _signer_of(tx: Tx, city_tz: str, statement: Statement, signature: bytes) -> str:
    partner_id, day = statement.partner_id, statement.day.isoformat()
    keys = await partners.statement_keys(tx, statement.partner_id, statement.day, city_tz)
    if not keys:
        raise Problem(
            409,
            "no-statement-key",
            "该日没有有效的对账单密钥;请先登记用途为 statement 的 SM2 密钥",
            partner_id=partner_id,
            day=day,
        )
    for key in keys:
        if Sm2PublicKey(key.public_key).verify_der(signature, statement.text):
            return key.key_id
    raise Problem(
        422,
        "bad-cosignature",
        "签名与本平台的对账单不符;请核对日期、笔数、根哈希与所用的对账单密钥",
        partner_id=partner_id,
        day=day,
        count=statement.count,
        root=statement.root.hex(),
    )
