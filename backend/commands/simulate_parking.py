"""`tanhui simulate parking`: a month of shared parking whose books must be sound."""

from pathlib import Path
from typing import Annotated, Any

import typer


def add(group: typer.Typer) -> None:
    """Add the command to `tanhui simulate`."""
    group.command("parking")(simulate_parking)


def simulate_parking(
    seed: Annotated[int, typer.Option(help="The same seed gives the same books.")] = 1,
    lots: Annotated[int, typer.Option(min=1, max=999, help="Car parks.")] = 200,
    spaces: Annotated[int, typer.Option(min=2, max=999, help="Spaces in each.")] = 100,
    days: Annotated[int, typer.Option(min=1, max=60, help="Days.")] = 30,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write every figure to this file.")
    ] = None,
) -> None:
    """Simulate stays with no-shows, overstays, refunds, duplicates, late and missing events.

    A database of its own is made and removed. Exit 0 when the books hold, 1 when they do not.
    """
    import asyncio
    import json

    from rich.console import Console
    from rich.progress import Progress

    from backend.bench.parking_month import Size, run_month
    from backend.bench.scratch import scratch
    from backend.bench.stopwatch import quiet

    console = Console(stderr=True)

    async def run() -> dict[str, Any]:
        with Progress(console=console) as progress:
            task = progress.add_task("模拟停车 parking", total=days)
            async with scratch() as bed:
                return await run_month(
                    bed,
                    seed,
                    Size(lots, spaces, days),
                    lambda done, _: progress.update(task, completed=done),
                )

    with quiet():
        figures = asyncio.run(run())
    text = json.dumps(figures, ensure_ascii=False, indent=1, default=str)
    typer.echo(text)
    if json_file is not None:
        json_file.write_text(text, "utf-8")
    raise typer.Exit(1 if figures["differences"] else 0)
