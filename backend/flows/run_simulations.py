"""asked → waiting → running → done: simulations that officials ask for, run beside the service.

A simulation is a row. A worker that finds one waiting starts a process of its own for it, at low
priority, so that neither awards nor answers wait for it. The row carries the progress; whoever sets
it to `cancelled` stops the run at the end of its page. A run whose process died is taken up again.
"""

import asyncio
import json
import os
import sys
from asyncio.subprocess import Process
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from backend import incentive, officials
from backend.flows.simulate_rule import Simulated, Stopped, simulate
from backend.flows.simulation_report import as_document
from backend.kit.clock import Clock
from backend.kit.db import Database, Tx
from backend.kit.ids import new_id
from backend.kit.logs import log
from backend.kit.needs import DocumentError
from backend.kit.problems import Problem
from backend.kit.services import Services
from backend.kit.vault import Vault
from backend.officials import Session

DAYS_MAX = 1_100
"""The longest window: three years and a little."""

SILENT_S = 120
"""A run that has not been heard of for so long is taken to have died."""


@dataclass(frozen=True, slots=True)
class SimulationState:
    """Where a simulation stands; `outcome` is `simulation_report.as_document`, once done."""

    simulation_id: UUID
    rule_id: str
    version: int
    day_from: date
    day_to: date
    state: str
    events_done: int
    events_total: int
    asked_by: str
    asked_at: datetime
    outcome: dict[str, Any] | None
    error: str | None


async def ask_simulation(
    services: Services, by: Session, rule_id: str, version: int, day_from: date, day_to: date
) -> SimulationState:
    """Ask for a stored version to be tried on city days `day_from` to `day_to`, both included.

    Raises Problem: 404 `unknown-document`, 422 `bad-window`.
    """
    if not timedelta() <= day_to - day_from <= timedelta(days=DAYS_MAX):
        raise Problem(422, "bad-window", f"时间窗须由早到晚,至多 {DAYS_MAX} 天。")
    now, user, simulation_id = services.clock.now(), by.official.official_id, new_id()
    async with services.db.transaction() as tx:
        document = await incentive.document_of(tx, rule_id, version)
        if document is None:
            raise Problem(404, "unknown-document", "没有这个版本的文件。", id=rule_id)
        await tx.execute(
            """INSERT INTO simulation (simulation_id, document, day_from, day_to, state, asked_by,
                   asked_at) VALUES ($1, $2, $3, $4, 'waiting', $5, $6)""",
            simulation_id,
            document,
            day_from,
            day_to,
            user,
            now,
        )
        detail = {"version": version, "day_from": day_from, "day_to": day_to}
        await officials.note(
            tx, actor=user, act="rules.simulate", about=rule_id, detail=detail, at=now
        )
        return await _state(tx, simulation_id)


async def simulation_state(services: Services, simulation_id: UUID) -> SimulationState:
    """How far a simulation is, and what came out. Raises Problem 404 `unknown-simulation`."""
    async with services.db.transaction(readonly=True) as tx:
        return await _state(tx, simulation_id)


async def simulations_of(tx: Tx, rule_id: str, version: int) -> list[SimulationState]:
    """The simulations of a stored version, latest first, at most twenty."""
    rows = await tx.fetch(
        """SELECT s.simulation_id FROM simulation AS s JOIN rule AS r USING (document)
           WHERE r.rule_id = $1 AND r.version = $2 ORDER BY s.asked_at DESC LIMIT 20""",
        rule_id,
        version,
    )
    return [await _state(tx, row["simulation_id"]) for row in rows]


async def cancel_simulation(
    services: Services, by: Session, simulation_id: UUID
) -> SimulationState:
    """Stop a simulation that has not ended; one that has stays as it is."""
    now, user = services.clock.now(), by.official.official_id
    async with services.db.transaction() as tx:
        done = await tx.execute(
            """UPDATE simulation SET state = 'cancelled', ended_at = $2
               WHERE simulation_id = $1 AND state IN ('waiting', 'running')""",
            simulation_id,
            now,
        )
        found = await _state(tx, simulation_id)
        if done == "UPDATE 1":
            detail = {"simulation": str(simulation_id), "version": found.version}
            await officials.note(
                tx,
                actor=user,
                act="rules.simulate.cancel",
                about=found.rule_id,
                detail=detail,
                at=now,
            )
        return found


