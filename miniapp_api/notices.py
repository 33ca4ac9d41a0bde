"""Notices, quiet hours and permissions to push; and who looked at one's data."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from backend import citizens
from backend.kit.openapi import BAD_SHAPE, refusals
from backend.kit.services import Services
from miniapp_api.once import SIGNED_OUT, TOO_LARGE, Who
from miniapp_api.reading import Cursor, Limit
from miniapp_api.shapes import Spoken

Topic = Annotated[str, Field(pattern=r"^[a-z][a-z.]{0,40}$")]
Minute = Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]


class NoticeOut(BaseModel):
    """One notice; `about` is the redemption, movement or appeal it concerns."""

    notice_id: UUID
    topic: str
    title: str
    text: str
    about: UUID | None
    created_at: datetime
    read_at: datetime | None


class NoticePage(BaseModel):
    """Notices, newest first, and how many are unread in all."""

    items: list[NoticeOut]
    unread: int
    next_cursor: str | None


class ReadIn(BaseModel):
    """Everything up to this notice was read."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"up_to": "01a20468-f985-7c89-82db-b37a48ef72d8"}]},
    )

    up_to: UUID


class ReadOut(BaseModel):
    """How many became read, and how many are still unread."""

    read: int
    unread: int


class SettingsBody(BaseModel):
    """Quiet hours of the city's day (equal: none), pushes, ranking by pseudonym, a month's goal."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "quiet_from": "22:00",
                    "quiet_to": "08:00",
                    "push": True,
                    "ranking": False,
                    "goal_mg": 20_000_000,
                }
            ]
        },
    )

    quiet_from: Minute
    quiet_to: Minute
    push: bool
    ranking: bool
    goal_mg: Annotated[int, Field(ge=1, le=10**12)] | None = None


class PushIn(BaseModel):
    """Topics of which the citizen has just allowed one more message."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"topics": ["redemption.posted"]}]}
    )

    topics: Annotated[list[Topic], Field(min_length=1, max_length=10)]


class PushOut(BaseModel):
    """The topics that can be allowed."""

    topics: list[str]


class AccessOut(BaseModel):
    """One look at one's data: an office, not a name."""

    who: str
    what: str
    why: str
    at: datetime


class AccessPage(BaseModel):
    """Who looked, newest first."""

    items: list[AccessOut]
    next_cursor: str | None


def add_notices(door: APIRouter, services: Services, who: Who) -> None:
    """`/notices`, `/settings`, `/push-grants`, `/accesses`."""
    _add_list(door, services, who)
    _add_settings(door, services, who)
    _add_accesses(door, services, who)


def _add_list(door: APIRouter, services: Services, who: Who) -> None:
    @door.get(
        "/notices", summary="Notices, newest first", responses=refusals(SIGNED_OUT, BAD_SHAPE)
    )
    async def notices(
        citizen_id: Annotated[UUID, Depends(who)],
        language: Spoken,
        cursor: Cursor = None,
        limit: Limit = 50,
    ) -> NoticePage:
        async with services.db.transaction(isolation="repeatable_read", readonly=True) as tx:
            known = await citizens.notices.notices_of(
                tx, citizen_id, before=cursor, limit=limit + 1
            )
            unread = await citizens.notices.count_unread(tx, citizen_id)
        items = [_notice(each, language) for each in known[:limit]]
        after = str(items[-1].notice_id) if len(known) > limit else None
        return NoticePage(items=items, unread=unread, next_cursor=after)

    @door.post(
        "/notices/read",
        summary="Mark notices as read up to one; again is no error",
        responses=refusals(SIGNED_OUT, TOO_LARGE, BAD_SHAPE),
    )
    async def read(asked: ReadIn, citizen_id: Annotated[UUID, Depends(who)]) -> ReadOut:
        async with services.db.transaction() as tx:
            count = await citizens.notices.mark_read(
                tx, citizen_id, asked.up_to, services.clock.now()
            )
            unread = await citizens.notices.count_unread(tx, citizen_id)
        return ReadOut(read=count, unread=unread)


def _add_settings(door: APIRouter, services: Services, who: Who) -> None:
    @door.get("/settings", summary="What I chose", responses=refusals(SIGNED_OUT))
    async def settings(citizen_id: Annotated[UUID, Depends(who)]) -> SettingsBody:
        async with services.db.transaction(readonly=True) as tx:
            return _settings(await citizens.notices.settings_of(tx, citizen_id))

    @door.put(
        "/settings",
        summary="Choose quiet hours, pushes, ranking and a goal",
        responses=refusals(SIGNED_OUT, TOO_LARGE, BAD_SHAPE),
    )
    async def choose(
        asked: SettingsBody, citizen_id: Annotated[UUID, Depends(who)]
    ) -> SettingsBody:
        chosen = citizens.notices.Settings(
            quiet_from_min=_minute(asked.quiet_from),
            quiet_to_min=_minute(asked.quiet_to),
            push=asked.push,
            ranking=asked.ranking,
            goal_mg=asked.goal_mg,
        )
        async with services.db.transaction() as tx:
            await citizens.notices.keep_settings(tx, citizen_id, chosen)
        return asked

    @door.post(
        "/push-grants",
        summary="Allow one more pushed message of each topic, as just tapped",
        responses=refusals(SIGNED_OUT, TOO_LARGE, BAD_SHAPE),
    )
    async def allow(asked: PushIn, citizen_id: Annotated[UUID, Depends(who)]) -> PushOut:
        known = sorted(citizens.notice_words.TOPICS)
        async with services.db.transaction() as tx:
            wanted = [topic for topic in asked.topics if topic in known]
            await citizens.notices.allow_push(tx, citizen_id, wanted)
        return PushOut(topics=known)


def _add_accesses(door: APIRouter, services: Services, who: Who) -> None:
    @door.get(
        "/accesses",
        summary="Who of the platform looked at my data, at what and why",
        responses=refusals(SIGNED_OUT, BAD_SHAPE),
    )
    async def accesses(
        citizen_id: Annotated[UUID, Depends(who)], cursor: Cursor = None, limit: Limit = 50
    ) -> AccessPage:
        async with services.db.transaction(readonly=True) as tx:
            known = await citizens.access.accesses_of(
                tx, citizen_id, before=cursor, limit=limit + 1
            )
        items = [
            AccessOut(who=each.who, what=each.what, why=each.why, at=each.at)
            for each in known[:limit]
        ]
        after = str(known[limit - 1].access_id) if len(known) > limit else None
        return AccessPage(items=items, next_cursor=after)


def _notice(known: citizens.notices.Notice, language: citizens.notice_words.Language) -> NoticeOut:
    title, text = citizens.notice_words.title_and_text(known.topic, known.facts, language)
    return NoticeOut(
        notice_id=known.notice_id,
        topic=known.topic,
        title=title,
        text=text,
        about=known.about,
        created_at=known.created_at,
        read_at=known.read_at,
    )


def _settings(known: citizens.notices.Settings) -> SettingsBody:
    return SettingsBody(
        quiet_from=f"{known.quiet_from_min // 60:02}:{known.quiet_from_min % 60:02}",
        quiet_to=f"{known.quiet_to_min // 60:02}:{known.quiet_to_min % 60:02}",
        push=known.push,
        ranking=known.ranking,
        goal_mg=known.goal_mg,
    )


def _minute(text: str) -> int:
    return int(text[:2]) * 60 + int(text[3:])
