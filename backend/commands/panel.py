"""`tanhui panel`: the officials' panel, a process and an origin of its own."""

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("panel")(panel)


def panel(
    port: int = typer.Option(0, help="Default: the API's port + 1."),
) -> None:
    """Serve the officials' panel until told to stop."""
    import uvicorn

    from backend.gov_panel import create_panel
    from backend.kit import pg
    from backend.kit.problems import Problem
    from backend.kit.settings import load_settings
    from backend.production import NotForProduction, check_profile

    settings = load_settings()
    try:
        check_profile(settings)
    except (NotForProduction, Problem) as error:
        typer.echo(f"panel: {error}", err=True)
        raise typer.Exit(1) from error
    with pg.attach(settings.var, database_url=settings.database_url or "") as server:
        uvicorn.run(
            create_panel(settings, server.url("app")),
            host=settings.host,
            port=port or settings.port + 1,
            access_log=False,
            log_level="warning",
            server_header=False,
            timeout_graceful_shutdown=3,
        )
