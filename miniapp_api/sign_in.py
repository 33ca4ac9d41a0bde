"""Signing in and out: one-time codes, rotating tokens, the list of devices, a phone, an age."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from fastapi.security import HTTPAuthorizationCredentials
from pydantic import BaseModel, ConfigDict, Field

from backend import citizens
from backend.kit.db import Tx
from backend.kit.openapi import BAD_SHAPE, Refusal, refusals
from backend.kit.problems import Problem
from backend.kit.services import Services
from miniapp_api import shapes
from miniapp_api.once import (
    BEARER,
    SIGNED_OUT,
    TOO_LARGE,
    WRITE_REFUSALS,
    Answer,
    IdempotencyKey,
    Once,
    Who,
)

TOKEN_REFUSED: Refusal = (401, "refresh-refused", "刷新令牌无效或已使用,请重新登录。")
NO_PROVIDER: Refusal = (501, "provider-not-available", "这个登录渠道尚未接入本系统。")
UNKNOWN_DEVICE: Refusal = (404, "unknown-device", "没有这个登录设备。")

_PROVIDERS = (
    citizens.providers.CODE_REFUSED,
    citizens.providers.RISKY,
    citizens.providers.PROVIDER_BUSY,
    NO_PROVIDER,
    citizens.providers.PROVIDER_AWAY,
)


class DeviceOut(BaseModel):
    """One sign-in that still works; `current` is the one that asks."""

    device_id: UUID
    device: str | None
    signed_in_at: datetime
    last_seen_at: datetime
    current: bool


class Devices(BaseModel):
    """Where the citizen is signed in, last seen first."""

    items: list[DeviceOut]


class PhoneIn(BaseModel):
    """The provider's one-time code for a phone number; not the number itself."""

    model_config = ConfigDict(
        extra="forbid", strict=True, json_schema_extra={"examples": [{"code": "13800000001-x1"}]}
    )

    code: Annotated[str, Field(min_length=1, max_length=256)]


class AgeIn(BaseModel):
    """What the citizen says of their age."""

    model_config = ConfigDict(
        extra="forbid", strict=True, json_schema_extra={"examples": [{"under_14": False}]}
    )

    under_14: bool


class NamedOut(BaseModel):
    """The bound phone, masked, and the age as declared."""

    phone: str | None
    under_14: bool | None


def add_sign_in(door: APIRouter, services: Services, who: Who) -> None:
    """Every route of signing in and out."""
    providers = citizens.providers_of(services.settings, services.clock)
    once = Once(services)
    _add_login(door, services, providers, once)
    _add_refresh(door, services, once)
    _add_logout(door, services)
    _add_devices(door, services, who)
    _add_naming(door, services, who, providers)


def _add_login(
    door: APIRouter,
    services: Services,
    providers: dict[str, citizens.providers.Provider],
    once: Once,
) -> None:
    @door.post(
        "/login",
        summary="Sign in with a provider's one-time code",
        response_model=shapes.Tokens,
        responses=refusals(*_PROVIDERS, *WRITE_REFUSALS),
    )
    async def login(
        request: Request, asked: shapes.LoginIn, idempotency_key: IdempotencyKey = None
    ) -> Response:
        provider = providers.get(asked.provider)
        if provider is None:
            raise Problem(*NO_PROVIDER, provider=asked.provider)
        # The person is not known before the code is spent; the code itself stands for them.
        person = f"{asked.provider}:{asked.code}"
        known = await once.answered(request, person, idempotency_key)
        if known is not None:
            return known
        # Asked before a transaction is open: a slow provider holds nothing.
        identity = await provider.identify(asked.code)

        async def write(tx: Tx) -> Answer:
            return await _sign_in(tx, services, asked, identity)

        return await once(request, person, idempotency_key, write)


async def _sign_in(
    tx: Tx, services: Services, asked: shapes.LoginIn, identity: citizens.providers.Identity
) -> Answer:
    await citizens.providers.spend_code(tx, asked.provider, asked.code, services.clock)
    citizen_id = await citizens.create_or_get(
        tx, services.vault, asked.provider, identity.ref, services.clock
    )
    if identity.openid is not None:
        await citizens.identities.keep_openid(tx, services.vault, citizen_id, identity.openid)
    tokens = await citizens.logins.open_login(tx, citizen_id, services.clock, device=asked.device)
    return _tokens(tokens)


