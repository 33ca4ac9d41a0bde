"""`tanhui parking`: what a party does with its statements, from public data and its own key."""

from pathlib import Path
from typing import Annotated, NoReturn

import typer

app = typer.Typer(no_args_is_help=True, help="Parking statements: check, sign. 停车对账单")


def register(root: typer.Typer) -> None:
    """Add the command."""
    root.add_typer(app, name="parking")


@app.command("check")
def check(
    file: Annotated[Path, typer.Argument(help="A statement file.", exists=True)],
    rpc: Annotated[str | None, typer.Option("--rpc", help="A node's JSON-RPC address.")] = None,
    trust: Annotated[
        Path | None, typer.Option(help="trust.json, which names the contract.", exists=True)
    ] = None,
    key: Annotated[
        Path | None, typer.Option(help="Your statement key (PEM): prints the co-signature.")
    ] = None,
) -> None:
    """Work every line, the sum and the root of a statement out anew; compare with the chain.

    Exit 0 when everything holds, 1 when not, 2 when something is missing.
    """
    import asyncio
    from datetime import date

    from backend import partner_client as client
    from backend.flows.verify_settlement import check_on_chain
    from backend.kit.sm import BadKey, Sm2PrivateKey

    if (rpc is None) != (trust is None):
        _fail("与链上核对需要 --rpc 和 --trust。", 2)
    try:
        contract = None if trust is None else _contract(trust)
        done = client.check_parking_statement(file.read_bytes())
        signing = None if key is None else Sm2PrivateKey.from_pem(key.read_bytes())
    except (ValueError, KeyError, TypeError, BadKey) as error:
        _fail(f"{file}: {error}", 2)
    typer.echo(f"{done.party} · {done.lot} · {done.day} 第 {done.part} 份")
    for fault in done.faults:
        typer.echo(f"✗ {fault}")
    if not done.holds:
        _fail("对账单与其明细不符,没有签名。", 1)
    typer.echo(f"✓ {done.count} 行,合计 {done.total_fen} 分,根哈希 {done.root.hex()}")
    if rpc is not None and contract is not None:
        settled = asyncio.run(
            check_on_chain(
                rpc,
                contract,
                lot_id=done.lot,
                day=date.fromisoformat(done.day),
                part=done.part,
                account=done.account,
                count=done.count,
                root=done.root,
            )
        )
        if settled.reason:
            _fail(settled.reason, 1)
        typer.echo(f"✓ 链上结算 {settled.settlement} 的根哈希相同")
    else:
        typer.echo("· 未与链上核对(离线)")
    if signing is not None:
        typer.echo(client.sign_parking_statement(done, signing))


def _contract(trust: Path) -> str:
    """Where ParkingSettlement stands, as the trust file says."""
    import json

    return str(json.loads(trust.read_bytes())["chain"]["contracts"]["ParkingSettlement"]["address"])


def _fail(said: str, code: int) -> NoReturn:
    typer.echo(f"✗ {said}", err=True)
    raise typer.Exit(code)
