"""`tanhui officials`: the first two administrators, who then make everybody else in office."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from backend.commands.rules import Tools


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="People in office.", no_args_is_help=True)

    @group.command("found")
    def found(  # pyright: ignore[reportUnusedFunction]
        official_id: Annotated[str, typer.Argument(metavar="ID")],
        name: Annotated[str, typer.Option(help="The administrator's name.")],
        role: Annotated[str, typer.Option(help="system_admin or security_admin.")],
    ) -> None:
        """Enter one of the first two administrators; prints the code that opens the account.

        Once two stand, every further account is asked for by one and confirmed by the other.
        """
        from backend.commands.rules import run

        run(lambda tools: _found(tools, official_id, name, role))

    @group.command("list")
    def listed() -> None:  # pyright: ignore[reportUnusedFunction]
        """Everyone in office with roles and signing address."""
        from backend.commands.rules import run

        run(_list)

    @group.command("check")
    def check() -> None:  # pyright: ignore[reportUnusedFunction]
        """Hold the approvers on chain against those in office; exit 1 where they differ."""
        from backend.commands.rules import run

        run(_check)

    app.add_typer(group, name="officials")


async def _found(tools: "Tools", official_id: str, name: str, role: str) -> None:
    from backend import officials

    services = tools.services
    async with services.db.transaction() as tx:
        code = await officials.requests.found_administrator(
            tx, services.vault, services.clock, official_id, name, role
        )
        await officials.note(
            tx,
            actor="system",
            act="official.found",
            about=official_id,
            detail={"role": role},
            at=services.clock.now(),
        )
    typer.echo(f"{official_id} 已登记为{officials.roles.TITLES[role]}。")
    typer.echo(f"激活码(72 小时内有效,只显示这一次):{code}")
    typer.echo("请本人在面板的“激活账号”里输入它,设置口令与动态码。")


async def _list(tools: "Tools") -> None:
    from backend import officials

    async with tools.services.db.transaction(readonly=True) as tx:
        found = await officials.listed(tx)
    for each in found:
        held = "、".join(officials.roles.TITLES[role] for role in each.roles) or "无角色"
        suspended = "\t停用" if each.suspended_at is not None else ""
        typer.echo(f"{each.official_id}\t{each.name}\t{held}\t{each.address or ''}{suspended}")


async def _check(tools: "Tools") -> None:
    from backend.flows.check_approvers import check_approvers

    found = await check_approvers(tools.services.db, tools.client)
    for difference in found.differences:
        typer.echo(f"✗ {difference}")
    if found.differences:
        raise typer.Exit(1)
    typer.echo(f"✓ 链上可以签署的 {found.seated} 个地址都属于在任审批人,一个不多,一个不少")
