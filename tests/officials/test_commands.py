"""The officials' commands as they are typed, on a real node and database."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from backend import incentive, methodology
from backend.cli import build
from tests.chain.support import NodeProcess

pytestmark = pytest.mark.chain
Run = Callable[..., Result]


@pytest.fixture
def run(
    tmp_path: Path, server, own_database: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Run]:
    node = NodeProcess(tmp_path / "var")
    node.start()
    monkeypatch.setenv("TANHUI_VAR", str(tmp_path / "var"))
    monkeypatch.setenv("TANHUI_RPC_URL", node.url)
    monkeypatch.setenv("TANHUI_PROFILE", "test")
    monkeypatch.setenv("TANHUI_KEY_PASSWORD", "correct-horse")
    monkeypatch.setenv("DATABASE_URL", server.url("app", own_database))

    def type_in(*words: str | Path, code: int = 0) -> Result:
        result = CliRunner().invoke(build(str(words[0])), [str(word) for word in words])
        assert result.exit_code == code, result.output + repr(result.exception)
        return result

    type_in("chain", "deploy")
    yield type_in
    node.kill()


def test_from_keys_to_an_enacted_and_funded_rule(run: Run, tmp_path: Path) -> None:
    for official in ("wang", "zhao"):
        key = tmp_path / f"{official}.json"
        for _ in range(2):  # A run that was cut short can be repeated.
            run("keys", "new", "official", official, "--name", official, "--out", key)
        assert key.stat().st_mode & 0o777 == 0o600
    run("keys", "new", "official", "zhao", "--name", "赵", "--out", tmp_path / "wang.json", code=1)

    rule = json.loads(incentive.shipped_rules()["metro-points", 1])
    text = tmp_path / "rule.json"
    text.write_text(json.dumps(rule, indent=2, ensure_ascii=False), encoding="utf-8")
    assert "unknown-programme" in run("rules", "draft", text, code=1).output
    name = rule["programme"]
    given = ("--name", "绿色出行", "--class", rule["class"], "--from", "2026-01-01")
    run("rules", "programme", name, *given)
    run("rules", "fund", name, "total", "5000")
    assert "bad-period" in run("rules", "fund", name, "2026", "1", code=1).output
    assert "unknown-programme" in run("rules", "fund", "none", "total", "1", code=1).output

    run("rules", "draft", text)
    mine = ("--official", "wang", "--key", tmp_path / "wang.json")
    assert "还需 1 位" in run("rules", "approve", "metro-points", "1", *mine).output
    stolen = ("--official", "zhao", "--key", tmp_path / "wang.json")
    assert "wrong-key" in run("rules", "approve", "metro-points", "1", *stolen, code=1).output
    own = ("--official", "zhao", "--key", tmp_path / "zhao.json")
    assert "已生效" in run("rules", "approve", "metro-points", "1", *own).output
    assert "\tenacted\t" in run("rules", "list").output
    assert "链上交易 0x" in run("rules", "show", "metro-points", "1").output


def test_a_wrong_password_opens_nothing(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("keys", "new", "official", "wang", "--name", "王", "--out", tmp_path / "wang.json")
    text = tmp_path / "method.json"
    text.write_bytes(methodology.shipped_methods()["transit.metro.trip", 1])
    run("methods", "draft", text)
    monkeypatch.setenv("TANHUI_KEY_PASSWORD", "battery-staple")
    mine = ("--official", "wang", "--key", tmp_path / "wang.json")
    refused = run("methods", "approve", "transit.metro.trip", "1", *mine, code=1)
    assert "wrong-password" in refused.output


def test_a_partner_gets_its_own_file(run: Run, tmp_path: Path) -> None:
    new = ("keys", "new", "partner", "metro", "--name", "地铁", "--scenario", "transit.metro.trip")
    run(*new, "--key-id", "k1", "--out", tmp_path / "k1.pem")
    assert "BEGIN PRIVATE KEY" in (tmp_path / "k1.pem").read_text("ascii")
    run(*new, "--key-id", "k2", "--scheme", "v1", "--out", tmp_path / "k2.key")
    assert (tmp_path / "k2.key").read_text("ascii").startswith("whsec_")
    run(*new, "--key-id", "k1", "--out", tmp_path / "k1.pem", code=2)
    run(*new, "--key-id", "k1", "--out", tmp_path / "again.pem", code=1)
    assert not (tmp_path / "again.pem").exists()


def test_partners_keys_over_time(run: Run, tmp_path: Path) -> None:
    new = ("keys", "new", "partner", "metro")
    entered = ("--name", "地铁", "--scenario", "transit.metro.trip", "--scheme", "v1sm")
    run(*new, *entered, "--key-id", "h1", "--out", tmp_path / "h1.key")
    stating = ("--purpose", "statement", "--key-id", "s1", "--out", tmp_path / "s1.pem")
    assert "bad-key" in run(*new, *stating, "--scheme", "v1", code=1).output
    assert "bad-key" in run(*new, *stating, "--name", "地铁", code=1).output
    run(*new, *stating)
    turned = ("--key-id", "h2", "--out", tmp_path / "h2.key", "--scheme", "v1sm")
    said = run("keys", "rotate", "metro", *turned, "--overlap-hours", "2").output
    assert "旧密钥 h1 至" in said
    third = ("--key-id", "h3", "--out", tmp_path / "h3.key")
    assert "too-many-keys" in run("keys", "rotate", "metro", *third, code=1).output
    assert not (tmp_path / "h3.key").exists()
    run("keys", "end", "metro", "h1")
    run("keys", "rotate", "metro", *third, "--overlap-hours", "0")
    assert "unknown-key" in run("keys", "end", "metro", "none", code=1).output
    assert "unknown-partner" in run("keys", "rotate", "bus", *third[:2], "--out",
                                    tmp_path / "x", code=1).output  # fmt: skip
    lines = [line.split("\t") for line in run("keys", "list", "metro").output.splitlines()]
    shown = {(line[1], line[2], line[3]): bool(line[5]) for line in lines if len(line) == 6}
    assert shown == {
        ("statement", "v1s2", "s1"): False,
        ("webhook", "v1sm", "h1"): True,
        ("webhook", "v1sm", "h2"): True,
        ("webhook", "v1s2", "h3"): False,
    }
    assert (tmp_path / "h1.key").read_text("ascii").strip() not in run("keys", "list").output


def test_two_administrators_found_the_offices_and_two_approvers_stop_a_rule(
    run: Run, tmp_path: Path
) -> None:
    for user, role in (("sys", "system_admin"), ("sec", "security_admin")):
        found = ("officials", "found", user, "--name", user, "--role", role)
        assert "激活码" in run(*found).output
    third = ("officials", "found", "more", "--name", "多", "--role", "system_admin")
    assert "already-founded" in run(*third, code=1).output
    assert "sys\tsys\t系统管理员" in run("officials", "list").output

    keys = {name: tmp_path / f"{name}.json" for name in ("wang", "zhao")}
    for name, key in keys.items():
        run("keys", "new", "official", name, "--name", name, "--out", key)
    rule = json.loads(incentive.shipped_rules()["metro-points", 1])
    text = tmp_path / "rule.json"
    text.write_text(json.dumps(rule, ensure_ascii=False), encoding="utf-8")
    given = ("--name", "绿色出行", "--class", rule["class"], "--from", "2026-01-01")
    run("rules", "programme", rule["programme"], *given)
    run("rules", "draft", text)
    sign = {name: ("--official", name, "--key", key) for name, key in keys.items()}
    stop = ("rules", "stop", "metro-points", "1")
    assert "wrong-state" in run(*stop, *sign["wang"], "--reason", "x", code=1).output
    for mine in sign.values():
        run("rules", "approve", "metro-points", "1", *mine)
    assert "reason-missing" in run(*stop, *sign["wang"], code=1).output
    assert "还需另一位" in run(*stop, *sign["wang"], "--reason", "数据异常").output
    assert "还需另一位" in run(*stop, *sign["wang"]).output
    assert "起停用:数据异常" in run(*stop, *sign["zhao"]).output
    assert "\tstopped\t" in run("rules", "list").output
