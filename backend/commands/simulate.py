"""`tanhui simulate …`: try something before it counts."""

import typer

from backend.commands import simulate_parking, simulate_rule


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(help="Try something before it counts.", no_args_is_help=True)

    @group.callback()
    def _root() -> None:  # pyright: ignore[reportUnusedFunction] — one command stays a subcommand
        """Try something before it counts."""

    simulate_rule.add(group)
    simulate_parking.add(group)
    app.add_typer(group, name="simulate")
