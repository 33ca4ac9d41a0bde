"""`tanhui verify` as it is typed: files, options, what it prints, and its exit code."""

import json
import shutil
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from backend.commands import verify
from backend.proof import STEPS

VECTORS = Path(__file__).parent.parent / "vectors" / "proof"
RECEIPT = str(VECTORS / "receipt-full.json")
TRUST = str(VECTORS / "trust.json")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder without a trust file, and no settings in the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TANHUI_VAR", raising=False)
    return tmp_path


def run(*arguments: str, given: bytes | None = None) -> Result:
    app = typer.Typer()
    app.callback()(lambda: None)
    verify.register(app)
    return CliRunner().invoke(app, ["verify", *arguments], input=given)


def test_a_line_for_each_step() -> None:
    result = run(RECEIPT, "--trust", TRUST)
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert "离线 offline" in lines[1]
    steps = lines[2:12]
    assert [line[0] for line in steps] == ["✓", "✓", "✓", "✓", "✓", "·", "·", "✓", "·", "·"]
    assert "发行方 issuer known" in steps[0]
    assert "metro" in steps[0]
    assert "由发行方声明 stated by the issuer" in steps[8]
    assert "未核对 not checked" in steps[5]


def test_json_has_the_shape_of_the_format() -> None:
    result = run(RECEIPT, "--trust", TRUST, "--json", "--offline")
    assert result.exit_code == 0
    said = json.loads(result.output)
    assert set(said) == {"ok", "steps"}
    assert [step["step"] for step in said["steps"]] == list(STEPS)
    assert all(set(step) == {"step", "verdict", "reason"} for step in said["steps"])


def test_a_tampered_receipt_exits_1() -> None:
    data = (VECTORS / "receipt-full.json").read_bytes()
    forged = data.replace(b'"amount\\":25', b'"amount\\":26')
    assert forged != data
    result = run("-", "--trust", TRUST, given=forged)
    assert result.exit_code == 1
    assert "✗ 日志路径" in result.output
    assert "核验不通过" in result.output


def test_a_receipt_from_standard_input() -> None:
    data = (VECTORS / "receipt-share.json").read_bytes()
    result = run("-", "--trust", TRUST, given=data)
    assert result.exit_code == 0
    assert "已隐藏 hidden" in result.output


def test_without_a_trust_file_nothing_is_believed() -> None:
    result = run(RECEIPT)
    assert result.exit_code == 1
    assert "没有信任文件" in result.output


@pytest.mark.parametrize("place", ["var/trust.json", "trust.json"])
def test_a_pinned_trust_file_is_found_and_named(elsewhere: Path, place: str) -> None:
    (elsewhere / "var").mkdir()
    shutil.copy(TRUST, elsewhere / place)
    result = run(RECEIPT)
    assert result.exit_code == 0
    assert result.output.splitlines()[0].endswith(place)


def test_files_that_are_not_there() -> None:
    for arguments in (("missing.json", "--trust", TRUST), (RECEIPT, "--trust", "missing.json")):
        result = run(*arguments)
        assert result.exit_code == 1
        assert "missing.json" in result.output


def test_an_address_and_offline_exclude_each_other() -> None:
    assert run(RECEIPT, "--trust", TRUST, "--offline", "--rpc", "http://127.0.0.1:1").exit_code == 2


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "not an address", "ftp://x", ""])
def test_an_address_where_nobody_answers(address: str) -> None:
    result = run(RECEIPT, "--trust", TRUST, "--json", "--rpc", address)
    assert result.exit_code == 1
    failed = [s["step"] for s in json.loads(result.output)["steps"] if s["verdict"] == "failed"]
    assert failed == ["anchor", "posted"]
