"""`tanhui backtest`: what another version of a method would have given on stored evidence."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from backend.flows.backtest_method import Backtest, Tally
    from backend.kit.db import Database

_FIRST_DAY = datetime(2000, 1, 1)  # noqa: DTZ001 - a civil day, not an instant
_LAST_DAY = datetime(2099, 12, 31)  # noqa: DTZ001 - as above


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("backtest")(backtest)


def backtest(
    method: Annotated[str, typer.Option(help="A method's file, or the id of a known one.")],
    version: Annotated[int | None, typer.Argument(help="The version, with an id.")] = None,
    day_from: Annotated[
        datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="First city day.")
    ] = _FIRST_DAY,
    day_to: Annotated[
        datetime, typer.Option("--to", formats=["%Y-%m-%d"], help="Last city day, included.")
    ] = _LAST_DAY,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Quantify stored evidence by another method version and show the difference.

    By scenario, by attested district (else the partner) and by partner. Nothing is written.
    """
    import asyncio
    import json

    from rich.console import Console
    from rich.progress import Progress

    from backend.flows.backtest_method import backtest as compare
    from backend.kit.db import Database
    from backend.kit.pg import attach
    from backend.kit.settings import load_settings
    from backend.kit.vault import Vault
    from backend.methodology import read_method

    async def run(url: str, bar: Progress) -> "tuple[str, Backtest]":
        task = bar.add_task("回测")
        db = await Database.open(url, size=2)
        try:
            candidate = read_method(own or await _known(db, method, version or 0))
            found = await compare(
                db,
                Vault(settings.keys_dir),
                candidate,
                day_from=day_from.date(),
                day_to=day_to.date(),
                progress=lambda done, total: bar.update(task, completed=done, total=total),
            )
        finally:
            await db.close()
        return f"{candidate.id} {candidate.version} ({candidate.status})", found

    own = _from_file(Path(method)) if version is None else None
    settings = load_settings()
    console = Console(stderr=True)
    with (
        attach(settings.var, database_url=settings.database_url) as server,
        Progress(console=console, transient=True) as bar,
    ):
        name, found = asyncio.run(run(server.url("app"), bar))
    if as_json:
        typer.echo(json.dumps({"method": name, **_document_of(found)}, ensure_ascii=False))
        return
    typer.echo(f"{name}: compared {found.events}, aside {found.set_aside}, erased {found.erased}")
    for title, tallies in (
        ("scenario", found.by_scenario),
        ("district", found.by_district),
        ("partner", found.by_partner),
    ):
        for key, tally in sorted(tallies.items()):
            typer.echo(f"{title}\t{key}\t{_line(tally)}")


def _from_file(path: Path) -> bytes:
    """A method's canonical JSON from a file in any spelling."""
    from backend.kit import canonical
    from backend.methodology import read_method

    if not path.is_file():
        raise typer.BadParameter(f"{path} is no file; give a version with an id")
    try:
        document = canonical.dumps(canonical.parse_event_json(path.read_bytes()))
        read_method(document)
    except ValueError as error:
        raise typer.BadParameter(f"{path}: {error}") from error
    return document


async def _known(db: "Database", method: str, version: int) -> bytes:
    """A method's canonical JSON from the database, or of what comes with the product."""
    from backend import methodology

    async with db.transaction(readonly=True) as tx:
        stored = await methodology.document_of(tx, method, version)
    shipped = methodology.shipped_methods() | methodology.grid_methods()
    found = stored or shipped.get((method, version))
    if found is None:
        raise typer.BadParameter(f"no version {version} of {method}")
    return found


def _line(tally: "Tally") -> str:
    change = tally.after_mg - tally.before_mg
    share = ""
    if tally.before_mg:
        whole, tenth = divmod(abs(change) * 1_000 // tally.before_mg, 10)
        share = f" ({'-' if change < 0 else '+'}{whole}.{tenth} %)"
    refused = ", ".join(f"{reason} {count}" for reason, count in sorted(tally.refused.items()))
    return (
        f"events {tally.events}\tbefore {tally.before_mg // 1_000_000} kg"
        f"\tafter {tally.after_mg // 1_000_000} kg{share}\tchanged {tally.changed}"
        f"\tnewly accepted {tally.accepted}\tnewly refused {sum(tally.refused.values())}"
        + (f" ({refused})" if refused else "")
        + f"\tstill refused {tally.refused_still}"
    )


def _document_of(found: "Backtest") -> dict[str, Any]:
    return {
        "events": found.events,
        "set_aside": found.set_aside,
        "erased": found.erased,
        "by_scenario": {name: _tally(each) for name, each in found.by_scenario.items()},
        "by_district": {name: _tally(each) for name, each in found.by_district.items()},
        "by_partner": {name: _tally(each) for name, each in found.by_partner.items()},
    }


def _tally(tally: "Tally") -> dict[str, Any]:
    return {
        "events": tally.events,
        "before_mg": tally.before_mg,
        "after_mg": tally.after_mg,
        "changed": tally.changed,
        "accepted": tally.accepted,
        "refused": dict(tally.refused),
        "refused_still": tally.refused_still,
    }
