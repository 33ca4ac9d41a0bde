"""`tanhui verify`: check a receipt as a stranger does, with nothing but files and a node."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from backend.proof import Outcome, Step, Verdict

_MARKS: dict[Outcome, str] = {
    "ok": "✓",
    "failed": "✗",
    "stated": "·",
    "not_checked": "·",
    "hidden": "·",
}
_OUTCOMES: dict[Outcome, str] = {
    "ok": "成立 holds",
    "failed": "不成立 fails",
    "stated": "由发行方声明 stated by the issuer",
    "not_checked": "未核对 not checked",
    "hidden": "已隐藏 hidden (share form)",
}
_STEPS: dict[Step, str] = {
    "issuer": "发行方 issuer known",
    "format": "格式 format",
    "leaf": "叶子 leaf",
    "path": "日志路径 path in the log",
    "checkpoint": "检查点签名 signed checkpoint",
    "anchor": "上链存证 anchor on chain",
    "posted": "上链入账 posted to the account",
    "method": "减排量重算 method recomputed",
    "rule": "积分重算 rule recomputed",
    "origin": "上报来源 partner's origin",
}


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("verify")(verify)


def verify(
    receipt: Annotated[Path, typer.Argument(help="回执文件 receipt file, - reads standard input")],
    rpc: Annotated[str | None, typer.Option(help="节点地址 JSON-RPC address of a node")] = None,
    offline: Annotated[bool, typer.Option("--offline", help="不询问节点 ask no node")] = False,
    trust: Annotated[
        Path | None, typer.Option(help="信任文件 trust file; default var/trust.json, ./trust.json")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="机器可读 machine-readable")] = False,
) -> None:
    """核验回执 Check a receipt: exit 0 when the issuer is known and nothing fails, else 1."""
    if rpc is not None and offline:
        raise typer.BadParameter("--rpc and --offline exclude each other")
    data = _read(receipt)
    trust_path = trust if trust is not None else _pinned()
    trust_data = _read(trust_path)
    from backend.flows.verify_receipt import verify_receipt

    verdict = verify_receipt(data, trust_data, rpc)
    if as_json:
        typer.echo(json.dumps(verdict.document(), ensure_ascii=False))
    else:
        _show(verdict, trust_path, rpc)
    raise typer.Exit(0 if verdict.ok else 1)


def _pinned() -> Path:
    """The trust file that stands here already: the installation's own, else one pinned by hand."""
    from backend.kit.settings import load_settings

    for candidate in (load_settings().var / "trust.json", Path("trust.json")):
        if candidate.is_file():
            return candidate
    raise _stop("没有信任文件 no trust file: get one from a source you trust, then --trust FILE")


def _read(path: Path) -> bytes:
    if str(path) == "-":
        return sys.stdin.buffer.read()
    try:
        return path.read_bytes()
    except OSError as error:
        raise _stop(f"不能读取 cannot read {path}: {error.strerror}") from error


def _stop(message: str) -> typer.Exit:
    """Say why nothing could be checked; for `raise`."""
    typer.echo(message, err=True)
    return typer.Exit(1)


def _show(verdict: Verdict, trust_path: Path, rpc: str | None) -> None:
    typer.echo(f"信任文件 trust file: {trust_path}")
    typer.echo(f"节点 node: {rpc if rpc is not None else '离线 offline'}")
    for each in verdict.steps:
        typer.echo(
            f"{_MARKS[each.verdict]} {_STEPS[each.step]} — {_OUTCOMES[each.verdict]}: {each.reason}"
        )
    typer.echo(
        "✓ 未发现不成立之处 nothing fails"
        if verdict.ok
        else "✗ 核验不通过 the receipt does not hold"
    )
