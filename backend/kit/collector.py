"""The cycle collector, held back while a bounded batch is worked on."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


class _Paused:
    depth = 0


@contextmanager
def collector_paused() -> Iterator[None]:
    """No collection of reference cycles inside; for work that is bounded and makes no cycles.

    A batch of 10,000 events lives as about a million small objects at once. The collector, which
    goes by their number, would walk through all of them several times and find nothing: measured
    0.3 to 1.0 s of 0.9 to 1.8 s CPU. Everything is freed by reference counts when the batch ends.
    """
    if _Paused.depth == 0:
        was_enabled = gc.isenabled()
        gc.disable()
    else:
        was_enabled = False
    _Paused.depth += 1
    try:
        yield
    finally:
        _Paused.depth -= 1
        if was_enabled:
            gc.enable()
