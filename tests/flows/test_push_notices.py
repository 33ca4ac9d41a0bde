"""Pushes: one for each permission, not in quiet hours, later when the provider is away."""

from datetime import UTC, datetime, timedelta

import pytest

from backend import citizens
from backend.citizens.notices import Settings
from backend.flows.push_notices import Messenger
from backend.kit.clock import FixedClock
from backend.kit.db import Database
from backend.kit.problems import Problem
from backend.kit.vault import Vault
from tests.flows.award_world import World, rows

TOPIC = "redemption.posted"


class Phones:
    """A provider's side that remembers what it was given."""

    def __init__(self) -> None:
        self.got: list[tuple[str, str, str]] = []
        self.away = self.full = False

    async def push(self, openid: str, template_id: str, page: str, data: dict[str, str]) -> bool:
        if self.away:
            raise Problem(*citizens.providers.PROVIDER_AWAY)
        if self.full:
            return False
        self.got.append((openid, template_id, data["thing1"]))
        return True


@pytest.fixture
async def world(db: Database, vault: Vault, clock: FixedClock) -> World:
    world = World(db, vault, clock)
    async with db.transaction() as tx:
        await world.add_people(tx, 1)
        await citizens.identities.keep_openid(tx, vault, world.people[0], "o-1")
    return world


@pytest.fixture
def phones() -> Phones:
    return Phones()


@pytest.fixture
def messenger(world: World, phones: Phones) -> Messenger:
    zone = "Asia/Shanghai"
    return Messenger(world.db, world.vault, world.clock, zone, phones, {TOPIC: "tpl"})


async def told(world: World, *, allow: int = 0) -> None:
    async with world.db.transaction() as tx:
        for _ in range(allow):
            await citizens.notices.allow_push(tx, world.people[0], [TOPIC])
        facts = {"reward": "地铁票", "points": 5}
        now = world.clock.now()
        await citizens.notices.tell(tx, world.people[0], TOPIC, None, facts, now)


async def states(world: World) -> list[str | None]:
    found = await rows(world.db, "SELECT push_state FROM citizen_notice ORDER BY notice_id")
    return [row["push_state"] for row in found]


async def test_one_push_for_each_permission(
    world: World, messenger: Messenger, phones: Phones
) -> None:
    await told(world)
    await told(world, allow=1)
    assert await messenger.push_due() == 1
    await told(world)
    assert await messenger.push_due() == 0
    assert phones.got == [("o-1", "tpl", "兑换成功")]
    assert await states(world) == [None, "sent", None]


async def test_quiet_hours_are_waited_out(
    world: World, messenger: Messenger, phones: Phones
) -> None:
    world.clock.instant = datetime(2026, 11, 22, 15, 30, tzinfo=UTC)  # 23:30 in the city
    await told(world, allow=1)
    assert await messenger.push_due() == 1
    assert phones.got == []
    world.clock.advance(hours=8, minutes=29)
    assert await messenger.push_due() == 0
    world.clock.advance(minutes=1)
    assert await messenger.push_due() == 1
    assert len(phones.got) == 1


async def test_an_absent_provider_is_asked_later(
    world: World, messenger: Messenger, phones: Phones
) -> None:
    await told(world, allow=1)
    phones.away = True
    assert await messenger.push_due() == 1
    assert await states(world) == ["waiting"]
    phones.away = False
    assert await messenger.push_due() == 0
    world.clock.advance(minutes=10)
    await messenger.push_due()
    assert await states(world) == ["sent"]


async def test_who_wants_none_gets_none(world: World, messenger: Messenger, phones: Phones) -> None:
    async with world.db.transaction() as tx:
        await citizens.notices.keep_settings(tx, world.people[0], Settings(push=False))
    await told(world, allow=1)
    await messenger.push_due()
    phones.full = True
    async with world.db.transaction() as tx:
        await citizens.notices.keep_settings(tx, world.people[0], Settings())
    await told(world)
    await messenger.push_due()
    assert (phones.got, await states(world)) == ([], ["failed", "failed"])


@pytest.mark.parametrize(
    ("minute", "left"),
    [(22 * 60, 600), (23 * 60 + 59, 481), (0, 480), (7 * 60 + 59, 1), (8 * 60, 0), (12 * 60, 0)],
)
def test_quiet_hours_go_over_midnight(minute: int, left: int) -> None:
    assert Settings().quiet_for_min(minute) == left
    assert Settings(quiet_from_min=5, quiet_to_min=5).quiet_for_min(minute) == 0


def test_a_lease_is_longer_than_any_push() -> None:
    from backend.flows.push_notices import LEASE

    assert timedelta(seconds=4 * citizens.providers.TIMEOUT_S) < LEASE
