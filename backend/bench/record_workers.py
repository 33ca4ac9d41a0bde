"""Recording by several processes that share one database, as `tanhui serve --workers N` does."""

import asyncio
import contextlib
import multiprocessing
import time
from collections.abc import Generator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

import uvloop

from backend.bench.stopwatch import quiet
from backend.kit.db import Database
from backend.kit.vault import Vault


class Work(Protocol):
    """What a worker does: record its share of the requests. A function of a module."""

    async def __call__(self, db: Database, vault: Vault, requests: Sequence[Any]) -> None:
        """Record all of `requests`."""
        ...


class Crew:
    """Worker processes that wait for requests."""

    def __init__(self, pipes: Sequence[Connection]) -> None:
        self._pipes = pipes

    async def record(self, requests: Sequence[Any]) -> float:
        """Seconds from the first worker's start to the last one's end; each has an equal share."""
        for n, pipe in enumerate(self._pipes):
            pipe.send(requests[n :: len(self._pipes)])
        for pipe in self._pipes:  # Unpickling a share is no part of recording it.
            await asyncio.to_thread(pipe.recv)
        for pipe in self._pipes:
            pipe.send("go")
        spans: list[tuple[float, float]] = [
            await asyncio.to_thread(pipe.recv) for pipe in self._pipes
        ]
        return max(end for _, end in spans) - min(start for start, _ in spans)


@contextlib.contextmanager
def crew(count: int, url: str, keys_dir: Path, work: Work) -> Generator[Crew]:
    """`count` processes, each with its own connections; they end with the block."""
    context = multiprocessing.get_context("spawn")
    pairs = [context.Pipe() for _ in range(count)]
    processes = [
        context.Process(target=_serve, args=(theirs, url, keys_dir, work), daemon=True)
        for _, theirs in pairs
    ]
    for process in processes:
        process.start()
    for _, theirs in pairs:
        theirs.close()  # So that a worker's end is met as the end of its pipe, not waited for.
    try:
        yield Crew([ours for ours, _ in pairs])
    finally:
        for ours, _ in pairs:
            with contextlib.suppress(OSError):
                ours.send(None)
        for process in processes:
            process.join(10)


def _serve(pipe: Connection, url: str, keys_dir: Path, work: Work) -> None:
    with quiet():
        uvloop.run(_answer(pipe, url, Vault(keys_dir), work))


async def _answer(pipe: Connection, url: str, vault: Vault, work: Work) -> None:
    db = await Database.open(url)
    try:
        while (requests := await asyncio.to_thread(pipe.recv)) is not None:
            pipe.send("ready")
            pipe.recv()
            start = time.monotonic()
            await work(db, vault, requests)
            pipe.send((start, time.monotonic()))
    finally:
        await db.close()
