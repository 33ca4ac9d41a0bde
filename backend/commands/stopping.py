"""`tanhui rules stop`: two approvers end a version earlier, each with their own key file."""

from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from backend.commands.rules import Tools
    from backend.officials import Session, life

What = Literal["rule", "method"]


def add_stop(group: typer.Typer, what: What) -> None:
    """Add the command to `rules` or `methods`."""

    @group.command("stop")
    def stop(  # pyright: ignore[reportUnusedFunction]
        name: Annotated[str, typer.Argument(metavar="ID")],
        version: int,
        official: Annotated[str, typer.Option(help="Your official id.")],
        key: Annotated[Path, typer.Option(help="Your own key file.")],
        reason: Annotated[str, typer.Option(help="Why; it is noted in the audit log.")] = "",
        day_to: Annotated[
            datetime | None,
            typer.Option("--from", formats=["%Y-%m-%d"], help="First day it no longer holds."),
        ] = None,
    ) -> None:
        """Stop a version: the first approver orders it with a reason, the second signs too.

        Without a day it ends as early as it can: today, or after the last day with an award.
        """
        from backend.commands.rules import run

        day = None if day_to is None else day_to.date()
        run(lambda tools: _stop(tools, what, name, version, official, key, reason, day))


async def _stop(
    tools: "Tools",
    what: What,
    name: str,
    version: int,
    official: str,
    key: Path,
    reason: str,
    day_to: date | None,
) -> None:
    from backend.chain import open_keystore
    from backend.commands.rules import ask_password, government_of
    from backend.flows.stop_rule import sign_stop
    from backend.kit.problems import Problem
    from backend.officials import read_key_file

    services = tools.services
    session = await _session(tools, official)
    stop = await _standing_order(tools, session, what, name, version, reason, day_to)
    held = read_key_file(key, services.settings.profile)
    try:
        signer = open_keystore(held.keystore, ask_password())
    except ValueError as error:
        raise Problem(403, "wrong-password", "口令打不开这个密钥文件。", file=str(key)) from error
    found = await sign_stop(services, government_of(tools), session, stop.stop_id, signer)
    if found.stopped:
        typer.echo(f"{what} {name} {version} 自 {stop.day_to} 起停用:{stop.reason}")
        return
    if found.reason is not None:
        raise Problem(502, "chain-refused", f"链上未接受:{found.reason}", id=name)
    typer.echo(f"停用令已记录您的签名(自 {stop.day_to} 起),还需另一位审批人")


async def _standing_order(
    tools: "Tools",
    session: "Session",
    what: What,
    name: str,
    version: int,
    reason: str,
    day_to: date | None,
) -> "life.Stop":
    """The order that waits for a second signature, else a new one."""
    from backend.flows.enact_rule import CODES
    from backend.flows.stop_rule import order_stop
    from backend.kit.problems import Problem
    from backend.officials import life

    services = tools.services
    async with services.db.transaction(readonly=True) as tx:
        known = await life.stops(tx, (CODES[what], name, version))
    if known and day_to in (None, known[0].day_to) and not reason:
        return known[0]
    if not reason:
        raise Problem(422, "reason-missing", "请用 --reason 写明停用的原因。")
    stop, _ = await order_stop(services, session, what, name, version, reason, day_to)
    return stop


async def _session(tools: "Tools", official_id: str) -> "Session":
    """Who acts on the command line: their key, not a sign-in, is what counts."""
    from backend import officials
    from backend.kit.ids import new_id
    from backend.kit.problems import Problem
    from backend.officials import Session

    async with tools.services.db.transaction(readonly=True) as tx:
        official = await officials.find(tx, official_id)
    if official is None:
        raise Problem(403, "not-an-approver", "只有登记的审批人可以审批。", official_id=official_id)
    return Session(new_id(), official, tools.services.clock.now())
