"""`tanhui demo`: a whole city on one machine, and a tour through it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from backend.demo.city import City
    from backend.demo.installation import Installation
    from backend.demo.tour import Tour


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo")(demo)


def demo(
    once: Annotated[bool, typer.Option("--once", help="End after the tour.")] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write addresses, sign-ins and figures here.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="Port of the API; the next two are used too.")
    ] = None,
) -> None:
    """Start everything embedded, load the sample city, walk the tour, keep serving."""
    import signal
    import sys
    import threading

    from rich.console import Console

    from backend.demo.installation import CannotStart, bring_up
    from backend.kit.logs import log_to
    from backend.kit.settings import load_settings

    console = Console()
    settings = load_settings()
    if settings.profile == "production":
        console.print("[red]✗[/red] 演示不能在 production 环境运行")
        raise typer.Exit(2)
    if port is not None:
        settings = settings.model_copy(update={"port": port})

    def show(mark: str, sentence: str) -> None:
        colour = {"✓": "green", "✗": "red"}.get(mark, "yellow")
        console.print(f"[{colour}]{mark}[/{colour}] {sentence}", highlight=False, emoji=False)

    def end(_number: int, _frame: object) -> NoReturn:
        sys.exit(143)

    # A polite end from outside goes the same way as Ctrl-C.
    signal.signal(signal.SIGTERM, end)
    console.rule("碳惠 Tanhui")
    (settings.var / "log").mkdir(parents=True, exist_ok=True)
    log_to((settings.var / "log" / "demo.log").open("a", encoding="utf-8"))
    try:
        installation = bring_up(settings, show)
    except CannotStart as reason:
        show("✗", str(reason))
        raise typer.Exit(2) from reason
    try:
        held = _walk(installation, console, json_file)
        if once:
            raise typer.Exit(0 if held else 1)
        threading.Event().wait()
    except KeyboardInterrupt:
        show("·", "正在停止……")
    except CannotStart as reason:
        show("✗", str(reason))
        raise typer.Exit(2) from reason
    finally:
        installation.stop()


def _walk(installation: "Installation", console: Any, json_file: Path | None) -> bool:
    """Found the city, take the tour, show and write what came of it. True when all held."""
    import asyncio
    import json
    import time

    from backend.demo import founding, screen
    from backend.demo.city import load_or_draw
    from backend.demo.forgery import Forger
    from backend.demo.installation import wait_ready
    from backend.demo.tour import Step, StepFailed
    from backend.kit.vault import write_secret_file

    def show(mark: str, sentence: str) -> None:
        colour = {"✓": "green", "✗": "red"}.get(mark, "yellow")
        console.print(f"[{colour}]{mark}[/{colour}] {sentence}", highlight=False, emoji=False)

    settings = installation.settings
    papers = settings.var / "demo"
    asyncio.run(founding.deploy(installation, show))
    ready_s = wait_ready(installation)
    show("✓", f"/ready · {ready_s:.1f} s")
    installation.supervisor.start("worker", "work")
    holdings = load_or_draw(papers / "city.json")
    partners = asyncio.run(founding.found(installation, holdings, show))
    holdings = load_or_draw(papers / "city.json")
    installation.supervisor.start("panel", "panel")
    console.rule("一次地铁出行的旅程 · the tour")
    tour_from_s = time.monotonic()
    tour = _tour(installation, partners, papers, show)
    tour.steps.insert(0, Step("ready", True, round(ready_s, 3), {}))
    with Forger(settings) as forger:
        try:
            tour.walk()
            tour.step("forged", "整套伪造的系统签出的回执,当场识破", lambda: tour.forged(forger))
            tour.step("panel", "政府端已开门", lambda: tour.panel(installation.panel_url))
        except StepFailed:
            show("✗", f"日志在 {settings.var / 'log'}")
        memory_mib = installation.memory_mib()
    show("·", f"旅程 {time.monotonic() - tour_from_s:.1f} s · 全部进程内存 {memory_mib} MiB")
    held = all(step.ok for step in tour.steps)
    document = {
        "ok": held,
        "steps": [step.document() for step in tour.steps],
        "addresses": {
            "api": installation.base_url,
            "rpc": settings.chain_rpc_url,
            "panel": installation.panel_url,
        },
        "memory_mib": memory_mib,
        "trust": str((papers / "trust.json").resolve()),
        "receipt": str((papers / "receipt.json").resolve()),
        "sign_ins": _sign_ins(partners, holdings),
    }
    text = json.dumps(document, ensure_ascii=False, indent=1).encode()
    for path in filter(None, (papers / "sign-ins.json", json_file)):
        write_secret_file(path, text, replace=True)
    screen.closing(
        console,
        screen.Addresses(installation.base_url, installation.panel_url),
        papers,
        papers / "sign-ins.json",
        tour.steps,
    )
    return held


def _tour(
    installation: "Installation", partners: list[dict[str, Any]], papers: Path, show: Any
) -> "Tour":
    from backend.demo.tour import Tour
    from backend.partner_client import Credentials, Subject

    held = {
        entry["partner_id"]: Credentials(
            partner_id=entry["partner_id"],
            scheme=entry["scheme"],
            secret=entry.get("secret"),
            private_key_pem=entry.get("private_key_pem"),
            subjects=tuple(
                Subject(s["token"], s["scenario"], s["consent_from"]) for s in entry["subjects"]
            ),
        )
        for entry in partners
    }
    return Tour(
        installation.base_url,
        held["metro"],
        held,
        installation.settings.city_tz,
        papers,
        show,
    )


def _sign_ins(partners: list[dict[str, Any]], holdings: "City") -> dict[str, Any]:
    import secrets

    from backend.demo.city import CITIZENS

    return {
        "partners": partners,
        "citizens": [
            {"provider": "sandbox", "code": f"{name}-{secrets.token_hex(8)}"} for name in CITIZENS
        ],
        "officials": [
            {"user": o.user, "role": o.role, "password": o.password, "totp_secret": o.totp_secret}
            for o in holdings.officials
        ],
    }
