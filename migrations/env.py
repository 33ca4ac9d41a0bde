"""How Alembic reaches the database: over asyncpg, the one driver, in one transaction for all.

The address comes from `backend.kit.migrate`, else from DATABASE_URL, else the embedded server of
the settings is started for the length of the command.
"""

import asyncio
import importlib
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import asyncpg
from alembic import context
from alembic.ddl.postgresql import PostgresqlImpl
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool
from sqlalchemy.util import await_only
from sqlmodel import SQLModel

ROOT = Path(__file__).parent.parent
MIGRATION_LOCK = 0x7A6E6875  # "tanh": two processes that start together migrate one after another


def declared_tables() -> Any:
    """The metadata of every room's `models.py`, for `alembic check` and new revisions."""
    for models in sorted(ROOT.glob("backend/*/models.py")):
        importlib.import_module(f"backend.{models.parent.name}.models")
    return SQLModel.metadata


class PlainSql(PostgresqlImpl):
    """SQL text reaches the server as it is written.

    Alembic's own way would read `:name` inside a literal as a parameter and allow one statement
    at a time, since the driver prepares each.
    """

    __dialect__ = "postgresql"

    def execute(self, sql: Any, execution_options: dict[str, Any] | None = None) -> None:
        """Run text through the driver itself, anything else as Alembic does."""
        if isinstance(sql, str) and self.connection is not None:
            driver: Any = self.connection.connection.driver_connection
            await_only(driver.execute(sql))
        else:
            super().execute(sql, execution_options)


def migrate(connection: Connection, tables: Any) -> None:
    """Run what the command asks for on an open connection."""
    partitions = set(
        connection.execute(text("SELECT relname FROM pg_class WHERE relispartition")).scalars()
    )
    context.configure(
        connection=connection,
        target_metadata=tables,
        include_name=lambda name, kind, _: kind != "table" or name not in partitions,
    )
    with context.begin_transaction():
        connection.execute(text(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))
        context.run_migrations()


async def run(url: str, tables: Any) -> None:
    """Open one connection over `url`, an address as asyncpg reads it, and migrate."""

    async def connect(*_: Any, **__: Any) -> Any:
        return await asyncpg.connect(url, timeout=30)

    engine = create_async_engine("postgresql+asyncpg://", poolclass=NullPool, async_creator=connect)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(migrate, tables)
            await connection.commit()
    finally:
        await engine.dispose()


def run_to_end(url: str, tables: Any) -> None:
    """Run in a thread of its own: the caller's thread may be inside an event loop already."""
    failures: list[BaseException] = []

    def work() -> None:
        try:
            asyncio.run(run(url, tables))
        except BaseException as error:  # noqa: BLE001 - carried over to the calling thread
            failures.append(error)

    thread = threading.Thread(target=work, name="migrate")
    thread.start()
    thread.join()
    if failures:
        raise failures[0]


def main() -> None:
    """Find the address, then run."""
    given = context.config.attributes
    tables = declared_tables() if given.get("compare", True) else None
    with ExitStack() as stack:
        url = given.get("url")
        if url is None:
            from backend.kit.pg import attach
            from backend.kit.settings import load_settings

            settings = load_settings()
            server = stack.enter_context(
                attach(settings.var, database_url=settings.database_url, pg_bin=settings.pg_bin)
            )
            url = settings.owner_database_url or server.url("owner")
        run_to_end(url, tables)


main()
