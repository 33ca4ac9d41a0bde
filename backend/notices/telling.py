"""A past-tense notice becomes a delivery, in the same commit as what it tells of.

A body is at most 20,000 bytes of JSON, shaped like a CloudEvent, and names nobody: ids of events
and evidence, reasons, points. Who does not listen is told nothing, and nothing is stored for them.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec

from backend.kit.clock import to_text
from backend.kit.db import Tx
from backend.kit.ids import new_id

NoticeType = Literal["event.refused", "award.confirmed", "award.reversed", "consent.withdrawn"]

TYPES: tuple[NoticeType, ...] = (
    "award.confirmed",
    "award.reversed",
    "consent.withdrawn",
    "event.refused",
)
PING = "endpoint.ping"
"""Sent to every endpoint when it is entered, whatever types it asked for."""

BODY_BYTES_MAX = 20_000

_COLUMNS = ("delivery_id", "partner_id", "type", "body", "told_at", "state", "due_at")


@dataclass(frozen=True, slots=True)
class Notice:
    """What a partner is told. `events` becomes the member `events` of `data`.

    A long list of events is spread over as many deliveries as it takes, each with all of `data`.
    """

    partner_id: str
    type: NoticeType
    data: Mapping[str, Any]
    events: Sequence[Mapping[str, Any]] = ()


async def tell(tx: Tx, partner_id: str, notice_type: NoticeType, data: Mapping[str, Any]) -> None:
    """Tell one partner one thing when `tx` commits, if it listens for that type."""
    await tell_many(tx, [Notice(partner_id, notice_type, data)])


async def tell_many(tx: Tx, notices: Sequence[Notice]) -> int:
    """Tell each partner that listens; how many deliveries that makes.

    Raises ValueError if `data` alone passes the bound of a body.
    """
    if not notices:
        return 0
    # Shared locks: an endpoint that is being stopped takes these deliveries with it.
    endpoints = await tx.fetch(
        """SELECT partner_id, types, now() AS now FROM webhook_endpoint
           WHERE partner_id = ANY($1::text[]) AND state = 'active'
           ORDER BY partner_id FOR SHARE""",
        sorted({notice.partner_id for notice in notices}),
    )
    types = {row["partner_id"]: row["types"] for row in endpoints}
    rows = [
        delivery_row(made, notice.partner_id, notice.type, body, endpoints[0]["now"])
        for notice in notices
        if notice.type in types.get(notice.partner_id, ())
        for made, body in _bodies(notice, endpoints[0]["now"])
    ]
    await store(tx, rows)
    return len(rows)


async def listeners(tx: Tx, notice_type: NoticeType) -> frozenset[str]:
    """The partners that listen for a type: for others a flow need not gather anything."""
    rows = await tx.fetch(
        "SELECT partner_id FROM webhook_endpoint WHERE state = 'active' AND $1 = ANY(types)",
        notice_type,
    )
    return frozenset(row["partner_id"] for row in rows)


async def store(tx: Tx, rows: Collection[tuple[Any, ...]]) -> None:
    """Write rows made by `delivery_row`."""
    if rows:
        await tx.copy("delivery", _COLUMNS, rows)


def delivery_row(
    delivery_id: UUID, partner_id: str, notice_type: str, body: bytes, now: datetime
) -> tuple[Any, ...]:
    """A delivery that has just been told and is due at once."""
    return delivery_id, partner_id, notice_type, body, now, "waiting", now


def message_id(delivery_id: UUID) -> str:
    """The `webhook-id` of a delivery, the same at every attempt and replay."""
    return f"msg_{delivery_id.hex}"


def envelope(
    delivery_id: UUID, partner_id: str, notice_type: str, data: Mapping[str, Any], now: datetime
) -> bytes:
    """The body of a delivery: UTF-8 JSON with the members of a CloudEvent."""
    return msgspec.json.encode(
        {
            "specversion": "1.0",
            "id": message_id(delivery_id),
            "source": f"/partner/v1/{partner_id}",
            "type": notice_type,
            "time": to_text(now),
            "data": data,
        }
    )


def _bodies(notice: Notice, now: datetime) -> Iterator[tuple[UUID, bytes]]:
    """The deliveries of one notice: its events in the order given, each body within the bound."""

    def body_of(events: Sequence[Any]) -> tuple[UUID, bytes]:
        made = new_id()
        data = {**notice.data, "events": events} if notice.events else notice.data
        return made, envelope(made, notice.partner_id, notice.type, data, now)

    bare_bytes = len(body_of([])[1])
    if bare_bytes > BODY_BYTES_MAX:
        raise ValueError(f"{notice.type}: {bare_bytes} bytes, at most {BODY_BYTES_MAX}")
    if not notice.events:
        yield body_of([])
        return
    page: list[msgspec.Raw] = []
    size_bytes = bare_bytes
    for event in notice.events:
        encoded = msgspec.json.encode(event)
        if bare_bytes + len(encoded) > BODY_BYTES_MAX:
            # Absurdly long ids of the partner's own: what we named the event by says enough.
            encoded = msgspec.json.encode({"evidence_id": event.get("evidence_id")})
        if page and size_bytes + len(encoded) + 1 > BODY_BYTES_MAX:
            yield body_of(page)
            page, size_bytes = [], bare_bytes
        page.append(msgspec.Raw(encoded))
        size_bytes += len(encoded) + 1
    yield body_of(page)
