"""One running demo installation for all journeys."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.journeys.installation import Demo, free_port


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Demo, dict[str, Any]]]:
    """A running demo and what it told."""
    installation = Demo(tmp_path_factory.mktemp("demo") / "var", free_port())
    try:
        yield installation, installation.start()
    finally:
        installation.stop()
