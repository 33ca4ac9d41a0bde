"""Account changes: one administrator asks, another confirms; chain and audit log follow."""

from uuid import UUID

from backend import officials
from backend.flows import seat_approver
from backend.flows.government_lane import Government, deployed, settle, terms_now
from backend.kit.services import Services
from backend.officials import Session, requests


async def ask(
    services: Services,
    by: Session,
    act: requests.Act,
    official_id: str,
    reason: str,
    *,
    role: str | None = None,
    name: str | None = None,
) -> tuple[requests.Request, str | None]:
    """Ask for a change; the asker's half of the activation code with it, where there is one.

    Raises Problem as `officials.requests.ask` does.
    """
    async with services.db.transaction() as tx:
        request, half = await requests.ask(
            tx,
            services.clock,
            act=act,
            official_id=official_id,
            asked_by=by.official.official_id,
            reason=reason,
            role=role,
            name=name,
        )
        await officials.note(
            tx,
            actor=by.official.official_id,
            act=f"official.ask.{act}",
            about=official_id,
            detail={"request_id": request.request_id, "role": role, "reason": reason},
            at=services.clock.now(),
        )
    return request, half


async def settle_request(
    services: Services, government: Government, by: Session, request_id: UUID, *, confirm: bool
) -> requests.Settled:
    """Confirm or refuse a request. A confirmed one moves the approvers on chain where it must.

    Raises Problem as `officials.requests.settle` does; of someone who has a signing key also 503
    `chain-away` (before anything is done, or after it: the chain then follows by itself).
    """
    user = by.official.official_id
    async with services.db.transaction(readonly=True) as tx:
        asked = await requests.request_of(tx, request_id)
        about = await officials.find(tx, asked.official_id)
    # Without a signing key there is nothing that the chain would have to follow.
    on_chain = confirm and about is not None and about.address is not None
    terms = await terms_now(government) if on_chain else None
    async with services.db.transaction() as tx:
        settled = await requests.settle(
            tx, services.vault, services.clock, request_id, by=user, confirm=confirm
        )
        await officials.note(
            tx,
            actor=user,
            act=f"official.{'confirm' if confirm else 'refuse'}.{asked.act}",
            about=asked.official_id,
            detail={"request_id": request_id, "role": asked.role, "asked_by": asked.asked_by},
            at=services.clock.now(),
        )
        if terms is not None:
            place = await deployed(tx)
            await seat_approver.align(tx, government, terms, place, asked.official_id)
    if terms is not None:
        await settle(government, seat_approver.purposes())
    return settled
