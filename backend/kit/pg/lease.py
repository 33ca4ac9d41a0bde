"""Who uses the server: one locked file for each lease.

The kernel drops a file lock when its process dies, however it dies. So a lease needs no process
id, no heartbeat, and cannot be mistaken for another process that was given the same id.
"""

import fcntl
import itertools
import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

_numbers = itertools.count()


@contextmanager
def exclusive(home: Path) -> Generator[None]:
    """Wait until no other process starts or stops the server of `home`, then keep them out."""
    handle = os.open(home / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


class Lease:
    """One user of the server. Take, look and give back under `exclusive` only."""

    def __init__(self, path: Path, handle: int) -> None:
        self._path = path
        self._handle = handle

    @classmethod
    def take(cls, home: Path) -> Self:
        """Take one more lease for this process."""
        folder = home / "leases"
        folder.mkdir(mode=0o700, exist_ok=True)
        path = folder / f"{os.getpid()}-{next(_numbers)}"
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return cls(path, handle)

    def give_back(self) -> None:
        """End the lease."""
        self._path.unlink(missing_ok=True)
        os.close(self._handle)

    @staticmethod
    def held_in(home: Path) -> bool:
        """Whether anybody still holds a lease; files of dead processes are swept away."""
        held = False
        for path in (home / "leases").glob("*"):
            handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                with suppress(BlockingIOError):
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    path.unlink()
                    continue
                held = True
            finally:
                os.close(handle)
        return held
