"""Rows and events beyond memory: what has been seen, sorting through files, waiting on disk."""

import hashlib
import heapq
import json
import tempfile
import weakref
from array import array
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import IO, Any, cast
from zoneinfo import ZoneInfo

from backend.partner_client.values import Value, Values

SPOOL_BYTES_MAX = 8 << 20
"""From which size on waiting events go to a file."""
RUN_BYTES_MAX = 64 << 10
"""The same for each sorted run: there may be many."""
SORT_ROWS = 50_000
"""How many rows are sorted in memory at a time; more go through files."""


class Seen:
    """Which texts came before, in 16 to 32 bytes a text.

    Holds 64 bits of a digest of each: among a million texts two different ones are taken for
    the same once in 37 million files.
    """

    def __init__(self) -> None:
        self._slots = array("Q", bytes(8 << 10))
        self._count = 0

    def add(self, text: str) -> bool:
        """Take up a text. Returns whether it came before."""
        digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        # 0 marks a free slot.
        mark = int.from_bytes(digest, "big") or 1
        if self._put(self._slots, mark):
            return True
        self._count += 1
        if self._count * 2 > len(self._slots):
            larger = array("Q", bytes(16 * len(self._slots)))
            for old in self._slots:
                if old:
                    self._put(larger, old)
            self._slots = larger
        return False

    @staticmethod
    def _put(slots: "array[int]", mark: int) -> bool:
        last = len(slots) - 1
        place = mark & last
        while slots[place]:
            if slots[place] == mark:
                return True
            place = (place + 1) & last
        slots[place] = mark
        return False


def _temporary(owner: object, memory_bytes_max: int) -> IO[bytes]:
    # The file lives as long as its owner, hence no `with`.
    file = cast(
        "IO[bytes]",
        tempfile.SpooledTemporaryFile(memory_bytes_max),  # noqa: SIM115
    )
    weakref.finalize(owner, file.close)
    return file


class Spool:
    """Events in the order they were added, each with the number of rows behind it."""

    def __init__(self) -> None:
        self._file = _temporary(self, SPOOL_BYTES_MAX)
        self._count = 0
        self.rows_total = 0

    def add(self, event: dict[str, Any], rows: int) -> None:
        """Add an event that stands for `rows` rows of the file."""
        line = json.dumps([rows, event], ensure_ascii=False, separators=(",", ":"))
        self._file.seek(0, 2)
        self._file.write(line.encode() + b"\n")
        self._count += 1
        self.rows_total += rows

    def __len__(self) -> int:
        return self._count

    def counted(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """(rows, event) for each event. One reader at a time."""
        self._file.seek(0)
        for line in self._file:
            rows, event = json.loads(line)
            yield rows, event

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (event for _, event in self.counted())

    def batches(self, size: int) -> Iterator[list[tuple[int, dict[str, Any]]]]:
        """(rows, event) in lists of `size`."""
        batch: list[tuple[int, dict[str, Any]]] = []
        for each in self.counted():
            batch.append(each)
            if len(batch) == size:
                yield batch
                batch = []
        if batch:
            yield batch


Unit = tuple[Values, ...]
"""The rows, or the first and last row, that one event is made of."""


class Sorter:
    """Units in the order of a key, stable. Beyond `SORT_ROWS` through temporary files."""

    def __init__(self, key: Callable[[Unit], Any]) -> None:
        self._key = key
        self._waiting: list[Unit] = []
        self._runs: list[IO[bytes]] = []

    def add(self, unit: Unit) -> None:
        """Take up one unit."""
        self._waiting.append(unit)
        if len(self._waiting) >= SORT_ROWS:
            self._spill()

    def sorted(self) -> Iterator[Unit]:
        """Every unit, in order."""
        self._waiting.sort(key=self._key)
        runs: list[Iterator[Unit]] = [_read_run(run) for run in self._runs]
        # The latest units come last, so that equal keys keep the order in which they came.
        yield from heapq.merge(*runs, self._waiting, key=self._key)

    def _spill(self) -> None:
        self._waiting.sort(key=self._key)
        run = _temporary(self, RUN_BYTES_MAX)
        for unit in self._waiting:
            packed = [{key: _pack(value) for key, value in part.items()} for part in unit]
            run.write(json.dumps(packed, ensure_ascii=False).encode() + b"\n")
        self._runs.append(run)
        self._waiting = []


def _read_run(run: IO[bytes]) -> Iterator[Unit]:
    run.seek(0)
    for line in run:
        yield tuple(
            {key: _unpack(value) for key, value in part.items()} for part in json.loads(line)
        )


def _pack(value: Value) -> object:
    if isinstance(value, datetime):
        zone = value.tzinfo.key if isinstance(value.tzinfo, ZoneInfo) else None
        wall = value.replace(tzinfo=None) if zone else value
        return [wall.isoformat(), zone, value.fold]
    return {"number": str(value)} if isinstance(value, Decimal) else value


def _unpack(value: Any) -> Value:
    if isinstance(value, list):
        wall, zone, fold = cast("Sequence[Any]", value)
        at = datetime.fromisoformat(wall)
        return at.replace(tzinfo=ZoneInfo(zone), fold=fold) if zone else at
    if isinstance(value, dict):
        return Decimal(cast("dict[str, str]", value)["number"])
    return cast("Value", value)
