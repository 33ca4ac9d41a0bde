"""`tanhui chain upgrade [--dry-run]`: what other code behind the proxies changes, and doing it."""

import asyncio
import json
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import typer

from backend.kit.settings import Settings, load_settings

if TYPE_CHECKING:
    from backend.chain import upgrade as chain_upgrade
    from backend.flows.upgrade_contracts import Upgrade


def register(chain: typer.Typer) -> None:
    """Add the command to `tanhui chain`."""

    @chain.command()
    def upgrade(  # pyright: ignore[reportUnusedFunction] — Typer keeps it
        dry_run: bool = typer.Option(False, "--dry-run", help="Show what would change."),
        wait_s: float = typer.Option(
            0, "--wait", metavar="SECONDS", help="Wait that long for the delay to be over."
        ),
        as_json: bool = typer.Option(False, "--json", help="Print JSON."),
    ) -> None:
        """Announce this version's contracts and, once the delay is over, put them in force.

        Run it twice: the first run announces, the second after the delay carries it out.
        """
        from backend.chain import DeploymentDiffers, NodeAway, RpcError
        from backend.chain import upgrade as chain_upgrade
        from backend.kit import pg
        from backend.kit.problems import Problem

        settings = load_settings()
        try:
            with _server(settings) as server:
                done = asyncio.run(_upgrade(settings, server.url("app"), dry_run, wait_s))
        except chain_upgrade.UpgradeRefused as error:
            typer.echo(f"chain: refused: {error}", err=True)
            raise typer.Exit(1) from error
        except (DeploymentDiffers, NodeAway, Problem, RpcError, pg.ServerError) as error:
            typer.echo(f"chain: {error}", err=True)
            raise typer.Exit(1) from error
        typer.echo(
            json.dumps(_answer(done), ensure_ascii=False, indent=1) if as_json else _text(done)
        )


def _server(settings: Settings) -> AbstractContextManager[Any]:
    from backend.kit import pg

    return pg.attach(settings.var, database_url=settings.database_url, pg_bin=settings.pg_bin)


async def _upgrade(settings: Settings, url: str, dry_run: bool, wait_s: float) -> "Upgrade":
    from backend.chain import ChainClient, open_keys, profile_of
    from backend.chain import upgrade as chain_upgrade
    from backend.flows.government_lane import Government
    from backend.flows.publish_trust import publish_trust
    from backend.flows.upgrade_contracts import look, upgrade_contracts
    from backend.kit.clock import SystemClock
    from backend.kit.db import Database
    from backend.kit.vault import Vault

    db = await Database.open(url, size=2)
    try:
        profile = profile_of(settings.chain_profile)
        async with ChainClient(settings.chain_rpc_url, profile) as client:
            keys, clock = open_keys(settings.keys_dir), SystemClock()
            government = Government(db, clock, client, keys.government)
            if dry_run:
                return await look(government, keys, chain_upgrade.load_release())
            done = await upgrade_contracts(
                government, keys, chain_upgrade.load_release(), wait_s=wait_s
            )
        # Strangers must learn of the new code, or their checks of older receipts stop at it.
        await publish_trust(db, Vault(settings.keys_dir), settings, clock)
        return done
    finally:
        await db.close()


def _answer(done: "Upgrade") -> dict[str, Any]:
    plan = done.plan
    return {
        "state": done.state,
        "ready_at": _instant(done.ready_at),
        "timelock": plan.timelock,
        "delay_s": plan.delay_s,
        "contracts": [
            {
                "name": change.name,
                "address": change.address,
                "implementation": change.implementation,
                "code": change.code,
                "next_code": change.next_code,
                "layout_added": list(change.layout_added),
            }
            for change in plan.changes
        ],
        "roles": [
            {
                "contract": role.contract,
                "role": role.role,
                "holder": role.holder,
                "held": role.held,
            }
            for role in plan.roles
        ],
    }


_SAYS = {
    "nothing": "nothing to upgrade: this version's code stands behind every proxy",
    "planned": "not announced yet: tanhui chain upgrade announces it",
    "waiting": "announced: run tanhui chain upgrade again at",
    "done": "in force; the trust file lists the new code",
}


def _text(done: "Upgrade") -> str:
    plan = done.plan
    lines = [line for change in plan.changes for line in _change_lines(change)]
    lines.append(f"timelock {plan.timelock}: {plan.delay_s} s from announcement to execution")
    lines += [
        f"  {role.contract}: {role.holder} {'holds' if role.held else 'does not hold'} {role.role}"
        for role in plan.roles
    ]
    when = _instant(done.ready_at)
    return "\n".join([*lines, _SAYS[done.state] + (f" {when}" if when else "")])


def _change_lines(change: "chain_upgrade.Change") -> Sequence[str]:
    if not change.due:
        return [f"{change.name} {change.address}: unchanged (code {change.code[:16]})"]
    return [
        f"{change.name} {change.address}: code {change.code[:16]} becomes {change.next_code[:16]}",
        *(f"  storage + {line}" for line in change.layout_added or ["nothing: the same layout"]),
    ]


def _instant(at_s: int) -> str | None:
    return datetime.fromtimestamp(at_s, UTC).isoformat() if at_s else None
