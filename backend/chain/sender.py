"""Exactly once: a transaction is stored with its nonce and signature before it is first sent.

`prepare` runs in the commit of the thing the transaction is for. `drive` sends what is open and
settles what is final; a time-out, "already known" or "nonce too low" mean unknown, never failed.
The same bytes are sent again and again; a new nonce is taken only when another final transaction
took ours, and a node that lags behind the others cannot make it look so. Both can be killed
anywhere and run in several processes at once. Lanes are driven side by side, each in nonce order.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from backend.chain.client import ChainClient, NodeAway, Receipt, RpcError
from backend.chain.keys import Signer, Terms, read_transaction, transaction_hash
from backend.kit.db import Database, Row, Tx
from backend.kit.ids import new_id
from backend.kit.logs import log

RESEND_AFTER_S = 10
"""How long accepted bytes may stay unmined before they are sent again."""

BELIEVE_AFTER_S = 5
"""How long a nonce must have passed without a receipt until another transaction is believed to
have taken it. Less than RESEND_AFTER_S, and longer than one of several nodes lags behind."""

_PASSED = "the nonce has passed and no receipt is found"


@dataclass(frozen=True, slots=True)
class ChainTx:
    """A stored transaction; `block`, `block_hash`, `gas_used` are known once it is settled.

    `state`: prepared, sent, final (executed), failed (final receipt of status 0), superseded.
    """

    tx_id: UUID
    lane: str
    nonce: int
    purpose: str
    ref: str
    to: str
    raw: bytes
    tx_hash: bytes
    state: str
    block: int | None = None
    block_hash: bytes | None = None
    gas_used: int | None = None
    reason: str | None = None
    sent_at: datetime | None = None


OnSettled = Callable[[Tx, ChainTx, Receipt | None], Awaitable[None]]
"""Runs in the commit that settles a transaction (final or failed): the purpose's own effects."""

OnResigned = Callable[[Tx, ChainTx, ChainTx], Awaitable[None]]
"""Runs in the commit that gives a superseded transaction its successor (old, new)."""

