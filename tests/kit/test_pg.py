"""The embedded server: started, shared, killed, found again, moved and refused.

These tests start servers of their own with every safeguard on, so each takes about a second.
"""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import asyncpg
import pytest

from backend.kit.db import Database
from backend.kit.migrate import migrate
from backend.kit.pg import ServerError, attach, cluster, lease, places
from tests.kit.sql import run_sql

ROOT = Path(__file__).parents[2]

# Holds a lease, says so, and waits: for the end of its input, or for a signal.
USER_OF_SERVER = """
import sys
from pathlib import Path
from backend.kit.pg import attach
with attach(Path(sys.argv[1]), database_url="") as server:
    print(server.pid, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def another_process(var: Path) -> Iterator[Callable[[], "subprocess.Popen[str]"]]:
    """Start processes that attach to the server of `var`."""
    started: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", USER_OF_SERVER, str(var)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def _server_of(process: "subprocess.Popen[str]") -> int:
    assert process.stdout is not None
    return int(process.stdout.readline())


def _end(process: "subprocess.Popen[str]") -> None:
    process.communicate("")
    assert process.returncode == 0


def _alive(pid: int) -> bool:
    try:
        return "postgres" in Path(f"/proc/{pid}/cmdline").read_text()
    except FileNotFoundError:
        return False


async def test_clean_stop_keeps_what_was_written(var: Path):
    with attach(var) as server:
        pid = server.pid
        assert pid is not None
        await run_sql(server.url("owner"), "CREATE TABLE t AS SELECT 7 AS a", "SELECT 1")
    assert not _alive(pid)
    with attach(var) as server:
        assert await run_sql(server.url("owner"), "SELECT a FROM t") == 7
        for name, value in {
            "fsync": "on",
            "synchronous_commit": "on",
            "full_page_writes": "on",
            "data_checksums": "on",
            "listen_addresses": "",
            "server_encoding": "UTF8",
            "TimeZone": "UTC",
        }.items():
            assert await run_sql(server.url("app"), f"SHOW {name}") == value


async def test_each_role_is_a_login_without_power(var: Path):
    with attach(var) as server:
        for role in ("owner", "app", "eraser"):
            me = "SELECT current_user || ' ' || (SELECT rolsuper OR rolcreaterole FROM pg_roles"
            answer = await run_sql(server.url(role), f"{me} WHERE rolname = current_user)")
            assert answer == f"tanhui_{role} false"
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await run_sql(server.url("app"), "SET ROLE tanhui_owner", "SELECT 1")


def test_releasing_twice_is_harmless(var: Path):
    server = attach(var)
    server.release()
    server.release()
    assert server.pid is None


def test_last_of_two_processes_stops_it(var: Path, another_process):
    first, second = another_process(), another_process()
    pid = _server_of(first)
    assert _server_of(second) == pid
    _end(first)
    assert _alive(pid)
    _end(second)
    assert not _alive(pid)


def test_processes_that_start_together_make_one_server(var: Path, another_process):
    processes = [another_process() for _ in range(4)]
    assert len({_server_of(process) for process in processes}) == 1
    for process in processes:
        _end(process)


def test_without_leases_the_first_to_leave_would_stop_it(var: Path, monkeypatch):
    monkeypatch.setattr(lease.Lease, "held_in", lambda home: False)
    with attach(var) as server:
        attach(var).release()
        assert server.pid is None


def test_killed_process_neither_stops_it_nor_keeps_it_up(var: Path, another_process):
    killed = another_process()
    pid = _server_of(killed)
    killed.kill()
    killed.wait()
    assert _alive(pid)
    with attach(var) as server:
        assert server.pid == pid
    assert not _alive(pid)


async def test_killed_server_starts_again_with_all_commits(var: Path):
    with attach(var) as server:
        pid = server.pid
        assert pid is not None
        count = "CREATE TABLE t (a int)", "INSERT INTO t SELECT generate_series(1, 5000)"
        await run_sql(server.url("owner"), *count, "SELECT 1")
        os.kill(pid, signal.SIGKILL)
        with attach(var) as again:
            assert again.pid not in (None, pid)
            assert await run_sql(again.url("owner"), "SELECT count(*) FROM t") == 5000


async def test_every_acknowledged_commit_survives_a_kill_under_load(var: Path):
    acknowledged: list[int] = []

    async def write(first: int, url: str) -> None:
        connection = await asyncpg.connect(url)
        # The driver's state machine trips, too, when its connection dies between two messages.
        away = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
        with suppress(*away):
            for number in range(first, first + 1_000_000):
                await connection.execute("INSERT INTO t VALUES ($1)", number)
                acknowledged.append(number)

    with attach(var) as server:
        assert server.pid is not None
        owner = server.url("owner")
        await run_sql(owner, "CREATE TABLE t (a bigint PRIMARY KEY)", "SELECT 1")
        writers = [asyncio.create_task(write(n * 1_000_000, owner)) for n in range(4)]
        while len(acknowledged) < 400:
            await asyncio.sleep(0.01)
        os.kill(server.pid, signal.SIGKILL)
        await asyncio.gather(*writers)
        with attach(var) as again:
            connection = await asyncpg.connect(again.url("owner"))
            stored = {row["a"] for row in await connection.fetch("SELECT a FROM t")}
            await connection.close()
    assert set(acknowledged) <= stored
    # A writer has at most one row under way that was stored but not yet acknowledged.
    assert len(stored) - len(acknowledged) <= len(writers)


async def test_everything_killed_at_once_starts_again(var: Path, another_process):
    process = another_process()
    pid = _server_of(process)
    os.kill(pid, signal.SIGKILL)
    process.kill()
    process.wait()
    with attach(var) as server:
        assert await run_sql(server.url("app"), "SELECT 1") == 1


@pytest.fixture
def stranger(var: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A living process of somebody else that a stopped server's pid file happens to name."""
    with attach(var) as server:
        assert server.place is not None
        data = server.place.data
        lines = (data / "postmaster.pid").read_text().splitlines()
    process = subprocess.Popen(["/bin/sleep", "60"])
    (data / "postmaster.pid").write_text("\n".join([str(process.pid), *lines[1:]]) + "\n")
    yield process
    process.kill()
    process.wait()


