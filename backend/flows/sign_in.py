"""An official signs in, and shows presence again for each act that a stolen session may not do.

Every try is counted in a commit of its own before anything is compared: a killed or parallel try
counts too. Passwords are hashed in at most two threads at a time, 32 MiB each.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from backend import officials
from backend.kit.services import Services
from backend.officials import Official, access

T = TypeVar("T")
_HASHING = ThreadPoolExecutor(2, thread_name_prefix="hashing")


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A new session: its token is shown once."""

    token: str
    expires_at: datetime
    official: Official


async def sign_in(services: Services, user: str, password: str, totp: str) -> SignedIn:
    """Password and TOTP code → a session.

    Raises Problem: 401 `sign-in-refused` whatever was wrong, 429 `locked-out`.
    """
    await prove_presence(services, user, password, totp)
    async with services.db.transaction() as tx:
        now = services.clock.now()
        official = await officials.find(tx, user)
        if official is None or not official.acts:
            raise access.refused()
        token, expires_at = await access.open_session(tx, user, now)
        await officials.note(tx, actor=user, act="session.open", about=user, detail={}, at=now)
    return SignedIn(token, expires_at, official)


async def sign_out(services: Services, session: officials.Session) -> None:
    """End one session; again is no error."""
    async with services.db.transaction() as tx:
        now, user = services.clock.now(), session.official.official_id
        await access.revoke_session(tx, session.session_id, now)
        await officials.note(tx, actor=user, act="session.close", about=user, detail={}, at=now)


async def prove_presence(services: Services, user: str, password: str, totp: str) -> None:
    """That this person is here now: password, and a TOTP code that is used up by it.

    Raises Problem: 401 `sign-in-refused`, 429 `locked-out` after five failures in a row.
    """
    async with services.db.transaction() as tx:
        await access.reserve_try(tx, user, services.clock.now())
    async with services.db.transaction(readonly=True) as tx:
        known = await access.access_of(tx, services.vault, user)
    stored = "" if known is None else known.password_hash
    held = await hashing(lambda: access.password_matches(password, stored))
    now = services.clock.now()
    step = None if known is None else access.totp_step(known.totp_secret, totp, now)
    async with services.db.transaction() as tx:
        if held and step is not None and await access.spend_totp(tx, user, step):
            await access.forgive_tries(tx, user)
            return
        if known is not None:
            await officials.note(
                tx, actor=user, act="session.refused", about=user, detail={}, at=now
            )
    raise access.refused()


async def hashing(work: Callable[[], T]) -> T:
    """Run a slow hash beside the loop."""
    return await asyncio.get_running_loop().run_in_executor(_HASHING, work)
