"""`tanhui simulate rule`: what a draft would have paid on stored evidence."""

from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from backend.flows.simulate_rule import Simulated
    from backend.incentive import Rule

WINDOW_DAYS = 90


def add(group: typer.Typer) -> None:
    """Add the commands to `tanhui simulate`."""
    group.command("rule")(simulate_rule)
    group.command("waiting")(simulate_waiting)


def simulate_rule(
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="A rule as YAML or JSON.")
    ],
    day_from: Annotated[
        datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="First city day.")
    ] = None,
    day_to: Annotated[
        datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="Last city day.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Try a rule on past evidence, beside the version in force. Nothing is written.

    Without days, the last 90 before today. Ctrl-C stops it at the end of the page under way.
    """
    import json

    from backend import incentive
    from backend.commands.rule_files import read_rule_file
    from backend.flows.rule_words import rule_words
    from backend.flows.simulation_report import as_document, in_lines
    from backend.kit.needs import DocumentError

    try:
        rule = incentive.read_rule(read_rule_file(file))
        found = _run(rule, day_from, day_to)
    except DocumentError as error:
        typer.echo(f"{error.name}: {error.detail}", err=True)
        raise typer.Exit(1) from error
    for finding in incentive.review(rule):
        typer.echo(f"{finding.name}: {finding}", err=True)
    if as_json:
        typer.echo(json.dumps(as_document(found), ensure_ascii=False))
    else:
        typer.echo("\n".join(in_lines(found, rule_words())))


def _run(rule: "Rule", day_from: datetime | None, day_to: datetime | None) -> "Simulated":
    import asyncio

    from rich.console import Console
    from rich.progress import Progress

    from backend.flows.simulate_rule import simulate
    from backend.kit.clock import SystemClock, city_day
    from backend.kit.db import Database
    from backend.kit.pg import attach
    from backend.kit.settings import load_settings
    from backend.kit.vault import Vault

    settings = load_settings()
    last = city_day(SystemClock().now(), settings.city_tz) - timedelta(days=1)
    end = last if day_to is None else day_to.date()
    begin = end - timedelta(days=WINDOW_DAYS - 1) if day_from is None else day_from.date()

    async def run(url: str, bar: Progress) -> "Simulated":
        task: Any = bar.add_task("试算")

        async def heard(done: int, total: int) -> bool:
            bar.update(task, completed=done, total=max(total, 1))
            return True

        db = await Database.open(url, size=2)
        try:
            return await simulate(
                db,
                Vault(settings.keys_dir),
                rule,
                day_from=_ordered(begin, end),
                day_to=end,
                city_tz=settings.city_tz,
                heard=heard,
            )
        finally:
            await db.close()

    with (
        attach(settings.var, database_url=settings.database_url, pg_bin=settings.pg_bin) as server,
        Progress(console=Console(stderr=True), transient=True) as bar,
    ):
        return asyncio.run(run(server.url("app"), bar))


def simulate_waiting() -> None:
    """Run the simulations that officials asked for; the worker starts this by itself."""
    import asyncio
    import os

    from backend.flows.run_simulations import run_waiting
    from backend.kit.clock import SystemClock
    from backend.kit.db import Database
    from backend.kit.pg import attach
    from backend.kit.settings import load_settings
    from backend.kit.vault import Vault

    settings = load_settings()
    os.nice(10)  # awards and answers go first

    async def run(url: str) -> int:
        db = await Database.open(url, size=2)
        try:
            return await run_waiting(db, Vault(settings.keys_dir), SystemClock(), settings.city_tz)
        finally:
            await db.close()

    with attach(settings.var, database_url=settings.database_url, pg_bin=settings.pg_bin) as server:
        ended = asyncio.run(run(server.url("app")))
    typer.echo(f"{ended} simulations ended")


def _ordered(begin: date, end: date) -> date:
    if begin > end:
        raise typer.BadParameter("--from comes before --to")
    return begin
