"""Programmes and budgets as officials keep them: noted, then carried out, the chain first.

An order is noted in a commit of its own before it is carried out, so that one that was refused or
killed half way is in the audit log too.
"""

from collections.abc import Mapping
from datetime import date

from backend import incentive, officials
from backend.flows.fund_programme import Envelope, open_programme, set_envelope
from backend.flows.government_lane import Government
from backend.incentive import Programme, Terms
from backend.kit.needs import DocumentError
from backend.kit.problems import Problem
from backend.kit.services import Services
from backend.officials import Session


async def order_programme(
    services: Services, government: Government, by: Session, programme: Programme
) -> None:
    """Open a programme. Raises Problem as `fund_programme.open_programme` does."""
    detail = {"name": programme.name, "class": programme.points_class}
    await _note(services, by, "programme.open", programme.programme_id, detail)
    await open_programme(government, programme)


async def order_budget(
    services: Services, government: Government, by: Session, envelope: Envelope
) -> None:
    """Set a period's envelope. Raises Problem as `fund_programme.set_envelope` does."""
    detail = {"period": envelope.period, "points": envelope.points}
    await _note(services, by, "budget.set", envelope.programme_id, detail)
    await set_envelope(government, envelope)


async def lay_down_terms(
    services: Services, by: Session, programme_id: str, document: object, day_from: date
) -> Terms:
    """Lay down a programme's next terms, which the law of its place must allow.

    Raises Problem 422 named as `incentive.record_terms` names it, 404 `unknown-programme`.
    """
    user, now = by.official.official_id, services.clock.now()
    try:
        async with services.db.transaction() as tx:
            terms = await incentive.record_terms(tx, programme_id, document, day_from, user, now)
            detail = {"version": terms.version, "day_from": day_from}
            await officials.note(
                tx, actor=user, act="programme.terms", about=programme_id, detail=detail, at=now
            )
    except DocumentError as error:
        status = 404 if error.name == "unknown-programme" else 422
        raise Problem(status, error.name, f"条款不合规定:{error.detail}") from error
    return terms


async def _note(
    services: Services, by: Session, act: str, about: str, detail: Mapping[str, object]
) -> None:
    async with services.db.transaction() as tx:
        await officials.note(
            tx,
            actor=by.official.official_id,
            act=act,
            about=about,
            detail=detail,
            at=services.clock.now(),
        )
