"""Sharing a receipt: a link whose key never reaches us again, until it expires or is revoked."""

from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from backend import citizens, views
from backend.flows.issue_receipt import issue_receipt
from backend.kit.openapi import BAD_SHAPE, Refusal, refusals
from backend.kit.problems import Problem
from backend.kit.services import Services
from miniapp_api.once import SIGNED_OUT, TOO_LARGE, Who
from miniapp_api.reading import ERASED, NO_RECEIPT, NOT_CONFIRMED, UNKNOWN_ACTIVITY, Limit

UNKNOWN_SHARE: Refusal = (404, "unknown-share", "没有这个分享。")
ShareId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{21}[AQgw]$")]


class ShareIn(BaseModel):
    """For how many days the link works."""

    model_config = ConfigDict(
        extra="forbid", strict=True, json_schema_extra={"examples": [{"days": 30}]}
    )

    days: Annotated[int, Field(ge=1, le=365)] = 30


class ShareOut(BaseModel):
    """One share. The link was shown when it was made: we do not know its key."""

    share_id: str
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None


class ShareMade(ShareOut):
    """A new share; whoever has the link can read the share form of the receipt, nobody else."""

    link: str


class SharePage(BaseModel):
    """Shares, newest first."""

    items: list[ShareOut]
    next_cursor: str | None


def add_shares(door: APIRouter, services: Services, who: Who) -> None:
    """`POST /activities/{id}/share`, `GET /shares`, `DELETE /shares/{id}`."""
    _add_sharing(door, services, who)
    _add_shared(door, services, who)


def _add_sharing(door: APIRouter, services: Services, who: Who) -> None:
    @door.post(
        "/activities/{activity_id}/share",
        summary="A link to the share form of a receipt; its key stays after `#`",
        status_code=201,
        responses=refusals(
            SIGNED_OUT, UNKNOWN_ACTIVITY, NO_RECEIPT, NOT_CONFIRMED, ERASED, TOO_LARGE, BAD_SHAPE
        ),
    )
    async def share(
        request: Request,
        activity_id: UUID,
        asked: ShareIn,
        citizen_id: Annotated[UUID, Depends(who)],
        programme: Annotated[str | None, Query(pattern="^[a-z][a-z0-9.-]{0,31}$")] = None,
    ) -> ShareMade:
        """Every call makes a link of its own: an answer is never kept, because it holds the key."""
        now = services.clock.now()
        async with services.db.transaction() as tx:
            if await views.activity_of(tx, citizen_id, activity_id) is None:
                raise Problem(*UNKNOWN_ACTIVITY, activity_id=str(activity_id))
            transfer = await views.transfer_of_activity(tx, activity_id, programme)
            if transfer is None:
                raise Problem(*NO_RECEIPT, activity_id=str(activity_id))
            receipt = await issue_receipt(tx, services.settings, transfer, "share")
            made = citizens.shares.seal_receipt(receipt)
            expires_at = now + timedelta(days=asked.days)
            await citizens.shares.keep_share(
                tx,
                made,
                citizen_id=citizen_id,
                transfer_id=transfer,
                at=now,
                expires_at=expires_at,
            )
        return ShareMade(
            share_id=made.share_id,
            created_at=now,
            expires_at=expires_at,
            revoked_at=None,
            link=f"{str(request.base_url).rstrip('/')}/verify#{made.share_id}.{made.key}",
        )


def _add_shared(door: APIRouter, services: Services, who: Who) -> None:
    @door.get("/shares", summary="Links I have shared", responses=refusals(SIGNED_OUT, BAD_SHAPE))
    async def shares(
        citizen_id: Annotated[UUID, Depends(who)],
        cursor: Annotated[
            ShareId | None, Query(description="`next_cursor` of the page before")
        ] = None,
        limit: Limit = 50,
    ) -> SharePage:
        async with services.db.transaction(readonly=True) as tx:
            known = await citizens.shares.shares_of(tx, citizen_id, before=cursor, limit=limit + 1)
        after = known[limit - 1].share_id if len(known) > limit else None
        return SharePage(items=[_share(each) for each in known[:limit]], next_cursor=after)

    @door.delete(
        "/shares/{share_id}",
        summary="Revoke a link; what it led to is forgotten here",
        responses=refusals(SIGNED_OUT, UNKNOWN_SHARE, BAD_SHAPE),
    )
    async def revoke(share_id: ShareId, citizen_id: Annotated[UUID, Depends(who)]) -> ShareOut:
        async with services.db.transaction() as tx:
            gone = await citizens.shares.revoke_share(
                tx, citizen_id, share_id, services.clock.now()
            )
        if gone is None:
            raise Problem(*UNKNOWN_SHARE, share_id=share_id)
        return _share(gone)


def _share(known: citizens.shares.Shared) -> ShareOut:
    return ShareOut(
        share_id=known.share_id,
        created_at=known.created_at,
        expires_at=known.expires_at,
        revoked_at=known.revoked_at,
    )
