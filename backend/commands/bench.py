"""`tanhui bench`: benchmarks, each a comparison inside one run."""

from pathlib import Path
from typing import Annotated, Any, cast

import typer

BENCHES = (
    *("record", "door", "pipeline", "scenarios", "growth", "miniapp"),
    *("quantify", "rules", "backtest", "simulate", "parking", "node", "gas", "chain", "network"),
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("bench")(bench)


def bench(
    name: Annotated[str, typer.Argument(help=f"{', '.join(BENCHES)}, or all.")] = "all",
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write every figure to this file.")
    ] = None,
) -> None:
    """Measure, as ratios in one run: machines are noisy, ratios less so."""
    import importlib
    import json

    from rich.console import Console

    if name != "all" and name not in BENCHES:
        raise typer.BadParameter(f"{name} is none of {', '.join(BENCHES)}, all")
    console = Console()
    document: dict[str, Any] = {"environment": _environment()}
    for chosen in BENCHES if name == "all" else (name,):
        console.rule(chosen)
        with console.status(f"{chosen} …"):
            document[chosen] = importlib.import_module(f"backend.bench.{chosen}").run()
        _show(console, document[chosen])
    if json_file is not None:
        json_file.write_text(json.dumps(document, indent=1, ensure_ascii=False), "utf-8")


def _environment() -> dict[str, Any]:
    import os
    import platform

    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "cores": os.cpu_count(),
        "load_average": os.getloadavg()[0],
    }


def _show(console: Any, figures: dict[str, Any], prefix: str = "") -> None:
    for key, value in figures.items():
        if isinstance(value, dict):
            _show(console, cast("dict[str, Any]", value), f"{prefix}{key}.")
        else:
            console.print(f"{prefix}{key:<40} {value}", highlight=False)
