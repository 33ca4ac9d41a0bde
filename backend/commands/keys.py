"""`tanhui keys new official|partner`: a key file for its owner, its public side registered."""

from pathlib import Path
from typing import Annotated

import typer

from backend.commands.rules import Tools, ask_password, government_of, run


def register(app: typer.Typer) -> None:
    """Add the commands."""
    keys = typer.Typer(help="Keys of people and partners.", no_args_is_help=True)
    new = typer.Typer(help="Make a key file (mode 600).", no_args_is_help=True)
    keys.add_typer(new, name="new")
    app.add_typer(keys, name="keys")

    @new.command("official")
    def official(  # pyright: ignore[reportUnusedFunction]
        official_id: Annotated[str, typer.Argument(metavar="ID")],
        name: Annotated[str, typer.Option(help="The official's name.")],
        out: Annotated[Path, typer.Option(help="Where to write the key file.")],
        role: Annotated[str, typer.Option(help="approver, auditor or operator.")] = "approver",
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
        out: Annotated[Path, typer.Option(help="Where to write the partner's own secret.")],
        scheme: Annotated[str, typer.Option(help="v1, v1sm or v1s2.")] = "v1s2",
        purpose: Annotated[str, typer.Option(help="webhook or statement.")] = "webhook",
        name: Annotated[str, typer.Option(help="Enter or change the partner with this name.")] = "",
        scenario: Annotated[
            list[str] | None, typer.Option(help="A scenario it may report; repeatable.")
        ] = None,
    ) -> None:
        """Make a partner's key; the file is for the partner, we keep the public side or a seal."""
        if out.exists():
            raise typer.BadParameter(f"{out} 已存在,请换一个路径。")
        out.parent.mkdir(parents=True, exist_ok=True)
        run(
            lambda tools: _partner(
                tools, partner_id, key_id, out, scheme, purpose, name, scenario or []
            )
        )


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
    from backend.kit.sm import Sm2PrivateKey
    from backend.kit.vault import write_secret_file

    if scheme not in ("v1", "v1sm", "v1s2") or purpose not in ("webhook", "statement"):
        raise Problem(422, "bad-key", "方案为 v1、v1sm 或 v1s2,用途为 webhook 或 statement。")
    services, now = tools.services, tools.services.clock.now()
    secret = private_key = None
    if scheme == "v1s2":
        private_key = Sm2PrivateKey.generate()
    else:
        secret = partners.new_webhook_secret()
    async with services.db.transaction() as tx:
        if name:
            await partners.register_partner(
                tx, partner_id, name, required_scheme=scheme, scenarios=scenarios, now=now
            )
        elif await partners.load_partner(tx, services.vault, partner_id) is None:
            raise Problem(404, "unknown-partner", "没有这个合作平台,请同时给出 --name。")
        await partners.add_key(
            tx,
            services.vault,
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
    typer.echo(f"{partner_id} 的密钥 {key_id}({scheme},{purpose})已登记,请妥善保管 {out}")