async def test_pid_given_to_a_stranger_meanwhile(var: Path, stranger: "subprocess.Popen[bytes]"):
    with attach(var) as server:
        assert server.pid != stranger.pid
        assert await run_sql(server.url("app"), "SELECT 1") == 1
    assert stranger.poll() is None


def test_trusting_any_living_pid_would_kill_the_stranger(
    var: Path, stranger: "subprocess.Popen[bytes]", monkeypatch
):
    with monkeypatch.context() as broken:
        broken.setattr(cluster.Cluster, "_is_server", lambda self, pid: True)
        broken.setattr(cluster, "STOP_TIMEOUT_S", 0.3)
        with pytest.raises(ServerError, match="does not stop"):
            attach(var)
    assert stranger.wait() == -signal.SIGINT


async def test_interrupted_making_leaves_nothing_half(var: Path):
    place = places.find_place(var)
    (place.home / "data.new.dead").mkdir()
    (place.home / "data.new.dead" / "PG_VERSION").write_text("18")
    with attach(var) as server:
        assert await run_sql(server.url("app"), "SELECT 1") == 1
    assert not list(place.home.glob("data.new*"))


async def test_lost_socket_is_made_again(var: Path):
    with attach(var) as server:
        assert server.place is not None
        (server.place.socket_dir / places.SOCKET_NAME).unlink()
        with attach(var) as again:
            assert await run_sql(again.url("app"), "SELECT 1") == 1


async def test_no_second_server_over_the_data_of_an_invisible_one(var: Path, monkeypatch):
    """Seen from another container the server's process id names nobody; its lock still holds."""
    with attach(var) as server:
        with monkeypatch.context() as other_container:
            other_container.setattr(cluster.Cluster, "_is_server", lambda self, pid: False)
            other_container.setattr(cluster, "LAST_BREATH_S", 0.2)
            with pytest.raises(ServerError, match="not visible from here"):
                attach(var)
        assert await run_sql(server.url("app"), "SELECT 1") == 1


def test_forked_child_does_not_give_back_its_parents_lease(var: Path):
    with attach(var) as server:
        child = os.fork()
        if child == 0:
            server.release()
            os._exit(0)
        os.waitpid(child, 0)
        assert server.pid is not None


async def test_given_server_starts_nothing_and_takes_on_roles(var: Path, tmp_path: Path):
    with attach(var) as embedded:
        admin = embedded.url("owner").replace("tanhui_owner", cluster.SUPERUSER)
        other = tmp_path / "other"
        with attach(other, database_url=admin) as server:
            assert not server.embedded
            assert not other.exists()
            migrate(server.url("owner"))
            for role in ("app", "eraser"):
                assert await run_sql(server.url(role), "SELECT current_user") == f"tanhui_{role}"
            database = await Database.open(server.url("app"), size=1)
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with database.transaction() as tx:
                    await tx.execute("DROP TABLE outbox")
            await database.close()
        assert embedded.pid is not None


def test_database_url_of_the_environment_wins(var: Path, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql://me@db.city:5432/points?sslmode=require")
    with attach(var) as server:
        assert server.url("owner") == "postgresql://me@db.city:5432/points?sslmode=require"
        assert server.url("app").endswith("?sslmode=require&role=tanhui_app")
        assert "/other?sslmode" in server.url("owner", "other")


def test_second_start_is_quick(var: Path):
    attach(var).release()
    begin = time.monotonic()
    attach(var).release()
    # 0.5 s is the aim and 0.05 s usual; a loaded machine gets room, a lost second does not.
    assert time.monotonic() - begin < 2
