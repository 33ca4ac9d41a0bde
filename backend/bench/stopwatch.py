"""Timing a flow stage by stage, and keeping the terminal out of what is measured."""

import contextlib
import inspect
import os
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Generator, Iterable
from typing import Any, cast

from backend.kit import logs
from backend.kit.collector import settle_collector

Stage = tuple[Any, str, str]
"""Room, the name of its function that the flow calls, and what the stage is called."""


@contextlib.contextmanager
def stopwatches(timed: Iterable[Stage], stages: defaultdict[str, float]) -> Generator[None]:
    """Time the rooms' functions where the flow calls them; waiting for the database included."""
    originals = [(room, name, getattr(room, name)) for room, name, _ in timed]
    for room, name, stage in timed:
        setattr(room, name, _timed(getattr(room, name), stages, stage))
    try:
        yield
    finally:
        for room, name, original in originals:
            setattr(room, name, original)


def _timed(
    function: Callable[..., Any], stages: defaultdict[str, float], stage: str
) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(function):

        async def wait(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            try:
                return await cast("Awaitable[Any]", function(*args, **kwargs))
            finally:
                stages[stage] += time.perf_counter() - start

        return wait

    def call(*args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            stages[stage] += time.perf_counter() - start

    return call


@contextlib.contextmanager
def quiet() -> Generator[None]:
    """Log nowhere, and settle the collector as a serving process does at its start."""
    settle_collector()
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123
        logs.log_to(nowhere)
        try:
            yield
        finally:
            logs.log_to(None)
