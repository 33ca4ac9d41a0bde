"""`tanhui chain upgrade` as it is typed."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from backend.cli import build
from tests.chain.support import NodeProcess
from tests.flows.test_upgrade_contracts import CHANGED, a_release

pytestmark = pytest.mark.chain


@pytest.fixture
def run(
    tmp_path: Path, server, own_database: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Result]]:
    node = NodeProcess(tmp_path / "var")
    node.start()
    monkeypatch.setenv("TANHUI_VAR", str(tmp_path / "var"))
    monkeypatch.setenv("TANHUI_RPC_URL", node.url)
    monkeypatch.setenv("TANHUI_PROFILE", "test")
    monkeypatch.setenv("DATABASE_URL", server.url("app", own_database))

    def type_in(*words: str, code: int = 0) -> Result:
        result = CliRunner().invoke(build("chain"), ["chain", *words])
        assert result.exit_code == code, result.output + repr(result.exception)
        return result

    yield type_in
    node.kill()


def test_shown_announced_and_carried_out(
    run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "not deployed yet" in run("upgrade", "--dry-run", code=1).output
    run("deploy")
    assert "(1 s)" in next(
        line for line in run("status").output.splitlines() if line.startswith("timelock: 0x")
    )
    assert "nothing to upgrade" in run("upgrade", "--dry-run").output
    monkeypatch.setattr("backend.chain.upgrade.load_release", a_release)
    shown = run("upgrade", "--dry-run").output
    assert "not announced yet" in shown
    for name in CHANGED:
        line = next(line for line in shown.splitlines() if line.startswith(name))
        assert " becomes " in line
    assert "holds UPGRADER" in shown
    assert "does not hold admin" in shown
    assert "announced: run tanhui chain upgrade again at 20" in run("upgrade").output
    waiting = json.loads(run("upgrade", "--dry-run", "--json").output)
    assert waiting["state"] == "waiting"
    assert waiting["ready_at"].startswith("20")
    assert {it["name"] for it in waiting["contracts"] if it["code"] != it["next_code"]} == set(
        CHANGED
    )
    assert "in force" in run("upgrade", "--wait", "20").output
    assert "nothing to upgrade" in run("upgrade").output


def test_a_refusal_is_one_line(run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    run("deploy")
    moved = a_release("CarbonPoints", layouts={"CarbonPoints": ["0+0 nothing: uint256 (32 B)"]})
    monkeypatch.setattr("backend.chain.upgrade.load_release", lambda: moved)
    refused = run("upgrade", code=1)
    assert "refused: CarbonPoints: the new code no longer keeps its storage" in refused.output
