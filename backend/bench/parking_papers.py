"""What the simulated car parks go by: how full they are, when they are open, prices and shares."""

from typing import Any

from backend.parking import split, tariff

OCCUPANCY_PERMILLE = {
    7: 193, 8: 253, 9: 365, 10: 448, 11: 518, 12: 564, 13: 570, 14: 570, 15: 531, 16: 473,
    17: 420, 18: 360, 19: 290,
}  # fmt: skip
"""Mean occupancy by hour of the public counts (07:30 to 16:30), let down evenly after that."""

WINDOWS: dict[str, Any] = {
    "format": "tanhui-window-v1",
    "weekly": [{"days": [1, 2, 3, 4, 5, 6, 7], "from": "00:00", "to": "24:00"}],
    "dated": [],
    "holidays": "as-weekday",
    "quiet": [],
    "classes": ["small"],
    "violations_max": 100,
    "text": "全天",
}


def prices(lot_id: str) -> dict[str, Any]:
    """A lot's tariff: by the quarter of an hour, a day's most, a fee for staying too long."""

    def fen(value: int) -> dict[str, Any]:
        return {"value": value, "unit": "fen", "date": "2026", "reference": "模拟", "grade": "G"}

    return {
        "format": tariff.FORMAT,
        "lot": lot_id,
        "version": 1,
        "day_from": "2026-01-01",
        "day_to": None,
        "name": "模拟",
        "parking_day": "05:00",
        "bands": [{"name": "night", "from": "22:00", "to": "07:00"}],
        "needs": {
            "event": {},
            "history": {},
            "counters": {},
            "params": {"quarter_fen": fen(133), "day_max_fen": fen(3_500), "over_fen": fen(1_000)},
        },
        "day": "(minutes + 14) / 15 * quarter_fen > day_max_fen ? day_max_fen"
        " : (minutes + 14) / 15 * quarter_fen",
        "total": "sum_fen + (overstay_minutes > 0 ? over_fen : 0)",
        "cancel": "0",
        "text": "模拟",
    }


def shares(lot_id: str) -> dict[str, Any]:
    """A lot's contract, with shares that leave remainders."""

    def share(party: str, share_bp: int, via: str) -> dict[str, Any]:
        return {"party": party, "share_bp": share_bp, "via": via}

    return {
        "format": split.FORMAT,
        "lot": lot_id,
        "version": 1,
        "day_from": "2026-01-01",
        "day_to": None,
        "rail": "rail.sandbox",
        "merchant": "sim-operator",
        "without_space": f"{lot_id}-owner",
        "shares": [
            share("space-owner", 6_150, "payout"),
            share("sim-operator", 3_333, "keep"),
            share("sim-platform", 317, "split"),
            share("sim-city", 200, "payout"),
        ],
    }
