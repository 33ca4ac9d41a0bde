"""Shared receipts as ciphertext: who has no link's key learns nothing from them."""

from typing import Annotated

from fastapi import APIRouter, Path, Response

from backend import citizens
from backend.kit.openapi import BAD_SHAPE, Refusal, refusals
from backend.kit.problems import Problem
from backend.kit.services import Services

UNKNOWN_SHARE: Refusal = (404, "unknown-share", "没有这个分享,或链接不完整。")
SHARE_GONE: Refusal = (410, "share-gone", "这个分享已过期,或已被分享者收回。")


def add_shared(public: APIRouter, services: Services) -> None:
    """`GET /shared/{id}`."""

    @public.get(
        "/shared/{share_id}",
        summary="The ciphertext of a shared receipt (formats.md §15)",
        response_class=Response,
        responses={
            200: {
                "description": "nonce, SM4-GCM ciphertext, tag",
                "content": {"application/octet-stream": {"schema": {"type": "string"}}},
            },
            **refusals(UNKNOWN_SHARE, SHARE_GONE, BAD_SHAPE),
        },
    )
    async def shared(  # pyright: ignore[reportUnusedFunction]
        share_id: Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{21}[AQgw]$")],
    ) -> Response:
        async with services.db.transaction(readonly=True) as tx:
            known, ciphertext = await citizens.shares.ciphertext_of(
                tx, share_id, services.clock.now()
            )
        if not known:
            raise Problem(*UNKNOWN_SHARE)
        if ciphertext is None:
            raise Problem(*SHARE_GONE)
        return Response(ciphertext, media_type="application/octet-stream")
