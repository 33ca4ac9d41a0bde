"""`tanhui recompute`: derive what was awarded again and say what differs."""

from datetime import datetime
from typing import Annotated

import typer

_FIRST_DAY = datetime(2000, 1, 1)  # noqa: DTZ001 - a civil day, not an instant
_LAST_DAY = datetime(2099, 12, 31)  # noqa: DTZ001 - as above
SHOWN_MAX = 50


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("recompute")(recompute)


def recompute(
    day_from: Annotated[
        datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="First city day.")
    ] = _FIRST_DAY,
    day_to: Annotated[
        datetime, typer.Option("--to", formats=["%Y-%m-%d"], help="Last city day, included.")
    ] = _LAST_DAY,
    sample: Annotated[
        int | None, typer.Option(min=1, help="Redo only this many awards, drawn at random.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Which awards the sample draws.")] = 0,
) -> None:
    """Re-derive stored awards, counters, caps and balances; exit 1 if anything differs."""
    if day_to < day_from:
        raise typer.BadParameter("--to comes before --from")
    import asyncio

    from rich.console import Console
    from rich.progress import Progress

    from backend.flows.recompute import Recomputed
    from backend.flows.recompute import recompute as redo
    from backend.kit.db import Database
    from backend.kit.pg import attach
    from backend.kit.settings import load_settings
    from backend.kit.vault import Vault

    async def run(url: str, bar: Progress) -> Recomputed:
        task = bar.add_task("重新核算")
        db = await Database.open(url, size=2)
        try:
            return await redo(
                db,
                Vault(settings.keys_dir),
                day_from=day_from.date(),
                day_to=day_to.date(),
                city_tz=settings.city_tz,
                sample=sample,
                seed=seed,
                progress=lambda done, total: bar.update(task, completed=done, total=total),
            )
        finally:
            await db.close()

    settings = load_settings()
    console = Console(stderr=True)
    with (
        attach(settings.var, database_url=settings.database_url) as server,
        Progress(console=console, transient=True) as bar,
    ):
        result = asyncio.run(run(server.url("app"), bar))
    typer.echo(f"awards recomputed {result.awards - result.erased}, erased {result.erased}")
    for each in result.differences[:SHOWN_MAX]:
        typer.echo(f"✗ {each.law}: {each.subject}: expected {each.expected}, found {each.found}")
    typer.echo(f"differences {len(result.differences)}")
    if result.differences:
        raise typer.Exit(1)
