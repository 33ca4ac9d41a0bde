"""`tanhui rules …` and `tanhui methods …`: draft, approve with one's own key file, list, fund."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from backend.commands.stopping import add_stop

if TYPE_CHECKING:
    from backend.chain import ChainClient
    from backend.flows.government_lane import Government
    from backend.incentive import Programme
    from backend.kit.services import Services

What = Literal["rule", "method"]
WhatOption = Annotated[str, typer.Option("--what", help="rule or method.")]


def register(app: typer.Typer) -> None:
    """Add `rules` and `methods`; they differ in what `--what` is by default."""
    app.add_typer(_commands("rule"), name="rules")
    app.add_typer(_commands("method"), name="methods")


def _commands(usual: What) -> typer.Typer:
    group = typer.Typer(
        help="Points rules and reduction methods, enacted by two officials.",
        no_args_is_help=True,
    )

    @group.command("draft")
    def draft(  # pyright: ignore[reportUnusedFunction]
        file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True)],
    ) -> None:
        """Check a rule or method file (JSON or YAML) and store it as a draft."""
        run(lambda tools: _draft(tools, file))

    @group.command("approve")
    def approve(  # pyright: ignore[reportUnusedFunction]
        name: Annotated[str, typer.Argument(metavar="ID")],
        version: int,
        official: Annotated[str, typer.Option(help="Your official id.")],
        key: Annotated[Path, typer.Option(help="Your own key file.")],
        what: WhatOption = usual,
    ) -> None:
        """Sign a version with your own key; the second official's signature enacts it.

        The key file's password is asked for, or taken from TANHUI_KEY_PASSWORD.
        """
        run(lambda tools: _approve(tools, _what(what), name, version, official, key))

    @group.command("list")
    def listed(what: WhatOption = usual) -> None:  # pyright: ignore[reportUnusedFunction]
        """Every version and where it stands."""
        run(lambda tools: _list(tools, _what(what)))

    @group.command("show")
    def show(  # pyright: ignore[reportUnusedFunction]
        name: Annotated[str, typer.Argument(metavar="ID")],
        version: int,
        what: WhatOption = usual,
    ) -> None:
        """One version in plain words, with its digest and approvers."""
        run(lambda tools: _show(tools, _what(what), name, version))

    add_stop(group, usual)
    if usual == "rule":
        _add_funding(group)
    else:
        _add_standing(group)
    return group


def _add_standing(group: typer.Typer) -> None:
    @group.command("standing")
    def standing() -> None:  # pyright: ignore[reportUnusedFunction]
        """Every version: draft, notice, approved, provisional or retired."""
        run(_standing)

    @group.command("notice")
    def notice(  # pyright: ignore[reportUnusedFunction]
        name: Annotated[str, typer.Argument(metavar="ID")],
        version: int,
        day_from: Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"])],
        day_to: Annotated[
            datetime, typer.Option("--to", formats=["%Y-%m-%d"], help="Day after the last.")
        ],
    ) -> None:
        """Put a draft on public notice; until it closes nobody can approve it."""
        run(lambda tools: _notice(tools, name, version, day_from.date(), day_to.date()))

    @group.command("shipped")
    def shipped(  # pyright: ignore[reportUnusedFunction]
        name: Annotated[str | None, typer.Argument(metavar="ID")] = None,
        version: Annotated[int | None, typer.Argument()] = None,
    ) -> None:
        """List what comes with the product, or print one document, ready to be drafted."""
        from backend.methodology import grid_methods, shipped_methods

        known = shipped_methods() | grid_methods()
        if name is None:
            for each in sorted(known):
                typer.echo(f"{each[0]}\t{each[1]}")
        elif (document := known.get((name, version or 1))) is not None:
            typer.echo(document.decode())
        else:
            raise typer.BadParameter(f"no version {version or 1} of {name}")


def _add_funding(group: typer.Typer) -> None:
    @group.command("programme")
    def programme(  # pyright: ignore[reportUnusedFunction]
        programme_id: Annotated[str, typer.Argument(metavar="ID")],
        name: Annotated[str, typer.Option(help="What people call it.")],
        points_class: Annotated[str, typer.Option("--class", help="Class of its points.")],
        day_from: Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"])],
        day_to: Annotated[
            datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="Day after the last.")
        ] = None,
        period: Annotated[str, typer.Option(help="Budget for the total or by year.")] = "total",
        expiry_months: Annotated[int, typer.Option(min=1, max=120)] = 24,
    ) -> None:
        """Open a programme; its points class becomes known to the chain first."""
        from backend.incentive import Programme

        until = None if day_to is None else day_to.date()
        made = Programme(
            programme_id, name, points_class, day_from.date(), until, period, expiry_months
        )
        run(lambda tools: _open(tools, made))

    @group.command("terms")
    def terms(  # pyright: ignore[reportUnusedFunction]
        programme_id: Annotated[str, typer.Argument(metavar="PROGRAMME")],
        file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True)],
        day_from: Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"])],
        official: Annotated[str, typer.Option(help="Who lays them down.")],
    ) -> None:
        """Lay down a programme's next terms, a YAML or JSON file (docs/rules.md)."""
        run(lambda tools: _terms(tools, programme_id, file, day_from.date(), official))

    @group.command("fund")
    def fund(  # pyright: ignore[reportUnusedFunction]
        programme_id: Annotated[str, typer.Argument(metavar="PROGRAMME")],
        period: Annotated[str, typer.Argument(help="total, or a year.")],
        points: Annotated[int, typer.Argument(min=0)],
    ) -> None:
        """Set a programme's budget: raised on chain first, lowered there last."""
        run(lambda tools: _fund(tools, programme_id, period, points))


