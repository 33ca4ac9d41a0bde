"""The partners' door: signed events in, durable before the answer; signed questions answered."""

from fastapi import APIRouter

from backend import views
from backend.flows.record_events import StatesOf, Terms
from backend.kit.services import Services
from backend.methodology import scenarios
from backend.partner_api.gate import Gate
from backend.partner_api.parking_money import add_parking_money
from backend.partner_api.parking_routes import add_parking
from backend.partner_api.routes import make_router
from backend.partner_api.webhook_routes import add_webhook

__all__ = ["Gate", "router"]


def router(
    services: Services, *, states_of: StatesOf = views.states_of, gate: Gate | None = None
) -> APIRouter:
    """The routes under `/partner/v1`. `states_of` tells the present state of evidence."""
    terms = Terms.of(
        scenarios(),
        city_tz=services.settings.city_tz,
        production=services.settings.profile == "production",
        states_of=states_of,
    )
    chosen = gate or Gate()
    made = make_router(services, terms, chosen)
    add_webhook(made, services, chosen)
    add_parking(made, services, chosen)
    add_parking_money(made, services, chosen)
    return made
