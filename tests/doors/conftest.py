"""The application of one test."""

from collections.abc import AsyncIterator

import pytest

from backend.kit.services import Services
from backend.officials import access
from tests.doors.door_world import City, open_city


@pytest.fixture
def services(db, vault, clock, settings) -> Services:
    return Services(db=db, clock=clock, settings=settings, vault=vault)


@pytest.fixture
def cheap_hashing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Officials' passwords are hashed in a millisecond; tests/officials holds the real cost."""
    monkeypatch.setattr(access, "_SCRYPT_LOG_N", 4)


@pytest.fixture
async def city(services: Services) -> AsyncIterator[City]:
    async with open_city(services) as city:
        yield city
