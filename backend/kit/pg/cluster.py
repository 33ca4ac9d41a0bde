"""Make, start, find again and stop one PostgreSQL server.

Whether a server lives is answered twice. A lock on `serving` is handed to the server's processes
and held until the last of them has ended, however they end and even if they live in another
container; nobody starts a second server while it is held. PostgreSQL's own `postmaster.pid` says
which process to talk to or to stop; it may be stale, so a process only counts when its command
line names our data.
"""

import fcntl
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from .errors import ServerError
from .places import SOCKET_NAME, Place

START_TIMEOUT_S = 120
STOP_TIMEOUT_S = 60
LAST_BREATH_S = 10
ANSWER_TIMEOUT_S = 5
POLL_S = 0.01
LOG_BYTES_MAX = 8 * 2**20
# PostgreSQL's SSLRequest message: its length, then its code. Every server answers with one byte.
ASK_FOR_TLS = (8).to_bytes(4) + (80877103).to_bytes(4)
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
    # Details and statements of an error could carry personal data into the log.
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
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
        serving = self._serving_lock(time.monotonic() + LAST_BREATH_S)
        if serving is None:
            raise ServerError(
                f"a PostgreSQL that is not visible from here still uses {self.place.data}: stop "
                "the container or the processes that share this folder"
            )
        try:
            self._clear_traces()
            self._write_settings(settings)
            begin = self._launch(serving)
        finally:
            os.close(serving)
        self._await_ready(begin)

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

    @property
    def _socket(self) -> Path:
        return self.place.socket_dir / SOCKET_NAME

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
            status = "".join(self._pid_lines()[7:8]).strip()
            if status == "stopping":
                self._wait_for_end(pid)
            elif status == "ready" and not self._socket.exists():
                self.stop()  # somebody tidied its socket away: nobody can reach it any more
            elif status == "ready" and self._answers():
                return pid
            elif time.monotonic() > deadline:
                raise ServerError(f"the server does not get ready: see {self.place.log}")
            time.sleep(POLL_S)
        return None

    def _answers(self) -> bool:
        """Whether the server says something: a killed one may still hold its socket open."""
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(ANSWER_TIMEOUT_S)
            try:
                probe.connect(str(self._socket))
                probe.sendall(ASK_FOR_TLS)
                return probe.recv(1) in (b"N", b"S")
            except OSError:
                return False

    def _wait_for_end(self, pid: int) -> None:
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while self._is_server(pid):
            if time.monotonic() > deadline:
                raise ServerError(f"the server (process {pid}) does not stop: see {self.place.log}")
            time.sleep(POLL_S)

    def _clear_traces(self) -> None:
        """Remove what a killed server left behind; PostgreSQL itself trusts any living process."""
        (self.place.data / "postmaster.pid").unlink(missing_ok=True)
        self._socket.unlink(missing_ok=True)
        self._socket.with_name(f"{SOCKET_NAME}.lock").unlink(missing_ok=True)

    def _make(self) -> None:
        """Make the data folder with roles and database; it appears whole or not at all."""
        for abandoned in self.place.home.glob("data.new.*"):
            shutil.rmtree(abandoned, ignore_errors=True)
        # A name of its own: programs of a killed start may still be writing to theirs.
        fresh = self.place.home / f"data.new.{secrets.token_hex(4)}"
        fresh.mkdir(mode=0o700)
        if self.place.user is not None:
            os.chown(fresh, self.place.user.pw_uid, self.place.user.pw_gid)
        self._run(
            "initdb",
            *("-D", str(fresh), "-U", SUPERUSER, "--encoding=UTF8", "--no-locale"),
            *("--data-checksums", "--auth=peer", "--no-instructions", "--no-sync"),
        )
        roles = [f"CREATE ROLE {role} LOGIN" for role in ROLES]
        # The owner makes the databases of the tests.
        roles[0] += " CREATEDB"
        database = [f"CREATE DATABASE {self._database} OWNER tanhui_owner"]
        self._run(
            "postgres",
            *("--single", "-D", str(fresh), "-c", "exit_on_error=true", "-c", "fsync=off"),
            "postgres",
            text="\n".join([*roles, *database]) + "\n",
        )
        # One flush for all of it: file by file takes seconds on a busy disk.
        flush = ["--sync-method=syncfs"] if sys.platform == "linux" and self._major() >= 17 else []
        self._run("initdb", "-D", str(fresh), "--sync-only", *flush)
        fresh.rename(self.place.data)

    def _major(self) -> int:
        """The major version of the programs: 18 for `postgres (PostgreSQL) 18.4 (Debian …)`."""
        said = self._run("postgres", "--version")
        number = re.search(r"\(PostgreSQL\) (\d+)", said)
        if number is None:
            raise ServerError(f"{self._binaries} is no PostgreSQL: it calls itself {said.strip()}")
        return int(number[1])

    def _check_version(self) -> None:
        made_by = (self.place.data / "PG_VERSION").read_text().strip()
        ours = self._major()
        if str(ours) != made_by:
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

    def _serving_lock(self, deadline: float) -> int | None:
        """The lock that a server's processes share, as an open file; None while they hold it.

        The children of a killed server need a moment to notice and let go of its memory.
        """
        handle = os.open(self.place.home / "serving", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    os.close(handle)
                    return None
                time.sleep(POLL_S)
            else:
                return handle

    def _launch(self, serving: int) -> int:
        """Start the server process; the size its log had before."""
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
            detached_with=serving,
        )
        return begin

    def _await_ready(self, log_begin: int) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while self._settled() is None:
            free = self._serving_lock(0)
            if free is not None or time.monotonic() > deadline:
                if free is not None:
                    os.close(free)
                log = self.place.log
                said = log.read_bytes()[log_begin:].decode(errors="replace") if log.exists() else ""
                raise ServerError(f"PostgreSQL did not start; {log} says:\n{said[-2_000:]}")
            time.sleep(POLL_S)

    def _program(self, name: str) -> Path:
        if self._binaries is None:
            raise ServerError("this server was opened for stopping only")
        return self._binaries / name

    def _run(self, name: str, *arguments: str, text: str = "") -> str:
        return self._process([str(self._program(name)), *arguments], text=text)

    def _process(
        self, command: Sequence[str], *, text: str = "", detached_with: int | None = None
    ) -> str:
        """Run a program to its end as the server's user and give back what it printed.

        `detached_with` is an open file it keeps, in a session of its own.
        """
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
                start_new_session=detached_with is not None,
                pass_fds=() if detached_with is None else (detached_with,),
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
