"""Who reports: every partner with the scenarios it may report."""

from fastapi import APIRouter
from pydantic import BaseModel

from backend import views
from backend.kit.services import Services


class PartnerListed(BaseModel):
    """One partner; a citizen consents to each of its scenarios apart."""

    partner_id: str
    name: str
    scenarios: list[str]


class PartnerPage(BaseModel):
    """Every partner, in the order of ids."""

    items: list[PartnerListed]
    next_cursor: None = None


def add_partners(public: APIRouter, services: Services) -> None:
    """`/partners`."""

    @public.get("/partners", summary="Partners and what each of them may report")
    async def partners() -> PartnerPage:  # pyright: ignore[reportUnusedFunction]
        async with services.db.transaction(readonly=True) as tx:
            cards = await views.partner_cards(tx)
        return PartnerPage(
            items=[
                PartnerListed(partner_id=name, name=card.name, scenarios=sorted(card.scenarios))
                for name, card in sorted(cards.items())
            ]
        )
