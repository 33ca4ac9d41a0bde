"""What a rail tells us: late, twice, out of order or wrong, and each notice has one outcome."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

import msgspec

from backend.kit.clock import instant_of
from backend.kit.db import Tx
from backend.kit.problems import Problem
from backend.kit.sm import sm3
from backend.payments.orders import Payment, mark_paid, orders_by_id

Outcome = Literal[
    "paid",
    "known",
    "already-paid",
    "unknown-order",
    "another-rail",
    "amount-differs",
    "paid-twice",
    "notice-conflict",
]
NEEDS_A_PERSON = frozenset({"unknown-order", "another-rail", "amount-differs", "paid-twice"})
NOTICES_MAX = 2_000


class Notice(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One notice as the rail spells it; `order_id` is ours, `rail_ref` the rail's own number."""

    notice_id: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    kind: Literal["paid"]
    order_id: UUID
    rail_ref: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    amount_fen: Annotated[int, msgspec.Meta(ge=1, le=10_000_000)]
    paid_at: Annotated[str, msgspec.Meta(max_length=35)]


class Received(NamedTuple):
    """A notice and what came of it."""

    notice: Notice
    outcome: Outcome


_decode = msgspec.json.Decoder(
    Annotated[list[Notice], msgspec.Meta(min_length=1, max_length=NOTICES_MAX)]
).decode


def read_notices(body: bytes) -> list[Notice]:
    """Notices out of a JSON array. Raises Problem 422 `bad-notice`."""
    try:
        notices = _decode(body)
        for notice in notices:
            instant_of(notice.paid_at)
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError) as error:
        raise Problem(422, "bad-notice", f"支付通知的内容不合规定:{error}") from error
    return notices


async def receive_notices(
    tx: Tx, rail_id: str, notices: Sequence[Notice], now: datetime
) -> list[Received]:
    """Judge notices and mark what they pay; the same again changes nothing."""
    rows = await tx.fetch(
        "SELECT notice_id, digest FROM rail_notice WHERE rail_id = $1"
        " AND notice_id = ANY($2::text[])",
        rail_id,
        [notice.notice_id for notice in notices],
    )
    known: dict[str, bytes] = {row["notice_id"]: row["digest"] for row in rows}
    orders = await orders_by_id(tx, {notice.order_id for notice in notices}, lock=True)
    paid_ref = {
        order_id: order.rail_ref for order_id, order in orders.items() if order.state == "paid"
    }
    received: list[Received] = []
    fresh: list[tuple[Any, ...]] = []
    payments: list[Payment] = []
    for notice in notices:
        digest = sm3(msgspec.json.encode(notice))
        if notice.notice_id in known:
            same = known[notice.notice_id] == digest
            received.append(Received(notice, "known" if same else "notice-conflict"))
            continue
        known[notice.notice_id] = digest
        order = orders.get(notice.order_id)
        outcome: Outcome = "paid"
        if order is None:
            outcome = "unknown-order"
        elif order.rail_id != rail_id:
            outcome = "another-rail"
        elif notice.order_id in paid_ref:
            again = paid_ref[notice.order_id] == notice.rail_ref
            outcome = "already-paid" if again else "paid-twice"
        elif order.amount_fen != notice.amount_fen:
            outcome = "amount-differs"
        else:
            paid_ref[notice.order_id] = notice.rail_ref
            paid_at = instant_of(notice.paid_at)
            payments.append(Payment(notice.order_id, notice.rail_ref, paid_at))
        received.append(Received(notice, outcome))
        fresh.append(
            (
                *(rail_id, notice.notice_id, digest, notice.kind, notice.order_id),
                *(notice.amount_fen, outcome, now),
            )
        )
    if fresh:
        await tx.copy(
            "rail_notice",
            (
                *("rail_id", "notice_id", "digest", "kind", "order_id", "amount_fen", "outcome"),
                "received_at",
            ),
            fresh,
        )
    if payments:
        await mark_paid(tx, payments)
    return received
