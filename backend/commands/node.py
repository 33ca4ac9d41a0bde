"""`tanhui node`: the embedded chain node."""

from urllib.parse import urlsplit

import typer

from backend.kit.settings import load_settings


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def node(  # pyright: ignore[reportUnusedFunction] — Typer keeps it
        host: str = typer.Option("127.0.0.1", help="Address to listen on; loopback by default."),
        port: int | None = typer.Option(None, help="Port; default: that of the chain address."),
    ) -> None:
        """Run the embedded chain node: JSON-RPC over HTTP, blocks in var/chain."""
        # Loaded here: the EVM takes most of a second that other commands need not pay.
        from backend.chain import open_keys
        from backend.chain.node import NodeError, StoreInUse, serve_node

        settings = load_settings()
        keys = open_keys(settings.keys_dir, post_lanes=settings.post_lanes)
        chosen = port if port is not None else urlsplit(settings.chain_rpc_url).port
        try:
            serve_node(
                settings.var / "chain",
                chain_id=settings.chain_id,
                funded=keys.addresses(),
                host=host,
                port=chosen if chosen is not None else 8545,
            )
        except (StoreInUse, NodeError) as error:
            typer.echo(f"node: {error}", err=True)
            raise typer.Exit(1) from error
