"""Consents: one for each partner and scenario, each to a text that is kept with it."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel

from backend import citizens, views
from backend.flows.notice_withdrawal import withdraw_consent
from backend.kit.db import Tx
from backend.kit.openapi import BAD_SHAPE, Refusal, refusals
from backend.kit.problems import Problem
from backend.kit.services import Services
from miniapp_api import shapes
from miniapp_api.once import (
    BAD_KEY,
    KEY_REUSED,
    SIGNED_OUT,
    WRITE_REFUSALS,
    Answer,
    IdempotencyKey,
    Once,
    Who,
)

UNKNOWN_PARTNER: Refusal = (404, "unknown-partner", "没有这个合作平台。")
UNKNOWN_SCENARIO: Refusal = (422, "unknown-scenario", "该合作平台不上报这个场景。")
UNKNOWN_CONSENT: Refusal = (404, "unknown-consent", "没有这项授权。")
TEXT_OUTDATED: Refusal = (409, "consent-text-outdated", "授权书已更新,请重新阅读后再同意。")


class ConsentText(BaseModel):
    """What one agrees to; `sensitive` data has a paragraph of its own and a consent of its own."""

    partner_id: str
    scenario: str
    text_version: str
    sensitive: bool
    text: str


class ConsentReceipt(ConsentText):
    """A consent as it was given: the text, its SM3 as kept, and since when; until when."""

    consent_id: UUID
    text_sm3: str
    given_at: datetime
    withdrawn_at: datetime | None


def add_consents(door: APIRouter, services: Services, who: Who) -> None:
    """`POST /consents`, `DELETE /consents/{id}`, their text and their receipt."""
    once = Once(services)
    _add_text(door, services, who)
    _add_giving(door, services, who, once)
    _add_withdrawing(door, services, who, once)


def _add_giving(door: APIRouter, services: Services, who: Who, once: Once) -> None:
    @door.post(
        "/consents",
        summary="Let a partner report a scenario; answers with a one-time binding code",
        status_code=201,
        response_model=shapes.ConsentGiven,
        responses=refusals(
            SIGNED_OUT,
            UNKNOWN_PARTNER,
            UNKNOWN_SCENARIO,
            TEXT_OUTDATED,
            citizens.identities.GUARDIAN_NEEDED,
            *WRITE_REFUSALS,
        ),
    )
    async def give(
        request: Request,
        asked: shapes.ConsentIn,
        citizen_id: Annotated[UUID, Depends(who)],
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        async def write(tx: Tx) -> Answer:
            partner = (await views.partner_cards(tx)).get(asked.partner_id)
            if partner is None:
                raise Problem(*UNKNOWN_PARTNER, partner_id=asked.partner_id)
            if asked.scenario not in partner.scenarios:
                raise Problem(*UNKNOWN_SCENARIO, scenario=asked.scenario)
            if asked.text_version not in (None, citizens.consent_text.VERSION):
                raise Problem(*TEXT_OUTDATED, text_version=citizens.consent_text.VERSION)
            await citizens.identities.refuse_children(tx, citizen_id)
            consent = await citizens.give_consent(
                tx, citizen_id, asked.partner_id, asked.scenario, services.clock.now()
            )
            await citizens.consent_text.keep_receipt(tx, consent, partner.name)
            code = await citizens.new_binding_code(
                tx, citizen_id, consent.consent_id, asked.partner_id, services.clock
            )
            given = shapes.ConsentGiven(
                consent_id=consent.consent_id,
                partner_id=consent.partner_id,
                scenario=consent.scenario,
                given_at=consent.given_at,
                binding_code=code.code,
                binding_code_expires_at=code.expires_at,
            )
            return Answer(201, given.model_dump_json().encode())

        return await once(request, citizen_id, idempotency_key, write)


def _add_withdrawing(door: APIRouter, services: Services, who: Who, once: Once) -> None:
    @door.delete(
        "/consents/{consent_id}",
        summary="Withdraw a consent; what was awarded before stays",
        response_model=shapes.ConsentOut,
        responses=refusals(SIGNED_OUT, UNKNOWN_CONSENT, BAD_SHAPE, KEY_REUSED, BAD_KEY),
    )
    async def withdraw(
        request: Request,
        consent_id: UUID,
        citizen_id: Annotated[UUID, Depends(who)],
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        async def write(tx: Tx) -> Answer:
            consent = await withdraw_consent(tx, citizen_id, consent_id, services.clock.now())
            if consent is None:
                raise Problem(*UNKNOWN_CONSENT, consent_id=str(consent_id))
            partner = (await views.partner_cards(tx)).get(consent.partner_id)
            gone = shapes.ConsentOut(
                consent_id=consent.consent_id,
                partner_id=consent.partner_id,
                partner_name=None if partner is None else partner.name,
                scenario=consent.scenario,
                given_at=consent.given_at,
                withdrawn_at=consent.withdrawn_at,
            )
            return Answer(200, gone.model_dump_json().encode())

        return await once(request, citizen_id, idempotency_key, write)


def _add_text(door: APIRouter, services: Services, who: Who) -> None:
    @door.get(
        "/consents/text",
        summary="What a consent to this partner and scenario says",
        responses=refusals(SIGNED_OUT, UNKNOWN_PARTNER, UNKNOWN_SCENARIO, BAD_SHAPE),
    )
    async def text(
        citizen_id: Annotated[UUID, Depends(who)],
        partner_id: Annotated[shapes.Id, Query()],
        scenario: Annotated[shapes.Scenario, Query()],
    ) -> ConsentText:
        del citizen_id
        async with services.db.transaction(readonly=True) as tx:
            partner = (await views.partner_cards(tx)).get(partner_id)
        if partner is None:
            raise Problem(*UNKNOWN_PARTNER, partner_id=partner_id)
        if scenario not in partner.scenarios:
            raise Problem(*UNKNOWN_SCENARIO, scenario=scenario)
        return ConsentText(
            partner_id=partner_id,
            scenario=scenario,
            text_version=citizens.consent_text.VERSION,
            sensitive=citizens.consent_text.is_sensitive(scenario),
            text=citizens.consent_text.text_of(partner.name, scenario),
        )

    @door.get(
        "/consents/{consent_id}/receipt",
        summary="What was agreed to, word for word, and when",
        responses=refusals(SIGNED_OUT, UNKNOWN_CONSENT, BAD_SHAPE),
    )
    async def receipt(
        consent_id: UUID, citizen_id: Annotated[UUID, Depends(who)]
    ) -> ConsentReceipt:
        async with services.db.transaction(readonly=True) as tx:
            kept = await citizens.consent_text.receipt_of(tx, citizen_id, consent_id)
            partners = await views.partner_cards(tx)
        if kept is None:
            raise Problem(*UNKNOWN_CONSENT, consent_id=str(consent_id))
        name = partners[kept.partner_id].name if kept.partner_id in partners else kept.partner_id
        return ConsentReceipt(
            consent_id=consent_id,
            partner_id=kept.partner_id,
            scenario=kept.scenario,
            text_version=kept.text_version,
            sensitive=kept.sensitive,
            text=citizens.consent_text.text_of(name, kept.scenario),
            text_sm3=kept.text_digest.hex(),
            given_at=kept.given_at,
            withdrawn_at=kept.withdrawn_at,
        )