LandedAt = Callable[[ChainClient, ChainTx], Awaitable[int | None]]
"""Asks the contract whether the effect stands although no receipt can be found; its block."""


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a kind of transaction needs when it settles."""

    on_settled: OnSettled
    on_resigned: OnResigned | None = None
    landed_at: LandedAt | None = None
    explain: Callable[[ChainClient, ChainTx, Receipt], Awaitable[str]] | None = None


async def chain_terms(client: ChainClient) -> Terms:
    """Chain id and gas price for transactions to be prepared now. Raises NodeAway."""
    return Terms(await client.chain_id(), await client.gas_price_wei(), client.profile.eip1559)


async def prepare(
    tx: Tx,
    signer: Signer,
    terms: Terms,
    *,
    to: str,
    data: bytes,
    gas: int,
    purpose: str,
    ref: str,
    now: datetime,
    value_wei: int = 0,
) -> ChainTx:
    """Take the lane's next nonce, sign, and store the bytes; nothing is sent here.

    `ref` names what it is for among `purpose`. The lane stays locked until `tx` ends, so
    nonces leave no gap: a rolled-back preparation gives its nonce back.
    """
    nonce = await _take_nonce(tx, signer.address)
    raw = signer.sign_transaction(
        terms, nonce=nonce, gas=gas, to=to, data=data, value_wei=value_wei
    )
    stored = ChainTx(
        tx_id=new_id(),
        lane=signer.address,
        nonce=nonce,
        purpose=purpose,
        ref=ref,
        to=to,
        raw=raw,
        tx_hash=transaction_hash(raw),
        state="prepared",
    )
    await tx.execute(
        """INSERT INTO chain_tx (tx_id, lane, nonce, purpose, ref, to_address, raw, tx_hash,
                                 state, created_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'prepared', $9)""",
        stored.tx_id,
        stored.lane,
        nonce,
        purpose,
        ref,
        to,
        raw,
        stored.tx_hash,
        now,
    )
    return stored


async def _take_nonce(tx: Tx, lane: str) -> int:
    await tx.execute(
        "INSERT INTO chain_lane (lane, next_nonce) VALUES ($1, 0) ON CONFLICT (lane) DO NOTHING",
        lane,
    )
    return int(
        await tx.fetchval(
            """UPDATE chain_lane SET next_nonce = next_nonce + 1
               WHERE lane = $1 RETURNING next_nonce - 1""",
            lane,
        )
    )


async def open_transactions(tx: Tx, lanes: Sequence[str]) -> list[ChainTx]:
    """What is not settled in these lanes, in nonce order."""
    rows = await tx.fetch(
        """SELECT * FROM chain_tx WHERE lane = ANY($1::text[]) AND settled_at IS NULL
           ORDER BY lane, nonce""",
        list(lanes),
    )
    return [_from_row(row) for row in rows]


def _from_row(row: Row) -> ChainTx:
    return ChainTx(
        tx_id=row["tx_id"],
        lane=row["lane"],
        nonce=row["nonce"],
        purpose=row["purpose"],
        ref=row["ref"],
        to=row["to_address"],
        raw=row["raw"],
        tx_hash=row["tx_hash"],
        state=row["state"],
        block=row["block"],
        block_hash=row["block_hash"],
        gas_used=row["gas_used"],
        reason=row["reason"],
        sent_at=row["sent_at"],
    )


class Driver:
    """Sends and settles the open transactions of some lanes.

    Every open transaction of a lane is sent, whatever it is for, because a missing nonce
    holds up those behind it; only `purposes` are settled here, each by its own effects.
    """

    def __init__(
        self,
        db: Database,
        client: ChainClient,
        signers: Mapping[str, Signer],
        purposes: Mapping[str, Purpose],
    ) -> None:
        self._db = db
        self._client = client
        self._signers = signers
        self._purposes = purposes

    async def drive(self, now: datetime) -> int:
        """One round over all lanes; returns how many transactions were settled in it.

        Raises NodeAway when the node does not answer: nothing is lost, call again later.
        """
        rounds = (self._drive_lane(lane, now) for lane in self._signers)
        # Every lane's round ends before the first fault is told: none goes on unseen.
        results = await asyncio.gather(*rounds, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return sum(result for result in results if isinstance(result, int))

    async def settle_all(self, now: datetime, *, timeout_s: float, poll_s: float = 0.1) -> bool:
        """Drive until nothing of our purposes is open; False when the time is over first.

        `now` is the instant of the call: it moves on while this waits.
        """
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        while True:
            waited_s = loop.time() - started_s
            await self.drive(now + timedelta(seconds=waited_s))
            if not await self._ours_open():
                return True
            if waited_s > timeout_s:
                return False
            await asyncio.sleep(poll_s)

    async def _ours_open(self) -> bool:
        rows = await self._open(list(self._signers))
        return any(row.purpose in self._purposes for row in rows)

    async def _open(self, lanes: Sequence[str]) -> list[ChainTx]:
        async with self._db.transaction(readonly=True) as tx:
            return await open_transactions(tx, lanes)

    async def _drive_lane(self, lane: str, now: datetime) -> int:
        waiting = await self._open([lane])
        if not waiting:
            return 0
        settled = await self._settle_lane(lane, waiting, now)
        if settled < len(waiting):
            await self._send_lane(await self._open([lane]), now)
            # An engine that mines on arrival has receipts by now.
            settled += await self._settle_lane(lane, await self._open([lane]), now)
        return settled

    async def _settle_lane(self, lane: str, waiting: Sequence[ChainTx], now: datetime) -> int:
        if not waiting:
            return 0
        # Nonce before receipts: a receipt that is missing although the nonce had passed
        # before we asked for it will never appear.
        final_block = await self._client.final_block_number()
        passed = await self._passed_nonce(lane, final_block)
        ours = [row for row in waiting if row.purpose in self._purposes]
        receipts = await self._client.receipts(["0x" + row.tx_hash.hex() for row in ours])
        settled = 0
        for row, receipt in zip(ours, receipts, strict=True):
            if receipt is not None:
                settled += await self._settle(row, receipt, final_block, now)
            elif row.nonce < passed:
                settled += await self._settle_passed(row, final_block, now)
        return settled

    async def _passed_nonce(self, lane: str, final_block: int) -> int:
        if self._client.profile.finality == "at_commit":
            return await self._client.nonce(lane)
        return await self._client.nonce(lane, final_block) if final_block >= 0 else 0

    async def _settle(
        self, row: ChainTx, receipt: Receipt, final_block: int, now: datetime
    ) -> bool:
        if receipt.block > final_block:
            return False
        reason = None
        if not receipt.status:
            explain = self._purposes[row.purpose].explain or explain_failure
            reason = await explain(self._client, row, receipt)
        return await self._record(row, receipt, reason, now)

    async def _settle_passed(self, row: ChainTx, final_block: int, now: datetime) -> bool:
        """The nonce is used up and no receipt is ours: perhaps the effect stands all the same."""
        landed_at = self._purposes[row.purpose].landed_at
        if landed_at is not None:
            block = await landed_at(self._client, row)
            if block is not None:
                return block <= final_block and await self._record_landed(row, block, now)
        if row.reason != _PASSED or row.sent_at is None:
            # Perhaps the node that was asked for the receipt lags behind the one before.
            await self._note(row, _PASSED, now)
            return False
        if row.sent_at > now - timedelta(seconds=BELIEVE_AFTER_S):
            return False
        return await self._sign_again(row, now)

    async def _record(
        self, row: ChainTx, receipt: Receipt, reason: str | None, now: datetime
    ) -> bool:
        done = replace(
            row,
            state="final" if receipt.status else "failed",
            block=receipt.block,
            block_hash=bytes.fromhex(receipt.block_hash[2:]),
            gas_used=receipt.gas_used,
            reason=reason,
        )
        return await self._close(done, receipt, now)

    async def _record_landed(self, row: ChainTx, block: int, now: datetime) -> bool:
        found = await self._client.block(block)
        block_hash = None if found is None else bytes.fromhex(found["hash"][2:])
        done = replace(row, state="final", block=block, block_hash=block_hash)
        return await self._close(done, None, now)

    async def _close(self, done: ChainTx, receipt: Receipt | None, now: datetime) -> bool:
        async with self._db.transaction() as tx:
            if not await _mark_settled(tx, done, now):
                return False
            await self._purposes[done.purpose].on_settled(tx, done, receipt)
        log(
            "chain_tx.settled",
            tx=f"0x{done.tx_hash.hex()}",
            purpose=done.purpose,
            ref=done.ref,
            state=done.state,
            block=done.block,
            reason=done.reason,
        )
        return True

    async def _sign_again(self, row: ChainTx, now: datetime) -> bool:
        """Another final transaction took the nonce: the same content under a new one."""
        signer, content = self._signers[row.lane], read_transaction(row.raw)
        terms = await chain_terms(self._client)
        chain_nonce = await self._client.nonce(row.lane)
        async with self._db.transaction() as tx:
            gone = replace(row, state="superseded", reason="another transaction took the nonce")
            if not await _mark_settled(tx, gone, now):
                return False
            # A lane restored from an old backup would hand out passed nonces one by one.
            await tx.execute(
                "UPDATE chain_lane SET next_nonce = greatest(next_nonce, $2) WHERE lane = $1",
                row.lane,
                chain_nonce,
            )
            successor = await prepare(
                tx,
                signer,
                terms,
                to=content.to,
                data=content.data,
                gas=content.gas,
                value_wei=content.value_wei,
                purpose=row.purpose,
                ref=row.ref,
                now=now,
            )
            resigned = self._purposes[row.purpose].on_resigned
            if resigned is not None:
                await resigned(tx, gone, successor)
        log(
            "chain_tx.superseded",
            tx=f"0x{row.tx_hash.hex()}",
            purpose=row.purpose,
            ref=row.ref,
            successor=f"0x{successor.tx_hash.hex()}",
        )
        return True

    async def _send_lane(self, waiting: Sequence[ChainTx], now: datetime) -> None:
        due = [
            row
            for row in waiting
            if row.sent_at is None or row.sent_at <= now - timedelta(seconds=RESEND_AFTER_S)
        ]
        if not self._client.profile.pipelined:
            due = [row for row in due if row is waiting[0]]
        for row in due:
            await self._note(row, await self._send(row), now)

    async def _note(self, row: ChainTx, reason: str | None, now: datetime) -> None:
        """Write down that the node was asked about these bytes, and what it said against them."""
        async with self._db.transaction() as tx:
            await tx.execute(
                """UPDATE chain_tx SET state = 'sent', sent_at = $2, reason = $3
                   WHERE tx_id = $1 AND settled_at IS NULL""",
                row.tx_id,
                now,
                reason,
            )

    async def _send(self, row: ChainTx) -> str | None:
        """Hand the bytes in; what the node says against it is kept as a note, no more."""
        try:
            await self._client.send_raw(row.raw)
        except RpcError as error:
            known = ("already known", "nonce too low", "already imported", "noncecheckfail")
            if any(words in error.message.lower() for words in known):
                return None
            log(
                "chain_tx.not_accepted",
                tx=f"0x{row.tx_hash.hex()}",
                purpose=row.purpose,
                ref=row.ref,
                error=error.message,
            )
            return f"not accepted: {error.message}"
        return None


async def _mark_settled(tx: Tx, done: ChainTx, now: datetime) -> bool:
    """Whether we are the one who settles it: the other of two drivers finds it settled."""
    tag = await tx.execute(
        """UPDATE chain_tx SET state = $2, block = $3, block_hash = $4, gas_used = $5,
               reason = $6, settled_at = $7
           WHERE tx_id = $1 AND settled_at IS NULL""",
        done.tx_id,
        done.state,
        done.block,
        done.block_hash,
        done.gas_used,
        done.reason,
        now,
    )
    return tag == "UPDATE 1"


async def explain_failure(client: ChainClient, row: ChainTx, receipt: Receipt) -> str:
    """Why a mined transaction reverted, by calling it again on the block before.

    Where no old state can be read, on the newest one: the answer may then differ.
    """
    from backend.chain.contracts import explain_revert

    content = read_transaction(row.raw)
    tag = receipt.block - 1 if client.profile.historical_state else "latest"
    try:
        await client.call(content.to, content.data, tag, sender=row.lane)
    except RpcError as error:
        if error.revert_data is not None:
            return explain_revert(error.revert_data)
        return error.message
    except NodeAway:
        return "reverted"
    return "reverted; the same call succeeds on the block before"


__all__ = [
    "ChainTx",
    "Driver",
    "Purpose",
    "chain_terms",
    "explain_failure",
    "open_transactions",
    "prepare",
]
