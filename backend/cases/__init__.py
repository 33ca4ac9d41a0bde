"""Cases: appeals, corrections and claw-backs, with deadline, officer, decision and every step."""

from backend.cases import service
from backend.cases.service import AboutKind, Case, Kind, Outcome, Remedy, Step

__all__ = ["AboutKind", "Case", "Kind", "Outcome", "Remedy", "Step", "service"]
