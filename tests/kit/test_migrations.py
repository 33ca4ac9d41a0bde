"""Migrations take effect together or not at all, and give the app's role no more than it needs."""

import asyncpg
import pytest

from backend.kit.db import Database, Tx
from backend.kit.migrate import migrate


async def test_tx_sees_the_migrated_tables_and_is_rolled_back(tx: Tx):
    await tx.execute("INSERT INTO outbox (topic, key, payload) VALUES ('t', 'k', '{}')")
    assert await tx.fetchval("SELECT count(*) FROM outbox") == 1
    assert await tx.fetchval("SELECT current_user") == "tanhui_app"


async def test_nothing_of_another_test_is_left(tx: Tx):
    assert await tx.fetchval("SELECT count(*) FROM outbox") == 0


async def test_db_commits(db: Database):
    async with db.transaction() as tx:
        await tx.execute("INSERT INTO outbox (topic, key, payload) VALUES ('t', 'k', '{}')")
    async with db.transaction(readonly=True) as tx:
        assert await tx.fetchval("SELECT count(*) FROM outbox") == 1


async def test_migrating_inside_an_event_loop_twice_changes_nothing(url_of):
    migrate(url_of("owner"))


async def test_app_cannot_make_tables(db: Database):
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with db.transaction() as tx:
            await tx.execute("CREATE TABLE mine (a int)")
