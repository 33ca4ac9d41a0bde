"""A day's acts become one leaf of the public log, and nothing about them changes unseen."""

from datetime import UTC, date, datetime, timedelta

import asyncpg
import pytest

from backend import officials, proof
from backend.flows.close_audit_day import audit_log_day, close_audit_days, head_of
from backend.flows.seal_log import seal_once
from backend.kit.clock import FixedClock
from backend.kit.db import Database
from backend.kit.settings import Settings
from backend.kit.sm import sm3
from backend.proof import leaves

DAY = date(2026, 11, 22)
TZ = "Asia/Shanghai"


async def noted(db: Database, clock: FixedClock, *acts: str) -> None:
    async with db.transaction() as tx:
        for act in acts:
            await officials.note(tx, actor="li", act=act, about="x", detail={}, at=clock.now())


async def audited(db: Database, settings: Settings, day: date = DAY):
    async with db.transaction(readonly=True) as tx:
        return await audit_log_day(tx, settings, day)


async def test_a_day_is_closed_when_it_is_over_and_sealed(db, vault, settings, clock) -> None:
    assert await close_audit_days(db, clock, TZ) == 0
    await noted(db, clock, "rule.draft", "rule.submit")
    assert await close_audit_days(db, clock, TZ) == 0
    clock.advance(days=3)
    await noted(db, clock, "rule.approve")
    assert await close_audit_days(db, clock, TZ) == 3
    assert await close_audit_days(db, clock, TZ) == 0
    assert await seal_once(db, vault, settings, clock) == 3
    found = await audited(db, settings)
    assert (found.count, found.differences) == (2, ())
    assert found.closed is not None
    assert found.closed.head == found.head
    assert found.index is not None
    empty = await audited(db, settings, DAY + timedelta(days=1))
    assert (empty.count, empty.head, empty.differences) == (0, sm3(b""), ())
    today = await audited(db, settings, DAY + timedelta(days=3))
    assert (today.count, today.closed, today.index) == (1, None, None)


async def test_the_head_is_a_tree_over_the_entries_in_order(db, clock) -> None:
    await noted(db, clock, "a", "b", "c")
    async with db.transaction(readonly=True) as tx:
        entries = await officials.audit.entries_between(
            tx, datetime(2026, 11, 22, tzinfo=UTC), datetime(2026, 11, 23, tzinfo=UTC)
        )
    one, two, three = (sm3(b"\x00" + each.canonical()) for each in entries)
    node = sm3(b"\x01" + sm3(b"\x01" + one + two) + three)
    assert head_of(entries) == node
    assert head_of(entries[::-1]) != node


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE audit_entry SET actor = 'wang' WHERE act = 'a'",
        "UPDATE audit_entry SET detail = '{\"x\": 1}' WHERE act = 'a'",
        "DELETE FROM audit_entry WHERE act = 'a'",
        "INSERT INTO audit_entry SELECT head_id, opens_at, '', '', '', '{}' FROM audit_day",
        "UPDATE audit_day SET entry_count = 7",
        "UPDATE audit_day SET head = decode(repeat('00', 32), 'hex')",
    ],
)
async def test_whoever_owns_the_database_is_found_out(
    db, vault, settings, clock, url_of, change: str
) -> None:
    await noted(db, clock, "a", "b")
    clock.advance(days=1)
    await close_audit_days(db, clock, TZ)
    await seal_once(db, vault, settings, clock)
    owner = await asyncpg.connect(url_of("owner"))
    await owner.execute(change)
    await owner.close()
    assert (await audited(db, settings)).differences


async def test_rewriting_rows_and_head_alike_is_found_by_the_leaf(
    db, vault, settings, clock, url_of
) -> None:
    await noted(db, clock, "a", "b")
    clock.advance(days=1)
    await close_audit_days(db, clock, TZ)
    await seal_once(db, vault, settings, clock)
    owner = await asyncpg.connect(url_of("owner"))
    await owner.execute("UPDATE audit_entry SET actor = 'wang' WHERE act = 'a'")
    forged = (await audited(db, settings)).head
    await owner.execute("UPDATE audit_day SET head = $1", forged)
    await owner.close()
    [difference] = (await audited(db, settings)).differences
    assert "leaf" in difference


async def test_the_leaf_is_of_kind_three(db, vault, settings, clock) -> None:
    await noted(db, clock, "a")
    clock.advance(days=1)
    await close_audit_days(db, clock, TZ)
    await seal_once(db, vault, settings, clock)
    async with db.transaction(readonly=True) as tx:
        leaf = await proof.leaf_at(tx, 0)
    assert leaf is not None
    assert leaf.kind == leaves.AUDIT_HEAD
