"""The sandbox rail: behaves like a parking payment with profit sharing, faults included.

It keeps its own books (`sandbox_*`), tells us only by notices, and refuses what WeChat's and
Alipay's products refuse. Nobody pays here with money, so production does not start with it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import msgspec

from backend.kit.clock import to_text
from backend.kit.db import Tx
from backend.kit.sm import sm3
from backend.payments.notices import Notice
from backend.payments.rail import (
    WECHAT_LIKE,
    RailCharge,
    RailLimits,
    RailRefused,
    Receiver,
    SplitResult,
)

RAIL_ID = "rail.sandbox"


class Paying(NamedTuple):
    """A payer's act at the rail: how late its notice comes and how often (0: it is lost)."""

    order_ref: UUID
    amount_fen: int
    paid_at: datetime
    delay: timedelta = timedelta(0)
    copies: int = 1


class DueNotice(NamedTuple):
    """A notice the rail sends now."""

    notice_id: str
    body: bytes


@dataclass(frozen=True, slots=True)
class SandboxRail:
    """The rail. `failing` are receivers whose account it cannot reach (partial failure)."""

    rail_id: str = RAIL_ID
    limits: RailLimits = WECHAT_LIKE
    failing: frozenset[str] = frozenset()

    async def pay(self, tx: Tx, payings: Sequence[Paying]) -> None:
        """Payers pay; paying the same order again changes nothing."""
        refs = [rail_ref_of(each.order_ref) for each in payings]
        await tx.execute(
            """INSERT INTO sandbox_charge (order_ref, rail_ref, amount_fen, frozen_fen, paid_at)
               SELECT o, r, a, a, p FROM unnest($1::uuid[], $2::text[], $3::bigint[],
                   $4::timestamptz[]) AS n (o, r, a, p) ON CONFLICT (order_ref) DO NOTHING""",
            [each.order_ref for each in payings],
            refs,
            [each.amount_fen for each in payings],
            [each.paid_at for each in payings],
        )
        told = [(each, ref) for each, ref in zip(payings, refs, strict=True) if each.copies]
        await tx.execute(
            """INSERT INTO sandbox_notice (notice_id, order_ref, body, due_at, copies)
               SELECT * FROM unnest($1::text[], $2::uuid[], $3::bytea[], $4::timestamptz[],
                   $5::int[]) ON CONFLICT (notice_id) DO NOTHING""",
            [f"n-{ref}" for _, ref in told],
            [each.order_ref for each, _ in told],
            [_notice_body(each, ref) for each, ref in told],
            [each.paid_at + each.delay for each, _ in told],
            [each.copies for each, _ in told],
        )

    async def due_notices(self, tx: Tx, now: datetime, limit: int = 1_000) -> list[DueNotice]:
        """Notices that go out now; one with several copies comes again at the next call."""
        rows = await tx.fetch(
            """UPDATE sandbox_notice SET sent = sent + 1
               WHERE notice_id IN (SELECT notice_id FROM sandbox_notice
                   WHERE sent < copies AND due_at <= $1 ORDER BY due_at, notice_id LIMIT $2
                   FOR UPDATE SKIP LOCKED)
               RETURNING notice_id, body""",
            now,
            limit,
        )
        return sorted(DueNotice(row["notice_id"], row["body"]) for row in rows)

    async def query(self, tx: Tx, order_ref: UUID) -> RailCharge | None:
        """What became of an order; None if nobody paid."""
        row = await tx.fetchrow(
            """SELECT order_ref, rail_ref, amount_fen, frozen_fen, refunded_fen, paid_at
               FROM sandbox_charge WHERE order_ref = $1""",
            order_ref,
        )
        return None if row is None else RailCharge(**dict(row))

    async def split(
        self, tx: Tx, order_ref: UUID, request_no: int, receivers: list[Receiver], now: datetime
    ) -> list[SplitResult]:
        """Send parts of a frozen payment to receivers; each succeeds or fails by itself.

        The same request again gives the first result. Raises RailRefused.
        """
        charge = await self._locked(tx, order_ref)
        earlier = await tx.fetch(
            "SELECT request_no, receiver, amount_fen, state FROM sandbox_split"
            " WHERE order_ref = $1 ORDER BY receiver",
            order_ref,
        )
        mine = [row for row in earlier if row["request_no"] == request_no]
        if mine:
            return [SplitResult(r["receiver"], r["amount_fen"], r["state"] == "done") for r in mine]
        asked_fen = sum(each.amount_fen for each in receivers)
        split_fen = sum(r["amount_fen"] for r in earlier if r["state"] == "done")
        limits = self.limits
        if now < charge.paid_at + timedelta(seconds=limits.wait_s):
            raise RailRefused("too-early")
        if now > charge.paid_at + timedelta(days=limits.freeze_days):
            raise RailRefused("too-late")
        if len(receivers) > limits.receivers_max:
            raise RailRefused("too-many-receivers")
        if len({row["request_no"] for row in earlier}) >= limits.requests_max:
            raise RailRefused("too-many-requests")
        if (split_fen + asked_fen) * 10_000 > charge.amount_fen * limits.split_bp_max:
            raise RailRefused("split-too-large")
        if asked_fen > charge.frozen_fen:
            raise RailRefused("frozen-exceeded")
        results = [
            SplitResult(each.party_id, each.amount_fen, each.party_id not in self.failing)
            for each in sorted(receivers)
        ]
        await tx.executemany(
            """INSERT INTO sandbox_split (order_ref, request_no, receiver, amount_fen, merchant,
                                          state) VALUES ($1, $2, $3, $4, $5, $6)""",
            [
                (
                    *(order_ref, request_no, each.party_id, each.amount_fen, each.merchant),
                    "failed" if each.party_id in self.failing else "done",
                )
                for each in receivers
            ],
        )
        done_fen = sum(each.amount_fen for each in results if each.done)
        await self._freeze(tx, order_ref, -done_fen)
        return results

    async def give_back(self, tx: Tx, order_ref: UUID, party_id: str) -> int:
        """Take a split back from a merchant's account; the fen that are frozen again."""
        await self._locked(tx, order_ref)
        rows = await tx.fetch(
            """SELECT amount_fen, merchant FROM sandbox_split
               WHERE order_ref = $1 AND receiver = $2 AND state = 'done'""",
            order_ref,
            party_id,
        )
        if not rows or not all(row["merchant"] for row in rows):
            raise RailRefused("not-returnable")
        await tx.execute(
            """UPDATE sandbox_split SET state = 'returned'
               WHERE order_ref = $1 AND receiver = $2 AND state = 'done'""",
            order_ref,
            party_id,
        )
        returned_fen = sum(row["amount_fen"] for row in rows)
        await self._freeze(tx, order_ref, returned_fen)
        return returned_fen

    async def refund(self, tx: Tx, order_ref: UUID, amount_fen: int, now: datetime) -> None:
        """Give money back to the payer: what is frozen first, the rest by the merchant.

        Raises RailRefused `too-late` (after a year) or `refund-exceeds-payment`.
        """
        charge = await self._locked(tx, order_ref)
        if now > charge.paid_at + timedelta(days=self.limits.refund_days):
            raise RailRefused("too-late")
        if charge.refunded_fen + amount_fen > charge.amount_fen:
            raise RailRefused("refund-exceeds-payment")
        await tx.execute(
            """UPDATE sandbox_charge SET refunded_fen = refunded_fen + $2,
                   frozen_fen = greatest(0, frozen_fen - $2) WHERE order_ref = $1""",
            order_ref,
            amount_fen,
        )

    async def unfreeze(self, tx: Tx, now: datetime) -> int:
        """Let go of what is 30 days old: it falls to the merchant of record. How many payments."""
        tag = await tx.execute(
            """UPDATE sandbox_charge SET frozen_fen = 0, unfrozen_at = $1
               WHERE frozen_fen > 0 AND paid_at <= $1::timestamptz - make_interval(days => $2)""",
            now,
            self.limits.freeze_days,
        )
        return int(tag.rpartition(" ")[2])

    async def day_file(self, tx: Tx, start: datetime, end: datetime) -> bytes:
        """The rail's own list of payments of a day, as it would be downloaded (CSV)."""
        rows = await tx.fetch(
            """SELECT order_ref, rail_ref, amount_fen, paid_at FROM sandbox_charge
               WHERE paid_at >= $1 AND paid_at < $2 ORDER BY paid_at, order_ref""",
            start,
            end,
        )
        lines = [
            f"{row['order_ref']},{row['rail_ref']},{row['amount_fen']},{to_text(row['paid_at'])}"
            for row in rows
        ]
        return "\n".join(["order,rail_ref,amount_fen,paid_at", *lines, ""]).encode()

    async def _locked(self, tx: Tx, order_ref: UUID) -> RailCharge:
        row = await tx.fetchrow(
            """SELECT order_ref, rail_ref, amount_fen, frozen_fen, refunded_fen, paid_at
               FROM sandbox_charge WHERE order_ref = $1 FOR UPDATE""",
            order_ref,
        )
        if row is None:
            raise RailRefused("unknown-charge")
        return RailCharge(**dict(row))

    async def _freeze(self, tx: Tx, order_ref: UUID, amount_fen: int) -> None:
        await tx.execute(
            "UPDATE sandbox_charge SET frozen_fen = frozen_fen + $2 WHERE order_ref = $1",
            order_ref,
            amount_fen,
        )


def rail_ref_of(order_ref: UUID) -> str:
    """The rail's number of a payment: the same order gets the same number."""
    return sm3(b"tanhui-sandbox-rail-v1\n" + order_ref.bytes).hex()[:28]


def _notice_body(paying: Paying, rail_ref: str) -> bytes:
    notice = Notice(
        notice_id=f"n-{rail_ref}",
        kind="paid",
        order_id=paying.order_ref,
        rail_ref=rail_ref,
        amount_fen=paying.amount_fen,
        paid_at=to_text(paying.paid_at),
    )
    return msgspec.json.encode([notice])
