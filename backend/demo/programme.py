"""The sample programme, enacted as a real one: two officials, own key files, on chain first."""

from pathlib import Path

from backend import incentive, methodology
from backend.chain import ChainClient, Signer, new_keystore, open_keys, open_keystore
from backend.demo.city import City, SampleOfficial
from backend.flows.enact_rule import approve, draft
from backend.flows.enrol_official import enrol_official
from backend.flows.fund_programme import Envelope, open_programme, set_envelope
from backend.flows.government_lane import Government
from backend.incentive import Programme
from backend.kit.services import Services
from backend.officials import KeyFile, read_key_file, write_key_file

ENVELOPE_POINTS = 10_000_000
EXPIRY_MONTHS = 24
NAMES = {
    "green-travel-2026": "地铁出行激励(示例)",
    "green-ride-2026": "公交与骑行激励(示例)",
    "home-energy-2026": "居民节电激励(示例)",
    "green-charge-2026": "电动汽车充电激励(示例)",
    "shared-parking-2026": "共享停车激励(示例,拥堵积分)",
}


async def enact(services: Services, client: ChainClient, city: City) -> None:
    """Enrol the officials, fund the programme, approve method and rule. Again changes nothing.

    Raises Problem, named by the step that did not hold.
    """
    keys_dir = services.settings.keys_dir
    government = Government(services.db, services.clock, client, open_keys(keys_dir).government)
    signers: dict[str, Signer] = {}
    for official in city.officials:
        path = keys_dir / "officials" / f"{official.user}.json"
        address, signers[official.user] = _own_key(path, official, services)
        await enrol_official(government, official.user, official.name, official.role, address)
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


def _own_key(path: Path, official: SampleOfficial, services: Services) -> tuple[str, Signer]:
    """The official's key file, made on the first start; a person would keep it elsewhere."""
    if not path.exists():
        address, keystore = new_keystore(official.password)
        profile = services.settings.profile
        write_key_file(path, KeyFile(official.user, address, profile, keystore))
    key = read_key_file(path, services.settings.profile)
    return key.address, open_keystore(key.keystore, official.password)
