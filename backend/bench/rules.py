"""Decisions of a table of 20 rows, with and without the explanation, on one core.

tanhui bench rules
"""

import itertools
import json
import time
from collections.abc import Callable
from typing import Any

from backend import incentive
from backend.incentive import Reduction, Rule
from backend.kit import canonical

MODES = ("metro", "bus", "bike", "ferry", "tram")
BANDS_M = (0, 2_000, 5_000, 10_000, 1_000_000)
CASES = 1_000


def run(decisions: int = 50_000, rounds: int = 5) -> dict[str, Any]:
    """Best of some rounds, by this process's own CPU time.

    `review_ms` is how long looking the table over before publication takes.
    """
    rule = table()
    cases = [_case(n) for n in range(CASES)]
    began = time.perf_counter()
    found = incentive.review(rule)
    review_s = time.perf_counter() - began
    if found:
        raise RuntimeError(f"the table has findings: {found}")

    def bare() -> None:
        for reduction, inputs in cases:
            incentive.apply_rule(rule, reduction, inputs, {}, {})

    def explained() -> None:
        for reduction, inputs in cases:
            incentive.decide(rule, reduction, inputs, {}, {}, {})

    return {
        "rows": len(rule.rows),
        "decisions_per_s": _best(bare, decisions, rounds),
        "decisions_per_s_explained": _best(explained, decisions, rounds),
        "review_ms": round(review_s * 1e3, 1),
    }


def table() -> Rule:
    """Five modes in four bands of distance, with three caps."""
    document: dict[str, Any] = json.loads(incentive.shipped_rules()["metro-points", 1])
    document["rows"] = [
        {
            "id": f"{mode}-{band}",
            "when": f'scenario == "transit.{mode}.trip" && evidence_level in ["L3", "L4"]'
            f" && distance_m >= {low} && distance_m < {high}",
            "points": f"reduction_mg / mg_per_point + {band}",
        }
        for mode in MODES
        for band, (low, high) in enumerate(itertools.pairwise(BANDS_M))
    ]
    document["caps"] = [
        {"name": f"每{w}", "window": w, "limit": limit}
        for w, limit in (("day", 60), ("month", 900), ("year", 9_000))
    ]
    return incentive.read_rule(canonical.dumps(document))


def _case(n: int) -> tuple[Reduction, dict[str, object]]:
    scenario = f"transit.{MODES[n % len(MODES)]}.trip"
    reduction = Reduction(1_000_000 + n * 1_000, scenario, "L3", "approved")
    return reduction, {"distance_m": n * 977 % 30_000}


def _best(work: Callable[[], None], decisions: int, rounds: int) -> int:
    work()
    times: list[float] = []
    for _ in range(rounds):
        began = time.process_time()
        for _ in range(decisions // CASES):
            work()
        times.append(time.process_time() - began)
    return round(decisions // CASES * CASES / min(times))
