"""What citizens change: logins and consents. Idempotency-Key is honoured on each of them."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from backend import citizens, views
from backend.citizens import providers
from backend.flows.notice_withdrawal import withdraw_consent
from backend.kit.db import Tx
from backend.kit.openapi import BAD_SHAPE, Refusal, refusals
from backend.kit.problems import Problem
from backend.kit.services import Services
from miniapp_api import shapes
from miniapp_api.once import (
    BAD_KEY,
    KEY_REUSED,
    WRITE_REFUSALS,
    Answer,
    IdempotencyKey,
    Once,
    Who,
)

BEARER = HTTPBearer(auto_error=False, description="The access token of POST /login")
SIGNED_OUT: Refusal = (401, "not-signed-in", "登录已失效,请重新登录。")
CODE_REFUSED: Refusal = (401, "code-refused", "登录码只能使用一次,请换一个后缀重试。")
TOKEN_REFUSED: Refusal = (401, "refresh-refused", "刷新令牌无效或已使用,请重新登录。")
NO_PROVIDER: Refusal = (501, "provider-not-available", "这个登录渠道尚未接入本系统。")
UNKNOWN_PARTNER: Refusal = (404, "unknown-partner", "没有这个合作平台。")
UNKNOWN_SCENARIO: Refusal = (422, "unknown-scenario", "该合作平台不上报这个场景。")
UNKNOWN_CONSENT: Refusal = (404, "unknown-consent", "没有这项授权。")


def add_logins(door: APIRouter, services: Services) -> None:
    """`POST /login`, `/token/refresh`, `/logout`."""
    once = Once(services)

    @door.post(
        "/login",
        summary="Sign in with a provider's one-time code",
        response_model=shapes.Tokens,
        responses=refusals(CODE_REFUSED, NO_PROVIDER, *WRITE_REFUSALS),
    )
    async def login(
        request: Request, asked: shapes.LoginIn, idempotency_key: IdempotencyKey = None
    ) -> Response:
        providers.refuse_unavailable(asked.provider, services.settings.profile)
        name = providers.sandbox_name(asked.code)

        async def write(tx: Tx) -> Answer:
            await providers.spend_code(tx, asked.provider, asked.code, services.clock)
            citizen_id = await citizens.create_or_get(
                tx, services.vault, asked.provider, name, services.clock
            )
            tokens = await citizens.logins.open_login(tx, citizen_id, services.clock)
            return _tokens(tokens)

        # The person is not known before the code is spent; the code itself stands for them.
        return await once(request, f"{asked.provider}:{asked.code}", idempotency_key, write)

    @door.post(
        "/token/refresh",
        summary="Exchange the refresh token for the next pair",
        response_model=shapes.Tokens,
        responses=refusals(TOKEN_REFUSED, *WRITE_REFUSALS),
    )
    async def refresh(
        request: Request, asked: shapes.RefreshIn, idempotency_key: IdempotencyKey = None
    ) -> Response:
        async with services.db.transaction(readonly=True) as tx:
            holder = await citizens.logins.holder_of(tx, asked.refresh_token)
        if holder is None:
            raise Problem(*TOKEN_REFUSED)

        async def write(tx: Tx) -> Answer:
            tokens = await citizens.logins.refresh(tx, asked.refresh_token, services.clock)
            # A used token revokes its family, and that must be committed before we refuse.
            return Answer(401, b"") if tokens is None else _tokens(tokens)

        answer = await once(request, holder, idempotency_key, write)
        if answer.status_code == 401:
            raise Problem(*TOKEN_REFUSED)
        return answer

    @door.post(
        "/logout",
        summary="End this sign-in on all its tokens; again is no error",
        status_code=204,
        response_class=Response,
        responses=refusals(SIGNED_OUT),
    )
    async def logout(
        bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)],
    ) -> Response:
        known = False
        if bearer is not None:
            async with services.db.transaction() as tx:
                known = await citizens.logins.log_out(tx, bearer.credentials, services.clock)
        if not known:
            raise Problem(*SIGNED_OUT, headers={"WWW-Authenticate": "Bearer"})
        return Response(status_code=204)


def add_consents(door: APIRouter, services: Services, who: Who) -> None:
    """`POST /consents` and `DELETE /consents/{id}`."""
    once = Once(services)
    _add_giving(door, services, who, once)
    _add_withdrawing(door, services, who, once)


def _add_giving(door: APIRouter, services: Services, who: Who, once: Once) -> None:
    @door.post(
        "/consents",
        summary="Let a partner report a scenario; answers with a one-time binding code",
        status_code=201,
        response_model=shapes.ConsentGiven,
        responses=refusals(SIGNED_OUT, UNKNOWN_PARTNER, UNKNOWN_SCENARIO, *WRITE_REFUSALS),
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
            consent = await citizens.give_consent(
                tx, citizen_id, asked.partner_id, asked.scenario, services.clock.now()
            )
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


def _tokens(tokens: citizens.logins.Tokens) -> Answer:
    pair = shapes.Tokens(
        access_token=tokens.access_token,
        expires_at=tokens.expires_at,
        refresh_token=tokens.refresh_token,
    )
    return Answer(200, pair.model_dump_json().encode())
