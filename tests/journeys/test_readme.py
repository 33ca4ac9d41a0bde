"""Goal: the README's promises hold for a newcomer who copies its blocks, in both languages.

Method: run the blocks in order on a fresh state folder; `make test` cannot run itself, so for that
block only the verb's existence is checked.
"""

import pytest

from tests.journeys.installation import Demo, readme_blocks

pytestmark = pytest.mark.journey

MEMORY_MIB_MAX = 900


def test_both_languages_give_the_same_commands() -> None:
    assert readme_blocks("README.md") == readme_blocks("README.zh-CN.md") != []


def test_the_tour_holds_within_its_memory(demo: tuple[Demo, dict]) -> None:
    _, told = demo
    assert told["ok"], told["steps"]
    assert all(step["ok"] for step in told["steps"])
    assert 0 < told["memory_mib"] <= MEMORY_MIB_MAX


def test_the_blocks_do_what_the_readme_says(demo: tuple[Demo, dict]) -> None:
    installation, _ = demo
    run, test, *checks = readme_blocks("README.md")
    assert (run, test) == ("make demo", "make test")
    assert installation.run(f"{test} --dry-run").returncode == 0
    for command in (line for block in checks for line in block.splitlines()):
        done = installation.run(command)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("paper", ["receipt-tampered.json", "receipt-forged.json"])
def test_bad_papers_of_the_tour_are_caught_by_the_command(
    demo: tuple[Demo, dict], paper: str
) -> None:
    installation, _ = demo
    check = readme_blocks("README.md")[2].splitlines()[0]
    done = installation.run(check.replace("demo/receipt.json", f"demo/{paper}"))
    assert done.returncode == 1, done.stdout
    assert "✗" in done.stdout
