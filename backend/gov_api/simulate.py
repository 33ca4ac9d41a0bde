"""`/rules/{id}/{version}/simulations` and `/simulations`: try a draft on past evidence."""

from datetime import date, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import BaseModel, Field

from backend.flows import run_simulations
from backend.flows.run_simulations import SimulationState
from backend.gov_api.gate import GATED, Gate
from backend.gov_api.office import Office
from backend.gov_api.writing import WRITE, IdempotencyKey, In, Once, example
from backend.kit.clock import city_day
from backend.kit.openapi import BAD_SHAPE, Refusal, refusals
from backend.kit.problems import Problem
from backend.officials import Session

UNKNOWN: Refusal = (404, "unknown-document", "没有这个版本的文件。")
UNKNOWN_RUN: Refusal = (404, "unknown-simulation", "没有这次试算。")
BAD_WINDOW: Refusal = (422, "bad-window", "时间窗不合规定。")

WINDOW_DAYS = 90
FIRST_YEAR = 2000

Name = Annotated[str, Path(pattern=r"^[a-z][a-z0-9.-]{0,31}$")]
Version = Annotated[int, Path(ge=1, le=2**31 - 1)]


class SimulationIn(In):
    """City days from the first to the last, both included."""

    model_config = example({"day_from": "2026-08-01", "day_to": "2026-10-31"})

    day_from: date
    day_to: date


class SimulateIn(In):
    """The version to try, and the city days; without days, the last 90 before today."""

    model_config = example({"version": 2, "day_from": "2026-08-01", "day_to": "2026-10-31"})

    version: Annotated[int, Field(ge=1, le=2**31 - 1)]
    day_from: date | None = None
    day_to: date | None = None


class SimulationOut(BaseModel):
    """How far a simulation is; `outcome` once its state is `done` (docs/rules.md)."""

    simulation_id: UUID
    rule_id: str
    version: int
    day_from: date
    day_to: date
    state: str = Field(description="waiting, running, done, cancelled or failed")
    events_done: int
    events_total: int
    asked_by: str
    asked_at: datetime
    outcome: dict[str, Any] | None
    error: str | None


class SimulationPage(BaseModel):
    """The simulations of a version, latest first."""

    items: list[SimulationOut]
    next_cursor: None = None


def router(office: Office) -> APIRouter:
    """The routes."""
    door = APIRouter()
    _add_asking(door, office)
    _add_runs(door, office)
    return door


def _add_asking(door: APIRouter, office: Office) -> None:
    services = office.services
    once, gate = Once(services), Gate(services)

    @door.post(
        "/rules/{name}/{version}/simulations",
        summary="Ask for a version to be tried on a window of past evidence",
        status_code=202,
        response_model=SimulationOut,
        responses=refusals(*GATED, UNKNOWN, BAD_WINDOW, *WRITE),
    )
    async def ask(  # pyright: ignore[reportUnusedFunction]
        request: Request,
        name: Name,
        version: Version,
        asked: SimulationIn,
        session: Annotated[Session, Depends(gate.require("rules.simulate"))],
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        async def write() -> SimulationOut:
            window = (asked.day_from, asked.day_to)
            return _out(
                await run_simulations.ask_simulation(services, session, name, version, *window)
            )

        user = session.official.official_id
        return await once(request, user, idempotency_key, write, status=202)

    @door.post(
        "/rules/{name}/simulate",
        summary="The same, with the version in the body",
        status_code=202,
        response_model=SimulationOut,
        responses=refusals(*GATED, UNKNOWN, BAD_WINDOW, *WRITE),
    )
    async def simulate(  # pyright: ignore[reportUnusedFunction]
        request: Request,
        name: Name,
        asked: SimulateIn,
        session: Annotated[Session, Depends(gate.require("rules.simulate"))],
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        async def write() -> SimulationOut:
            today = city_day(services.clock.now(), services.settings.city_tz)
            last = asked.day_to or today - timedelta(days=1)
            if last.year < FIRST_YEAR:
                raise Problem(*BAD_WINDOW)
            window = (asked.day_from or last - timedelta(days=WINDOW_DAYS - 1), last)
            return _out(
                await run_simulations.ask_simulation(
                    services, session, name, asked.version, *window
                )
            )

        user = session.official.official_id
        return await once(request, user, idempotency_key, write, status=202)


def _add_runs(door: APIRouter, office: Office) -> None:
    services = office.services
    once, gate = Once(services), Gate(services)

    @door.get(
        "/rules/{name}/{version}/simulations",
        summary="The simulations of a version, latest first",
        responses=refusals(*GATED, BAD_SHAPE),
    )
    async def listed(  # pyright: ignore[reportUnusedFunction]
        name: Name,
        version: Version,
        _session: Annotated[Session, Depends(gate.require("rules.read"))],
    ) -> SimulationPage:
        async with services.db.transaction(readonly=True) as tx:
            found = await run_simulations.simulations_of(tx, name, version)
        return SimulationPage(items=[_out(each) for each in found])

    @door.get(
        "/simulations/{simulation_id}",
        summary="How far a simulation is, and what came out",
        responses=refusals(*GATED, UNKNOWN_RUN, BAD_SHAPE),
    )
    async def shown(  # pyright: ignore[reportUnusedFunction]
        simulation_id: UUID,
        _session: Annotated[Session, Depends(gate.require("rules.read"))],
    ) -> SimulationOut:
        return _out(await run_simulations.simulation_state(services, simulation_id))

    @door.post(
        "/simulations/{simulation_id}/cancel",
        summary="Stop a simulation at the end of the page under way",
        response_model=SimulationOut,
        responses=refusals(*GATED, UNKNOWN_RUN, *WRITE),
    )
    async def cancel(  # pyright: ignore[reportUnusedFunction]
        request: Request,
        simulation_id: UUID,
        session: Annotated[Session, Depends(gate.require("rules.simulate"))],
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        async def write() -> SimulationOut:
            return _out(await run_simulations.cancel_simulation(services, session, simulation_id))

        return await once(request, session.official.official_id, idempotency_key, write)


def _out(found: SimulationState) -> SimulationOut:
    members = {name: getattr(found, name) for name in SimulationOut.model_fields}
    return SimulationOut(**members)
