"""The `tanhui` command. Each subcommand lives in `backend/commands/`; only the asked one is loaded.

Starting Python, the web framework and the chain libraries costs seconds together, and `demo`
starts four processes: a process therefore imports only what its own command needs.
"""

import importlib
import os
import signal
import sys
import threading
from typing import NoReturn

import typer

COMMANDS = {
    "audit": "audit",
    "backtest": "backtest",
    "bench": "bench",
    "chain": "chain",
    "demo": "demo",
    "keys": "keys",
    "methods": "rules",
    "migrate": "migrate",
    "network": "network",
    "node": "node",
    "officials": "officials",
    "parking": "parking",
    "panel": "panel",
    "recompute": "recompute",
    "reconcile": "reconcile",
    "rules": "rules",
    "sanity": "sanity",
    "send": "send",
    "serve": "serve",
    "simulate": "simulate",
    "statement": "statement",
    "verify": "verify",
    "work": "work",
}
"""Command → file in backend/commands that registers it."""


def main() -> None:
    """Entry point of the console script."""
    if os.environ.get("TANHUI_SUPERVISED") == "1":
        _end_with_supervisor()
    build(sys.argv[1] if len(sys.argv) > 1 else "")()


def build(command: str) -> typer.Typer:
    """The application with one command's file loaded, or with all when it is not one of ours."""
    app = typer.Typer(
        name="tanhui",
        help="碳惠 — a city's low-carbon points platform whose receipts a stranger can check.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )

    @app.callback()
    def _root() -> None:  # pyright: ignore[reportUnusedFunction] — Typer keeps it
        """碳惠 Tanhui."""

    chosen = COMMANDS.get(command)
    for name in [chosen] if chosen else sorted(set(COMMANDS.values())):
        importlib.import_module(f"backend.commands.{name}").register(app)
    return app


def _end_with_supervisor() -> None:
    """Stop when the supervisor is gone: it holds the other end of our standard input."""

    def wait() -> NoReturn:
        while os.read(0, 4096):
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        threading.Event().wait(5)
        os._exit(1)

    threading.Thread(target=wait, name="supervisor-watch", daemon=True).start()


if __name__ == "__main__":
    main()
