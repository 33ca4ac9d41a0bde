"""The day on which an event was received, and when nothing more can be received on it.

An upload counts on the city_day of the instant it was received at. Recording holds that day until
it commits; closing waits for all who hold it. Whoever comes to hold a day after its end is
received anew, on the day that it has become meanwhile: after closing a day stands still.
"""

from datetime import date, datetime

from backend.kit.db import Tx
from backend.kit.sm import sm3


async def hold_day(tx: Tx, partner_id: str, day: date) -> None:
    """Keep a partner's day from being closed until `tx` ends; waits while it is being closed."""
    await tx.execute("SELECT pg_advisory_xact_lock_shared($1)", _lock_of(partner_id, day))


async def close_day(tx: Tx, partner_id: str, day: date) -> None:
    """Wait until nobody records on the day. The caller has seen that the day is over."""
    await tx.lock(_lock_of(partner_id, day))


def _lock_of(partner_id: str, day: date) -> int:
    name = f"tanhui-receiving-v1\n{partner_id}\n{day.isoformat()}"
    return int.from_bytes(sm3(name.encode())[:8], signed=True)


async def digests_received(tx: Tx, partner_id: str, start: datetime, end: datetime) -> bytes:
    """The digests of the events a partner had recorded in [start, end).

    In ascending byte order, 32 bytes each, one after another.
    """
    # OFFSET 0 keeps the planner at each upload's stretch of ids: its guess about a range of ids it
    # does not know would send it through years of evidence.
    found = await tx.fetchval(
        """SELECT string_agg(e.event_digest, ''::bytea ORDER BY e.event_digest)
           FROM upload AS u CROSS JOIN LATERAL (
               SELECT event_digest FROM evidence
               WHERE evidence_id BETWEEN u.evidence_from AND u.evidence_to
                 AND upload_id = u.upload_id OFFSET 0) AS e
           WHERE u.partner_id = $1 AND u.received_at >= $2 AND u.received_at < $3""",
        partner_id,
        start,
        end,
    )
    return found or b""
