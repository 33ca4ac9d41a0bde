"""Published totals held against what is possible."""

import json
from fractions import Fraction

import pytest
from typer.testing import CliRunner

from backend import methodology
from backend.cli import build


def verdict(check: str, figure: str, of: str) -> str:
    (found,) = methodology.check_figure(check, methodology.read_figure(figure), of)
    return found.verdict


@pytest.mark.parametrize("limit", methodology.sanity_limits(), ids=lambda x: f"{x.check} {x.of}")
def test_limits_are_inclusive_and_carry_their_source(limit: methodology.Limit) -> None:
    assert limit.low <= limit.high
    assert limit.grade in set("ABCGM")
    assert limit.source
    step = Fraction(1, 1_000_000)

    def at(figure: Fraction) -> str:
        (found,) = methodology.check_figure(limit.check, figure, limit.of)
        return found.verdict

    assert at(limit.low) == at(limit.high) == "plausible"
    assert at(limit.high + step) == "too-high"
    assert at(limit.low - step) == "too-low"


@pytest.mark.parametrize(
    ("check", "figure", "of", "expected"),
    [
        ("kg per litre", "2.3", "petrol", "plausible"),
        ("kg per litre", "2.3", "diesel", "too-low"),
        ("kg per litre", "2300", "petrol", "suspicious-unit"),
        ("kg per gallon", "730,000/47,000", "petrol", "too-high"),
        ("g per km", "0.1718", "car", "suspicious-unit"),
        ("g per action", "700", "any", "too-high"),
        ("g per action", "12,000", "any", "suspicious-unit"),
        ("kWh per household", "8", "day", "plausible"),
        ("kWh per household", "8000", "day", "suspicious-unit"),
        ("share of one user", "500/6915", "any", "too-high"),
        ("mean times count over total", "5.2*1000/5200", "any", "plausible"),
        ("kg per kWh", "0.4403", "gd", "plausible"),
        ("kg per kWh", "0.5306", "cn-average", "plausible"),
        ("kg per kWh", "0.5306", "cn-fossil-only", "too-low"),
    ],
)
def test_a_figure_is_judged(check: str, figure: str, of: str, expected: str) -> None:
    assert verdict(check, figure, of) == expected


@pytest.mark.parametrize("text", ["", "x", "1/0", "-3", "1e5", "1//2", "1/", "1..2", "__import__"])
def test_what_is_no_figure_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"figure|zero"):
        methodology.read_figure(text)


def test_figures_are_exact() -> None:
    assert methodology.read_figure("1,000.1 / 3 * 3") == Fraction("1000.1")
    assert methodology.read_figure("0.1") == Fraction(1, 10)


def run(*words: str) -> tuple[int, str]:
    found = CliRunner().invoke(build("sanity"), ["sanity", *words])
    return found.exit_code, found.output


def test_the_command_says_what_holds_a_figure_and_why() -> None:
    code, text = run("kg per gallon", "730000/47000", "--of", "petrol")
    assert code == 1
    assert "too-high" in text
    assert "(M)" in text
    code, text = run("KG per litre", "2.3")
    assert code == 0  # one of the fuels holds it
    assert len(text.splitlines()) == 2
    code, text = run("g per km", "61.364", "--of", "metro", "--json")
    assert code == 0
    assert json.loads(text)["verdict"] == "plausible"


def test_the_command_lists_the_limits() -> None:
    code, text = run()
    assert code == 0
    assert len(text.splitlines()) == len(methodology.sanity_limits())
    code, text = run("kg per litre")
    assert len(text.splitlines()) == 2


@pytest.mark.parametrize(
    "words", [("kg per mile", "2"), ("kg per litre", "x"), ("kg per litre", "1/0")]
)
def test_the_command_refuses_what_it_does_not_know(words: tuple[str, str]) -> None:
    assert run(*words)[0] == 2