def _add_refresh(door: APIRouter, services: Services, once: Once) -> None:
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


def _add_logout(door: APIRouter, services: Services) -> None:
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


def _add_devices(door: APIRouter, services: Services, who: Who) -> None:
    @door.get("/devices", summary="Where I am signed in", responses=refusals(SIGNED_OUT))
    async def devices(
        citizen_id: Annotated[UUID, Depends(who)],
        bearer: Annotated[HTTPAuthorizationCredentials, Depends(BEARER)],
    ) -> Devices:
        async with services.db.transaction(readonly=True) as tx:
            known = await citizens.logins.devices_of(tx, citizen_id, services.clock)
            mine = await citizens.logins.family_of(tx, bearer.credentials)
        return Devices(
            items=[
                DeviceOut(
                    device_id=each.family_id,
                    device=each.device,
                    signed_in_at=each.signed_in_at,
                    last_seen_at=each.last_seen_at,
                    current=each.family_id == mine,
                )
                for each in known
            ]
        )

    @door.delete(
        "/devices/{device_id}",
        summary="Sign one device out; again is no error",
        status_code=204,
        response_class=Response,
        responses=refusals(SIGNED_OUT, UNKNOWN_DEVICE, BAD_SHAPE),
    )
    async def sign_out(device_id: UUID, citizen_id: Annotated[UUID, Depends(who)]) -> Response:
        async with services.db.transaction() as tx:
            known = await citizens.logins.sign_out_device(tx, citizen_id, device_id, services.clock)
        if not known:
            raise Problem(*UNKNOWN_DEVICE, device_id=str(device_id))
        return Response(status_code=204)

    @door.delete(
        "/devices",
        summary="Sign out everywhere, here too",
        status_code=204,
        response_class=Response,
        responses=refusals(SIGNED_OUT),
    )
    async def everywhere(citizen_id: Annotated[UUID, Depends(who)]) -> Response:
        async with services.db.transaction() as tx:
            await citizens.logins.sign_out_everywhere(tx, citizen_id, services.clock)
        return Response(status_code=204)


def _add_naming(
    door: APIRouter, services: Services, who: Who, providers: dict[str, citizens.providers.Provider]
) -> None:
    @door.put(
        "/me/phone",
        summary="Bind the phone that a provider's one-time code stands for",
        responses=refusals(
            SIGNED_OUT,
            *_PROVIDERS,
            citizens.providers.NO_PHONE,
            citizens.identities.PHONE_TAKEN,
            TOO_LARGE,
            BAD_SHAPE,
        ),
    )
    async def phone(asked: PhoneIn, citizen_id: Annotated[UUID, Depends(who)]) -> NamedOut:
        async with services.db.transaction(readonly=True) as tx:
            person = await citizens.provider_of(tx, citizen_id)
        provider = providers.get(person or "")
        if provider is None:
            raise Problem(*NO_PROVIDER)
        number = await provider.phone(asked.code)
        async with services.db.transaction() as tx:
            await citizens.providers.spend_code(tx, f"{person}-phone", asked.code, services.clock)
            await citizens.identities.bind_phone(
                tx, services.vault, citizen_id, number, services.clock
            )
            return await _named(tx, services, citizen_id)

    @door.put(
        "/me/age",
        summary="Say whether I am under 14; who is needs a guardian",
        responses=refusals(SIGNED_OUT, TOO_LARGE, BAD_SHAPE),
    )
    async def age(asked: AgeIn, citizen_id: Annotated[UUID, Depends(who)]) -> NamedOut:
        async with services.db.transaction() as tx:
            await citizens.identities.declare_age(
                tx, citizen_id, under_14=asked.under_14, clock=services.clock
            )
            return await _named(tx, services, citizen_id)


async def _named(tx: Tx, services: Services, citizen_id: UUID) -> NamedOut:
    known = await citizens.identities.named(tx, services.vault, citizen_id)
    return NamedOut(phone=known.phone, under_14=known.under_14)


def _tokens(tokens: citizens.logins.Tokens) -> Answer:
    pair = shapes.Tokens(
        access_token=tokens.access_token,
        expires_at=tokens.expires_at,
        refresh_token=tokens.refresh_token,
    )
    return Answer(200, pair.model_dump_json().encode())
