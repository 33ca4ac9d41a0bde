"""The audit log: written once, in the commit of the act, never into a closed day."""

from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest

from backend import officials
from backend.kit.db import Tx
from backend.kit.ids import new_id
from backend.officials.audit import ClosedDay

AT = datetime(2026, 11, 22, 4, 0, tzinfo=UTC)


async def noted(tx: Tx, act: str = "rule.submit", at: datetime = AT) -> None:
    await officials.note(
        tx,
        actor="li",
        act=act,
        about="rule/metro/1",
        detail={"digest": b"\x01\x02", "day": date(2026, 11, 22), "at": AT, "n": 1, "of": (1, "x")},
        at=at,
    )


async def test_an_act_is_kept_with_its_detail_as_plain_text(tx: Tx) -> None:
    await noted(tx)
    [entry] = await officials.audit.entries(tx)
    assert (entry.at, entry.actor, entry.act, entry.about) == (
        AT, "li", "rule.submit", "rule/metro/1"
    )  # fmt: skip
    assert entry.detail == {
        "digest": "0102", "day": "2026-11-22", "at": "2026-11-22T04:00:00Z", "n": 1, "of": [1, "x"]
    }  # fmt: skip
    assert isinstance(entry.entry_id, UUID)
    assert b'"actor":"li"' in entry.canonical()


async def test_entries_are_found_by_who_what_and_when(tx: Tx) -> None:
    await noted(tx)
    await noted(tx, "rule.approve", AT + timedelta(hours=1))
    find = officials.audit.entries
    assert [each.act for each in await find(tx)] == ["rule.approve", "rule.submit"]
    assert [each.act for each in await find(tx, act="rule.a")] == ["rule.approve"]
    assert [each.act for each in await find(tx, since=AT + timedelta(minutes=1))] == [
        "rule.approve"
    ]
    assert await find(tx, actor="wang") == []
    [last] = await find(tx, limit=1)
    assert [each.act for each in await find(tx, before=last.entry_id)] == ["rule.submit"]


async def test_nothing_enters_a_closed_day(tx: Tx) -> None:
    closes_at = datetime(2026, 11, 22, 16, 0, tzinfo=UTC)
    day = ClosedDay(
        date(2026, 11, 22), new_id(), closes_at - timedelta(days=1), closes_at, 0, bytes(32)
    )
    await officials.audit.close_day(tx, day, closes_at)
    await noted(tx)
    [entry] = await officials.audit.entries(tx)
    assert entry.at == closes_at
    assert await officials.audit.entries_between(tx, day.opens_at, day.closes_at) == []


@pytest.mark.parametrize("what", ["UPDATE audit_entry SET actor = 'x'", "DELETE FROM audit_entry"])
async def test_the_app_cannot_change_what_was_noted(tx: Tx, what: str) -> None:
    await noted(tx)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await tx.execute(what)
