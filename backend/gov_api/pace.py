"""How often one address may try to sign in: hashing a password is what costs us most."""

from collections import deque
from datetime import datetime, timedelta

from fastapi import Request

from backend.kit.clock import Clock
from backend.kit.openapi import Refusal
from backend.kit.problems import Problem

TRIES_PER_MINUTE_MAX = 30
ADDRESSES_MAX = 10_000
WINDOW = timedelta(minutes=1)

TOO_MANY: Refusal = (429, "too-many-tries", "这个地址的尝试过于频繁,请一分钟后再试。")


class Pace:
    """Counts the tries of each address in this process; names are locked across all of them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tries: dict[str, deque[datetime]] = {}

    def take(self, request: Request) -> None:
        """Count a try. Raises Problem 429 `too-many-tries`."""
        now = self._clock.now()
        caller = "" if request.client is None else request.client.host
        tries = self._tries.setdefault(caller, deque())
        while tries and tries[0] <= now - WINDOW:
            tries.popleft()
        if len(tries) >= TRIES_PER_MINUTE_MAX:
            raise Problem(*TOO_MANY, headers={"Retry-After": "60"})
        tries.append(now)
        if len(self._tries) > ADDRESSES_MAX:
            # The one that was entered first; who is still trying is entered again.
            self._tries.pop(next(iter(self._tries)))
