"""The sample programmes, enacted as real ones: two officials, own keys, on chain first."""

from collections.abc import Mapping

from backend import incentive, methodology
from backend.chain import ChainClient, Signer, open_keys
from backend.flows.enact_rule import approve, draft
from backend.flows.fund_programme import Envelope, open_programme, set_envelope
from backend.flows.government_lane import Government
from backend.incentive import Programme
from backend.kit.services import Services

ENVELOPE_POINTS = 10_000_000
EXPIRY_MONTHS = 24
NAMES = {
    "green-travel-2026": "地铁出行激励(示例)",
    "green-ride-2026": "公交与骑行激励(示例)",
    "home-energy-2026": "居民节电激励(示例)",
    "green-charge-2026": "电动汽车充电激励(示例)",
    "shared-parking-2026": "共享停车激励(示例,拥堵积分)",
}


async def enact(services: Services, client: ChainClient, signers: Mapping[str, Signer]) -> None:
    """Fund the programmes, have methods and rules approved. Again changes nothing.

    `signers` are the approvers' own keys. These documents found the city: they come from files and
    take force with the second signature, as `tanhui rules` does it.

    Raises Problem, named by the step that did not hold.
    """
    keys_dir = services.settings.keys_dir
    government = Government(services.db, services.clock, client, open_keys(keys_dir).government)
    rules = [incentive.read_rule(text) for text in incentive.shipped_rules().values()]
    for rule in rules:
        await open_programme(
            government,
            Programme(
                programme_id=rule.programme,
                name=NAMES.get(rule.programme, f"{rule.programme}(示例)"),
                points_class=rule.points_class,
                day_from=rule.day_from,
                day_to=None,
                budget_period="total",
                expiry_months=EXPIRY_MONTHS,
            ),
        )
        await set_envelope(government, Envelope(rule.programme, "total", ENVELOPE_POINTS))
    for text in (*methodology.shipped_methods().values(), *incentive.shipped_rules().values()):
        version = await draft(services.db, services.clock, text)
        for official_id, signer in signers.items():
            await approve(
                government, version.what, version.id, version.version, official_id, signer
            )
