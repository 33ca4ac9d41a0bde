"""Goal: ids, outbox, problems, logs and the one transaction do what their sentences say."""

import asyncio
import io
import json
from datetime import UTC, datetime

import asyncpg
import pytest

from backend.kit import outbox
from backend.kit.db import Database, Tx
from backend.kit.ids import new_id, new_ids, token
from backend.kit.logs import log, log_to
from backend.kit.problems import Problem, problem_response
from tests.conftest import UrlOf


def test_ids_of_one_call_ascend_and_never_repeat() -> None:
    made = [one for _ in range(50) for one in new_ids(200)]
    assert len(set(made)) == len(made)
    run = new_ids(1_000)
    assert run == sorted(run)
    assert {one.version for one in run} == {7}
    assert {one.variant for one in run} == {"specified in RFC 4122"}


def test_an_id_carries_its_millisecond() -> None:
    from_s = datetime.now(UTC).timestamp()
    milliseconds = new_id().int >> 80
    assert 0 <= milliseconds / 1_000 - from_s + 0.001 < 5


def test_tokens_are_long_and_safe_in_a_path() -> None:
    assert len({token() for _ in range(100)}) == 100
    assert all(len(token(128)) == 22 and token(128).isascii() for _ in range(10))


def test_a_problem_is_a_document_for_people_and_programs() -> None:
    problem = Problem(
        409, "event-id-conflict", "同一标识的内容不同。", headers={"Retry-After": "1"}, event_id="t"
    )
    answer = problem_response(problem)
    assert (answer.status_code, answer.media_type) == (409, "application/problem+json")
    assert answer.headers["retry-after"] == "1"
    document = json.loads(bytes(answer.body))
    assert document["type"].endswith("/event-id-conflict")
    assert document["title"] == "Event id conflict"
    assert (document["detail"], document["status"]) == ("同一标识的内容不同。", 409)
    assert document["event_id"] == "t"


def test_a_log_line_is_one_json_object() -> None:
    sink = io.StringIO()
    log_to(sink)
    try:
        log("events_recorded", upload_id=new_id(), accepted=3)
    finally:
        log_to(None)
    (line,) = sink.getvalue().splitlines()
    assert json.loads(line)["event"] == "events_recorded"


async def test_work_is_seen_once_and_given_back_by_a_lost_worker(db: Database) -> None:
    async with db.transaction() as tx:
        for number in range(3):
            await outbox.put(tx, "award", str(number), {"n": number})
    async with db.transaction() as one, db.transaction() as two:
        first = await outbox.take(one, "award", 2)
        second = await outbox.take(two, "award", 2)
        assert [item.key for item in first] == ["0", "1"]
        assert [item.key for item in second] == ["2"]
        await outbox.done(two, [item.id for item in second])
    async with db.transaction() as tx:  # The first worker ended without a word.
        assert [item.key for item in await outbox.take(tx, "award", 9)] == ["0", "1"]
        assert await outbox.take(tx, "other", 9) == []


async def test_failed_work_waits_and_remembers_why(tx: Tx) -> None:
    await outbox.put(tx, "award", "a", {})
    (item,) = await outbox.take(tx, "award", 1)
    await outbox.fail(tx, item.id, "the node is away", retry_in_s=60)
    assert await outbox.take(tx, "award", 1) == []
    assert await outbox.backlog(tx, "award") == 1
    row = await tx.fetchrow("SELECT attempts, last_error FROM outbox")
    assert row is not None
    assert dict(row) == {"attempts": 1, "last_error": "the node is away"}


async def test_a_transaction_commits_whole_or_not_at_all(db: Database) -> None:
    with pytest.raises(RuntimeError, match="half way"):  # noqa: PT012 - the block is the point
        async with db.transaction() as tx:
            await outbox.put(tx, "award", "a", {})
            raise RuntimeError("half way")
    async with db.transaction() as tx:
        assert await outbox.backlog(tx, "award") == 0
        await outbox.put(tx, "award", "kept", {})
        with pytest.raises(asyncpg.DivisionByZeroError):  # noqa: PT012 - as above
            async with tx.savepoint():
                await outbox.put(tx, "award", "undone", {})
                await tx.fetchval("SELECT 1/0")
        assert await outbox.backlog(tx, "award") == 1


async def test_leadership_ends_with_its_connection(db: Database, url_of: UrlOf) -> None:
    async with db.leadership(7) as first, db.leadership(7) as second:
        assert await first.seek()
        assert not await second.seek()
        async with db.transaction() as tx:
            # The owner could end it too; the role may end its own sessions.
            await tx.execute(
                """SELECT pg_terminate_backend(pid) FROM pg_locks
                   WHERE locktype = 'advisory' AND objid = 7 AND granted AND database =
                       (SELECT oid FROM pg_database WHERE datname = current_database())"""
            )
        async with asyncio.timeout(10):
            while await first.still_leads():
                await asyncio.sleep(0.01)
        assert await second.seek()
