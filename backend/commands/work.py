"""`tanhui work`: the background worker."""

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("work")(work)


def work() -> None:
    """Take recorded events to points, the log and the chain, until told to stop."""
    import asyncio
    import signal

    import uvloop

    from backend.chain import ChainClient, profile_of
    from backend.jobs import worker_of
    from backend.kit import pg
    from backend.kit.clock import SystemClock
    from backend.kit.collector import settle_collector
    from backend.kit.db import Database
    from backend.kit.logs import log
    from backend.kit.services import Services
    from backend.kit.settings import load_settings
    from backend.kit.vault import Vault

    settings = load_settings()

    async def run(url: str, eraser_url: str) -> None:
        db = await Database.open(url)
        eraser = await Database.open(eraser_url, size=1)
        client = ChainClient(settings.chain_rpc_url, profile_of(settings.chain_profile))
        services = Services(db, Vault(settings.keys_dir), SystemClock(), settings)
        worker = worker_of(services, client, eraser)
        for name in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(name, worker.stopping.set)
        settle_collector()
        log("worker_started", profile=settings.profile)
        try:
            await worker.run()
        finally:
            await client.close()
            await eraser.close()
            await db.close()
            log("worker_stopped")

    with pg.attach(settings.var, database_url=settings.database_url or "") as server:
        uvloop.run(run(server.url("app"), server.url("eraser")))
