"""Goal: one worker keeps the timetable, a fault in one step stops no other, nothing is fatal.

Method: real PostgreSQL, jobs that count; the lock's connection is broken from outside.
"""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from backend.jobs import TIMETABLE_LOCK, Job, Worker
from backend.kit.db import Database
from backend.kit.logs import log_to

TICK_S = 0.05


class Counting:
    """A job that counts its runs and may raise."""

    def __init__(self, error: Exception | None = None) -> None:
        self.runs = 0
        self.error = error

    async def __call__(self) -> int:
        self.runs += 1
        if self.error is not None:
            raise self.error
        return 0


@pytest.fixture
def log_file(tmp_path: Path):
    with (tmp_path / "log").open("w", encoding="utf-8") as sink:
        log_to(sink)
        yield tmp_path / "log"
        log_to(None)


def events(log_file: Path) -> list[dict]:
    return [json.loads(line) for line in log_file.read_text("utf-8").splitlines()]


@asynccontextmanager
async def running(*workers: Worker) -> AsyncGenerator[None]:
    async with asyncio.TaskGroup() as group:
        for worker in workers:
            group.create_task(worker.run())
        try:
            yield
        finally:
            for worker in workers:
                worker.stopping.set()


async def until(true_of) -> None:
    async with asyncio.timeout(15):
        while not true_of():
            await asyncio.sleep(TICK_S)


async def test_one_worker_keeps_the_timetable_and_both_stream(db: Database, log_file: Path) -> None:
    clocks, streams = [Counting(), Counting()], [Counting(), Counting()]
    workers = [
        Worker(db, [Job("award", stream, TICK_S)], [Job("seal", clock, TICK_S)])
        for clock, stream in zip(clocks, streams, strict=True)
    ]
    async with running(*workers):
        await until(lambda: min(stream.runs for stream in streams) > 3)
        await until(lambda: max(clock.runs for clock in clocks) > 3)
        assert min(clock.runs for clock in clocks) == 0


async def test_another_worker_takes_over_when_the_locks_connection_breaks(
    db: Database, log_file: Path
) -> None:
    clocks = [Counting(), Counting()]
    workers = [Worker(db, [], [Job("seal", clock, TICK_S)]) for clock in clocks]
    async with running(*workers):
        await until(lambda: max(clock.runs for clock in clocks) > 0)
        started = sum(1 for e in events(log_file) if e["event"] == "timetable_started")
        async with db.transaction() as tx:
            await tx.execute(
                """SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'
                   AND granted AND classid::bigint << 32 | objid::bigint = $1""",
                TIMETABLE_LOCK,
            )
        await until(
            lambda: sum(e["event"] == "timetable_started" for e in events(log_file)) > started
        )
        await until(lambda: any(e["event"] == "timetable_stopped" for e in events(log_file)))


async def test_a_failing_step_is_named_and_stops_no_other(db: Database, log_file: Path) -> None:
    broken, waiting, sound = Counting(ValueError("bad row")), Counting(OSError("away")), Counting()
    jobs = [Job("post", broken, TICK_S), Job("anchor", waiting, TICK_S), Job("seal", sound, TICK_S)]
    async with running(Worker(db, [], jobs)):
        await until(lambda: min(broken.runs, waiting.runs, sound.runs) > 2)
    said = {(e["event"], e.get("job")) for e in events(log_file)}
    assert ("job_failed", "post") in said
    assert ("job_waited", "anchor") in said
    assert not any(job == "seal" and event != "timetable_started" for event, job in said)
