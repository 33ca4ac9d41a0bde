"""Where the embedded server keeps its files and which user runs it.

An ordinary user's server lives in `var/pg`. PostgreSQL refuses to run as root, so root's server
runs as an unprivileged user, who may not be able to enter `var`; its data then lives under
/var/lib/tanhui/pg/data/<installation>, and `var/pg/installation.json` says which one is ours.
"""

import hashlib
import json
import os
import pwd
import secrets
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from .errors import ServerError
from .lease import Lease, exclusive

ROOT_BASE = Path("/var/lib/tanhui/pg")
USERS = ("tanhui", "postgres", "nobody")
"""Who may run root's server: the first of these that the machine has."""

SOCKET_NAME = ".s.PGSQL.5432"
SOCKET_PATH_MAX = 103
"""Bytes a unix socket's path may have: 107 on Linux, 103 on macOS; we keep to the smaller."""


@dataclass(frozen=True, slots=True)
class Place:
    """The folders of one embedded server.

    `home` belongs to us and holds settings, leases and the lock; `data` and `run` belong to the
    user the server runs as. `user` is that user where it is not ourselves, else None.
    """

    home: Path
    socket_dir: Path
    user: pwd.struct_passwd | None

    @property
    def data(self) -> Path:
        """PostgreSQL's data folder."""
        return self.home / "data"

    @property
    def run(self) -> Path:
        """The server's log, and its socket where the path is short enough."""
        return self.home / "run"

    @property
    def log(self) -> Path:
        """The server's log file."""
        return self.run / "server.log"


def find_place(var: Path) -> Place:
    """The place that belongs to the state folder `var`; its folders exist afterwards."""
    var = var.resolve()
    try:
        return _place_of_root(var) if os.geteuid() == 0 else _place_of_ordinary_user(var)
    except PermissionError as error:
        raise ServerError(
            f"{error.filename} belongs to another user: run as that user, or choose another "
            "folder with TANHUI_VAR"
        ) from error


def _place_of_root(var: Path) -> Place:
    if (var / "pg" / "data").exists():
        raise ServerError(
            f"{var / 'pg'} belongs to {_owner_name(var / 'pg' / 'data')}, but this is root: run as "
            "that user, or choose another folder with TANHUI_VAR"
        )
    link = var / "pg"
    link.mkdir(parents=True, exist_ok=True)
    with exclusive(link):
        home = ROOT_BASE / "data" / _installation(var)
    user = _unprivileged_user(home / "data")
    ROOT_BASE.mkdir(parents=True, exist_ok=True, mode=0o755)
    for folder in (home.parent, home):
        folder.mkdir(exist_ok=True, mode=0o711)
    (home / "var").write_text(str(var))
    place = Place(home, home / "run", user)
    _make_run_folder(place.run, user)
    return place


def forget_place(var: Path, place: Place) -> None:
    """Remove the place's files and the link to them."""
    shutil.rmtree(place.home, ignore_errors=True)
    if place.socket_dir != place.run:
        shutil.rmtree(place.socket_dir, ignore_errors=True)
    (var / "pg" / "installation.json").unlink(missing_ok=True)


def _place_of_ordinary_user(var: Path) -> Place:
    home = var / "pg"
    if (home / "installation.json").exists():
        raise ServerError(
            f"{var} was set up by root, whose database lies under {ROOT_BASE}: run as root again, "
            "or choose another folder with TANHUI_VAR"
        )
    try:
        pwd.getpwuid(os.geteuid())
    except KeyError:
        raise ServerError(
            f"the user id {os.geteuid()} has no name on this machine, which PostgreSQL needs: "
            "add it to /etc/passwd, or set DATABASE_URL to a server"
        ) from None
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    run = home / "run"
    _make_run_folder(run, None)
    if _fits(run):
        return Place(home, run, None)
    # The path is too long for a socket: a private folder with a short name takes its place.
    digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:12]
    for base in (Path(tempfile.gettempdir()), Path("/tmp")):  # noqa: S108 - checked to be ours
        socket_dir = base / f"tanhui-{os.geteuid()}-{digest}"
        if _fits(socket_dir):
            _make_private_folder(socket_dir)
            return Place(home, socket_dir, None)
    raise ServerError(f"{home} is too long a path for a socket: choose a shorter TANHUI_VAR")


def _fits(folder: Path) -> bool:
    path = os.fsencode(folder / SOCKET_NAME)
    # A comma separates folders in PostgreSQL's setting.
    return len(path) <= SOCKET_PATH_MAX and b"," not in path and b'"' not in path


def _make_private_folder(folder: Path) -> None:
    """Make a folder only we can enter; refuse one that somebody else put there."""
    folder.mkdir(exist_ok=True, mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise ServerError(f"{folder} is in the way and not ours: remove it")
    folder.chmod(0o700)


def _make_run_folder(folder: Path, user: pwd.struct_passwd | None) -> None:
    folder.mkdir(exist_ok=True, mode=0o700)
    if user is not None:
        os.chown(folder, user.pw_uid, user.pw_gid)


def _unprivileged_user(data: Path) -> pwd.struct_passwd:
    """Who runs root's server: the owner of existing data, TANHUI_PG_USER, or the first of USERS."""
    if data.exists():
        return pwd.getpwuid(data.stat().st_uid)
    wanted = os.environ.get("TANHUI_PG_USER")
    for name in (wanted,) if wanted else USERS:
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        if user.pw_uid != 0:
            return user
    raise ServerError(
        "PostgreSQL refuses to run as root, and this machine has no unprivileged user "
        f"({wanted or ', '.join(USERS)}): `useradd --system tanhui`, or set TANHUI_PG_USER"
    )


def _installation(var: Path) -> str:
    """The name of this installation's data, kept in `var` so that it moves along with it."""
    file = var / "pg" / "installation.json"
    if file.exists():
        known = json.loads(file.read_text())
        earlier = Path(known["var"])
        if earlier == var:
            return known["id"]
        if (earlier / "pg" / "installation.json").exists():
            raise ServerError(
                f"{var} is a copy of {earlier}, and its database stayed there: use the original, "
                "or delete the copy to begin anew"
            )
        name = known["id"]
    else:
        _sweep(var)
        name = secrets.token_hex(8)
    fresh = file.with_suffix(".new")
    fresh.write_text(json.dumps({"id": name, "var": str(var)}))
    fresh.replace(file)
    return name


def _sweep(var: Path) -> None:
    """Remove data whose `var` was deleted and now begins anew: deleting `var` means deleting all.

    So does a deleted temporary folder, of a test or a trial. Data in use is left alone, and so is
    data of any other `var` that is out of sight: its disk may come back.
    """
    from .cluster import Cluster

    temporary = Path(tempfile.gettempdir()).resolve()
    for note in (ROOT_BASE / "data").glob("*/var"):
        home, earlier = note.parent, Path(note.read_text())
        if earlier == var or (earlier.is_relative_to(temporary) and not earlier.exists()):
            with exclusive(home):
                if Lease.held_in(home):
                    continue
                Cluster(Place(home, home / "run", None), None, "").stop()
            shutil.rmtree(home, ignore_errors=True)


def _owner_name(path: Path) -> str:
    uid = path.stat().st_uid
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"the user id {uid}"
