"""`tanhui audit`: a batch's records, a day's acts in office, recomputed and compared."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from backend.kit.db import Database
from backend.kit.settings import load_settings

if TYPE_CHECKING:
    from backend.chain import ChainAccess

T = TypeVar("T")


def register(app: typer.Typer) -> None:
    """Add the command."""
    audit = typer.Typer(help="Redo what was done and compare.", no_args_is_help=True)
    audit.callback()(_audit)
    audit.command("batch")(batch)
    audit.command("log")(audit_log)
    app.add_typer(audit, name="audit")


def _audit() -> None:
    """Redo what was done and compare."""


def batch(
    batch_id: str = typer.Argument(help="The batch id, 64 hex digits."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Recompute a batch from its leaves and compare with the chain; exit 1 on a difference."""
    from backend.flows.audit_batch import UnknownBatch, audit_batch

    try:
        identity = bytes.fromhex(batch_id.removeprefix("0x"))
    except ValueError as error:
        raise typer.BadParameter("a batch id is 64 hex digits") from error
    try:
        found = asyncio.run(run_on_chain(lambda db, access: audit_batch(db, access, identity)))
    except UnknownBatch as error:
        typer.echo(f"audit: {error}", err=True)
        raise typer.Exit(1) from error
    if as_json:
        typer.echo(json.dumps({"ok": found.holds, **asdict(found)}, indent=1))
    else:
        typer.echo(
            f"batch {found.batch_id}: leaves {found.leaf_from} to {found.leaf_to}, "
            f"{found.account_count} accounts, {found.total} points, "
            f"{found.state} in {found.tx_hash} (block {found.block})"
        )
        for difference in found.differences:
            typer.echo(f"✗ {difference}")
        if found.holds:
            typer.echo("✓ leaves, stored batch and chain agree")
    if not found.holds:
        raise typer.Exit(1)


def audit_log(
    day: Annotated[datetime, typer.Argument(formats=["%Y-%m-%d"], help="A city day.")],
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Recompute the head of a day's acts in office; exit 1 where log and rows differ."""
    from backend.commands.rules import Tools, run
    from backend.flows.close_audit_day import audit_log_day

    async def work(tools: Tools) -> None:
        services = tools.services
        async with services.db.transaction(isolation="repeatable_read", readonly=True) as tx:
            found = await audit_log_day(tx, services.settings, day.date())
        told = {
            "day": str(found.day),
            "count": found.count,
            "head": found.head.hex(),
            "closed": found.closed is not None,
            "index": found.index,
            "differences": list(found.differences),
        }
        if as_json:
            typer.echo(json.dumps({"ok": not found.differences, **told}, indent=1))
        else:
            typer.echo(f"{found.day}: {found.count} acts, head {found.head.hex()}")
            for difference in found.differences:
                typer.echo(f"✗ {difference}")
            if not found.differences:
                typer.echo(_standing(found.closed is not None, found.index))
        if found.differences:
            raise typer.Exit(1)

    run(work)


def _standing(closed: bool, index: int | None) -> str:
    if not closed:
        return "· the day is not closed yet"
    return "✓ rows and closed day agree" + (
        "; the leaf follows" if index is None else f", and leaf {index} of the log with them"
    )


async def run_on_chain(work: "Callable[[Database, ChainAccess], Awaitable[T]]") -> T:
    """Open database and chain as the settings say, run, close; an unreachable one ends with 2."""
    from backend.chain import ChainClient, DeploymentDiffers, NodeAway, open_keys, profile_of
    from backend.flows.deploy_chain import access_chain
    from backend.kit import pg

    settings = load_settings()
    try:
        server = await asyncio.to_thread(
            pg.attach, settings.var, database_url=settings.database_url, pg_bin=settings.pg_bin
        )
        async with server:
            db = await Database.open(server.url("app"), size=2)
            try:
                profile = profile_of(settings.chain_profile)
                async with ChainClient(settings.chain_rpc_url, profile) as client:
                    access = await access_chain(db, client, open_keys(settings.keys_dir))
                    return await work(db, access)
            finally:
                await db.close()
    except (DeploymentDiffers, NodeAway, pg.ServerError) as error:
        typer.echo(f"cannot compare: {error}", err=True)
        raise typer.Exit(2) from error
