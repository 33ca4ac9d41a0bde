"""`tanhui migrate`: bring the database's tables to the state this code expects."""

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("migrate")(migrate)


def migrate() -> None:
    """Run the migrations that are missing; nothing to do is quick and harmless."""
    from backend.kit import pg
    from backend.kit.migrate import migrate as run
    from backend.kit.settings import load_settings

    settings = load_settings()
    with pg.attach(
        settings.var, database_url=settings.database_url, pg_bin=settings.pg_bin
    ) as server:
        run(settings.owner_database_url or server.url("owner"))
    typer.echo("数据表已就绪。")
