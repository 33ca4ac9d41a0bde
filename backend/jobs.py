"""The worker: takes recorded events to points, the log and the chain, at its own pace.

Any number of workers award. One of them, the holder of an advisory lock, also keeps the
timetable (sealing, anchoring, posting, settling chain transactions); when the connection that
carries the lock breaks, its timetable stops and another worker takes over. APScheduler is the
clock and nothing else: what is to be done stands in the database.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC
from typing import Any

from apscheduler.schedulers.asyncio import (  # pyright: ignore[reportMissingTypeStubs] — none exist
    AsyncIOScheduler,
)

from backend import citizens
from backend.chain import (
    ChainAccess,
    ChainClient,
    NodeAway,
    open_access,
    open_keys,
    recorded_deployments,
    require_fit,
)
from backend.flows.anchor_log import anchor_log
from backend.flows.award_points import award_once
from backend.flows.close_audit_day import close_audit_days
from backend.flows.cosign_statement import close_yesterday
from backend.flows.deliver_notices import Deliverer
from backend.flows.erase_person import erase_due
from backend.flows.expire_points import expire_points
from backend.flows.government_lane import Government
from backend.flows.notice_awards import tell_confirmed
from backend.flows.post_points import PostSettings, post_points
from backend.flows.push_notices import Messenger
from backend.flows.record_events import Terms
from backend.flows.redeem_points import Shop, resolve_due
from backend.flows.repost_batch import repost_refused
from backend.flows.run_simulations import Simulator
from backend.flows.seal_log import seal_once
from backend.flows.settle_government import settle_government
from backend.flows.tend_parking import ParkingWork
from backend.flows.watch_programmes import watch_programmes
from backend.kit.db import DATABASE_AWAY, Database
from backend.kit.logs import log
from backend.kit.services import Services
from backend.methodology import scenarios
from backend.notices import Caller, Policy
from backend.payments import SandboxRail

TIMETABLE_LOCK = 0x7461_6E68_7569
"""Advisory lock of the timetable's keeper ("tanhui" in ASCII)."""

PAUSE_S = 0.25
"""How long an idle loop waits before it looks again."""

AWAY_PAUSE_S = 1.0
"""How long to wait when the database or the node does not answer."""


@dataclass(frozen=True, slots=True)
class Job:
    """One thing done again and again: `run` does a bounded piece and says how much it did."""

    name: str
    run: Callable[[], Awaitable[int]]
    every_s: float


@dataclass(slots=True)
class Worker:
    """Runs `streams` in every process and `timetable` in the one that leads.

    `away` are the exceptions that mean "not reachable now": waited out, never fatal. Any other
    exception of a job is logged with its name and the job runs again at its next time, because a
    fault in one step must not stop the others. `finish` ends what the streams left under way.
    """

    db: Database
    streams: list[Job]
    timetable: list[Job]
    finish: Callable[[], Awaitable[None]] | None = None
    away: tuple[type[BaseException], ...] = DATABASE_AWAY
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Work until `stopping` is set; the piece under way is finished first."""
        async with asyncio.TaskGroup() as group:
            for job in self.streams:
                group.create_task(self._stream(job))
            group.create_task(self._lead())
        if self.finish is not None:
            await self.finish()

    async def _stream(self, job: Job) -> None:
        while not self.stopping.is_set():
            done = await self._once(job)
            if done <= 0:
                await self._sleep(AWAY_PAUSE_S if done < 0 else job.every_s)

    async def _lead(self) -> None:
        while not self.stopping.is_set():
            try:
                async with self.db.leadership(TIMETABLE_LOCK) as leadership:
                    while not self.stopping.is_set():
                        if await leadership.seek():
                            await self._keep_timetable(leadership.still_leads)
                            break
                        await self._sleep(PAUSE_S)
            except self.away as error:
                log("timetable_lost", error=repr(error))
                await self._sleep(AWAY_PAUSE_S)

    async def _keep_timetable(self, still_leads: Callable[[], Awaitable[bool]]) -> None:
        scheduler: Any = AsyncIOScheduler(timezone=UTC)
        for job in self.timetable:
            scheduler.add_job(
                self._once,
                "interval",
                args=[job],
                id=job.name,
                seconds=job.every_s,
                coalesce=True,
                max_instances=1,
                misfire_grace_time=30,
            )
        scheduler.start()
        log("timetable_started", jobs=[job.name for job in self.timetable])
        try:
            while not self.stopping.is_set() and await still_leads():
                await self._sleep(1.0)
        finally:
            scheduler.shutdown(wait=False)
            log("timetable_stopped")

    async def _once(self, job: Job) -> int:
        """Run a job's next piece. Returns what it did, or -1 where it could not."""
        try:
            return await job.run()
        except asyncio.CancelledError:
            raise
        except self.away as error:
            log("job_waited", job=job.name, error=repr(error)[:300])
        except Exception as error:  # noqa: BLE001 — one step's fault must not stop the others
            log("job_failed", job=job.name, error=repr(error)[:1000])
        return -1

    async def _sleep(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.stopping.wait(), timeout=seconds)


