"""The database server: a given one, or an embedded PostgreSQL that needs no installation.

    with attach(Path("var")) as server:
        database = await Database.open(server.url("app"))

`DATABASE_URL` wins. Otherwise a PostgreSQL of our own runs beside the data, reachable over a unix
socket only, as an unprivileged user even where we are root. Every process that uses it holds a
lease; whoever gives back the last one stops the server. A lease dies with its process, so a killed
process never keeps the server up, and a server that outlived its processes is found again.

This package uses the standard library only: it must run before anything is installed, and under
any Python of the machine.
"""

import asyncio
import atexit
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self
from urllib.parse import quote, urlencode, urlsplit

from .binaries import find_binaries
from .cluster import Cluster
from .errors import ServerError
from .lease import Lease, exclusive
from .places import Place, find_place, forget_place

__all__ = ["Role", "Server", "ServerError", "attach", "destroy"]

Role = Literal["owner", "app", "eraser"]
"""owner runs migrations and owns the tables; app serves and works; eraser deletes a person."""

DATABASE = "tanhui"


class Server:
    """A running server and this process's lease on it. Leaving the `with` block gives it back."""

    def __init__(self, given_url: str | None, cluster: Cluster | None, lease: Lease | None) -> None:
        self._given_url = given_url
        self._cluster = cluster
        self._lease = lease
        self._process = os.getpid()
        if lease is not None:
            atexit.register(self.release)

    @property
    def embedded(self) -> bool:
        """Whether the server is our own rather than the one of DATABASE_URL."""
        return self._cluster is not None

    @property
    def place(self) -> Place | None:
        """Where the embedded server keeps its files; None for a given server."""
        return None if self._cluster is None else self._cluster.place

    @property
    def pid(self) -> int | None:
        """The process id of the embedded server, or None."""
        return None if self._cluster is None else self._cluster.pid()

    def url(self, role: Role, database: str | None = None) -> str:
        """The address for a role, as asyncpg reads it.

        On the embedded server each role is a login. On a given server the one login takes on
        `tanhui_app` or `tanhui_eraser` at connection; as owner it stays itself.
        """
        if self._cluster is not None:
            query = urlencode({"host": str(self._cluster.place.socket_dir)}, quote_via=quote)
            return f"postgresql://tanhui_{role}@/{database or DATABASE}?{query}"
        parts = urlsplit(self._given_url or "")
        query = parts.query
        if role != "owner":
            query = "&".join(filter(None, [query, f"role=tanhui_{role}"]))
        path = f"/{database}" if database else parts.path
        # Put together by hand: urlunsplit drops the `//` of an address without a host.
        return f"{parts.scheme}://{parts.netloc}{path}" + (f"?{query}" if query else "")

    def release(self) -> None:
        """Give the lease back; the last one to do so stops the embedded server. Harmless twice."""
        if self._cluster is None or self._lease is None or self._process != os.getpid():
            return  # a forked child must not give back what its parent holds
        atexit.unregister(self.release)
        with exclusive(self._cluster.place.home):
            self._lease.give_back()
            self._lease = None
            if not Lease.held_in(self._cluster.place.home):
                self._cluster.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.release)


def attach(
    var: Path,
    *,
    database_url: str | None = None,
    pg_bin: Path | None = None,
    settings: Mapping[str, str] | None = None,
) -> Server:
    """Find or start the server for the state folder `var` and take a lease on it.

    `database_url` and `pg_bin` default to the environment's DATABASE_URL and PG_BIN; an empty
    `database_url` asks for the embedded server whatever the environment says. `settings` are
    server settings for a fresh start, such as `{"fsync": "off"}` in tests. Takes up to about
    2 s the first time, 0.5 s later, longer only while a crashed server recovers. Raises
    ServerError with the next step in its text. Blocking: call it before the event loop starts,
    or in a thread.
    """
    given = os.environ.get("DATABASE_URL") if database_url is None else database_url
    if given:
        return Server(given, None, None)
    place = find_place(var)
    with exclusive(place.home):
        lease = Lease.take(place.home)
        try:
            cluster = Cluster(place, find_binaries(pg_bin, place), DATABASE)
            cluster.start(settings or {})
        except BaseException:
            lease.give_back()
            raise
    return Server(None, cluster, lease)


def destroy(var: Path) -> None:
    """Stop the embedded server of `var`, whoever uses it, and remove its data for good."""
    place = find_place(var)
    with exclusive(place.home):
        Cluster(place, None, DATABASE).stop()
    forget_place(var, place)
