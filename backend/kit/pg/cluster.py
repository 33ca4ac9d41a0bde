"""Make, start, find again and stop one PostgreSQL server.

PostgreSQL's own `postmaster.pid` says which process serves a data folder. It may be stale: after a
SIGKILL of the server its process id may be free or belong to somebody else by now. So a process
only counts as ours when its command line names our data folder.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from .errors import ServerError
from .places import SOCKET_NAME, Place

START_TIMEOUT_S = 120
STOP_TIMEOUT_S = 60
POLL_S = 0.01
LOG_BYTES_MAX = 8 * 2**20
SUPERUSER = "tanhui_admin"
ROLES = ("tanhui_owner", "tanhui_app", "tanhui_eraser")

# About 900 MB is the budget of the whole product; the server takes some 200 MB of it.
SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "60",
    "shared_buffers": "128MB",
    "work_mem": "8MB",
    "maintenance_work_mem": "64MB",
    "max_parallel_workers_per_gather": "0",
    "max_wal_senders": "0",
    "wal_level": "minimal",
    "max_wal_size": "1GB",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
}


class Cluster:
    """One data folder and the server over it. Use it under `lease.exclusive` only."""

    def __init__(self, place: Place, binaries: Path | None, database: str) -> None:
        self.place = place
        self._binaries = binaries
        self._database = database

    def start(self, settings: Mapping[str, str]) -> None:
        """Attach to the running server, or start it, making the data folder first if needed."""
        if self._settled() is not None:
            return
        if not self.place.data.exists():
            self._make()
        self._check_version()
        self._clear_traces()
        self._write_settings(settings)
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._launch(deadline):
            # The children of a killed server need a moment to notice and let go of its memory.
            time.sleep(0.1)

    def stop(self) -> None:
        """Stop the server if it runs: connections are closed, everything is written."""
        pid = self.pid()
        if pid is None:
            return
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGINT)  # what `pg_ctl -m fast stop` sends
        self._wait_for_end(pid)

    def pid(self) -> int | None:
        """The process id of the server, or None when it does not run."""
        lines = self._pid_lines()
        pid = int(lines[0]) if lines and lines[0].strip().isdigit() else None
        return pid if pid is not None and self._is_server(pid) else None

    def _pid_lines(self) -> list[str]:
        try:
            return (self.place.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []

    def _is_server(self, pid: int) -> bool:
        """Whether that process is alive and a server over our data folder."""
        ours = os.fsencode(self.place.data)
        try:
            return ours in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            if Path("/proc/self/cmdline").exists():
                return False
        # A machine without /proc, such as macOS.
        ps = ["/bin/ps", "-o", "command=", "-p", str(pid)]
        return ours in subprocess.run(ps, capture_output=True, check=False).stdout

    def _settled(self) -> int | None:
        """The server's process id once it takes connections; None when none is or stays there."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while (pid := self.pid()) is not None:
            status = self._pid_lines()[7:8]
            if status == ["stopping"]:
                self._wait_for_end(pid)
            elif [word.strip() for word in status] == ["ready"] and self._answers():
                return pid
            elif time.monotonic() > deadline:
                raise ServerError(f"the server does not get ready: see {self.place.log}")
            time.sleep(POLL_S)
        return None

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(self.place.socket_dir / SOCKET_NAME))
            except OSError:
                return False
        return True

    def _wait_for_end(self, pid: int) -> None:
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while self._is_server(pid):
            if time.monotonic() > deadline:
                raise ServerError(f"the server (process {pid}) does not stop: see {self.place.log}")
            time.sleep(POLL_S)

    def _clear_traces(self) -> None:
        """Remove what a killed server left behind; PostgreSQL itself trusts any living process."""
        (self.place.data / "postmaster.pid").unlink(missing_ok=True)
        for name in (SOCKET_NAME, f"{SOCKET_NAME}.lock"):
            (self.place.socket_dir / name).unlink(missing_ok=True)

    def _make(self) -> None:
        """Make the data folder with roles and database; it appears whole or not at all."""
        fresh = self.place.home / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        if self.place.user is not None:
            os.chown(fresh, self.place.user.pw_uid, self.place.user.pw_gid)
        self._run(
            "initdb",
            *("-D", str(fresh), "-U", SUPERUSER, "--encoding=UTF8", "--no-locale"),
            *("--data-checksums", "--auth=peer", "--no-instructions"),
        )
        roles = [f"CREATE ROLE {role} LOGIN" for role in ROLES]
        # The owner makes the databases of the tests.
        roles[0] += " CREATEDB"
        database = (
            [f"CREATE DATABASE {self._database} OWNER tanhui_owner"] if self._database else []
        )
        self._run(
            "postgres",
            *("--single", "-D", str(fresh), "-c", "exit_on_error=true", "postgres"),
            text="\n".join([*roles, *database]) + "\n",
        )
        fresh.rename(self.place.data)

    def _check_version(self) -> None:
        made_by = (self.place.data / "PG_VERSION").read_text().strip()
        ours = self._run("postgres", "--version").split()[-1]
        if ours.partition(".")[0] != made_by:
            raise ServerError(
                f"{self.place.data} was made by PostgreSQL {made_by}, but {self._binaries} holds "
                f"{ours}: set PG_BIN to PostgreSQL {made_by}, or dump and restore"
            )

    def _write_settings(self, settings: Mapping[str, str]) -> None:
        """Write the settings anew at each start, so that they follow this code's version."""
        home = self.place.home
        values = SETTINGS | {
            "unix_socket_directories": str(self.place.socket_dir),
            "hba_file": str(home / "pg_hba.conf"),
            "ident_file": str(home / "pg_ident.conf"),
            **settings,
        }
        ours = pwd.getpwuid(os.geteuid()).pw_name
        files = {
            "postgresql.conf": [f"{name} = {_quoted(text)}" for name, text in values.items()],
            "pg_hba.conf": ["local all all peer map=tanhui"],
            "pg_ident.conf": [f'tanhui "{ours}" {role}' for role in (SUPERUSER, *ROLES)],
        }
        for name, lines in files.items():
            (home / name).write_text("\n".join(lines) + "\n")
            (home / name).chmod(0o644)

    def _launch(self, deadline: float) -> bool:
        """Start the server process; False if it ended because old children still hold memory."""
        log = self.place.log
        if log.exists() and log.stat().st_size > LOG_BYTES_MAX:
            log.replace(log.with_suffix(".log.1"))
        begin = log.stat().st_size if log.exists() else 0
        config = self.place.home / "postgresql.conf"
        server = [str(self._program("postgres")), "-D", str(self.place.data)]
        # The shell ends at once, so the server is nobody's child and no signal of ours reaches it.
        script = 'log=$1; shift; "$@" </dev/null >>"$log" 2>&1 &'
        self._process(
            ["/bin/sh", "-c", script, "sh", str(log), *server, "-c", f"config_file={config}"],
            new_session=True,
        )
        started = time.monotonic()
        while self._settled() is None:
            said = log.read_bytes()[begin:].decode(errors="replace") if log.exists() else ""
            if "shared memory block" in said and time.monotonic() < started + 10:
                return False
            if "FATAL" in said or time.monotonic() > deadline:
                raise ServerError(f"PostgreSQL did not start; {log} says:\n{said[-2_000:]}")
            time.sleep(POLL_S)
        return True

    def _program(self, name: str) -> Path:
        if self._binaries is None:
            raise ServerError("this server was opened for stopping only")
        return self._binaries / name

    def _run(self, name: str, *arguments: str, text: str = "") -> str:
        return self._process([str(self._program(name)), *arguments], text=text)

    def _process(self, command: Sequence[str], *, text: str = "", new_session: bool = False) -> str:
        """Run a program to its end as the server's user and give back what it printed."""
        user = self.place.user
        try:
            done = subprocess.run(
                command,
                input=text,
                capture_output=True,
                text=True,
                check=False,
                cwd=self.place.run,
                env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
                start_new_session=new_session,
                umask=0o077,
                user=None if user is None else user.pw_uid,
                group=None if user is None else user.pw_gid,
                extra_groups=None if user is None else [],
            )
        except OSError as error:
            raise ServerError(f"{command[0]} cannot be run: {error}") from error
        if done.returncode != 0:
            raise ServerError(f"{Path(command[0]).name} failed: {done.stderr.strip()[-2_000:]}")
        return done.stdout


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
