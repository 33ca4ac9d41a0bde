"""What the tests of the embedded server share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.kit.pg import destroy


@pytest.fixture(autouse=True)
def _no_given_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.delenv("PG_BIN", raising=False)


@pytest.fixture
def var(tmp_path: Path) -> Iterator[Path]:
    """A state folder; whatever server it got is gone afterwards."""
    folder = tmp_path / "clone" / "var"
    folder.mkdir(parents=True)
    yield folder
    if folder.exists():
        destroy(folder)