@dataclass(frozen=True, slots=True)
class Tools:
    """What a command of an official works with."""

    services: "Services"
    client: "ChainClient"


def run(work: Callable[[Tools], Awaitable[None]]) -> None:
    """Open the installation, do the work, and tell a refusal in one line with exit code 1."""
    import asyncio

    from backend.chain import ChainClient, NodeAway, profile_of
    from backend.kit import pg
    from backend.kit.clock import SystemClock
    from backend.kit.db import Database
    from backend.kit.problems import Problem
    from backend.kit.services import Services
    from backend.kit.settings import load_settings
    from backend.kit.vault import Vault

    settings = load_settings()

    async def opened(url: str) -> None:
        db = await Database.open(url, size=3)
        client = ChainClient(settings.chain_rpc_url, profile_of(settings.chain_profile))
        try:
            services = Services(db, Vault(settings.keys_dir), SystemClock(), settings)
            await work(Tools(services, client))
        finally:
            await client.close()
            await db.close()

    try:
        with pg.attach(
            settings.var, database_url=settings.database_url, pg_bin=settings.pg_bin
        ) as server:
            asyncio.run(opened(server.url("app")))
    except Problem as problem:
        ids = "".join(f" {name}={value}" for name, value in problem.ids.items())
        typer.echo(f"{problem.name}: {problem.detail}{ids}", err=True)
        raise typer.Exit(1) from problem
    except NodeAway as error:
        typer.echo(f"chain-away: 区块链节点没有回答。{error}", err=True)
        raise typer.Exit(1) from error


def _what(text: str) -> What:
    if text not in ("rule", "method"):
        raise typer.BadParameter("--what is rule or method")
    return "rule" if text == "rule" else "method"


async def _draft(tools: Tools, file: Path) -> None:
    from backend.commands.rule_files import as_json
    from backend.flows.enact_rule import draft
    from backend.kit.needs import DocumentError
    from backend.kit.problems import Problem

    try:
        text = as_json(file)
    except DocumentError as error:
        raise Problem(422, error.name, f"文件不是合法的 YAML:{error.detail}") from error
    made = await draft(tools.services.db, tools.services.clock, text)
    typer.echo(f"{made.what} {made.id} {made.version} 已存为草案,摘要 {made.digest.hex()}")


async def _approve(
    tools: Tools, what: What, name: str, version: int, official: str, key: Path
) -> None:
    from backend.chain import open_keystore
    from backend.flows.enact_rule import APPROVALS_NEEDED, approve
    from backend.kit.problems import Problem
    from backend.officials import read_key_file

    services = tools.services
    held = read_key_file(key, services.settings.profile)
    try:
        signer = open_keystore(held.keystore, ask_password())
    except ValueError as error:
        raise Problem(403, "wrong-password", "口令打不开这个密钥文件。", file=str(key)) from error
    standing = await approve(government_of(tools), what, name, version, official, signer)
    if standing.enacted:
        typer.echo(f"{what} {name} {version} 已生效,审批人 {'、'.join(standing.approvers)}")
        return
    if standing.reason is not None:
        raise Problem(502, "chain-refused", f"链上未接受:{standing.reason}", id=name)
    missing = APPROVALS_NEEDED - len(standing.approvers)
    if not missing:
        typer.echo(f"{what} {name} {version} 审批已满,公示期满后由审批人在系统内生效")
        return
    typer.echo(f"{what} {name} {version} 已记录您的审批,还需 {missing} 位审批人")


