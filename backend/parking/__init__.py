"""Parking 共享停车: lots and shared spaces, windows, reservations, gates, stays, prices, shares.

Pure parts are `calendar`, `windows`, `tariff`, `pairing` and `split`; `assets`, `terms`,
`reservations`,
`gates`, `stays` and `search` work on the tables. Money is another room's.
"""

from backend.parking import (
    assets,
    calendar,
    gates,
    pairing,
    plates,
    reservations,
    search,
    split,
    stays,
    tariff,
    terms,
    windows,
)
from backend.parking.assets import Lot, Party, Space
from backend.parking.calendar import Calendar, city_calendar
from backend.parking.plates import Plates
from backend.parking.reservations import Reservation
from backend.parking.stays import Stay

__all__ = [
    "Calendar",
    "Lot",
    "Party",
    "Plates",
    "Reservation",
    "Space",
    "Stay",
    "assets",
    "calendar",
    "city_calendar",
    "gates",
    "pairing",
    "plates",
    "reservations",
    "search",
    "split",
    "stays",
    "tariff",
    "terms",
    "windows",
]