def worker_of(services: Services, client: ChainClient, eraser: Database) -> Worker:
    """The worker of an installation, with everything the sentence needs after recording.

    `eraser` is the database under the role that may delete what names a person.
    """
    settings = services.settings
    demo = settings.profile == "demo"  # where nobody waits an hour to see a day divided
    caller = Caller(Policy.of(settings))
    deliverer = Deliverer(services.db, services.vault, services.clock, caller)
    steps = _Steps(services, client, deliverer, Shop.of(services), eraser, _parking(services))
    return Worker(
        db=services.db,
        streams=[
            Job("award", steps.award, PAUSE_S),
            Job("deliver", steps.deliverer.deliver, PAUSE_S),
            Job("redeem", steps.redeem, 1.0),
            Job("push", Messenger.of(services).push_due, 5.0),
            Job("simulate", Simulator(services.db).tend, 2.0),
        ],
        timetable=[
            Job("seal", steps.seal, settings.seal_interval_ms / 1000),
            Job("anchor", steps.anchor, settings.anchor_interval_s),
            Job("post", steps.post, 0.5),
            Job("repost", steps.repost, 30.0),
            Job("government", steps.government, 1.0),
            Job("confirmations", steps.confirmations, 1.0),
            Job("statements", steps.statements, 60.0),
            Job("audit", steps.audit, 60.0),
            Job("expire", steps.expire, 60.0),
            Job("erase", steps.erase, 5.0),
            Job("shares", steps.shares, 3_600.0),
            Job("watch", steps.watch, 600.0),
            Job("rail-notices", steps.parking.notices, 0.5),
            Job("lost-notices", steps.parking.lost, 60.0),
            Job("parking-points", steps.parking.points, 0.5),
            Job("parking-settle", steps.parking.settle, 1.0 if demo else 3_600.0),
            Job("parking-anchor", steps.parking_anchor, 1.0 if demo else 60.0),
        ],
        finish=steps.deliverer.finish,
        away=(*DATABASE_AWAY, NodeAway),
    )


def _parking(services: Services) -> ParkingWork:
    settings = services.settings
    terms = Terms.of(
        scenarios(), city_tz=settings.city_tz, production=settings.profile == "production"
    )
    return ParkingWork(services, terms, SandboxRail())


@dataclass(slots=True)
class _Steps:
    """The flows as jobs: each call does one bounded piece and says how much."""

    services: Services
    client: ChainClient
    deliverer: Deliverer
    shop: Shop
    eraser: Database
    parking: ParkingWork
    access: ChainAccess | None = None

    async def award(self) -> int:
        services = self.services
        limit = services.settings.award_events_max
        counts = await award_once(
            services.db,
            services.vault,
            services.clock,
            city_tz=services.settings.city_tz,
            limit=limit,
        )
        return counts.items

    async def watch(self) -> int:
        services = self.services
        return await watch_programmes(services.db, services.clock, services.settings.city_tz)

    async def seal(self) -> int:
        services = self.services
        sealed = total = await seal_once(
            services.db, services.vault, services.settings, services.clock
        )
        while sealed:  # A backlog is worked off in one go, in bounded commits.
            sealed = await seal_once(services.db, services.vault, services.settings, services.clock)
            total += sealed
        return total

    async def anchor(self) -> int:
        services = self.services
        return await anchor_log(services.db, await self._chain(), services.clock.now())

    async def post(self) -> int:
        services, access = self.services, await self._chain()
        settings = PostSettings(
            interval_s=services.settings.post_interval_s, lanes=services.settings.post_lanes
        )
        return await post_points(services.db, access, services.clock.now(), settings)

    async def repost(self) -> int:
        services, access = self.services, await self._chain()
        return await repost_refused(services.db, access, services.clock.now())

    async def government(self) -> int:
        services, access = self.services, await self._chain()
        return await settle_government(
            Government(services.db, services.clock, self.client, access.keys.government)
        )

    async def confirmations(self) -> int:
        return await tell_confirmed(self.services.db)

    async def statements(self) -> int:
        services = self.services
        return await close_yesterday(services.db, services.clock, services.settings.city_tz)

    async def redeem(self) -> int:
        return await resolve_due(self.shop)

    async def expire(self) -> int:
        services = self.services
        return await expire_points(services.db, services.clock, services.settings.city_tz)

    async def erase(self) -> int:
        return await erase_due(self.services.db, self.eraser, self.services.clock)

    async def shares(self) -> int:
        async with self.services.db.transaction() as tx:
            return await citizens.shares.forget_expired(tx, self.services.clock.now())

    async def audit(self) -> int:
        services = self.services
        return await close_audit_days(services.db, services.clock, services.settings.city_tz)

    async def parking_anchor(self) -> int:
        return await self.parking.anchor(await self._chain())

    async def _chain(self) -> ChainAccess:
        """Opened at the first need: a worker may start before the contracts stand."""
        if self.access is None:
            async with self.services.db.transaction(readonly=True) as tx:
                deployments = await recorded_deployments(tx)
            settings = self.services.settings
            keys = open_keys(settings.keys_dir)
            senders = [keys.anchor.address, keys.post.address]
            await require_fit(self.client, settings.chain_id, senders)
            self.access = await open_access(self.client, keys, deployments)
        return self.access
