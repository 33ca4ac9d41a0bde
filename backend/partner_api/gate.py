"""How much the door takes on at once; what does not fit is refused with Retry-After."""

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager

from backend.kit.problems import Problem


class Gate:
    """Bounds the bytes held by bodies on their way in, and the uploads recorded at once.

    Bytes are counted as they arrive, so a connection that sends nothing holds nothing.
    """

    def __init__(
        self,
        *,
        bytes_max: int = 64 * 1024 * 1024,
        running_max: int = 4,
        waiting_max: int = 64,
        stating_max: int = 8,
    ) -> None:
        self._bytes_free = bytes_max
        self._places = running_max + waiting_max
        self._running = asyncio.Semaphore(running_max)
        self._stating_places = stating_max
        self._stating = asyncio.Lock()

    @contextmanager
    def holding_bytes(self) -> Generator["Held"]:
        """Room for one body; given back when the request is over."""
        held = Held(self)
        try:
            yield held
        finally:
            self._bytes_free += held.count

    @asynccontextmanager
    async def recording(self) -> AsyncGenerator[None]:
        """A place among those that record. Raises `Problem` 429 when the queue is full."""
        if self._places == 0:
            raise _too_busy()
        self._places -= 1
        try:
            async with self._running:
                yield
        finally:
            self._places += 1

    @asynccontextmanager
    async def stating(self) -> AsyncGenerator[None]:
        """The one place for statements: a large day takes seconds, and recording goes on beside it.

        Raises `Problem` 429 when the queue is full.
        """
        if self._stating_places == 0:
            raise _too_busy()
        self._stating_places -= 1
        try:
            async with self._stating:
                yield
        finally:
            self._stating_places += 1

    def take_bytes(self, count: int) -> None:
        """Take room for `count` more bytes. Raises `Problem` 429 when there is none."""
        if count > self._bytes_free:
            raise _too_busy()
        self._bytes_free -= count


class Held:
    """The bytes of one request."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self.count = 0

    def add(self, count: int) -> None:
        """Hold `count` more bytes. Raises `Problem` 429."""
        self._gate.take_bytes(count)
        self.count += count


def _too_busy() -> Problem:
    return Problem(
        429,
        "too-many-requests",
        "平台正忙,请稍后以同一 webhook-id 重试",
        headers={"Retry-After": "2"},
    )
