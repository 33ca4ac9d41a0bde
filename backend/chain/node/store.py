"""The node's disk: trie nodes, headers and ready-made RPC answers in one SQLite file.

Everything a block changes is collected in memory and written in one SQLite transaction
(WAL, synchronous=FULL), so a kill at any instant leaves either the whole block or none of it.
"""

import fcntl
import json
import os
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eth.db.backends.base import BaseDB

_SCHEMA = """
CREATE TABLE IF NOT EXISTS kv (k BLOB PRIMARY KEY, v BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS block (
    number INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE, answer TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS tx (
    hash BLOB PRIMARY KEY, block INTEGER NOT NULL, answer TEXT NOT NULL, receipt TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS log (
    block INTEGER NOT NULL, n INTEGER NOT NULL, address TEXT NOT NULL, topics TEXT NOT NULL,
    answer TEXT NOT NULL, PRIMARY KEY (block, n)) WITHOUT ROWID;
"""

_CACHE_ENTRIES_MAX = 60_000


class StoreInUse(Exception):
    """Another node process holds this chain's folder."""


@dataclass(frozen=True, slots=True)
class TxRow:
    """What the node answers about one mined transaction, as JSON texts."""

    hash: bytes
    answer: str
    receipt: str


@dataclass(frozen=True, slots=True)
class BlockRow:
    """One block's answers: header object, transactions, and contract events in order."""

    number: int
    hash: bytes
    answer: str
    txs: Sequence[TxRow]
    logs: Sequence[dict[str, Any]]


class Store(BaseDB):
    """A key-value view for py-evm with explicit commits; one writer, any number of readers."""

    def __init__(self, path: Path, *, readonly: bool = False) -> None:
        self._readonly = readonly
        if readonly:
            self._db = sqlite3.connect(
                path.resolve().as_uri() + "?mode=ro",
                uri=True,
                check_same_thread=False,
                isolation_level=None,
            )
        else:
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.executescript(_SCHEMA)
        self._db.execute("PRAGMA cache_size = -32000")
        self._cache: dict[bytes, bytes] = {}
        self._pending: dict[bytes, bytes | None] = {}

    # --- the mapping py-evm works on -----------------------------------------------------

    def __getitem__(self, key: bytes) -> bytes:
        if key in self._pending:
            value = self._pending[key]
        elif key in self._cache:
            value = self._cache[key]
        else:
            row = self._db.execute("SELECT v FROM kv WHERE k = ?", (key,)).fetchone()
            value = None if row is None else bytes(row[0])
            # A reader must not remember what the writer may still replace; trie nodes are
            # addressed by their hash (32 bytes) and never change.
            if value is not None and (not self._readonly or len(key) == 32):
                self._remember(key, value)
        if value is None:
            raise KeyError(key)
        return value

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self._pending[key] = value

    def __delitem__(self, key: bytes) -> None:
        self._pending[key] = None

    def _exists(self, key: bytes) -> bool:
        try:
            self[key]
        except KeyError:
            return False
        return True

    def _remember(self, key: bytes, value: bytes) -> None:
        if len(self._cache) >= _CACHE_ENTRIES_MAX:
            for old in list(self._cache)[: _CACHE_ENTRIES_MAX // 2]:
                del self._cache[old]
        self._cache[key] = value

    # --- commits -------------------------------------------------------------------------

    def discard(self) -> None:
        """Forget what was written since the last commit (a read-only call, a failed block)."""
        self._pending.clear()

    def commit(self, block: BlockRow | None = None, meta: dict[str, Any] | None = None) -> None:
        """Make everything pending, and this block's answers, durable at once."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._write_pending()
            for name, value in (meta or {}).items():
                self._db.execute("INSERT INTO meta VALUES (?, ?)", (name, json.dumps(value)))
            if block is not None:
                self._write_block(block)
            self._db.execute("COMMIT")
        except BaseException:
            self._db.execute("ROLLBACK")
            self._pending.clear()
            raise
        for key, value in self._pending.items():
            if value is None:
                self._cache.pop(key, None)
            else:
                self._remember(key, value)
        self._pending.clear()

    def _write_pending(self) -> None:
        self._db.executemany(
            "INSERT OR REPLACE INTO kv VALUES (?, ?)",
            ((k, v) for k, v in self._pending.items() if v is not None),
        )
        self._db.executemany(
            "DELETE FROM kv WHERE k = ?", ((k,) for k, v in self._pending.items() if v is None)
        )

    def _write_block(self, block: BlockRow) -> None:
        self._db.execute(
            "INSERT INTO block VALUES (?, ?, ?)", (block.number, block.hash, block.answer)
        )
        self._db.executemany(
            "INSERT INTO tx VALUES (?, ?, ?, ?)",
            ((t.hash, block.number, t.answer, t.receipt) for t in block.txs),
        )
        self._db.executemany(
            "INSERT INTO log VALUES (?, ?, ?, ?, ?)",
            (
                (block.number, n, e["address"], " ".join(e["topics"]), json.dumps(e))
                for n, e in enumerate(block.logs)
            ),
        )

    # --- ready-made answers --------------------------------------------------------------

    def meta(self, name: str) -> Any:
        """A stored parameter, or None."""
        row = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if row is None else json.loads(row[0])

    def head_number(self) -> int:
        """The number of the newest block."""
        return int(self._db.execute("SELECT max(number) FROM block").fetchone()[0])

    def block_answer(self, key: int | bytes) -> dict[str, Any] | None:
        """A block by number or hash, its transactions as hashes."""
        if isinstance(key, int):
            return self._answer("SELECT answer FROM block WHERE number = ?", key)
        return self._answer("SELECT answer FROM block WHERE hash = ?", key)

    def tx_answer(self, tx_hash: bytes) -> dict[str, Any] | None:
        """A mined transaction."""
        return self._answer("SELECT answer FROM tx WHERE hash = ?", tx_hash)

    def receipt_answer(self, tx_hash: bytes) -> dict[str, Any] | None:
        """A mined transaction's receipt."""
        return self._answer("SELECT receipt FROM tx WHERE hash = ?", tx_hash)

    def log_answers(self, first: int, last: int, limit: int) -> list[dict[str, Any]]:
        """Contract events of the blocks first..last in order, at most `limit`."""
        rows = self._db.execute(
            "SELECT answer FROM log WHERE block BETWEEN ? AND ? ORDER BY block, n LIMIT ?",
            (first, last, limit),
        )
        return [json.loads(row[0]) for row in rows]

    def _answer(self, sql: str, key: int | bytes) -> dict[str, Any] | None:
        row = self._db.execute(sql, (key,)).fetchone()
        return None if row is None else json.loads(row[0])

    def close(self) -> None:
        """Close the file; a write-ahead log left by a kill is taken in at the next open."""
        self._db.close()


def lock_folder(folder: Path) -> int:
    """Take the folder's lock for the life of this process and return its descriptor.

    Raises StoreInUse when another process holds it: two writers would fork the chain.
    """
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise StoreInUse(f"another node process already owns {folder}") from error
    return descriptor
