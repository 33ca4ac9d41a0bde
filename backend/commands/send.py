"""`tanhui send`: a partner's client for the files people have."""

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from collections.abc import Generator

    from rich.console import Console

    from backend.evidence import Check
    from backend.partner_client import (
        Credentials,
        Journal,
        Mapping,
        Prepared,
        Progress,
        Report,
        Subject,
    )


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("send")(send)


def send(
    file: Annotated[
        Path, typer.Argument(help="CSV, Excel (.xlsx) or NDJSON file.", exists=True, dir_okay=False)
    ],
    mapping: Annotated[Path | None, typer.Option(help="Mapping file (YAML).", exists=True)] = None,
    partner: Annotated[str, typer.Option(help="The partner in whose name to send.")] = "",
    to: Annotated[str, typer.Option(help="Platform address, such as https://host:8700.")] = "",
    credentials: Annotated[
        Path, typer.Option(help="Partner credentials (JSON), or the --json file of `tanhui demo`.")
    ] = Path("credentials.json"),
    shift_days: Annotated[
        int, typer.Option(help="Move the times by this many days (replay partners only).")
    ] = 0,
    shift_months: Annotated[
        int, typer.Option(help="Move whole months instead of days (replay partners only).")
    ] = 0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be rejected and why; send nothing.")
    ] = False,
    propose: Annotated[
        bool, typer.Option("--propose", help="Print a mapping for this file, explained; no more.")
    ] = False,
    journal_dir: Annotated[
        Path, typer.Option(help="Where answers are kept, so that a killed run continues.")
    ] = Path(".tanhui-send"),
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the report to this file too.")
    ] = None,
) -> None:
    """Send a file as signed events and say what became of every row."""
    import json

    from rich.console import Console

    from backend import partner_client as client

    if propose:
        _propose(file)
        return
    console = Console(stderr=True)
    if mapping is None or not partner or not (to or dry_run):
        _fail(console, "--mapping, --partner and --to are needed (--to not for a dry run)", 2)
    try:
        shape = client.read_mapping(mapping)
        keys = client.read_credentials(credentials, partner)
        subjects = {s.token: s for s in keys.subjects if s.scenario == shape.scenario}
        shift = client.Shift(shift_days, shift_months)
        with _bar(console) as show:
            prepared = client.prepare(file, shape, mapping.parent, list(subjects), shift, show)
    except (client.MappingError, ValueError, OSError) as error:
        _fail(console, str(error), 2)
    if dry_run:
        report = _checked(prepared, shape, subjects, to)
    else:
        run = "\x1f".join([mapping.read_text("utf-8"), partner, repr(shift), *subjects])
        journal_dir.mkdir(parents=True, exist_ok=True)
        journal = client.Journal(journal_dir / f"{_digest(file, run)}.ndjson")
        report = _sent(prepared, keys, to, journal, console)
    report.print_to(Console(), sent=not dry_run)
    if json_file is not None:
        text = json.dumps(report.document(), ensure_ascii=False, indent=2)
        try:
            json_file.write_text(text, "utf-8")
        except OSError as error:
            _fail(console, str(error), 2)


def _fail(console: "Console", said: str, code: int) -> NoReturn:
    console.print("✗", said, style="red", markup=False, highlight=False)
    raise typer.Exit(code)


def _propose(file: Path) -> None:
    from rich.console import Console

    from backend.partner_client import MappingError, propose

    try:
        typer.echo(propose(file))
    except (MappingError, OSError) as error:
        _fail(Console(stderr=True), str(error), 2)


def _digest(file: Path, run: str) -> str:
    """What a journal belongs to: this file, sent in this way."""
    import hashlib

    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256")
    digest.update(run.encode())
    return digest.hexdigest()[:24]


def _checked(
    prepared: "Prepared", shape: "Mapping", subjects: "dict[str, Subject]", to: str
) -> "Report":
    from datetime import UTC, datetime

    from backend.partner_client import check_events

    check = _schema_check(to, shape.scenario, prepared.notes)
    return check_events(prepared, subjects, check, datetime.now(UTC))


def _schema_check(to: str, scenario: str, notes: list[str]) -> "Check | None":
    """The door's own check of `data`, by the schema the platform publishes."""
    import httpx

    from backend.evidence import SchemaNotSupported, compile_schema

    unasked = "未按场景格式检查 data not checked against the scenario's schema"
    if not to:
        notes.append(f"{unasked}: no --to")
        return None
    try:
        answer = httpx.get(f"{to.rstrip('/')}/public/v1/scenarios/{scenario}", timeout=10)
        answer.raise_for_status()
        return compile_schema(answer.json()["data_schema"])
    except (httpx.HTTPError, ValueError, KeyError, SchemaNotSupported) as error:
        notes.append(f"{unasked}: {error}")
        return None


def _sent(
    prepared: "Prepared", keys: "Credentials", to: str, journal: "Journal", console: "Console"
) -> "Report":
    import httpx

    from backend import partner_client as client

    with httpx.Client(timeout=30) as http:
        try:
            with _bar(console) as show:
                return client.send_file(prepared, client.PartnerDoor(to, keys, http), journal, show)
        except client.UploadRefused as refusal:
            _fail(console, str(refusal), 1)
        except httpx.TransportError as error:
            _fail(console, f"{to} 无法连接 ({error});已发送的部分不会丢失,再次运行即可继续。", 1)


@contextmanager
def _bar(console: "Console") -> "Generator[Progress, None, None]":
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console) as bar:
        tasks: dict[str, TaskID] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total or None)
            bar.update(tasks[what], completed=done, total=total or None)

        yield show
