"""`tanhui chain deploy|status|repost`: the contracts, and what is open or refused there."""

import asyncio
import json
from typing import Any

import typer

from backend.kit.db import Database
from backend.kit.settings import Settings, load_settings


def register(app: typer.Typer) -> None:
    """Add the commands."""
    chain = typer.Typer(help="Contracts on the chain.", no_args_is_help=True)
    app.add_typer(chain, name="chain")

    @chain.command()
    def deploy(  # pyright: ignore[reportUnusedFunction] — Typer keeps it
        as_json: bool = typer.Option(False, "--json", help="Print JSON."),
    ) -> None:
        """Deploy the contracts that are missing and record their addresses; repeatable."""
        _run(_deploy, as_json)

    @chain.command()
    def status(  # pyright: ignore[reportUnusedFunction] — Typer keeps it
        as_json: bool = typer.Option(False, "--json", help="Print JSON."),
    ) -> None:
        """Show the node, the contracts, and transactions that are not final."""
        _run(_status, as_json)

    @chain.command()
    def repost(  # pyright: ignore[reportUnusedFunction] — Typer keeps it
        batch_id: str = typer.Argument(help="The batch id, 64 hex digits."),
    ) -> None:
        """Send a batch that the chain refused once more, after its cause was removed."""
        from backend.commands.audit import run_on_chain
        from backend.flows.repost_batch import NotRefused, repost_batch
        from backend.kit.clock import SystemClock

        try:
            identity = bytes.fromhex(batch_id.removeprefix("0x"))
        except ValueError as error:
            raise typer.BadParameter("a batch id is 64 hex digits") from error
        try:
            state, reason = asyncio.run(
                run_on_chain(
                    lambda db, access: repost_batch(db, access, identity, SystemClock().now())
                )
            )
        except NotRefused as error:
            typer.echo(f"chain: {error}", err=True)
            raise typer.Exit(1) from error
        typer.echo(state if reason is None else f"{state}: {reason}")
        if state == "refused":
            raise typer.Exit(1)


def _run(work: Any, as_json: bool) -> None:
    from backend.chain import DeploymentDiffers, NodeAway, RpcError
    from backend.kit import pg

    settings = load_settings()
    try:
        with pg.attach(
            settings.var, database_url=settings.database_url, pg_bin=settings.pg_bin
        ) as server:
            answer = asyncio.run(work(settings, server.url("app")))
    except (DeploymentDiffers, NodeAway, RpcError, pg.ServerError) as error:
        typer.echo(f"chain: {error}", err=True)
        raise typer.Exit(1) from error
    if as_json:
        typer.echo(json.dumps(answer, ensure_ascii=False, indent=1))
        return
    for name, value in answer.items():
        typer.echo(f"{name}: {value}")


async def _deploy(settings: Settings, url: str) -> dict[str, Any]:
    from backend.chain import ChainClient, open_keys, profile_of
    from backend.flows.deploy_chain import deploy_chain

    db = await Database.open(url, size=2)
    try:
        profile = profile_of(settings.chain_profile)
        async with ChainClient(settings.chain_rpc_url, profile) as client:
            found = await deploy_chain(db, client, open_keys(settings.keys_dir))
    finally:
        await db.close()
    return {
        deployment.name: f"{deployment.address} (block {deployment.block})" for deployment in found
    }


async def _status(settings: Settings, url: str) -> dict[str, Any]:
    from backend.chain import ChainClient, open_keys, probe, profile_of, recorded_deployments

    db = await Database.open(url, size=2)
    try:
        async with db.transaction(readonly=True) as tx:
            deployments = await recorded_deployments(tx)
            waiting = await tx.fetchval("SELECT count(*) FROM chain_tx WHERE settled_at IS NULL")
            refused = await tx.fetchval("SELECT count(*) FROM chain_batch WHERE state = 'refused'")
        profile = profile_of(settings.chain_profile)
        async with ChainClient(settings.chain_rpc_url, profile) as client:
            keys = open_keys(settings.keys_dir)
            return {
                "node": settings.chain_rpc_url,
                "profile": profile.name,
                "chain_id": await client.chain_id(),
                "block": await client.block_number(),
                "unmet": await probe(client, settings.chain_id, keys.addresses()),
                **{d.name: d.address for d in deployments},
                "transactions_open": waiting,
                "batches_refused": refused,
            }
    finally:
        await db.close()
