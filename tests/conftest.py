"""What every test may ask for: a real PostgreSQL, a clock that stands still, the data folder.

The server is the embedded one, in a folder of its own for each checkout, so test runs that overlap
share it. A template database is made once for each state of the migrations; a test's own database
is a copy of it.
"""

import asyncio
import hashlib
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from backend.kit.clock import FixedClock
from backend.kit.db import Database, Tx
from backend.kit.migrate import migrate
from backend.kit.pg import Role, Server, attach
from backend.kit.settings import Settings
from tests.journeys.installation import Demo, free_port

ROOT = Path(__file__).parent.parent
TEMPLATE_LOCK = 0x74656D70  # "temp"
NOW = datetime(2026, 11, 22, 4, 0, tzinfo=UTC)  # noon in the city

# Tests of what survives a crash start their own server; here speed matters and nothing is kept.
FAST = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    # A vacuum under way is a process that the owner of a database may not end by dropping it.
    "autovacuum": "off",
}

UrlOf = Callable[[Role], str]


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """The embedded server that the test runs of this checkout share."""
    checkout = hashlib.sha256(os.fsencode(ROOT)).hexdigest()[:8]
    var = Path(tempfile.gettempdir()) / f"tanhui-test-{os.geteuid()}-{checkout}"
    var.mkdir(mode=0o700, exist_ok=True)
    with attach(var, database_url="", settings=FAST) as running:
        yield running


@pytest.fixture(scope="session")
def template(server: Server) -> str:
    """The name of a database with every migration run, made once for each state of them."""
    digest = hashlib.sha256()
    for file in sorted((ROOT / "migrations").rglob("*.py")):
        digest.update(file.read_bytes())
    name = f"template_{digest.hexdigest()[:16]}"
    asyncio.run(_make_template(server, name))
    return name


async def _make_template(server: Server, name: str) -> None:
    keeper = await asyncpg.connect(server.url("owner"))
    try:
        await keeper.execute("SELECT pg_advisory_lock($1)", TEMPLATE_LOCK)
        if await keeper.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name):
            return
        fresh = f"{name}_fresh"
        await keeper.execute(f"DROP DATABASE IF EXISTS {fresh} WITH (FORCE)")
        await keeper.execute(f"CREATE DATABASE {fresh}")
        migrate(server.url("owner", fresh))
        # Renamed when it is whole, so that an interrupted run leaves no half template.
        await keeper.execute(f"ALTER DATABASE {fresh} RENAME TO {name}")
    finally:
        await keeper.close()


async def _administer(server: Server, statement: str) -> None:
    keeper = await asyncpg.connect(server.url("owner"))
    try:
        await keeper.execute(statement)
    finally:
        await keeper.close()


def _database(server: Server, template: str) -> Iterator[str]:
    name = f"test_{uuid4().hex}"
    asyncio.run(_administer(server, f"CREATE DATABASE {name} TEMPLATE {template}"))
    yield name
    asyncio.run(_administer(server, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture(scope="session")
def shared_database(server: Server, template: str) -> Iterator[str]:
    """One database for all tests that roll back."""
    yield from _database(server, template)


@pytest.fixture(scope="module")
def module_database(server: Server, template: str) -> Iterator[str]:
    """A database that the tests of one module fill together, one after the other."""
    yield from _database(server, template)


@pytest.fixture
def own_database(server: Server, template: str) -> Iterator[str]:
    """A database nobody else sees, for tests that commit."""
    yield from _database(server, template)


@pytest.fixture
def url_of(server: Server, own_database: str) -> UrlOf:
    """The address of this test's own database for the role owner, app or eraser."""
    return lambda role: server.url(role, own_database)


@pytest.fixture
async def db(url_of: UrlOf) -> AsyncIterator[Database]:
    """This test's own database under the app's role, for commits and concurrency."""
    database = await Database.open(url_of("app"))
    yield database
    await database.close()


class _Undo(Exception):
    pass


@pytest.fixture
async def tx(server: Server, shared_database: str) -> AsyncIterator[Tx]:
    """A transaction under the app's role that is rolled back when the test ends."""
    database = await Database.open(server.url("app", shared_database), size=1)
    try:
        async with database.transaction() as transaction:
            yield transaction
            raise _Undo
    except _Undo:
        pass
    finally:
        await database.close()


@pytest.fixture
def clock() -> FixedClock:
    """A clock that stands at noon of 2026-11-22 in the city."""
    return FixedClock(NOW)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of a test installation, untouched by the environment."""
    for name in list(os.environ):
        if name.startswith("TANHUI_") or name in {"DATABASE_URL", "PG_BIN", "CITY_TZ"}:
            monkeypatch.delenv(name)
    return Settings(profile="test", var=tmp_path / "var")


@pytest.fixture
def vault(settings: Settings):
    """A vault with a fresh master key."""
    from backend.kit.vault import Vault

    return Vault(settings.keys_dir)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real-world data that TANHUI_DATA names; compulsory where CI=true."""
    given = os.environ.get("TANHUI_DATA")
    if given and Path(given).is_dir():
        return Path(given)
    reason = "TANHUI_DATA names no folder" if given is None else f"TANHUI_DATA={given} is no folder"
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}, and CI=true makes the real data compulsory")
    pytest.skip(f"real data: {reason}")


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Demo, dict[str, Any]]]:
    """One running demo installation for all journeys and outside checks, and what it told."""
    installation = Demo(tmp_path_factory.mktemp("demo") / "var", free_port())
    try:
        yield installation, installation.start()
    finally:
        installation.stop()
