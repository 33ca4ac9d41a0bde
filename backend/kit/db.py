"""The one way to the database: asyncpg, SQL written where it is used, one commit at the edge.

`Database.transaction()` is the only place in the product that commits. Functions of the
rooms take a `Tx` and never commit; a flow opens one transaction per unit of work.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal, Protocol, cast

import asyncpg  # pyright: ignore[reportMissingTypeStubs] - it ships none

Row = Mapping[str, Any]
Isolation = Literal["read_committed", "repeatable_read", "serializable"]


class _Connection(Protocol):
    """The part of asyncpg.Connection that we use (asyncpg ships no complete types)."""

    async def fetch(self, query: str, *args: Any) -> list[Row]: ...
    async def fetchrow(self, query: str, *args: Any) -> Row | None: ...
    async def fetchval(self, query: str, *args: Any) -> Any: ...
    async def execute(self, query: str, *args: Any) -> str: ...
    async def executemany(self, command: str, args: Iterable[Sequence[Any]]) -> None: ...
    async def copy_records_to_table(
        self, table_name: str, *, records: Iterable[Sequence[Any]], columns: Sequence[str]
    ) -> str: ...
    def transaction(self, *, isolation: str | None = None, readonly: bool = False) -> Any: ...
    async def close(self) -> None: ...
    def is_closed(self) -> bool: ...


class Tx:
    """One open transaction. Instants are aware and in UTC; jsonb comes and goes as JSON text."""

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection

    async def fetch(self, sql: str, *args: Any) -> list[Row]:
        """All rows of a query."""
        return await self._connection.fetch(sql, *args)

    async def fetchrow(self, sql: str, *args: Any) -> Row | None:
        """The first row, or None."""
        return await self._connection.fetchrow(sql, *args)

    async def fetchval(self, sql: str, *args: Any) -> Any:
        """The first column of the first row, or None."""
        return await self._connection.fetchval(sql, *args)

    async def execute(self, sql: str, *args: Any) -> str:
        """Run a statement and return its command tag, such as `INSERT 0 1`."""
        return await self._connection.execute(sql, *args)

    async def executemany(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run a statement once for each row. Not for hot paths: see `copy`."""
        await self._connection.executemany(sql, rows)

    async def copy(
        self, table: str, columns: Sequence[str], records: Iterable[Sequence[Any]]
    ) -> None:
        """Write rows by binary COPY; `records` are tuples in the order of `columns`."""
        await self._connection.copy_records_to_table(table, records=records, columns=columns)

    @asynccontextmanager
    async def savepoint(self) -> AsyncGenerator[None]:
        """Undo only what happens inside, if it raises."""
        async with self._connection.transaction():
            yield

    async def lock(self, key: int) -> None:
        """Wait for an advisory lock that the end of the transaction releases."""
        await self._connection.execute("SELECT pg_advisory_xact_lock($1)", key)

    async def try_lock(self, key: int) -> bool:
        """Take that lock if nobody holds it."""
        return bool(await self._connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", key))


class Database:
    """A pool of connections under one role."""

    def __init__(self, pool: Any, connect: Callable[[], Awaitable[_Connection]]) -> None:
        self._pool = pool
        self._connect = connect

    @classmethod
    async def open(
        cls, url: str, *, role: str | None = None, size: int = 10, timeout_s: float = 10
    ) -> "Database":
        """Connect. `role` is taken on by every connection (SET ROLE at start) when given."""
        server_settings = {"application_name": "tanhui", "timezone": "UTC"}
        if role is not None:
            server_settings["role"] = role
        driver: Any = asyncpg
        pool = await driver.create_pool(
            url,
            min_size=1,
            max_size=size,
            timeout=timeout_s,
            server_settings=server_settings,
            init=_prepare_connection,
        )

        async def connect() -> _Connection:
            return await driver.connect(url, timeout=timeout_s, server_settings=server_settings)

        return cls(pool, connect)

    async def close(self) -> None:
        """Give all connections back and wait for those in use."""
        await self._pool.close()

    @asynccontextmanager
    async def transaction(
        self, *, isolation: Isolation = "read_committed", readonly: bool = False
    ) -> AsyncGenerator[Tx]:
        """One transaction: committed when the block ends, undone when it raises."""
        async with self._pool.acquire() as connection:
            plain = cast("_Connection", connection)
            async with plain.transaction(isolation=isolation, readonly=readonly):
                yield Tx(plain)

    @asynccontextmanager
    async def leadership(self, key: int) -> AsyncGenerator["Leadership"]:
        """A connection of its own, outside the pool, for a session's advisory lock."""
        connection = await self._connect()
        try:
            yield Leadership(connection, key)
        finally:
            # Closing the connection gives the lock back, also when the server is gone.
            with contextlib.suppress(*DATABASE_AWAY):
                await connection.close()


class Leadership:
    """A session lock that lives exactly as long as its connection does."""

    def __init__(self, connection: _Connection, key: int) -> None:
        self._connection = connection
        self._key = key
        self._held = False

    async def seek(self) -> bool:
        """Take the lock if it is free; True while it is ours."""
        if not self._held:
            self._held = bool(
                await self._connection.fetchval("SELECT pg_try_advisory_lock($1)", self._key)
            )
        return self._held

    async def still_leads(self) -> bool:
        """Whether the connection that carries the lock still answers."""
        if not self._held or self._connection.is_closed():
            return False
        try:
            await asyncio.wait_for(self._connection.fetchval("SELECT 1"), timeout=2)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False
        return True


async def _prepare_connection(connection: Any) -> None:
    # A session's zone is UTC already; asyncpg then decodes timestamptz as aware UTC.
    await connection.execute("SET synchronous_commit = on")


DATABASE_AWAY = (
    OSError,
    TimeoutError,
    asyncpg.CannotConnectNowError,
    asyncpg.ConnectionDoesNotExistError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.InsufficientResourcesError,
)
"""What the driver raises when the server is unreachable, stopping, or out of disk or memory."""
