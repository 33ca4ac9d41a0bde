"""`tanhui sanity`: hold a published figure against what is physically possible."""

from fractions import Fraction
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from backend.methodology import Limit


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("sanity")(sanity)


def sanity(
    check: Annotated[
        str | None, typer.Argument(help="What the figure is, such as 'kg per litre'.")
    ] = None,
    figure: Annotated[
        str | None, typer.Argument(help="A number or a ratio of totals, such as 730,000/47,000.")
    ] = None,
    of: Annotated[
        str | None, typer.Option(help="Of what: petrol, metro, gd … (all of them if absent).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Check a published figure against limits with their sources; exit 1 if none holds it.

    Without a figure: list the limits.
    """
    import json

    from backend.methodology import check_figure, read_figure, sanity_limits

    if check is None or figure is None:
        for limit in sanity_limits():
            if check is None or limit.check.casefold() == check.casefold():
                typer.echo(_limit_line(limit, as_json=as_json))
        return
    try:
        findings = check_figure(check, read_figure(figure), of)
    except (LookupError, ValueError) as error:
        raise typer.BadParameter(str(error.args[0])) from error
    for finding in findings:
        limit = finding.limit
        if as_json:
            document = {
                "figure": decimal(finding.figure),
                "verdict": finding.verdict,
                **_limit_document(limit),
            }
            typer.echo(json.dumps(document, ensure_ascii=False))
            continue
        mark = "✓" if finding.verdict == "plausible" else "✗"
        typer.echo(
            f"{mark} {decimal(finding.figure)} {limit.unit} {limit.of}: {finding.verdict}; "
            f"{decimal(limit.low)}–{decimal(limit.high)} ({limit.grade}) {limit.source}"
        )
    if all(finding.verdict != "plausible" for finding in findings):
        raise typer.Exit(1)


def decimal(value: Fraction) -> str:
    """A fraction as a decimal of at most six digits after the point, rounded half up."""
    scaled = (value.numerator * 2_000_000 + value.denominator) // (2 * value.denominator)
    whole, rest = divmod(scaled, 1_000_000)
    return f"{whole}.{rest:06}".rstrip("0").rstrip(".")


def _limit_line(limit: "Limit", *, as_json: bool) -> str:
    import json

    if as_json:
        return json.dumps(_limit_document(limit), ensure_ascii=False)
    return (
        f"{limit.check}\t{limit.of}\t{decimal(limit.low)}–{decimal(limit.high)} {limit.unit}"
        f"\t{limit.grade}\t{limit.source}"
    )


def _limit_document(limit: "Limit") -> dict[str, str]:
    return {
        "check": limit.check,
        "of": limit.of,
        "low": decimal(limit.low),
        "high": decimal(limit.high),
        "unit": limit.unit,
        "grade": limit.grade,
        "source": limit.source,
    }
