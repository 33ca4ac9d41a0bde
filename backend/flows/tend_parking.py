"""What a worker does for parking, again and again: each call is a bounded piece."""

from dataclasses import dataclass

from backend.chain import ChainAccess
from backend.flows.anchor_settlement import anchor_settlements
from backend.flows.park_stay import give_up_open, miss_reservations
from backend.flows.pay_stay import ask_for_lost, deliver_sandbox_notices
from backend.flows.record_events import Terms
from backend.flows.register_spaces import register_spaces
from backend.flows.report_stay import report_stays
from backend.flows.settle_parking import settle_waiting
from backend.kit.services import Services
from backend.parking import city_calendar
from backend.payments import sandbox


@dataclass(frozen=True, slots=True)
class ParkingWork:
    """The steps of a stay that nobody waits for at a door. `terms`: how events are recorded."""

    services: Services
    terms: Terms
    rail: sandbox.SandboxRail

    async def notices(self) -> int:
        """What the sandbox rail has to tell, unless there is none in production."""
        services = self.services
        if services.settings.profile == "production":
            return 0
        return await deliver_sandbox_notices(services.db, self.rail, services.clock.now())

    async def lost(self) -> int:
        """Ask for notices that never came; name cars that never came or never left."""
        services = self.services
        found, now = 0, services.clock.now()
        if services.settings.profile != "production":
            found = await ask_for_lost(services.db, self.rail, now)
        calendar = city_calendar(services.settings.city_tz)
        found += await give_up_open(services.db, calendar, now)
        return found + await miss_reservations(services.db, now)

    async def points(self) -> int:
        """Report paid stays to the pipeline."""
        services = self.services
        return await report_stays(services.db, services.vault, services.clock, self.terms)

    async def settle(self) -> int:
        """Divide days that are over."""
        services = self.services
        return await settle_waiting(services.db, services.clock, services.settings.city_tz)

    async def anchor(self, access: ChainAccess) -> int:
        """Send closed settlements and changed space rights to the chain."""
        db, now = self.services.db, self.services.clock.now()
        return await anchor_settlements(db, access, now) + await register_spaces(db, access, now)
