"""Brings a demo installation up: database, node, contracts, API, worker; in this order, once.

Every stage looks at what stands already, so a start that was killed anywhere is continued by the
next one.
"""

import fcntl
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO
from urllib.parse import urlsplit

import httpx

from backend.demo.supervisor import Supervisor
from backend.kit import pg
from backend.kit.migrate import migrate
from backend.kit.settings import Settings
from backend.kit.vault import Vault

READY_S_MAX = 60
Show = Callable[[str, str], None]


class CannotStart(Exception):
    """The installation cannot come up; the message says why and what to do."""


@dataclass(slots=True)
class Installation:
    """A running demo installation."""

    settings: Settings
    supervisor: Supervisor
    server: pg.Server
    lock: TextIO
    started_s: float = field(default_factory=time.monotonic)

    @property
    def base_url(self) -> str:
        """The API's address."""
        return f"http://{self.settings.host}:{self.settings.port}"

    @property
    def panel_url(self) -> str:
        """The officials' panel: an origin of its own."""
        return f"http://{self.settings.host}:{self.settings.port + 1}"

    def stop(self) -> None:
        """End every process, the database last."""
        self.supervisor.stop()
        self.server.release()
        self.lock.close()

    def memory_mib(self) -> int:
        """Proportional memory of all processes together (Linux: Pss; elsewhere 0)."""
        roots = {os.getpid(), *self.supervisor.pids().values()}
        if self.server.pid is not None:
            roots.add(self.server.pid)
        return sum(_pss_kib(pid) for pid in _with_descendants(roots)) // 1024


def bring_up(settings: Settings, show: Show, *, api: bool = True) -> Installation:
    """Start the node, the database with its tables and, with `api`, the web process.

    Raises CannotStart, pg.ServerError, or what a migration raises.
    """
    settings.var.mkdir(parents=True, exist_ok=True)
    lock = _only_one(settings)
    Vault.open(settings.keys_dir)
    for port in (settings.port, urlsplit(settings.chain_rpc_url).port):
        _must_be_free(settings.host, port or settings.port)
    supervisor = Supervisor(settings.var / "log", _environment(settings))
    supervisor.start("node", "node")
    try:
        server = pg.attach(settings.var, database_url=settings.database_url)
    except BaseException:
        supervisor.stop()
        raise
    installation = Installation(settings, supervisor, server, lock)
    try:
        show("✓", "数据库已启动" + ("(内嵌 PostgreSQL)" if server.embedded else "(DATABASE_URL)"))
        migrate(settings.owner_database_url or server.url("owner"))
        show("✓", "数据表已就绪")
        if api:
            supervisor.start("web", "serve")
        supervisor.watch()
    except BaseException:
        installation.stop()
        raise
    return installation


def wait_ready(installation: Installation) -> float:
    """Wait until `/ready` says so. Returns the seconds since the start. Raises CannotStart."""
    deadline_s = time.monotonic() + READY_S_MAX
    seen = "no answer yet"
    while time.monotonic() < deadline_s:
        try:
            answer = httpx.get(f"{installation.base_url}/ready", timeout=2)
            if answer.status_code == 200:
                return time.monotonic() - installation.started_s
            seen = f"{answer.status_code} {answer.text[:300]}"
        except httpx.TransportError as error:
            seen = repr(error)
        time.sleep(0.05)
    logs = installation.settings.var / "log"
    raise CannotStart(f"/ready 在 {READY_S_MAX} 秒内没有就绪({seen});日志在 {logs}")


def _environment(settings: Settings) -> dict[str, str]:
    given = {
        "TANHUI_PROFILE": settings.profile,
        "TANHUI_VAR": str(settings.var.resolve()),
        "TANHUI_HOST": settings.host,
        "TANHUI_PORT": str(settings.port),
        "TANHUI_ISSUER_ID": settings.issuer_id,
        "TANHUI_ISSUER_NAME": settings.issuer_name,
        "TANHUI_CHAIN_ID": str(settings.chain_id),
        "TANHUI_RPC_URL": settings.chain_rpc_url,
        "CITY_TZ": settings.city_tz,
    }
    if settings.database_url is not None:
        given["DATABASE_URL"] = settings.database_url
    return given


def _only_one(settings: Settings) -> TextIO:
    """Hold the installation's lock file until this process ends, however it ends."""
    path = settings.var / "demo.lock"
    lock = path.open("a+", encoding="utf-8")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.seek(0)
        raise CannotStart(f"这个目录里的演示已在运行:{lock.read().strip()}") from error
    lock.truncate(0)
    lock.write(f"http://{settings.host}:{settings.port} (pid {os.getpid()})\n")
    lock.flush()
    return lock


def _must_be_free(host: str, port: int, wait_s: float = 6) -> None:
    """A port may still be held by processes of a killed start, which end by themselves."""
    deadline_s = time.monotonic() + wait_s
    while True:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                if time.monotonic() > deadline_s:
                    raise CannotStart(
                        f"端口 {port} 已被占用;请用 --port 换一个(其后第 1、2 个端口也会用到)"
                    ) from error
            else:
                return
        time.sleep(0.1)


def _with_descendants(roots: set[int]) -> set[int]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(entry.read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            continue  # A process that ended between listing and reading.
        children.setdefault(parent, []).append(int(entry.parent.name))
    found: set[int] = set()
    todo = list(roots)
    while todo:
        pid = todo.pop()
        if pid not in found:
            found.add(pid)
            todo += children.get(pid, [])
    return found


def _pss_kib(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
