"""`tanhui network up|status|down|add-validator|remove-validator`: validators on this machine."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

import typer

from backend.kit.settings import Settings, load_settings

if TYPE_CHECKING:
    from backend.chain.network import Network

_PORTS_AFTER = 30
"""Validators' ports begin this far above the installation's own."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    network = typer.Typer(
        help="A validator network on loopback, run by the engine kcn (make engine).",
        no_args_is_help=True,
    )
    app.add_typer(network, name="network")

    @network.command()
    def up(  # pyright: ignore[reportUnusedFunction] — Typer keeps it
        validators: int = typer.Option(4, min=4, max=16, help="How many, at the first start."),
    ) -> None:
        """Start the validators under var/network, making them the first time."""
        _run(_up, validators)

    @network.command()
    def status() -> None:  # pyright: ignore[reportUnusedFunction] — Typer keeps it
        """Show every validator: whether it runs and validates, its block and its peers."""
        _run(_show)

    @network.command()
    def down() -> None:  # pyright: ignore[reportUnusedFunction] — Typer keeps it
        """End the validators; their chain stays."""
        _run(_down)

    @network.command("add-validator")
    def add_validator() -> None:  # pyright: ignore[reportUnusedFunction] — Typer keeps it
        """Start one more, let it catch up, and have the others vote it in."""
        _run(_add)

    @network.command("remove-validator")
    def remove_validator(  # pyright: ignore[reportUnusedFunction] — Typer keeps it
        number: int = typer.Argument(help="Its number in `tanhui network status`."),
    ) -> None:
        """Have the others vote one out, then end it; its folder stays."""
        _run(_remove, number)


def _run(work: Callable[..., Coroutine[Any, Any, None]], *arguments: Any) -> None:
    from backend.chain import NodeAway, RpcError
    from backend.chain.network import EngineMissing, NetworkError

    try:
        asyncio.run(work(load_settings(), *arguments))
    except (EngineMissing, NetworkError, NodeAway, RpcError) as error:
        typer.echo(f"network: {error}", err=True)
        raise typer.Exit(1) from error


async def _up(settings: Settings, count: int) -> None:
    from backend.chain import open_keys
    from backend.chain.network import Network, find_kcn

    kcn, folder = find_kcn(settings.kcn), settings.var / "network"
    network = Network.load(folder, kcn)
    if network is None:
        network = Network.create(
            folder,
            kcn,
            chain_id=settings.chain_id,
            funded=open_keys(settings.keys_dir).addresses(),
            count=count,
            port=settings.port + _PORTS_AFTER,
        )
    await network.up()
    await _print(network)
    first = network.validators[0]
    typer.echo(f"TANHUI_CHAIN_PROFILE=kaia TANHUI_RPC_URL={first.url} makes Tanhui use it.")


async def _show(settings: Settings) -> None:
    await _print(_existing(settings))


async def _down(settings: Settings) -> None:
    _existing(settings).stop()


async def _add(settings: Settings) -> None:
    network = _existing(settings)
    await network.add()
    await _print(network)


async def _remove(settings: Settings, number: int) -> None:
    network = _existing(settings)
    await network.remove(number)
    await _print(network)


def _existing(settings: Settings) -> "Network":
    from backend.chain.network import Network, NetworkError, find_kcn

    network = Network.load(settings.var / "network", find_kcn(settings.kcn))
    if network is None:
        raise NetworkError("there is no network yet: tanhui network up")
    return network


async def _print(network: "Network") -> None:
    for one in await network.status():
        seat = "validates" if one.validates else "has no vote"
        where = f"block {one.block}, {one.peer_count} peers" if one.running else "is down"
        typer.echo(
            f"{one.validator.number}  {one.validator.address}  {one.validator.url}  {seat}  {where}"
        )
