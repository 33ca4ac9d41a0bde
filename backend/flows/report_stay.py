"""a paid stay → an event like any other: the platform's own parking reports it to itself.

It is signed with the key of the platform's own partner, checked as any partner's upload is, and
recorded by the same code; whether it earns points is decided there and afterwards.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from backend import citizens, partners
from backend.flows.pay_stay import POINTS_TOPIC
from backend.flows.record_events import Terms, record_events
from backend.kit import canonical, outbox
from backend.kit.clock import Clock, to_text
from backend.kit.db import Database, Row, Tx
from backend.kit.logs import log
from backend.kit.vault import Vault
from backend.parking import assets

PARTNER_ID = "parking.platform"
SCENARIO = "parking.shared.stay"
KEY_NAME = "parking-platform"
SOURCE = "/parking"
AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class _Reported:
    """A stay as an event, or why it is none."""

    event: dict[str, Any] | None
    reason: str


async def enter_platform(tx: Tx, vault: Vault, clock: Clock) -> None:
    """Enter the platform's own partner and the public half of its key; again changes nothing."""
    now = clock.now()
    await partners.register_partner(
        tx,
        PARTNER_ID,
        "碳惠共享停车(平台自营)",
        required_scheme="v1s2",
        scenarios=[SCENARIO],
        now=now,
    )
    known = {key.key_id for key in await partners.key_history(tx, PARTNER_ID)}
    if KEY_NAME not in known:
        await partners.add_key(
            tx,
            vault,
            PARTNER_ID,
            KEY_NAME,
            scheme="v1s2",
            valid_from=now,
            public_key=vault.sm2_key(KEY_NAME).public_key.to_bytes(),
        )


async def report_stays(db: Database, vault: Vault, clock: Clock, terms: Terms) -> int:
    """Report the paid stays that wait; how many were looked at.

    A stay without reservation, without an occupancy count or without the citizen's consent is no
    event: the log says which it was.
    """
    async with db.transaction() as tx:
        items = await outbox.take(tx, POINTS_TOPIC, AT_ONCE)
        if not items:
            return 0
        found = {row["stay_id"]: row for row in await _stays(tx, [UUID(i.key) for i in items])}
        events: list[dict[str, Any]] = []
        for item in items:
            row = found.get(UUID(item.key))
            made = _Reported(None, "no-reservation")
            if row is not None:
                made = await _event(tx, vault, clock, row)
            if made.event is None:
                log("stay_not_reported", stay_id=item.key, reason=made.reason)
            else:
                events.append(made.event)
        partner = await partners.load_partner(tx, vault, PARTNER_ID)
    if events and partner is not None:
        body = canonical.dumps(events)
        headers = _signed(vault, body, clock.now(), f"stays-{items[0].id}-{items[-1].id}")
        request = partners.verify_request(partner, headers, body, clock.now())
        await record_events(db, vault, clock, terms, partner, request, sent=body, data=body)
    # Recorded first: a kill in between reports again, and the door knows the events.
    async with db.transaction() as tx:
        await outbox.done(tx, [item.id for item in items])
    return len(items)


async def _stays(tx: Tx, stay_ids: list[UUID]) -> list[Row]:
    return await tx.fetch(
        """SELECT s.stay_id, s.lot_no, s.citizen_id, s.entered_at, s.left_at, s.entry_lifted,
                  s.exit_lifted, r.reservation_id, r.reserved_at, r.starts_at, r.arrived_at,
                  r.citizen_id AS reserved_by, v.fuel, l.base_search_s, b.citizen_id AS holder
           FROM stay AS s JOIN reservation AS r USING (reservation_id)
           JOIN vehicle AS v ON v.plate_hash = s.plate_hash
           JOIN parking_lot AS l ON l.lot_no = s.lot_no
           LEFT JOIN vehicle_binding AS b
               ON b.plate_hash = s.plate_hash AND b.ended_at IS NULL
           WHERE s.stay_id = ANY($1::uuid[]) AND s.state = 'due'""",
        stay_ids,
    )


async def _event(tx: Tx, vault: Vault, clock: Clock, row: Row) -> _Reported:
    occupancy_pct = await assets.occupancy_pct(tx, row["lot_no"], row["entered_at"])
    if occupancy_pct is None:
        return _Reported(None, "occupancy-unknown")
    if row["arrived_at"] is None:
        return _Reported(None, "arrival-unknown")
    token = await _token(tx, vault, clock, row["citizen_id"])
    if token is None:
        return _Reported(None, "no-consent")
    data = {
        "reservation_ref": str(row["reservation_id"]),
        "reserved_at": to_text(row["reserved_at"]),
        "slot_start": to_text(row["starts_at"]),
        "arrived_at": to_text(row["arrived_at"]),
        "start": to_text(row["entered_at"]),
        "end": to_text(row["left_at"]),
        "base_search_s": row["base_search_s"],
        "occupancy_pct": occupancy_pct,
        "vehicle_matches": row["holder"] == row["reserved_by"],
        "electric": row["fuel"] == "electric",
        # A barrier that was lifted by hand was not opened by what its device signed.
        "entry_signed": not row["entry_lifted"],
        "exit_signed": not row["exit_lifted"],
    }
    event = {
        "specversion": "1.0",
        "id": str(row["stay_id"]),
        "source": SOURCE,
        "type": SCENARIO,
        "time": to_text(row["left_at"]),
        "subject": token,
        "data": data,
    }
    return _Reported(event, "")


async def _token(tx: Tx, vault: Vault, clock: Clock, citizen_id: UUID) -> str | None:
    """The binding token of a citizen who consented to their stays being reported, else None."""
    key = (citizen_id, PARTNER_ID, SCENARIO)
    since = (await citizens.standing_since(tx, [key])).get(key)
    if since is None:
        return None
    standing = await citizens.give_consent(tx, *key, since)
    code = await citizens.new_binding_code(tx, citizen_id, standing.consent_id, PARTNER_ID, clock)
    return await citizens.exchange_code(tx, vault, PARTNER_ID, code.code, str(citizen_id), clock)


def _signed(vault: Vault, body: bytes, now: datetime, message_id: str) -> Mapping[str, str]:
    timestamp = int(now.timestamp())
    content = partners.sign_content(message_id, timestamp, body, "v1s2")
    signature = vault.sm2_key(KEY_NAME).sign_der(content)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1s2,{base64.b64encode(signature).decode()}",
    }
