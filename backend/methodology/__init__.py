"""Methodology: how much CO2e an activity saved, by dated parameters and formulas as documents."""

from backend.methodology.derived import with_derived
from backend.methodology.document import Method, card, read_method
from backend.methodology.grid import grid_methods
from backend.methodology.quantify import Quantified, Refused, quantify
from backend.methodology.registry import (
    MethodCalendar,
    calendar,
    document_of,
    enact,
    in_force,
    publish,
)
from backend.methodology.scenarios import ScenarioSpec, scenarios
from backend.methodology.shipped import shipped_methods

__all__ = [
    "Method",
    "MethodCalendar",
    "Quantified",
    "Refused",
    "ScenarioSpec",
    "calendar",
    "card",
    "document_of",
    "enact",
    "grid_methods",
    "in_force",
    "publish",
    "quantify",
    "read_method",
    "scenarios",
    "shipped_methods",
    "with_derived",
]
