"""The application's world, read by the views."""

from tests.doors.conftest import city, services

__all__ = ["city", "services"]
