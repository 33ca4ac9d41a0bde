"""One event of every scenario, as the city's partners would report it."""

import random
import secrets
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

Data = Mapping[str, Any]


def scenes(city_tz: str, now: datetime) -> dict[str, list[tuple[datetime, Data]]]:
    """Events by scenario: when each ended, and its data; those listed first come first.

    The days are drawn at random, because a person cannot be in two vehicles at once and the tour
    may be taken many times.
    """
    zone = ZoneInfo(city_tz)
    draw = random.Random(secrets.token_bytes(16))  # noqa: S311 - picks days, guards nothing

    def some_time() -> datetime:
        back = timedelta(days=draw.randrange(2, 25), minutes=draw.randrange(1_440))
        return (now - back).astimezone(zone).replace(microsecond=0)

    made: dict[str, Callable[[datetime], Data]] = {
        "transit.metro.trip": lambda _: {"distance_m": 9_000},
        "transit.bus.trip": lambda _: {"trips": 1},
        "bike.shared.ride": lambda _: {"distance_m": 2_400, "duration_s": 720},
        "bike.electric.ride": lambda _: {"distance_m": 4_200, "duration_s": 840},
        "ev.charge.session": charge,
        "parking.shared.stay": stay,
    }
    found: dict[str, list[tuple[datetime, Data]]] = {}
    for scenario, data_of in made.items():
        ended = some_time()
        found[scenario] = [(ended, data_of(ended))]
    found["energy.home.month"] = _two_years(zone, now, f"m-{secrets.token_hex(6)}")
    return found


def charge(ended: datetime) -> Data:
    """Four hours at a charger."""
    start = ended - timedelta(hours=4)
    return {"energy_wh": 24_000, "start": start.isoformat(), "end": ended.isoformat()}


def stay(ended: datetime) -> Data:
    """Two reserved hours in a busy car park."""
    start = ended - timedelta(hours=2)
    return {
        "reservation_ref": f"r-{secrets.token_hex(4)}",
        "reserved_at": (start - timedelta(minutes=30)).isoformat(),
        "slot_start": start.isoformat(),
        "arrived_at": (start - timedelta(seconds=96)).isoformat(),
        "start": start.isoformat(),
        "end": ended.isoformat(),
        "base_search_s": 396,
        "occupancy_pct": 90,
        "vehicle_matches": True,
        "electric": False,
        "entry_signed": True,
        "exit_signed": True,
    }


def _two_years(zone: ZoneInfo, now: datetime, meter_ref: str) -> list[tuple[datetime, Data]]:
    """Last month, and the same month a year before, which it is compared with."""
    this_month = now.astimezone(zone).date().replace(day=1)
    last = (this_month - timedelta(days=1)).replace(day=1)
    return [
        _meter_month(zone, last.replace(year=last.year - 1), 260_000, meter_ref),
        _meter_month(zone, last, 214_000, meter_ref),
    ]


def _meter_month(
    zone: ZoneInfo, first: date, energy_wh: int, meter_ref: str
) -> tuple[datetime, Data]:
    after = (first + timedelta(days=31)).replace(day=1)
    ended = datetime(after.year, after.month, 1, tzinfo=zone) - timedelta(seconds=1)
    return ended, {
        "energy_wh": energy_wh,
        "month": first.strftime("%Y-%m"),
        "days": (after - first).days,
        "meter_ref": meter_ref,
        "estimated": False,
    }