async def simulations_wait(tx: Tx) -> bool:
    """Whether some simulation waits for a process, or lost the one it had."""
    return await tx.fetchval(
        """SELECT EXISTS (
               SELECT FROM simulation WHERE state = 'waiting'
               OR (state = 'running' AND seen_at < now() - make_interval(secs => $1)))""",
        SILENT_S,
    )


@dataclass(slots=True)
class Simulator:
    """Starts a process of its own while simulations wait, one at a time.

    The process reads a pipe that only we hold, so it ends when we do (`backend.cli`).
    """

    db: Database
    child: Process | None = None

    async def tend(self) -> int:
        """Start the process if there is work and none runs; 1 if it was started."""
        if self.child is not None and self.child.returncode is None:
            return 0
        async with self.db.transaction(readonly=True) as tx:
            if not await simulations_wait(tx):
                return 0
        self.child = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "backend.cli", "simulate", "waiting"),
            stdin=asyncio.subprocess.PIPE,
            env={**os.environ, "TANHUI_SUPERVISED": "1"},
        )
        return 1


async def run_waiting(db: Database, vault: Vault, clock: Clock, city_tz: str) -> int:
    """Run every simulation that waits, one after another; how many were ended."""
    ended = 0
    while (taken := await _take(db, clock)) is not None:
        await _run(db, vault, clock, city_tz, *taken)
        ended += 1
    return ended


async def _take(db: Database, clock: Clock) -> tuple[UUID, bytes, date, date] | None:
    async with db.transaction() as tx:
        row = await tx.fetchrow(
            """UPDATE simulation SET state = 'running', begun_at = $1, seen_at = now()
               WHERE simulation_id = (
                   SELECT simulation_id FROM simulation
                   WHERE state = 'waiting'
                      OR (state = 'running' AND seen_at < now() - make_interval(secs => $2))
                   ORDER BY asked_at LIMIT 1 FOR UPDATE SKIP LOCKED)
               RETURNING simulation_id, document, day_from, day_to""",
            clock.now(),
            SILENT_S,
        )
    if row is None:
        return None
    return row["simulation_id"], row["document"], row["day_from"], row["day_to"]


async def _run(
    db: Database,
    vault: Vault,
    clock: Clock,
    city_tz: str,
    simulation_id: UUID,
    document: bytes,
    day_from: date,
    day_to: date,
) -> None:
    async def heard(done: int, total: int) -> bool:
        async with db.transaction() as tx:
            told = await tx.execute(
                """UPDATE simulation SET events_done = $2, events_total = $3, seen_at = now()
                   WHERE simulation_id = $1 AND state = 'running'""",
                simulation_id,
                done,
                total,
            )
        return told == "UPDATE 1"

    found: Simulated | None = None
    error = None
    try:
        rule = incentive.read_rule(document)
        found = await simulate(
            db, vault, rule, day_from=day_from, day_to=day_to, city_tz=city_tz, heard=heard
        )
    except Stopped:
        log("simulation_stopped", simulation_id=simulation_id)
        return
    except DocumentError as refused:
        error = refused.name
    async with db.transaction() as tx:
        await tx.execute(
            """UPDATE simulation SET state = $2, outcome = $3, error = $4, ended_at = $5
               WHERE simulation_id = $1 AND state = 'running'""",
            simulation_id,
            "failed" if found is None else "done",
            None if found is None else json.dumps(as_document(found)),
            error,
            clock.now(),
        )
    log("simulation_ended", simulation_id=simulation_id, error=error)


async def _state(tx: Tx, simulation_id: UUID) -> SimulationState:
    row = await tx.fetchrow(
        """SELECT simulation_id, document, day_from, day_to, state, events_done, events_total,
                  asked_by, asked_at, outcome, error
           FROM simulation WHERE simulation_id = $1""",
        simulation_id,
    )
    if row is None:
        raise Problem(404, "unknown-simulation", "没有这次试算。")
    rule = incentive.read_rule(row["document"])
    members = {name: value for name, value in row.items() if name not in ("document", "outcome")}
    outcome = None if row["outcome"] is None else json.loads(row["outcome"])
    return SimulationState(rule_id=rule.id, version=rule.version, outcome=outcome, **members)
