"""`tanhui send`: a partner's client for the files people have."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from backend.partner_client import Journal, PartnerDoor, Prepared, Report


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("send")(send)


def send(
    file: Annotated[Path, typer.Argument(help="CSV or NDJSON file.", exists=True, dir_okay=False)],
    mapping: Annotated[Path, typer.Option(help="Mapping file (YAML).", exists=True)],
    partner: Annotated[str, typer.Option(help="The partner in whose name to send.")],
    to: Annotated[str, typer.Option(help="Address of the platform, such as https://host:8700.")],
    credentials: Annotated[
        Path, typer.Option(help="Partner credentials (JSON), or the --json file of `tanhui demo`.")
    ] = Path("credentials.json"),
    shift_days: Annotated[
        int, typer.Option(help="Move the dates by this many days (replay partners only).")
    ] = 0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read and pair the file, send nothing.")
    ] = False,
    journal_dir: Annotated[
        Path, typer.Option(help="Where answers are kept, so that a killed run continues.")
    ] = Path(".tanhui-send"),
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the report to this file too.")
    ] = None,
) -> None:
    """Send a file as signed events and say what became of every row."""
    import hashlib
    import json

    import httpx
    from rich.console import Console

    from backend import partner_client as client

    console = Console(stderr=True)
    try:
        shape = client.read_mapping(mapping)
        keys = client.read_credentials(credentials, partner)
        subjects = [s.token for s in keys.subjects if s.scenario == shape.scenario]
        prepared = client.prepare(file, shape, mapping.parent, subjects, shift_days)
    except (client.MappingError, ValueError, OSError) as error:
        console.print(f"[red]✗[/red] {error}")
        raise typer.Exit(2) from error
    if dry_run:
        report = client.Report(
            rows_total=prepared.rows_total,
            events_total=len(prepared.events),
            undecided=sum(prepared.rows_of.values()),
            left_out=prepared.left_out,
            unpaired=prepared.unpaired,
        )
        report.print_to(Console())
        return
    run = "\x1f".join([mapping.read_text("utf-8"), partner, str(shift_days), *subjects])
    digest = hashlib.sha256(file.read_bytes() + run.encode()).hexdigest()[:24]
    journal_dir.mkdir(parents=True, exist_ok=True)
    journal = client.Journal(journal_dir / f"{digest}.ndjson")
    with httpx.Client(timeout=30) as http:
        try:
            report = _send_with_bar(prepared, client.PartnerDoor(to, keys, http), journal, console)
        except client.UploadRefused as refusal:
            console.print(f"[red]✗[/red] {refusal}")
            raise typer.Exit(1) from refusal
        except httpx.TransportError as error:
            console.print(
                f"[red]✗[/red] {to} 无法连接 ({error});已发送的部分不会丢失,再次运行即可继续。"
            )
            raise typer.Exit(1) from error
    report.print_to(Console())
    if json_file is not None:
        json_file.write_text(json.dumps(report.document(), ensure_ascii=False, indent=2), "utf-8")


def _send_with_bar(
    prepared: "Prepared", door: "PartnerDoor", journal: "Journal", console: "Console"
) -> "Report":
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

    from backend.partner_client import send_file

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console) as bar:
        tasks: dict[str, TaskID] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done, total=total)

        return send_file(prepared, door, journal, show)