def ask_password(*, confirm: bool = False) -> str:
    """The password of a key file: TANHUI_KEY_PASSWORD, else asked for without echo."""
    import os

    given = os.environ.get("TANHUI_KEY_PASSWORD")
    if given is not None:
        return given
    answer: Any = typer.prompt("密钥文件口令", hide_input=True, confirmation_prompt=confirm)
    return str(answer)


async def _open(tools: Tools, made: "Programme") -> None:
    from backend.flows.fund_programme import open_programme

    await open_programme(government_of(tools), made)
    typer.echo(f"激励活动 {made.programme_id} 已设立,积分类别 {made.points_class}")


async def _terms(
    tools: Tools, programme_id: str, file: Path, day_from: date, official: str
) -> None:
    import json

    from backend import incentive, officials
    from backend.commands.rule_files import as_json
    from backend.kit.needs import DocumentError
    from backend.kit.problems import Problem

    now = tools.services.clock.now()
    try:
        async with tools.services.db.transaction() as tx:
            document: object = json.loads(as_json(file))
            made = await incentive.record_terms(tx, programme_id, document, day_from, official, now)
            detail = {"version": made.version, "day_from": day_from}
            await officials.note(
                tx, actor=official, act="programme.terms", about=programme_id, detail=detail, at=now
            )
    except DocumentError as error:
        raise Problem(422, error.name, error.detail) from error
    except ValueError as error:
        raise Problem(422, "not-json", f"文件不是合法的 JSON:{error}") from error
    typer.echo(f"激励活动 {programme_id} 条款第 {made.version} 版,自 {day_from} 起")


async def _fund(tools: Tools, programme_id: str, period: str, points: int) -> None:
    from backend.flows.fund_programme import Envelope, set_envelope

    await set_envelope(government_of(tools), Envelope(programme_id, period, points))
    typer.echo(f"激励活动 {programme_id} {period} 的预算为 {points} 分")


def government_of(tools: Tools) -> "Government":
    """The tools of the government's flows."""
    from backend.chain import open_keys
    from backend.flows.government_lane import Government

    services = tools.services
    signer = open_keys(services.settings.keys_dir).government
    return Government(services.db, services.clock, tools.client, signer)


async def _standing(tools: Tools) -> None:
    from backend.kit.clock import city_day
    from backend.methodology import standings

    now = tools.services.clock.now()
    today = city_day(now, tools.services.settings.city_tz)
    async with tools.services.db.transaction(readonly=True) as tx:
        found = await standings(tx, now, today)
    for each in found:
        until = "" if each.day_to is None else str(each.day_to)
        notice = "" if each.closes_at is None else f"\t公示至 {each.closes_at.isoformat()}"
        typer.echo(f"{each.id}\t{each.version}\t{each.status}\t{each.day_from}..{until}{notice}")


async def _notice(tools: Tools, name: str, version: int, day_from: date, day_to: date) -> None:
    from backend.kit.clock import day_bounds
    from backend.kit.needs import DocumentError
    from backend.kit.problems import Problem
    from backend.methodology import give_notice

    city_tz = tools.services.settings.city_tz
    opens_at, closes_at = day_bounds(day_from, city_tz)[0], day_bounds(day_to, city_tz)[0]
    try:
        async with tools.services.db.transaction() as tx:
            now = tools.services.clock.now()
            await give_notice(tx, name, version, opens_at, closes_at, now)
    except DocumentError as error:
        raise Problem(409, error.name, error.detail) from error
    typer.echo(f"method {name} {version} 公示自 {day_from} 至 {day_to} 前一日")


async def _list(tools: Tools, what: What) -> None:
    from backend.views import documents_listed

    async with tools.services.db.transaction(readonly=True) as tx:
        found = await documents_listed(tx, what)
    for each in found:
        until = "" if each.day_to is None else str(each.day_to)
        typer.echo(
            f"{each.id}\t{each.version}\t{each.status}\t{each.day_from}..{until}"
            f"\t{len(each.approvers)} 位审批\t{each.digest.hex()}"
        )


async def _show(tools: Tools, what: What, name: str, version: int) -> None:
    from backend import methodology
    from backend.flows.rule_words import rule_card
    from backend.kit.problems import Problem
    from backend.views import document_entry

    async with tools.services.db.transaction(readonly=True) as tx:
        found = await document_entry(tx, what, name, version)
    if found is None:
        raise Problem(404, "unknown-document", "没有这个版本的文件。", id=name, version=version)
    card = rule_card if what == "rule" else methodology.card
    typer.echo(card(found.document))
    typer.echo(f"状态 {found.status} · 摘要 {found.digest.hex()}")
    for address in found.approvers:
        typer.echo(f"审批人 {address}")
    if found.tx_hash is not None:
        typer.echo(f"链上交易 0x{found.tx_hash.hex()}")
