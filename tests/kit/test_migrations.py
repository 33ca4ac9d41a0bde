"""Migrations take effect together or not at all, and give the app's role no more than it needs."""

from uuid import uuid4

import asyncpg
import pytest

from backend.kit.db import Database, Tx
from backend.kit.migrate import migrate
from backend.kit.pg import Server


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


# History: rows that are written once. Corrections are new rows (reversals, later versions).
WRITTEN_ONCE = (
    *("evidence", "rejection", "decision"),
    *("award", "approval"),
    *("transfer", "posting"),
    *("leaf", "log_node", "checkpoint"),
    "delivery_attempt",
    *("statement", "statement_part", "cosignature"),
    *("gate_event", "plate_correction", "money_transfer", "rail_notice", "refund_part"),
    *("settlement_line", "party_statement", "party_cosignature", "payout"),
    *("audit_entry", "audit_day", "document_step", "public_notice"),
    *("objection", "objection_answer", "stop_order", "stop_approval"),
)
# What a person's deletion removes.
ERASABLE = {
    "binding",
    "binding_code",
    "citizen_identity",
    "citizen_notice",
    "citizen_secret",
    "citizen_setting",
    "eligibility_fact",
    "evidence_body",
    "idempotent_answer",
    "leaf_secret",
    "login",
    "push_grant",
    "reading",
    "reward_code",
    "share",
    "vehicle_binding",
}


@pytest.mark.parametrize("table", WRITTEN_ONCE)
async def test_app_cannot_change_history(tx: Tx, table: str):
    column = await tx.fetchval(
        "SELECT attname::text FROM pg_attribute WHERE attrelid = $1::text::regclass AND attnum = 1",
        table,
    )
    for statement in (
        f'UPDATE {table} SET "{column}" = "{column}"',
        f"DELETE FROM {table}",
        f"TRUNCATE {table}",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with tx.savepoint():
                await tx.execute(statement)


async def test_a_table_with_the_grant_would_be_noticed(url_of, db: Database):
    """The control of the test above: with the right in place nothing is refused."""
    owner = await asyncpg.connect(url_of("owner"))
    await owner.execute("GRANT UPDATE ON transfer TO tanhui_app")
    await owner.close()
    async with db.transaction() as tx:
        await tx.execute("UPDATE transfer SET amount = amount")


async def test_eraser_may_delete_what_belongs_to_a_person_and_nothing_else(tx: Tx):
    rows = await tx.fetch(
        """SELECT relname::text AS name FROM pg_class
           WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
             AND NOT relispartition AND has_table_privilege('tanhui_eraser', oid, 'DELETE')"""
    )
    assert {row["name"] for row in rows} == ERASABLE


async def test_app_owns_nothing(tx: Tx):
    assert (
        await tx.fetchval("SELECT count(*) FROM pg_class WHERE relowner = 'tanhui_app'::regrole")
        == 0
    )


async def test_a_migration_that_fails_leaves_nothing_behind(server: Server, template):
    """All files run in one transaction: a first start killed half way begins from nothing."""
    name = f"test_{uuid4().hex}"
    owner = await asyncpg.connect(server.url("owner"))
    try:
        await owner.execute(f"CREATE DATABASE {name}")
        victim = await asyncpg.connect(server.url("owner", name))
        # The table a later file wants to make is there already.
        await victim.execute("CREATE TABLE transfer (a int)")
        with pytest.raises(asyncpg.DuplicateTableError):
            migrate(server.url("owner", name))
        assert await victim.fetchval("SELECT to_regclass('outbox')") is None
        await victim.close()
    finally:
        await owner.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await owner.close()
