"""The citizens' door put together: every route, and who is asking."""

from collections.abc import Awaitable, Callable
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends
from fastapi.security import HTTPAuthorizationCredentials

from backend import citizens
from backend.kit.problems import Problem
from backend.kit.services import Services
from miniapp_api.account import add_account
from miniapp_api.appeals import add_appeals
from miniapp_api.consents import add_consents
from miniapp_api.conventions import Limit, Limits, Route
from miniapp_api.notices import add_notices
from miniapp_api.once import BEARER, SIGNED_OUT
from miniapp_api.own_data import add_own_data
from miniapp_api.parking import add_parking
from miniapp_api.ranking import add_ranking
from miniapp_api.reading import add_reading
from miniapp_api.rewards import add_rewards
from miniapp_api.shares import add_shares
from miniapp_api.sign_in import add_sign_in


def router(services: Services) -> APIRouter:
    """The routes under `/miniapp/v1`."""
    settings = services.settings
    limits = Limits(
        person=Limit(settings.calls_per_person_min),
        address=Limit(settings.calls_per_address_min),
        sign_in=Limit(settings.sign_ins_per_address_min),
    )
    door = APIRouter(
        prefix="/miniapp/v1",
        tags=["miniapp"],
        route_class=Route,
        dependencies=[Depends(limits.arrive)],
    )
    who = _who(services, limits)
    add_sign_in(door, services, who)
    add_consents(door, services, who)
    add_reading(door, services, who)
    add_rewards(door, services, who)
    add_shares(door, services, who)
    add_own_data(door, services, who)
    add_appeals(door, services, who)
    add_notices(door, services, who)
    add_account(door, services, who)
    add_ranking(door, services, who)
    add_parking(door, services, who)
    return door


def _who(services: Services, limits: Limits) -> Callable[..., Awaitable[UUID]]:
    async def signed_in(
        bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)],
    ) -> UUID:
        """The citizen whose access token came along. Raises Problem 401, 429."""
        citizen_id = None
        if bearer is not None:
            async with services.db.transaction(readonly=True) as tx:
                citizen_id = await citizens.logins.citizen_of(
                    tx, bearer.credentials, services.clock
                )
        if citizen_id is None:
            raise Problem(*SIGNED_OUT, headers={"WWW-Authenticate": "Bearer"})
        limits.person.take(str(citizen_id))
        return citizen_id

    return signed_in
