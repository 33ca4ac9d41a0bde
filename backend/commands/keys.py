"""`tanhui keys`: key files for their owners, our side registered; partners' keys over time."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backend.commands.rules import Tools, ask_password, government_of, run
from backend.kit.clock import to_text

if TYPE_CHECKING:
    from backend.kit.db import Tx
    from backend.partners import Purpose, Scheme

OVERLAP_HOURS = 24
"""How long an old key counts beside its successor unless asked otherwise."""

PartnerArgument = Annotated[str, typer.Argument(metavar="PARTNER")]
OutOption = Annotated[Path, typer.Option(help="Where to write the partner's own secret.")]
PurposeOption = Annotated[str, typer.Option(help="webhook or statement.")]
SchemeOption = Annotated[str, typer.Option(help="v1, v1sm or v1s2.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    keys = typer.Typer(help="Keys of people and partners.", no_args_is_help=True)
    new = typer.Typer(help="Make a key file (mode 600).", no_args_is_help=True)
    keys.add_typer(new, name="new")
    app.add_typer(keys, name="keys")
    _add_new(new)
    _add_partners_keys(keys)


def _add_new(new: typer.Typer) -> None:
    @new.command("official")
    def official(  # pyright: ignore[reportUnusedFunction]
        official_id: Annotated[str, typer.Argument(metavar="ID")],
        name: Annotated[str, typer.Option(help="The official's name.")],
        out: Annotated[Path, typer.Option(help="Where to write the key file.")],
        role: Annotated[str, typer.Option(help="approver, or another role.")] = "approver",
    ) -> None:
        """Make an official's signing key and register its address, on chain for approvers.

        The password is asked for, or taken from TANHUI_KEY_PASSWORD. An existing file is kept
        and its address registered, so a run that was cut short can be repeated.
        """
        again = out.exists()
        run(lambda tools: _official(tools, official_id, name, role, out, again=again))

    @new.command("partner")
    def partner(  # pyright: ignore[reportUnusedFunction]
        partner_id: Annotated[str, typer.Argument(metavar="ID")],
        key_id: Annotated[str, typer.Option(help="Name of the key, unique for the partner.")],
        out: OutOption,
        scheme: SchemeOption = "v1s2",
        purpose: PurposeOption = "webhook",
        name: Annotated[str, typer.Option(help="Enter or change the partner with this name.")] = "",
        scenario: Annotated[
            list[str] | None, typer.Option(help="A scenario it may report; repeatable.")
        ] = None,
    ) -> None:
        """Make a partner's key; the file is for the partner, we keep the public side or a seal."""
        _make_room(out)
        run(
            lambda tools: _partner(
                tools, partner_id, key_id, out, scheme, purpose, name, scenario or []
            )
        )


def _add_partners_keys(keys: typer.Typer) -> None:
    @keys.command("list")
    def listed(  # pyright: ignore[reportUnusedFunction]
        partner_id: Annotated[str, typer.Argument(metavar="[PARTNER]")] = "",
    ) -> None:
        """Every key that ever stood, with its window; never a secret."""
        run(lambda tools: _list(tools, partner_id or None))

    @keys.command("rotate")
    def rotate(  # pyright: ignore[reportUnusedFunction]
        partner_id: PartnerArgument,
        key_id: Annotated[str, typer.Option(help="Name of the new key.")],
        out: OutOption,
        scheme: SchemeOption = "v1s2",
        purpose: PurposeOption = "webhook",
        overlap_hours: Annotated[
            int, typer.Option(min=0, help="How long the old key counts beside the new one.")
        ] = OVERLAP_HOURS,
    ) -> None:
        """Make a new key and let those of the same purpose end after the overlap."""
        _make_room(out)
        run(
            lambda tools: _rotate(
                tools, partner_id, key_id, out, scheme, purpose, timedelta(hours=overlap_hours)
            )
        )

    @keys.command("end")
    def end(  # pyright: ignore[reportUnusedFunction]
        partner_id: PartnerArgument,
        key_id: Annotated[str, typer.Argument(metavar="KEY")],
        after_hours: Annotated[int, typer.Option(min=0, help="Let it count that long.")] = 0,
    ) -> None:
        """Let one key end, at once unless asked otherwise; what it signed stays signed."""
        run(lambda tools: _end(tools, partner_id, key_id, timedelta(hours=after_hours)))


def _make_room(out: Path) -> None:
    if out.exists():
        raise typer.BadParameter(f"{out} 已存在,请换一个路径。")
    out.parent.mkdir(parents=True, exist_ok=True)


async def _official(
    tools: Tools, official_id: str, name: str, role: str, out: Path, *, again: bool
) -> None:
    from backend.chain import new_keystore
    from backend.flows.enrol_official import enrol_official
    from backend.kit.problems import Problem
    from backend.officials import KeyFile, read_key_file, write_key_file

    services = tools.services
    if again:
        key = read_key_file(out, services.settings.profile)
        if key.official_id != official_id:
            raise Problem(409, "file-exists", "这个文件属于另一位人员。", file=str(out))
    else:
        password = ask_password(confirm=True)
        if len(password) < 8:
            raise Problem(422, "weak-password", "口令至少 8 个字符。")
        address, keystore = new_keystore(password)
        key = KeyFile(official_id, address, services.settings.profile, keystore)
        write_key_file(out, key)
    await enrol_official(government_of(tools), official_id, name, role, key.address)
    typer.echo(f"{official_id} 已登记,签名地址 {key.address},密钥文件 {out}")


