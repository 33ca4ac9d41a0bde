"""`tanhui serve`: the API processes."""

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("serve")(serve)


def serve(
    workers: int = typer.Option(1, min=1, help="Processes that share the port."),
    trusted_proxy: str = typer.Option("", help="Addresses whose X-Forwarded-For is believed."),
) -> None:
    """Serve the doors over HTTP until told to stop.

    Callers are counted by their address; without a trusted proxy no header can change it.
    """
    import uvicorn

    from backend.kit.problems import Problem
    from backend.kit.settings import load_settings
    from backend.production import NotForProduction, check_profile

    settings = load_settings()
    try:
        check_profile(settings)
    except (NotForProduction, Problem) as error:
        typer.echo(f"serve: {error}", err=True)
        raise typer.Exit(1) from error
    uvicorn.run(
        "backend.app:serving_app",
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=workers,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
        server_header=False,
        proxy_headers=bool(trusted_proxy),
        forwarded_allow_ips=trusted_proxy or None,
        timeout_graceful_shutdown=5,
    )
