"""The government's open transactions → settled: what a command began, the worker finishes."""

from backend.chain import Driver
from backend.flows import enact_rule, enrol_official, fund_programme
from backend.flows.government_lane import Government


async def settle_government(government: Government) -> int:
    """One round over the lane; how many transactions were settled. Raises NodeAway."""
    purposes = {
        enact_rule.PURPOSE: enact_rule.enact_purpose(government.clock),
        enrol_official.PURPOSE: enrol_official.approver_purpose(),
        **fund_programme.purposes(),
    }
    signer = government.signer
    driver = Driver(government.db, government.client, {signer.address: signer}, purposes)
    return await driver.drive(government.clock.now())