async def _partner(
    tools: Tools,
    partner_id: str,
    key_id: str,
    out: Path,
    scheme: str,
    purpose: str,
    name: str,
    scenarios: list[str],
) -> None:
    from backend import partners
    from backend.kit.problems import Problem

    wanted = _wanted(scheme, purpose)
    services, now = tools.services, tools.services.clock.now()
    async with services.db.transaction() as tx:
        if name and purpose != "webhook":
            raise Problem(422, "bad-key", "对账单密钥不改变合作平台的登记,请勿同时给出 --name。")
        if name:
            await partners.register_partner(
                tx, partner_id, name, required_scheme=wanted[0], scenarios=scenarios, now=now
            )
        elif await partners.load_partner(tx, services.vault, partner_id) is None:
            raise Problem(404, "unknown-partner", "没有这个合作平台,请同时给出 --name。")
        await _make_key(tx, tools, partner_id, key_id, out, wanted, now)
    await _publish(tools, purpose)
    typer.echo(f"{partner_id} 的密钥 {key_id}({scheme},{purpose})已登记,请妥善保管 {out}")


async def _rotate(
    tools: Tools,
    partner_id: str,
    key_id: str,
    out: Path,
    scheme: str,
    purpose: str,
    overlap: timedelta,
) -> None:
    from backend import partners
    from backend.kit.problems import Problem

    wanted = _wanted(scheme, purpose)
    services, now = tools.services, tools.services.clock.now()
    async with services.db.transaction() as tx:
        if await partners.load_partner(tx, services.vault, partner_id) is None:
            raise Problem(404, "unknown-partner", "没有这个合作平台。")
        ended = await partners.end_keys(tx, partner_id, now=now, overlap=overlap, purpose=wanted[1])
        await _make_key(tx, tools, partner_id, key_id, out, wanted, now)
    await _publish(tools, purpose)
    typer.echo(f"{partner_id} 的新密钥 {key_id}({scheme},{purpose})已登记,请妥善保管 {out}")
    typer.echo(f"旧密钥 {'、'.join(ended) or '无'} 至 {to_text(now + overlap)} 失效")


async def _end(tools: Tools, partner_id: str, key_id: str, after: timedelta) -> None:
    from backend import partners

    services = tools.services
    async with services.db.transaction() as tx:
        ends = await partners.end_key(
            tx, partner_id, key_id, now=services.clock.now(), overlap=after
        )
    await _publish(tools, "statement")
    typer.echo(f"{partner_id} 的密钥 {key_id} 至 {to_text(ends)} 失效")


async def _list(tools: Tools, partner_id: str | None) -> None:
    from backend import partners

    async with tools.services.db.transaction(readonly=True) as tx:
        found = await partners.key_history(tx, partner_id)
    for key in found:
        until = "" if key.valid_to is None else to_text(key.valid_to)
        window = f"{to_text(key.valid_from)}\t{until}"
        typer.echo(f"{key.partner_id}\t{key.purpose}\t{key.scheme}\t{key.key_id}\t{window}")


def _wanted(scheme: str, purpose: str) -> "tuple[Scheme, Purpose]":
    """Scheme and purpose, if they go together."""
    from backend.kit.problems import Problem

    if scheme not in ("v1", "v1sm", "v1s2") or purpose not in ("webhook", "statement"):
        raise Problem(422, "bad-key", "方案为 v1、v1sm 或 v1s2,用途为 webhook 或 statement。")
    if purpose == "statement" and scheme != "v1s2":
        raise Problem(422, "bad-key", "对账单须用 SM2 签名,方案只能为 v1s2。")
    return scheme, purpose


async def _make_key(
    tx: "Tx",
    tools: Tools,
    partner_id: str,
    key_id: str,
    out: Path,
    wanted: "tuple[Scheme, Purpose]",
    now: datetime,
) -> None:
    """Draw a key, register our side of it, and write the partner's side to `out`."""
    from backend import partners
    from backend.kit.sm import Sm2PrivateKey
    from backend.kit.vault import write_secret_file

    scheme, purpose = wanted
    secret = private_key = None
    if scheme == "v1s2":
        private_key = Sm2PrivateKey.generate()
    else:
        secret = partners.new_webhook_secret()
    await partners.add_key(
        tx,
        tools.services.vault,
        partner_id,
        key_id,
        scheme=scheme,
        valid_from=now,
        secret=secret,
        public_key=None if private_key is None else private_key.public_key.to_bytes(),
        purpose=purpose,
    )
    # Written before the commit: a key that is registered always has its file.
    held = private_key.to_pem() if private_key is not None else f"{secret}\n".encode()
    write_secret_file(out, held)


async def _publish(tools: Tools, purpose: str) -> None:
    """Statement keys are part of what strangers pin: the trust file follows them at once."""
    from backend.flows.publish_trust import publish_trust
    from backend.kit.problems import Problem

    if purpose != "statement":
        return
    services = tools.services
    try:
        await publish_trust(services.db, services.vault, services.settings, services.clock)
    except Problem as problem:
        if problem.name != "not-deployed":  # The first start publishes what stands by then.
            raise
