"""`tanhui reconcile`: ledger = chain + in flight, log root = anchored root."""

import asyncio
import json
from dataclasses import asdict
from typing import Any

import typer

from backend.commands.audit import run_on_chain


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("reconcile")(reconcile)


def reconcile(
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Compare ledger, log and chain; exit 1 on any difference, naming it."""
    from backend.flows.reconcile import reconcile as compare

    report = asyncio.run(run_on_chain(compare))
    if as_json:
        document: dict[str, Any] = {"ok": report.holds, **asdict(report)}
        typer.echo(json.dumps(document, ensure_ascii=False, indent=1))
    else:
        for class_, (issued, redeemed, retired) in sorted(report.ledger_points.items()):
            typer.echo(f"{class_}: issued {issued}, redeemed {redeemed}, retired {retired}")
        typer.echo(
            f"{report.transfer_count} transfers, {report.account_count} accounts on chain; "
            f"log {report.log_size}, anchored {report.anchored_size}, "
            f"posted {report.posted_size} at block {report.block}"
        )
        typer.echo(
            f"in flight: {report.unsealed_count} unsealed, "
            f"{report.sealed_unposted_count} sealed and not posted"
        )
        for difference in report.differences:
            typer.echo(f"✗ {difference.sentence()}")
        typer.echo("✓ no difference" if report.holds else f"{len(report.differences)} differences")
    if not report.holds:
        raise typer.Exit(1)
