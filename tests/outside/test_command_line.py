"""Goal: the commands a stranger or an auditor runs answer and exit as the formats say.

Method: `tanhui` from another folder that holds a receipt and a trust file and nothing else.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.installation import Demo

pytestmark = pytest.mark.journey

TANHUI = str(Path(sys.executable).parent / "tanhui")
STEPS = [
    "issuer", "format", "leaf", "path", "checkpoint", "anchor", "posted", "method", "rule", "origin"
]  # fmt: skip
Running = tuple[Demo, dict[str, Any]]


@pytest.fixture
def alone(demo: Running, tmp_path: Path) -> Path:
    """A folder with the tour's receipt and the trust file."""
    _, told = demo
    shutil.copy(told["receipt"], tmp_path / "receipt.json")
    shutil.copy(told["trust"], tmp_path / "trust.json")
    shutil.copy(Path(told["receipt"]).with_name("receipt-forged.json"), tmp_path / "forged.json")
    return tmp_path


def verify(folder: Path, *arguments: str) -> tuple[int, dict[str, str]]:
    """(exit code, verdict by step), after checking the shape of the answer."""
    done = subprocess.run(
        [TANHUI, "verify", *arguments, "--trust", "trust.json", "--json"],
        cwd=folder, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    answer = json.loads(done.stdout)
    assert set(answer) == {"ok", "steps"}
    assert [each["step"] for each in answer["steps"]] == STEPS
    assert all(set(each) == {"step", "verdict", "reason"} for each in answer["steps"])
    assert answer["ok"] == (done.returncode == 0)
    return done.returncode, {each["step"]: each["verdict"] for each in answer["steps"]}


def test_a_receipt_verifies_on_line_and_offline(alone: Path, demo: Running) -> None:
    _, told = demo
    code, found = verify(alone, "receipt.json", "--rpc", told["addresses"]["rpc"])
    assert code == 0
    assert list(found.values()) == ["ok"] * 6 + ["stated", "ok", "stated", "stated"]
    code, found = verify(alone, "receipt.json", "--offline")
    assert code == 0
    assert (found["anchor"], found["posted"]) == ("not_checked", "not_checked")
    code, found = verify(alone, "receipt.json", "--rpc", "http://127.0.0.1:1")
    assert code == 1
    assert (found["anchor"], found["posted"], found["method"]) == ("failed", "failed", "ok")


def test_bad_papers_exit_with_1(alone: Path) -> None:
    genuine = (alone / "receipt.json").read_bytes()
    bad = {
        "forged.json": {"checkpoint"},
        "unknown.json": {"issuer"},
        "long.json": {"format"},
        "garbage.json": {"issuer", "format"},
    }
    (alone / "unknown.json").write_bytes(genuine.replace(b'"tanhui.demo"', b'"tanhui.else"'))
    (alone / "long.json").write_bytes(genuine.ljust(262_145))
    (alone / "garbage.json").write_bytes(b"garbage")
    for name, steps in bad.items():
        code, found = verify(alone, name)
        assert code == 1
        assert steps <= {step for step, verdict in found.items() if verdict == "failed"}
        if name != "forged.json":
            assert set(list(found.values())[2:]) == {"not_checked"}


def test_the_auditor_finds_no_difference(demo: Running) -> None:
    installation, told = demo
    batch = json.loads(Path(told["receipt"]).read_text("utf-8"))["posted"]["batch_id"]
    for command, code in (
        ("reconcile", 0),
        (f"audit batch {batch}", 0),
        (f"audit batch {'0' * 64}", 1),
        ("recompute --from 2026-01-01 --to 2099-12-31", 0),
        ("recompute --sample 5 --seed 3", 0),
        ("recompute --from 2026-01-02 --to 2026-01-01", 2),
        ("rules list", 0),
        ("chain status", 0),
    ):
        done = installation.run(f"{TANHUI} {command}")
        assert done.returncode == code, f"{command}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
