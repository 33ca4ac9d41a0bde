"""a space's right → chain: `SpaceRegistry` follows what owners decided, one act after the other.

Nothing of ours says what the chain holds: each time the right as it stands there is compared with
the space as it stands here, and the act that is missing is sent.
"""

from datetime import datetime
from uuid import UUID

from backend.chain import (
    ChainAccess,
    ChainTx,
    Driver,
    Purpose,
    Receipt,
    Terms,
    chain_terms,
    prepare,
    spaces,
)
from backend.flows.share_space import RIGHTS_TOPIC
from backend.kit import outbox
from backend.kit.db import Database, Row, Tx
from backend.kit.logs import log
from backend.kit.sm import sm3

PURPOSE = "space-right"
AT_ONCE = 100
RETRY_S = 2


def space_digest(space_id: UUID) -> bytes:
    """A space's name on chain."""
    return sm3(b"tanhui-space-v1\n" + str(space_id).encode())


def lot_digest(lot_id: str) -> bytes:
    """A lot's name on chain."""
    return sm3(b"tanhui-lot-v1\n" + lot_id.encode())


async def register_spaces(db: Database, access: ChainAccess, now: datetime) -> int:
    """Settle what is under way, then send the next act of spaces that changed.

    Returns how many acts were sent or settled. Raises NodeAway: call again later.
    """
    signer = access.keys.anchor
    driver = Driver(
        db, access.client, {signer.address: signer}, {PURPOSE: Purpose(on_settled=_settled)}
    )
    done = await driver.drive(now)
    async with db.transaction(readonly=True) as tx:
        if not await outbox.backlog(tx, RIGHTS_TOPIC):
            return done
    terms = await chain_terms(access.client)
    sent = 0
    async with db.transaction() as tx:
        if await _under_way(tx):
            return done
        fresh: list[spaces.Space] = []
        for item in await outbox.take(tx, RIGHTS_TOPIC, AT_ONCE):
            act = await _missing_act(tx, access, UUID(item.key))
            if act is None:
                await outbox.done(tx, [item.id])
                continue
            if isinstance(act, spaces.Space):
                fresh.append(act)
            else:
                await _send(tx, access, terms, act, spaces.ACT_GAS, item.key, now)
                sent += 1
            # Looked at again once the act is final: it may have been one of several.
            await outbox.fail(tx, item.id, "an act is under way", RETRY_S)
        if fresh:
            gas = spaces.register_gas(len(fresh))
            data = spaces.register_input(fresh)
            await _send(tx, access, terms, data, gas, f"register {len(fresh)}", now)
            sent += 1
    if sent:
        done += sent + await driver.drive(now)
    return done


async def _send(
    tx: Tx, access: ChainAccess, terms: Terms, data: bytes, gas: int, ref: str, now: datetime
) -> None:
    await prepare(
        tx,
        access.keys.anchor,
        terms,
        to=access.spaces,
        data=data,
        gas=gas,
        purpose=PURPOSE,
        ref=ref,
        now=now,
    )


async def _missing_act(tx: Tx, access: ChainAccess, space_id: UUID) -> spaces.Space | bytes | None:
    """What the chain lacks: a right to register, or the input of an act; None if nothing."""
    here = await tx.fetchrow(
        """SELECT s.state, s.policy, l.lot_id, p.account FROM parking_space AS s
           JOIN parking_lot AS l USING (lot_no) JOIN party AS p ON p.party_id = s.owner_id
           WHERE s.space_id = $1""",
        space_id,
    )
    if here is None or here["policy"] is None:
        return None
    name = space_digest(space_id)
    there = spaces.read_right(await access.client.call(access.spaces, spaces.right_call(name)))
    if there is None:
        # A right begins when the space is open to others.
        return _right(name, here) if here["state"] == "offered" else None
    seq = there.seq + 1
    if there.owner != here["account"]:
        agreement = sm3(name + there.owner + here["account"])
        return spaces.hand_over_input(name, seq, there.owner, here["account"], agreement)
    if there.policy != here["policy"]:
        return spaces.set_policy_input(name, seq, here["policy"])
    suspended = there.standing == spaces.SUSPENDED
    if here["state"] == "offered" and suspended:
        return spaces.resume_input(name, seq)
    if here["state"] != "offered" and not suspended:
        return spaces.suspend_input(name, seq, sm3(f"{here['state']}\n".encode() + name))
    return None


def _right(name: bytes, here: Row) -> spaces.Space:
    return spaces.Space(
        space=name,
        owner=here["account"],
        lot=lot_digest(here["lot_id"]),
        policy=here["policy"],
    )


async def _under_way(tx: Tx) -> bool:
    return bool(
        await tx.fetchval(
            """SELECT EXISTS (SELECT FROM chain_tx WHERE purpose = $1 AND settled_at IS NULL)""",
            PURPOSE,
        )
    )


async def _settled(tx: Tx, done: ChainTx, _receipt: Receipt | None) -> None:
    del tx
    if done.state != "final":
        log("space_right_refused_by_chain", ref=done.ref, reason=done.reason)
