"""Officials: registration and key files."""

import json
from pathlib import Path

import pytest

from backend import officials
from backend.kit.clock import FixedClock
from backend.kit.db import Tx
from backend.kit.problems import Problem
from backend.officials import KeyFile

ADDRESS = "0x" + "1a" * 20


def a_key(profile: str = "demo") -> KeyFile:
    return KeyFile("wang", ADDRESS, profile, {"version": 3})


async def test_registering_twice_is_no_change(tx: Tx, clock: FixedClock) -> None:
    first = await officials.register(tx, "wang", "王", "approver", ADDRESS, clock)
    assert await officials.register(tx, "wang", "王", "approver", ADDRESS, clock) == first
    assert await officials.listed(tx) == [first]


@pytest.mark.parametrize(
    ("official_id", "address"), [("wang", "0x" + "2b" * 20), ("zhao", ADDRESS)]
)
async def test_an_id_and_an_address_belong_together_for_ever(
    tx: Tx, clock: FixedClock, official_id: str, address: str
) -> None:
    await officials.register(tx, "wang", "王", "approver", ADDRESS, clock)
    with pytest.raises(Problem) as refused:
        await officials.register(tx, official_id, "某", "approver", address, clock)
    assert refused.value.name == "official-conflict"


@pytest.mark.parametrize(
    ("official_id", "role", "address"),
    [("Wang", "approver", ADDRESS), ("wang", "king", ADDRESS), ("wang", "approver", "0x1A")],
)
async def test_odd_registrations_are_refused(
    tx: Tx, clock: FixedClock, official_id: str, role: str, address: str
) -> None:
    with pytest.raises(Problem) as refused:
        await officials.register(tx, official_id, "王", role, address, clock)
    assert refused.value.name == "bad-official"


def test_a_key_file_is_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "wang.json"
    officials.write_key_file(path, a_key())
    assert path.stat().st_mode & 0o777 == 0o600
    assert officials.read_key_file(path, "demo") == a_key()
    with pytest.raises(FileExistsError):
        officials.write_key_file(path, a_key())


def test_production_refuses_demo_keys(tmp_path: Path) -> None:
    officials.write_key_file(tmp_path / "demo.json", a_key("demo"))
    with pytest.raises(Problem) as refused:
        officials.read_key_file(tmp_path / "demo.json", "production")
    assert refused.value.name == "demo-key"
    with pytest.raises(Problem):
        officials.refuse_demo_keys(tmp_path, "production")
    officials.refuse_demo_keys(tmp_path, "demo")
    (tmp_path / "demo.json").unlink()
    officials.write_key_file(tmp_path / "real.json", a_key("production"))
    officials.refuse_demo_keys(tmp_path, "production")


@pytest.mark.parametrize("text", ["", "[]", "{}", json.dumps({"format": "other"})])
def test_broken_key_files_are_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "broken.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(Problem) as refused:
        officials.read_key_file(path, "demo")
    assert refused.value.name == "bad-key-file"
