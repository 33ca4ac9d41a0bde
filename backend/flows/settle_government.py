"""The government's open transactions → settled: what a command began, the worker finishes."""

from backend.chain import Driver
from backend.flows import (
    enact_rule,
    fund_programme,
    open_lanes,
    seat_approver,
    stop_rule,
    timelocked,
)
from backend.flows.government_lane import Government


async def settle_government(government: Government) -> int:
    """One round over the lane; how many transactions were settled. Raises NodeAway."""
    purposes = {
        enact_rule.PURPOSE: enact_rule.enact_purpose(government.clock),
        **seat_approver.purposes(),
        **stop_rule.purposes(government),
        **fund_programme.purposes(),
        **open_lanes.purposes(),
        **timelocked.purposes(),
    }
    signer = government.signer
    driver = Driver(government.db, government.client, {signer.address: signer}, purposes)
    return await driver.drive(government.clock.now())
