"""Quantifying: events a second on one core, for every shipped method."""

import time
from typing import Any

from backend import methodology

EVENTS = 100_000
ROUNDS = 5
HISTORY = {"base_wh": 300_000, "base_days": 31}


def run() -> dict[str, Any]:
    """Events per second of every shipped method on its scenario's example, derivations included.

    `empty_loop` is the same loop without the work: what measuring itself costs.
    """
    figures: dict[str, Any] = {"empty_loop": round(_rate(None, {}))}
    read = [methodology.read_method(d) for d in methodology.shipped_methods().values()]
    for method in sorted(read, key=lambda each: (each.id, each.version)):
        example = methodology.scenarios()[method.scenarios[0]].example
        figures[f"{method.id} v{method.version}"] = round(_rate(method, example))
    figures["events_per_second_least"] = min(v for k, v in figures.items() if k != "empty_loop")
    return figures


def _rate(method: methodology.Method | None, example: dict[str, Any]) -> float:
    """The best of some rounds: interruptions only ever make a round slower."""
    quantify = methodology.quantify
    history = {} if method is None or not method.needs.history else HISTORY
    best = float("inf")
    for _ in range(ROUNDS):
        # Each event has its own data, as it has when it comes from a database.
        events = [dict(example) for _ in range(EVENTS // ROUNDS)]
        began = time.perf_counter()
        if method is None:
            for _event in events:
                pass
        else:
            for event in events:
                quantify(method, event, history)
        best = min(best, time.perf_counter() - began)
    return EVENTS / ROUNDS / best
