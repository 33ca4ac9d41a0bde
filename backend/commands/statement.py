"""`tanhui statement`: a partner checks the platform's statement of a day, and co-signs it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from backend.kit.sm import Sm2PrivateKey
    from backend.partner_client import Credentials, Own, PartnerDoor, StatementCheck

SHOWN_MAX = 5
"""Differences shown by name; the rest are counted."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("statement")(statement)


def statement(
    day: Annotated[str, typer.Argument(help="A day that is over in the city, YYYY-MM-DD.")],
    partner: Annotated[str, typer.Option(help="The partner in whose name to ask.")],
    to: Annotated[str, typer.Option(help="Platform address, such as https://host:8700.")],
    credentials: Annotated[
        Path, typer.Option(help="Partner credentials (JSON), or the --json file of `tanhui demo`.")
    ] = Path("credentials.json"),
    events: Annotated[
        list[Path] | None,
        typer.Option(help="Events as sent (NDJSON or a JSON array); repeatable.", exists=True),
    ] = None,
    mapping: Annotated[
        Path | None,
        typer.Option(help="The --events are files as given to `send`, by this.", exists=True),
    ] = None,
    shift_days: Annotated[int, typer.Option(help="As given to `send`, with --mapping.")] = 0,
    shift_months: Annotated[int, typer.Option(help="As given to `send`, with --mapping.")] = 0,
    digests: Annotated[
        list[Path] | None,
        typer.Option(help="Your own list of event digests in hex, one a line.", exists=True),
    ] = None,
    exact: Annotated[
        bool, typer.Option("--exact", help="What is given is this day's, so nothing may be absent.")
    ] = False,
    cosign: Annotated[
        bool, typer.Option("--cosign", help="Sign the statement if it holds.")
    ] = False,
    key: Annotated[
        Path | None, typer.Option(help="Your statement key (PEM), for --cosign.", exists=True)
    ] = None,
) -> None:
    """Hold a day's statement against the events you sent yourself; sign it only if it holds.

    Exit 0 when it holds (and is signed), 1 when it does not, 2 when something is missing.
    """
    import httpx

    from backend import partner_client as client
    from backend.kit.sm import BadKey, Sm2PrivateKey

    if not events and not digests:
        _fail("给出 --events 或 --digests:没有自己的记录就无从核对。", 2)
    if cosign and key is None:
        _fail("--cosign 需要 --key。", 2)
    try:
        keys = client.read_credentials(credentials, partner)
        own = _own(keys, events or [], mapping, (shift_days, shift_months), digests or [])
        signing_key = Sm2PrivateKey.from_pem(key.read_bytes()) if cosign and key else None
    except (ValueError, OSError, BadKey, client.MappingError) as error:
        _fail(str(error), 2)
    with httpx.Client(timeout=60) as http:
        door = client.PartnerDoor(to, keys, http)
        try:
            check = client.check_statement(door, partner, day, own)
            _tell(check, len(own))
            if not check.holds or (exact and check.absent):
                _fail("对账单与自己的记录不符,没有签名。", 1)
            if signing_key is not None:
                _sign(door, check, signing_key)
        except client.UploadRefused as refusal:
            _fail(str(refusal), 1)
        except httpx.TransportError as error:
            _fail(f"{to} 无法连接 ({error})", 1)


def _own(
    keys: "Credentials",
    events: list[Path],
    mapping: Path | None,
    shift: tuple[int, int],
    digests: list[Path],
) -> "Own":
    """Every digest of our own, from all files together."""
    from backend import partner_client as client

    own: Own = {}
    for path in digests:
        own |= client.read_digests(path)
    if mapping is None:
        for path in events:
            own |= client.own_digests(keys.partner_id, client.read_events(path))
        return own
    shape = client.read_mapping(mapping)
    subjects = [s.token for s in keys.subjects if s.scenario == shape.scenario]
    for path in events:
        made = client.prepare(path, shape, mapping.parent, subjects, client.Shift(*shift))
        own |= client.own_digests(keys.partner_id, made.events)
    return own


def _tell(check: "StatementCheck", own_count: int) -> None:
    typer.echo(f"{check.partner_id} {check.day}:平台列出 {check.count} 条,本地记录 {own_count} 条")
    typer.echo(f"根哈希 {check.root.hex()}")
    for fault in check.faults:
        typer.echo(f"✗ {fault}")
    _tell_some("✗ 平台计入而我方从未发送 counted, but never sent", check.unknown)
    _tell_some("· 我方发送而当日未计入 sent, but not counted that day", check.absent)
    if check.holds:
        typer.echo("✓ 每一条都是我方发送的,根哈希由我方算得一致")


def _tell_some(what: str, names: tuple[str, ...]) -> None:
    if not names:
        return
    more = " …" if len(names) > SHOWN_MAX else ""
    typer.echo(f"{what}:{len(names)}({'、'.join(names[:SHOWN_MAX])}{more})")


def _sign(door: "PartnerDoor", check: "StatementCheck", key: "Sm2PrivateKey") -> None:
    from backend import partner_client as client

    stands = client.cosign_statement(door, check, key)
    typer.echo(f"✓ 已签名:密钥 {stands['key_id']},{stands['cosigned_at']}")


def _fail(said: str, code: int) -> NoReturn:
    typer.echo(f"✗ {said}", err=True)
    raise typer.Exit(code)
