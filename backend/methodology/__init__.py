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
from backend.methodology.sanity import Finding, Limit, check_figure, read_figure, sanity_limits
from backend.methodology.scenarios import ScenarioSpec, scenarios
from backend.methodology.shipped import shipped_methods
from backend.methodology.standing import MethodStanding, check_notice, give_notice, standings

__all__ = [
    "Finding",
    "Limit",
    "Method",
    "MethodCalendar",
    "MethodStanding",
    "Quantified",
    "Refused",
    "ScenarioSpec",
    "calendar",
    "card",
    "check_figure",
    "check_notice",
    "document_of",
    "enact",
    "give_notice",
    "grid_methods",
    "in_force",
    "publish",
    "quantify",
    "read_figure",
    "read_method",
    "sanity_limits",
    "scenarios",
    "shipped_methods",
    "standings",
    "with_derived",
]
