"""Hostile expressions never reach an evaluation: refused at publication and again at load."""

import itertools
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from backend import incentive
from backend.incentive.publication import check_publication
from backend.kit.db import Tx
from backend.kit.needs import DocumentError
from tests.incentive.test_incentive import a_programme, a_rule

NOW = datetime(2026, 11, 22, tzinfo=UTC)
HOSTILE = {
    "endless": "[1, 2].map(x, [1, 2].map(y, x * y))",
    "a loop": "while (true) { 1 }",
    "huge list": "1 in [" + ", ".join(["1"] * 200) + "]",
    "huge text": "1" + " + 1" * 200,
    "huge number": "9" * 400,
    "deep": "(" * 200 + "1" + ")" * 200,
    "deep within length": "(" * 40 + "1" + ")" * 40,
    "many nodes": "+".join(["1"] * 70 + ["1"] * 60),
    "doubling strings": '"a" + "a" + "a" + "a"',
    "string times number": '"a" * 1000000000',
    "power": "9 ** 9 ** 9",
    "shift": "1 << 62",
    "a function": "size(scenario)",
    "the clock": "now()",
    "an attribute": "distance_m.__class__",
    "an import": '__import__("os")',
    "a regular expression": 'scenario.matches("(a+)+$")',
}


def cell(expression: str, place: str) -> bytes:
    row = {"id": "odd", "when": "true", "points": "1"}
    return a_rule(rows=[row | {place: expression}])


@pytest.mark.parametrize("place", ["when", "points"])
@pytest.mark.parametrize("kind", HOSTILE)
def test_read_by_nobody(kind: str, place: str) -> None:
    began = time.process_time()
    with pytest.raises(DocumentError) as refused:
        incentive.read_rule(cell(HOSTILE[kind], place))
    assert refused.value.name == "bad-expression"
    assert time.process_time() - began < 0.5


async def test_refused_at_publication_and_at_load(tx: Tx) -> None:
    """At publication, and where somebody wrote it into the table behind the application's back."""
    await incentive.create_programme(tx, a_programme(), NOW)
    bad = cell(HOSTILE["deep"], "when")
    with pytest.raises(DocumentError, match="bad-expression"):
        await incentive.publish(tx, bad, NOW)
    await incentive.publish(tx, a_rule(), NOW)
    await tx.execute(
        """INSERT INTO rule (rule_id, version, programme_id, document, digest, day_from, status,
               enacted_at, published_at)
           SELECT rule_id, 9, programme_id, $1, digest, day_from, 'enacted', now(), now()
           FROM rule""",
        bad,
    )
    with pytest.raises(DocumentError, match="bad-expression"):
        await incentive.calendar(tx)


@pytest.mark.parametrize(
    "changes",
    [
        {"rows": [{"id": f"r{n}", "when": "true", "points": "1"} for n in range(1_000)]},
        {"caps": [{"name": f"c{n}", "window": "day", "limit": 1} for n in range(1_000)]},
    ],
    ids=["rows", "caps"],
)
def test_a_huge_table_is_refused_by_name(changes: Any) -> None:
    began = time.process_time()
    with pytest.raises(DocumentError, match="too-long"):
        check_publication(incentive.read_rule(a_rule(**changes)))
    assert time.process_time() - began < 20


def test_the_worst_table_that_may_stand_is_looked_over_in_bounded_time() -> None:
    """Forty rows over twelve names, each at the limit of what an expression may hold."""
    names = [f"n{n}" for n in range(12)]
    pairs = enumerate(itertools.pairwise(names))
    when = " && ".join(f"{one} * 7 + {other} > {n * 9999}" for n, (one, other) in pairs)
    document = {
        "needs": {"event": dict.fromkeys(names, "int"), "history": {}, "counters": {}}
        | {"params": {}},
        "rows": [{"id": f"r{n}", "when": when, "points": str(n)} for n in range(40)],
    }
    rule = incentive.read_rule(a_rule(**document))
    began = time.process_time()
    incentive.review(rule)
    assert time.process_time() - began < 5


def test_a_shipped_rule_passes() -> None:
    """Negative control: what is refused above is refused for what it is."""
    check_publication(incentive.read_rule(a_rule()))
