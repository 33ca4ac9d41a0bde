"""`tanhui chain deploy|lanes|status|repost|upgrade`: contracts, lanes, what is open or refused."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from backend.commands import chain_upgrade
from backend.kit.db import Database, Row
from backend.kit.settings import Settings, load_settings

if TYPE_CHECKING:
    from backend.chain import ChainAccess

Done = TypeVar("Done")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    chain = typer.Typer(help="Contracts on the chain.", no_args_is_help=True)
    app.add_typer(chain, name="chain")
    chain_upgrade.register(chain)

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
    def lanes(  # pyright: ignore[reportUnusedFunction] — Typer keeps it
        as_json: bool = typer.Option(False, "--json", help="Print JSON."),
    ) -> None:
        """Make, fund and admit as many posting lanes as TANHUI_POST_LANES says; repeatable."""
        _run(_lanes, as_json)

    @chain.command()
    def repost(  # pyright: ignore[reportUnusedFunction] — Typer keeps it
        batch_id: str = typer.Argument(help="The batch id, 64 hex digits."),
    ) -> None:
        """Send a batch that the chain refused once more, after its cause was removed."""
        from backend.flows.repost_batch import repost_batch
        from backend.kit.clock import SystemClock

        identity = _identity(batch_id)
        state, reason = _of_refused(
            lambda db, access: repost_batch(db, access, identity, SystemClock().now())
        )
        typer.echo(state if reason is None else f"{state}: {reason}")
        if state == "refused":
            raise typer.Exit(1)

    @chain.command()
    def recut(  # pyright: ignore[reportUnusedFunction] — Typer keeps it
        batch_id: str = typer.Argument(help="The batch id, 64 hex digits."),
    ) -> None:
        """Cut a refused batch again by its leaves: what would pass is sent, the rest stays."""
        from backend.flows.recut_batch import recut_batch
        from backend.kit.clock import SystemClock

        identity = _identity(batch_id)
        done = _of_refused(
            lambda db, access: recut_batch(db, access, identity, SystemClock().now())
        )
        typer.echo(f"sent {done.sent_count}, refused {done.refused_count}")


def _identity(batch_id: str) -> bytes:
    try:
        return bytes.fromhex(batch_id.removeprefix("0x"))
    except ValueError as error:
        raise typer.BadParameter("a batch id is 64 hex digits") from error


def _of_refused(work: "Callable[[Database, ChainAccess], Awaitable[Done]]") -> "Done":
    """Do something about a refused batch. Exits with 1 where nothing can be done."""
    from backend.commands.audit import run_on_chain
    from backend.flows.recut_batch import NothingPasses
    from backend.flows.repost_batch import NotRefused

    try:
        return asyncio.run(run_on_chain(work))
    except (NothingPasses, NotRefused) as error:
        typer.echo(f"chain: {error}", err=True)
        raise typer.Exit(1) from error


def _run(work: Any, as_json: bool) -> None:
    from backend.chain import ChainUnfit, DeploymentDiffers, NodeAway, RpcError
    from backend.kit import pg
    from backend.kit.problems import Problem

    settings = load_settings()
    try:
        with pg.attach(
            settings.var, database_url=settings.database_url, pg_bin=settings.pg_bin
        ) as server:
            answer = asyncio.run(work(settings, server.url("app")))
    except (ChainUnfit, DeploymentDiffers, NodeAway, Problem, RpcError, pg.ServerError) as error:
        typer.echo(f"chain: {error}", err=True)
        raise typer.Exit(1) from error
    if as_json:
        typer.echo(json.dumps(answer, ensure_ascii=False, indent=1))
        return
    for name, value in answer.items():
        typer.echo(f"{name}: {value}")


async def _deploy(settings: Settings, url: str) -> dict[str, Any]:
    from backend.chain import ChainClient, open_keys, profile_of, require_fit
    from backend.flows.deploy_chain import deploy_chain, wait_for_node

    db = await Database.open(url, size=2)
    try:
        profile = profile_of(settings.chain_profile)
        async with ChainClient(settings.chain_rpc_url, profile) as client:
            keys = open_keys(settings.keys_dir, post_lanes=settings.post_lanes)
            await wait_for_node(client, wait_s=30)
            await require_fit(client, settings.chain_id, [keys.admin.address])
            found = await deploy_chain(
                db,
                client,
                keys,
                upgrade_delay_s=settings.timelock_delay_s,
            )
    finally:
        await db.close()
    return {
        deployment.name: f"{deployment.address} (block {deployment.block})" for deployment in found
    }


async def _lanes(settings: Settings, url: str) -> dict[str, Any]:
    from backend.chain import ChainClient, open_keys, profile_of
    from backend.flows.government_lane import Government
    from backend.flows.open_lanes import open_lanes
    from backend.kit.clock import SystemClock

    db = await Database.open(url, size=2)
    try:
        profile = profile_of(settings.chain_profile)
        async with ChainClient(settings.chain_rpc_url, profile) as client:
            keys = open_keys(settings.keys_dir, post_lanes=settings.post_lanes)
            government = Government(db, SystemClock(), client, keys.government)
            opened = await open_lanes(government, keys)
    finally:
        await db.close()
    answer = _lane_lines(opened.lanes)
    if opened.ready_at:
        answer["run_again_at"] = datetime.fromtimestamp(opened.ready_at, UTC).isoformat()
    return answer


def _lane_lines(lanes: Sequence[Any]) -> dict[str, Any]:
    return {
        f"lane_{number}": f"{lane.address} ({lane.balance_wei} wei, "
        + ("posts)" if lane.admitted else "not admitted: tanhui chain lanes)")
        for number, lane in enumerate(lanes, start=1)
    }


async def _status(settings: Settings, url: str) -> dict[str, Any]:
    from backend.chain import ChainClient, open_keys, probe, profile_of, recorded_deployments

    db = await Database.open(url, size=2)
    try:
        async with db.transaction(readonly=True) as tx:
            deployments = await recorded_deployments(tx)
            waiting = await tx.fetchval("SELECT count(*) FROM chain_tx WHERE settled_at IS NULL")
            refused = await tx.fetch(
                """SELECT batch_id, leaf_from, leaf_to, total, class, refused_reason
                   FROM chain_batch WHERE state = 'refused' ORDER BY leaf_from, batch_id"""
            )
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
                **await _standing(client, keys, deployments),
                "transactions_open": waiting,
                "batches_refused": len(refused),
                **{f"refused_{row['batch_id'].hex()}": _refusal(row) for row in refused},
            }
    finally:
        await db.close()


async def _standing(client: Any, keys: Any, deployments: Sequence[Any]) -> dict[str, Any]:
    """The lanes, the timelock, and which contracts the auditor has paused."""
    from backend.chain import lanes_of, paused, planned_timelock, timelock

    places = {d.name: d.address for d in deployments}
    if "CarbonPoints" not in places:
        return {}
    stopped = [name for name, address in places.items() if await paused(client, address)]
    lock = planned_timelock(keys)
    delay_s = await timelock.delay_s(client, lock)
    return {
        **_lane_lines(await lanes_of(client, keys, places["CarbonPoints"])),
        "timelock": f"{lock} ({delay_s} s)" if delay_s else "none yet: run tanhui chain deploy",
        "paused": stopped,
    }


def _refusal(row: Row) -> str:
    """One refused batch as a line: what it holds, why the chain refused it, what to do."""
    return (
        f"leaves {row['leaf_from']} to {row['leaf_to']}, {row['total']} {row['class']}: "
        f"{row['refused_reason']}; sent again by itself once the chain would take it, "
        f"at once by tanhui chain repost; tanhui chain recut "
        "parts what would pass from what would not"
    )
