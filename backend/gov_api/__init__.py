"""Officials' door `/gov/v1`: rules and their life, budgets, partners, records; by role."""

from collections.abc import Callable

from fastapi import APIRouter

from backend.chain import ChainClient
from backend.gov_api import (
    accounts,
    cases,
    decisions,
    discipline,
    evidence,
    figures,
    parking,
    partners,
    people,
    programmes,
    records,
    rewards,
    rules,
    simulate,
    stops,
)
from backend.gov_api.gate import GATED, Gate
from backend.gov_api.office import Office
from backend.kit.services import Services

__all__ = ["GATED", "Gate", "Office", "router"]

TOPICS: tuple[Callable[[Office], APIRouter], ...] = (
    accounts.router,
    people.router,
    rules.router,
    decisions.router,
    simulate.router,
    stops.router,
    programmes.router,
    partners.router,
    evidence.router,
    figures.router,
    records.router,
    cases.router,
    rewards.router,
    discipline.router,
    parking.router,
)
"""One file of routes for each topic; a new one is added to this list."""


def router(services: Services, client: ChainClient) -> APIRouter:
    """The routes under `/gov/v1`."""
    door, office = APIRouter(prefix="/gov/v1", tags=["gov"]), Office(services, client)
    for topic in TOPICS:
        door.include_router(topic(office))
    return door
