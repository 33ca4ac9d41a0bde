"""delivery → endpoint: what partners were told goes out, signed, until it is answered with 2xx.

Claimed in one commit, called outside of any, settled in another. A worker killed in between has
sent and not marked: the claim lapses and the same message goes out again under the same id, for
the receiver to recognise. Marking before sending would lose it instead. Order is not promised.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from backend import notices
from backend.kit.clock import Clock
from backend.kit.db import DATABASE_AWAY, Database
from backend.kit.logs import log
from backend.kit.vault import Vault
from backend.notices import Caller, Claimed, Outcome

CALLS_MAX = 256
"""Calls under way in one worker, over all endpoints."""

FINISH_S = 3
"""How long a worker that is told to stop waits for answers before it gives its claims back."""


class Deliverer:
    """Sends what is due, many at a time; one for each worker process."""

    def __init__(self, db: Database, vault: Vault, clock: Clock, caller: Caller) -> None:
        self._db = db
        self._vault = vault
        self._clock = clock
        self._caller = caller
        self._calls: dict[asyncio.Task[None], Claimed] = {}

    async def deliver(self) -> int:
        """Start sending what is due, within the bounds; how many calls were started."""
        room = CALLS_MAX - len(self._calls)
        if room <= 0:
            return 0
        now = self._clock.now()
        busy = Counter(claimed.partner_id for claimed in self._calls.values())
        async with self._db.transaction() as tx:
            found = await notices.claim(tx, now, busy=busy, limit=room)
            partner_ids = {claimed.partner_id for claimed in found}
            secrets = await notices.signing_secrets(tx, self._vault, partner_ids, now)
        for claimed in found:
            call = asyncio.create_task(self._deliver(claimed, secrets[claimed.partner_id]))
            self._calls[call] = claimed
            call.add_done_callback(self._calls.pop)
        return len(found)

    async def drain(self) -> None:
        """Wait for the calls under way."""
        while self._calls:
            await asyncio.wait(set(self._calls))

    async def finish(self) -> None:
        """Wait a little for the calls under way, then break them off and give the rest back."""
        if self._calls:
            await asyncio.wait(set(self._calls), timeout=FINISH_S)
        broken = dict(self._calls)
        for call in broken:
            call.cancel()
        await asyncio.gather(*broken, return_exceptions=True)
        if broken:
            # Where this fails the claims lapse by themselves.
            with contextlib.suppress(*DATABASE_AWAY):
                async with self._db.transaction() as tx:
                    await notices.release(tx, list(broken.values()), self._clock.now())
        await self._caller.close()

    async def _deliver(self, claimed: Claimed, secrets: Sequence[bytes]) -> None:
        """One attempt: sign, call, and only then mark."""
        try:
            started_at = self._clock.now()
            webhook_id = notices.message_id(claimed.delivery_id)
            headers = notices.signed_headers(webhook_id, claimed.body, secrets, started_at)
            outcome = await self._caller.call(claimed.url, headers, claimed.body, started_at)
            await self._settle(claimed, outcome, started_at)
        except DATABASE_AWAY as error:
            # Sent, perhaps, and not marked: it goes out again when the claim has lapsed.
            log("delivery_not_settled", delivery_id=claimed.delivery_id, error=repr(error)[:300])
        except Exception as error:  # noqa: BLE001 — one delivery's fault must not stop the others
            log("delivery_failed", delivery_id=claimed.delivery_id, error=repr(error)[:1000])

    async def _settle(self, claimed: Claimed, outcome: Outcome, started_at: datetime) -> None:
        now = self._clock.now()
        async with self._db.transaction() as tx:
            following = await notices.settle(tx, claimed, outcome, started_at=started_at, now=now)
        log(
            "notice_sent" if outcome.accepted else "notice_not_accepted",
            delivery_id=claimed.delivery_id,
            partner_id=claimed.partner_id,
            type=claimed.type,
            attempt=claimed.tries + 1,
            status=outcome.status,
            error=outcome.error,
            duration_ms=outcome.duration_ms,
            state=None if following is None else following.state,
        )
