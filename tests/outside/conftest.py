"""The stranger before the running demo."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.outside.stranger import Stranger


@pytest.fixture(scope="session")
def stranger(demo: tuple[Any, dict[str, Any]]) -> Iterator[Stranger]:
    """Somebody who was told where the demo is and how to sign in."""
    told_all = Stranger(demo[1])
    with told_all.http:
        yield told_all
