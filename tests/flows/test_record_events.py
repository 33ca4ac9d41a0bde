"""Recording under bad luck: poison rows, races, a database that goes away or is full."""

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from backend import evidence, methodology
from backend.evidence import service
from backend.flows import record_events as flow
from backend.flows.record_events import Terms
from backend.kit.db import Database
from backend.kit.problems import Problem
from tests.evidence.builders import Town, a_request, a_town, as_json, the_partner

TERMS = Terms.of(methodology.scenarios(), city_tz="Asia/Shanghai", production=False)
TABLES = ("upload", "evidence", "evidence_body", "rejection", "outbox")


@pytest.fixture
async def town(db, vault, clock) -> Town:
    async with db.transaction() as tx:
        return await a_town(tx, vault, clock)


@pytest.fixture
async def owner(url_of) -> AsyncIterator[Database]:
    """The tables' owner, who can plant faults."""
    database = await Database.open(url_of("owner"), size=1)
    yield database
    await database.close()


class Recorder:
    """Records uploads of one town and counts what is stored."""

    def __init__(self, db: Database, vault, clock) -> None:
        self.db, self.vault, self.clock = db, vault, clock

    async def record(self, events: list[Any], webhook_id: str = "msg-1") -> dict[str, Any]:
        body = as_json(events)
        partner = await the_partner(self.db, self.vault)
        request = a_request(webhook_id=webhook_id)
        return json.loads(
            await flow.record_events(
                self.db, self.vault, self.clock, TERMS, partner, request, sent=body, data=body
            )
        )

    async def counts(self) -> list[int]:
        async with self.db.transaction(readonly=True) as tx:
            return [await tx.fetchval(f"SELECT count(*) FROM {table}") for table in TABLES]


@pytest.fixture
def recorder(db, vault, clock) -> Recorder:
    return Recorder(db, vault, clock)


async def plant(owner: Database, table: str, when: str, sqlstate: str) -> None:
    """Let the database refuse rows of a table with an SQLSTATE of our choice."""
    async with owner.transaction() as tx:
        await tx.execute(
            f"""CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $f$
                BEGIN RAISE EXCEPTION 'planted' USING ERRCODE = '{sqlstate}'; END $f$"""
        )
        await tx.execute(
            f"""CREATE TRIGGER refuse BEFORE INSERT ON {table} FOR EACH ROW
                WHEN ({when}) EXECUTE FUNCTION refuse()"""
        )


async def test_poison_rows_fail_alone(recorder: Recorder, town: Town, owner: Database) -> None:
    await plant(owner, "evidence", "NEW.event_id IN ('t-3', 't-11', 't-12')", "22023")
    events = [town.event(n) for n in range(20)] + [town.event(3)]
    answer = await recorder.record(events)
    assert answer["accepted"] == 17
    assert answer["rejected"] == [
        {"index": n, "event_id": event_id, "problem": "not-recordable"}
        for n, event_id in ((3, "t-3"), (11, "t-11"), (12, "t-12"), (20, "t-3"))
    ]
    assert await recorder.counts() == [1, 17, 17, 4, 1]
    async with recorder.db.transaction() as tx:
        upload_id = await tx.fetchval("SELECT upload_id FROM upload")
        rows = await evidence.load_upload(tx, recorder.vault, upload_id)
    assert len(rows) == 17


async def test_poison_in_a_body_fails_alone(
    recorder: Recorder, town: Town, owner: Database
) -> None:
    await plant(owner, "evidence_body", "octet_length(NEW.body) > 300", "54000")
    long = town.event(2, data={"distance_m": 1, "x": "长" * 99})
    answer = await recorder.record([town.event(1), long])
    assert answer["accepted"] == 1
    assert await recorder.counts() == [1, 1, 1, 1, 1]


