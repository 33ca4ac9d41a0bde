"""A notice → a subscribe message on the phone: once for each permission, not in quiet hours."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from backend import citizens
from backend.kit.clock import Clock
from backend.kit.db import Database
from backend.kit.logs import log
from backend.kit.problems import Problem
from backend.kit.services import Services
from backend.kit.vault import Vault

LEASE = timedelta(seconds=30)
AWAY = timedelta(minutes=10)
PAGE = "pages/notices/index"


class Pusher(Protocol):
    """What a provider's side offers for messages; see `citizens.providers.WeChat.push`."""

    async def push(self, openid: str, template_id: str, page: str, data: dict[str, str]) -> bool:
        """False where the person allows no message any more. Raises Problem when away."""
        ...


class Messenger:
    """Pushes what is due, one notice at a time."""

    def __init__(
        self,
        db: Database,
        vault: Vault,
        clock: Clock,
        city_tz: str,
        pusher: Pusher | None,
        templates: Mapping[str, str],
    ) -> None:
        self._db, self._vault, self._clock = db, vault, clock
        self._zone = ZoneInfo(city_tz)
        self._pusher, self._templates = pusher, templates

    @classmethod
    def of(cls, services: Services) -> "Messenger":
        """The messenger of an installation: WeChat's, where it is set up."""
        settings = services.settings
        wechat = citizens.providers_of(settings, services.clock).get("wechat")
        pusher = wechat if isinstance(wechat, citizens.providers.WeChat) else None
        return cls(
            services.db,
            services.vault,
            services.clock,
            settings.city_tz,
            pusher,
            settings.wechat_templates,
        )

    async def push_due(self) -> int:
        """Push or postpone what is due, up to 50; how many were."""
        done = 0
        while done < 50 and await self._push_one():
            done += 1
        return done

    async def _push_one(self) -> bool:
        now = self._clock.now()
        async with self._db.transaction() as tx:
            push = await citizens.notices.claim_push(tx, now, LEASE)
            if push is None:
                return False
            chosen = await citizens.notices.settings_of(tx, push.citizen_id)
            openid = await citizens.identities.openid_of(tx, self._vault, push.citizen_id)
            local = now.astimezone(self._zone)
            quiet_min = chosen.quiet_for_min(local.hour * 60 + local.minute)
            if chosen.push and quiet_min:
                later = now + timedelta(minutes=quiet_min)
                await citizens.notices.postpone_push(tx, push.notice_id, later)
                return True
        template = self._templates.get(push.topic)
        sent = False
        if chosen.push and openid is not None and template is not None and self._pusher:
            title, text = citizens.notice_words.title_and_text(push.topic, push.facts, "zh")
            try:
                # A template's value takes 20 characters; the whole sentence waits in the app.
                data = {"thing1": title[:20], "thing2": text[:20]}
                sent = await self._pusher.push(openid, template, PAGE, data)
            except Problem as away:
                log("push_postponed", notice_id=push.notice_id, problem=away.name)
                async with self._db.transaction() as tx:
                    await citizens.notices.postpone_push(tx, push.notice_id, now + AWAY)
                return True
        async with self._db.transaction() as tx:
            await citizens.notices.settle_push(tx, push, sent=sent)
        log("notice_pushed", notice_id=push.notice_id, sent=sent)
        return True