async def test_every_row_is_poison(recorder: Recorder, town: Town, owner: Database) -> None:
    await plant(owner, "evidence", "true", "23514")
    answer = await recorder.record([town.event(n) for n in range(5)])
    assert (answer["accepted"], len(answer["rejected"])) == (0, 5)
    assert await recorder.counts() == [1, 0, 0, 5, 0]


async def test_control_without_halving_one_poison_row_sinks_all(
    recorder: Recorder, town: Town, owner: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await plant(owner, "evidence", "NEW.event_id = 't-3'", "22023")

    async def all_or_none(tx, rows, body_rows) -> list[int]:
        await service._copy(tx, rows, body_rows)
        return []

    monkeypatch.setattr(service, "_copy_by_halves", all_or_none)
    with pytest.raises(Problem, match="recording-busy"):
        await recorder.record([town.event(n) for n in range(5)])
    assert await recorder.counts() == [0, 0, 0, 0, 0]


@pytest.mark.parametrize("table", ["evidence", "evidence_body", "upload", "outbox"])
async def test_full_disk_stores_nothing_half(
    recorder: Recorder, town: Town, owner: Database, table: str
) -> None:
    await plant(owner, table, "true", "53100")
    with pytest.raises(asyncpg.DiskFullError):
        await recorder.record([town.event()])
    assert await recorder.counts() == [0, 0, 0, 0, 0]
    async with owner.transaction() as tx:
        await tx.execute(f"DROP TRIGGER refuse ON {table}")
    assert (await recorder.record([town.event()]))["accepted"] == 1


@pytest.mark.parametrize(
    "moment", ["stored_answer", "recorded_identities", "store_events", "store_upload"]
)
async def test_connection_killed_in_the_middle(
    recorder: Recorder, town: Town, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    original = getattr(evidence, moment)

    async def kill_after(tx, *args, **kwargs):
        result = await original(tx, *args, **kwargs)
        # Ending one's own connection is what a stopping server does to it.
        await tx.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        return result

    with monkeypatch.context() as patched:
        patched.setattr(evidence, moment, kill_after)
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
            await recorder.record([town.event()])
    assert await recorder.counts() == [0, 0, 0, 0, 0]
    assert (await recorder.record([town.event()]))["accepted"] == 1


async def test_identity_taken_meanwhile_is_a_duplicate(
    recorder: Recorder, town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another upload records one of the events after we looked and before we write."""
    look, raced = evidence.recorded_identities, []

    async def look_then_lose(tx, partner_id, identities):
        found = await look(tx, partner_id, identities)
        if not raced:
            raced.append(1)
            await recorder.record([town.event(2), town.event(3, data={"distance_m": 9})], "other")
        return found

    monkeypatch.setattr(evidence, "recorded_identities", look_then_lose)
    answer = await recorder.record([town.event(n) for n in range(1, 5)])
    assert (answer["accepted"], answer["duplicates"]) == (2, 1)
    assert [one["problem"] for one in answer["rejected"]] == ["event-id-conflict"]
    assert await recorder.counts() == [2, 4, 4, 1, 2]


async def test_statistics_play_no_part_in_finding_identities(
    recorder: Recorder, town: Town
) -> None:
    """Looking up many events in a table the planner believes to be empty stays cheap."""
    for n in range(0, 3000, 1000):
        await recorder.record([town.event(n + i) for i in range(1000)], f"msg-{n}")
    async with recorder.db.transaction() as tx:
        ids = [("/gate", f"t-{n}") for n in range(2000)]
        async with asyncio.timeout(5):
            assert len(await evidence.recorded_identities(tx, "metro", ids)) == 2000


async def test_scenario_in_a_form_that_is_not_checked_stops_the_start() -> None:
    known = methodology.scenarios()["transit.metro.trip"]
    loose = dataclasses.replace(known, data_schema={"type": "object", "dependentRequired": {}})
    with pytest.raises(evidence.SchemaNotSupported):
        Terms.of({"x.y": loose}, city_tz="Asia/Shanghai", production=False)
